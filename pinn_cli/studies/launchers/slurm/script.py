"""The batch script of a sweep: directives, set-up, and a loop in plain bash over ordinary commands."""

import shlex
import sys
from pathlib import Path

from pinn_cli.basics import checkout
from pinn_cli.studies.launchers.slurm.settings import Settings
from pinn_cli.studies.sweep import Sweep

SCRIPT = """\
#!/bin/bash
# {command}
{directives}

# A task of the array carries out some lines of runs.txt: ordinary commands, one a line, each of which can be typed by
# hand. What has finished in an earlier life of the task is left out; what was stopped goes on where it was.
place={place}
runs_per_task={runs_per_task} workers={workers} requeues={requeues}
first=$((${{1:-1}} + ${{SLURM_ARRAY_TASK_ID:-0}} * runs_per_task))  # $1: the line at which this array begins
ended=$place/ended.$first  # the code and the command of every run that has ended
log=$place/${{SLURM_ARRAY_JOB_ID:-}}_${{SLURM_ARRAY_TASK_ID:-}}.log
[ -e "$log" ] || log=/dev/null

say() {{ printf '[%(%F %T)T] %s\\n' -1 "$1"; }}
note() {{ # note COMMAND CODE: 3 is stopped, above 128 is killed; both go on. 2 is refused, which is no failure
    if (($2 == 3 || $2 > 128)) || [[ $stopping && $2 != [02] ]]; then # what fails while it is ended is tried again
        unfinished=1
    else
        echo "$2 $1" >>"$ended"
        [[ $2 == [02] ]] || failed=1
    fi
    [[ $stopping || $2 == [03] || -e ${{1##*folder=}}/results.h5 ]] || tell "exit $2" "$1"
    say "exit $2: $1"
}}
tell() {{ # tell END COMMAND: where a run could not note why it ended, the log's last line that is not ours is noted
    local folder=${{2##*folder=}} why=$(grep -v '^\\[' "$log" | tail -n 1)
    [ -e "$folder.failed" ] || [ -e "$folder.refused" ] ||
        printf '%s\n' "$1${{why:+: ${{why##*slurm_script: }}}}" >"$folder.failed"
}}
start() {{ # start SLOT COMMAND: the workers of a task share its GPUs
    if ((${{#gpus[@]}} > 1)); then export CUDA_VISIBLE_DEVICES=${{gpus[$1 % ${{#gpus[@]}}]}}; fi
    say "$2"
    bash -c "exec $2" &
    pids[$1]=$! commands[$1]=$2
    [ -z "$stopping" ] || stop "$stopping" # it came before the number of this process was known
    (($1)) || leader=${{2##*folder=}}
}}
stop() {{ # stop SIGNAL: hand it on; nothing new starts
    stopping=$1
    for pid in "${{pids[@]}}"; do [ -n "$pid" ] && kill -s "$1" "$pid" 2>/dev/null; done
}}
warm() {{ # the first run of a task goes alone until its first step is saved: the others find what it has compiled
    [ -n "$warmed" ] || [ -z "${{pids[0]:-}}" ] || {{ [ -e "$leader/checkpoint.pt" ] && warmed=1; }}
}}

[ -n "${{SLURM_RESTART_COUNT:-}}" ] || : >"$ended"
todo=() pids=() commands=() stopping= unfinished= failed= warmed= leader=
grep -qv '^[02] ' "$ended" && failed=1 # in an earlier life
while IFS= read -r line; do cut -d' ' -f2- "$ended" | grep -Fxq -- "$line" || todo+=("$line"); done \\
    < <(sed -n "${{first}},$((first + runs_per_task - 1))p" "$place/runs.txt")

trap 'stop USR1' USR1 # the time limit is near
trap 'stop TERM' TERM # preempted, requeued or cancelled
early() {{ for run in "${{todo[@]}}"; do tell "setup ended with $1" "$run"; done; }}
trap 'early $?' EXIT # before it begins
{setup}
cd {code} || exit 1
trap - EXIT

IFS=, read -ra gpus <<<"${{CUDA_VISIBLE_DEVICES:-}}"
next=0 busy=1
while ((busy)); do
    busy=0
    for ((slot = 0; slot < workers; slot++)); do
        pid=${{pids[slot]:-}}
        if [ -n "$pid" ] && ! kill -0 "$pid" 2>/dev/null; then
            wait "$pid"
            note "${{commands[slot]}}" $?
            pids[slot]= pid=
        fi
        if [ -z "$pid" ] && [ -z "$stopping" ] && ((next < ${{#todo[@]}})) && warm; then
            start "$slot" "${{todo[next++]}}"
        fi
        [ -n "${{pids[slot]:-}}" ] && busy=1
    done
    if ((busy)); then
        sleep 0.5 &
        wait $!
    fi
done
((next < ${{#todo[@]}})) && unfinished=1

# Slurm itself requeues or cancels a task that it is ending; one that it still calls running was warned, and asks.
if [ -n "$stopping" ] && [ -n "$unfinished" ] && [ -n "${{SLURM_JOB_ID:-}}" ]; then
    if [ "$stopping" = TERM ] && [ "$(squeue -h -j "$SLURM_JOB_ID" -o %T)" != RUNNING ]; then
        say "saved; Slurm decides whether it goes on"
    elif ((${{SLURM_RESTART_COUNT:-0}} >= requeues)); then
        say "saved; requeued $requeues times already: pinn resume goes on"
    elif scontrol requeue "$SLURM_JOB_ID"; then
        say "saved and requeued"
    else
        say "saved, but it could not be requeued: pinn resume goes on"
    fi
fi
[ -n "$unfinished" ] && exit 3
[ -z "$failed" ]
"""


def text(array: Settings, sweep: Sweep, place: Path) -> str:
    """The script of an `array` whose runs stand in ``place/runs.txt``."""
    folder = sweep.folder.absolute()
    threads = max(1, array.cpus // array.workers)
    return SCRIPT.format(
        command=" ".join(sweep.command.split()),
        directives="\n".join(f"#SBATCH {option}" for option in options(array, folder, place.absolute())),
        setup="\n".join([*environment(folder), f"export OMP_NUM_THREADS={threads}", *array.setup]),
        place=shlex.quote(str(place.absolute())),
        code=shlex.quote(str(folder / "code")),
        runs_per_task=array.runs_per_task,
        workers=array.workers,
        requeues=array.requeues,
    )


def options(array: Settings, folder: Path = Path("sweep"), place: Path = Path("slurm")) -> list[str]:
    """The options of sbatch."""
    named = {
        "job-name": f"pinn-{folder.name}", "output": place / "%A_%a.log", "open-mode": "append",
        "signal": f"B:USR1@{array.warning}", "nodes": 1, "ntasks": 1, "cpus-per-task": array.cpus,
        "partition": array.partition, "account": array.account, "time": array.time, "mem": array.memory,
        "gres": None if array.gpus is None else f"gpu:{array.gpus}",
    }  # fmt: skip
    given = [f"--{name}={value}" for name, value in named.items() if value is not None]
    return ["--requeue", *given, *array.options]


def environment(folder: Path) -> list[str]:
    """Lines by which the commands find this very pinn, whatever environment a job begins with."""
    path = [f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"]
    frozen = [f"export PYTHONPATH={shlex.quote(str(folder / 'pinn'))}${{PYTHONPATH:+:$PYTHONPATH}}"]
    return path + (frozen if checkout.is_one() else [])
