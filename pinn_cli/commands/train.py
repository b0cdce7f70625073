"""Train a network on a problem; every `key=value` changes the configuration, `-m` sweeps over lists of values."""

import os
import re
import shutil
import sys
import tempfile
import traceback

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig

from pinn_cli.catalogue import find_own_modules, groups, options
from pinn_cli.composition import compose, jobs, rewrite, search_path, swept
from pinn_cli.errors import TrainingError, UsageError

FINISHED, FAILED, USAGE, STOPPED = 0, 1, 2, 3
SAYS = {FINISHED: "finished", FAILED: "failed", USAGE: "refused", STOPPED: "stopped"}
SWEEP = ("-m", "--multirun")
ASKING = ("--hydra-help", "-c", "--cfg", "-i", "--info", "-sc", "--shell-completion")
VALUED = ("-c", "--cfg", "-p", "--package", "-i", "--info", "-cd", "--config-dir")  # take the word that follows

HELP = """usage: pinn train problem=NAME [key=value ...] [-m]

what there is to choose from (pinn list recipes, ... says more):
{groups}

what one types most:
  seed=1  points.interior=4000  points.wall=500  weights.initial=100  stop.steps=2000  stop.seconds=60
  architecture.width=50  optimizer.adam.lr=1e-4  constraints=exact  device=cuda  folder=my_run
several parts at once (quoted for the shell):
  'optimizer=[adam,levenberg_marquardt]' optimizer.adam.steps=2000   one after the other
  'weighting=[lr_annealing,grad_norm]'                               a product
a sweep, one run per combination:
  pinn train -m problem=helmholtz recipe=adam weighting=fixed,lr_annealing seed=0,1,2

  --cfg job    print the configuration that would be trained, every key that can be changed
  --info ...   what Hydra knows of how it is composed"""

outcomes: list[tuple[int, list[str]]] = []  # exit code and overrides of each job of this process


def run_words(words: list[str]) -> int:
    """Check the words, then let Hydra compose and run: one job, or with -m one per combination; the exit code."""
    if "-h" in words or "--help" in words:
        print(_help())
        return FINISHED
    find_own_modules()
    before = ["", *words]
    overrides = [word for word, flag in zip(words, before, strict=False) if word[:1] != "-" and flag not in VALUED]
    flags = [word for word in words if word not in overrides]
    sweep = any(flag in SWEEP for flag in flags)
    if not any(flag in ASKING for flag in flags):
        for job in jobs(overrides) if sweep else [overrides]:
            compose(job)
    _hydra([*flags, *rewrite(overrides), *search_path()])
    if sweep and outcomes:
        print("\n".join(_lines(swept(overrides))))
    return max((code for code, _ in outcomes), default=FINISHED)


def _help() -> str:
    choices = {group: [name for name in options(group) if "/" not in name] for group in groups()}
    lines = [f"  {group}={'|'.join(names)}" for group, names in choices.items() if names]
    return HELP.format(groups="\n".join(lines))


def _hydra(words: list[str]) -> None:
    """Hydra reads the command line of the process, and wants a folder of its own for a sweep."""
    before, sys.argv = sys.argv, ["pinn train", *words]
    folder = tempfile.mkdtemp(prefix="pinn-sweep-")
    os.environ["PINN_SWEEP_FOLDER"] = folder
    outcomes.clear()
    try:
        task()
    except HydraException as error:
        raise UsageError(" ".join(str(error).split())) from error
    finally:
        sys.argv = before
        shutil.rmtree(folder, ignore_errors=True)


@hydra.main(version_base=None, config_path="pkg://pinn_cli.conf", config_name="config")
def task(config: DictConfig) -> int:
    """One job. It returns its exit code and never raises, since one failure must not end a sweep."""
    if outcomes and outcomes[-1][0] == STOPPED:  # Ctrl-C stops the sweep, not this job alone
        return _ended(STOPPED, "not started, the sweep was stopped")
    about = HydraConfig.get()
    typed = [re.split(r"[=@]", word.lstrip("+~"))[0] for word in about.overrides.task]
    try:
        from pinn_cli.job import start  # imports torch

        return _ended(start(config, about.runtime.choices["problem"], typed))
    except UsageError as error:
        return _ended(USAGE, str(error))
    except TrainingError as error:
        return _ended(FAILED, str(error))
    except Exception:
        return _ended(FAILED, traceback.format_exc().rstrip())


def _ended(code: int, message: str = "") -> int:
    about = HydraConfig.get()
    job = f"job {about.job.num}: " if about.mode is not None and about.mode.name == "MULTIRUN" else ""
    if message:
        print(f"pinn: {job}{message}", file=sys.stderr)
    outcomes.append((code, list(about.overrides.task)))
    return code


def _lines(keys: list[str]) -> list[str]:
    """One line per job: how it ended, and the values that the sweep varies."""
    return [
        "  ".join([f"job {i}", f"{SAYS[code]:<8}", *(word for word in words if word.split("=")[0] in keys)])
        for i, (code, words) in enumerate(outcomes)
    ]
