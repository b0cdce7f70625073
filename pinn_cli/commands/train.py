"""Train a network on a problem; every `key=value` changes the configuration, `-m` sweeps over lists of values."""

import os
import re
import shutil
import sys
import tempfile
import traceback

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from pinn_cli.catalogue import find_own_modules
from pinn_cli.composition import compose, jobs, rewrite, search_path
from pinn_cli.errors import TrainingError, UsageError

FAILED, USAGE, STOPPED = 1, 2, 3
SWEEP = ("-m", "--multirun")
ASKING = ("-h", "--help", "--hydra-help", "-c", "--cfg", "-i", "--info", "-sc", "--shell-completion")

outcomes: list[int] = []  # exit codes of the jobs of this process


def run_words(words: list[str]) -> int:
    """Check the words, then let Hydra compose and run: one job, or with -m one per combination; the exit code."""
    find_own_modules()
    overrides = [word for word in words if _is_override(word, words)]
    flags = [word for word in words if word not in overrides]
    if not any(flag in ASKING for flag in flags):
        for job in jobs(overrides) if any(flag in SWEEP for flag in flags) else [overrides]:
            compose(job)
    return _hydra([*flags, *rewrite(overrides), *search_path()])


def _hydra(words: list[str]) -> int:
    """Hydra reads the command line of the process, and wants a folder of its own for a sweep."""
    before, sys.argv = sys.argv, ["pinn train", *words]
    folder = tempfile.mkdtemp(prefix="pinn-sweep-")
    os.environ["PINN_SWEEP_FOLDER"] = folder
    outcomes.clear()
    try:
        task()
    finally:
        sys.argv = before
        shutil.rmtree(folder, ignore_errors=True)
    return max(outcomes, default=0)


@hydra.main(version_base=None, config_path="pkg://pinn_cli.conf", config_name="config")
def task(config: DictConfig) -> int:
    """One job. It returns its exit code and never raises, since one failure must not end a sweep."""
    if outcomes and outcomes[-1] == STOPPED:  # Ctrl-C stops the sweep, not this job alone
        return _ended(STOPPED, "not started: the sweep was stopped")
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
    job = f"job {about.job.num} ({about.job.override_dirname}): " if about.mode.name == "MULTIRUN" else ""
    if message:
        print(f"pinn: {job}{message}", file=sys.stderr)
    outcomes.append(code)
    return code


def _is_override(word: str, words: list[str]) -> bool:
    """Whether a word is an override rather than a flag, or the value of the flag before it (`--cfg job`)."""
    before = words[words.index(word) - 1] if words.index(word) else ""
    valued = ("-c", "--cfg", "-p", "--package", "-i", "--info", "-cd", "--config-dir", "-cn", "--config-name")
    return not word.startswith("-") and before not in valued


