"""The batch script of an array: directives, set-up, and one Python process that carries out the lines of a task."""

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
# hand. A requeued task leaves out what has finished; what was stopped goes on where it was.
runs_per_task={runs_per_task}
first=$((${{1:-1}} + ${{SLURM_ARRAY_TASK_ID:-0}} * runs_per_task))  # $1: the line at which this array begins
task=({python} -m pinn_cli.studies.launchers.slurm.task {place} "$first" "$runs_per_task" {workers} {requeues})

stopped=
trap 'stopped=USR1' USR1 # the time limit is near
trap 'stopped=TERM' TERM # preempted, requeued or cancelled
trap '"${{task[@]}}" --failed $?' EXIT # the set-up ends the task: its runs have failed
{setup}
cd {code} || exit 1
trap - EXIT

# Python ignores signals until it handles them; so they are sent again until it has ended.
(trap '' USR1 TERM; exec "${{task[@]}}" ${{stopped:+--stopped "SIG$stopped"}}) &
pid=$!
while wait "$pid"; code=$?; kill -0 "$pid" 2>/dev/null; do
    [ -z "$stopped" ] || {{ kill -s "$stopped" "$pid"; sleep 1 & wait $!; }}
done
exit $code
"""


def text(array: Settings, sweep: Sweep, place: Path) -> str:
    """The script of an `array` whose runs are the lines of ``place/runs.txt``."""
    folder = sweep.folder.absolute()
    threads = max(1, array.cpus // array.workers)
    return SCRIPT.format(
        command=" ".join(sweep.command.split()),
        directives="\n".join(f"#SBATCH {option}" for option in options(array, folder, place.absolute())),
        setup="\n".join([*environment(folder), f"export OMP_NUM_THREADS={threads}", *array.setup]),
        python=shlex.quote(sys.executable),
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
    """Lines of shell that let a job find this installation of pinn, whatever environment it has."""
    path = [f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"]
    frozen = [f"export PYTHONPATH={shlex.quote(str(folder / 'pinn'))}${{PYTHONPATH:+:$PYTHONPATH}}"]
    return path + (frozen if checkout.is_one() else [])
