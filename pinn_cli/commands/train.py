"""Train a network on a problem; every `key=value` changes the configuration, `-m` sweeps over lists of values."""

import sys

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig

from pinn_cli.basics.errors import FINISHED, UsageError
from pinn_cli.configuration.catalogue import find_own_modules, groups, options
from pinn_cli.configuration.compose import compose, rewrite, search_path
from pinn_cli.studies import launch
from pinn_cli.studies.launchers.task import carry_out

SWEEP = ("-m", "--multirun")
DRY = "--dry-run"
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
a sweep, one run per combination, in a folder of its own (folder=... chooses it; --dry-run only shows it):
  pinn train -m problem=helmholtz recipe=adam weighting=fixed,lr_annealing seed=0,1,2

  --cfg job    print the configuration that would be trained, every key that can be changed
  --info ...   what Hydra knows of how it is composed"""

codes: list[int] = []  # what `task` has to say: Hydra drops what it returns
typed: list[str] = []  # what the results file calls the command: Hydra is handed other words


def run_words(words: list[str]) -> int:
    """Check the words, then let Hydra compose and run: one job, or with -m one per combination; the exit code."""
    if "-h" in words or "--help" in words:
        print(_help())
        return FINISHED
    find_own_modules()
    before = ["", *words]
    overrides = [word for word, flag in zip(words, before, strict=False) if word[:1] != "-" and flag not in VALUED]
    flags = [word for word in words if word not in overrides]
    if any(flag in ASKING for flag in flags):
        return _hydra([*flags, *rewrite(overrides), *search_path()])
    if any(flag in SWEEP for flag in flags):
        if others := [flag for flag in flags if flag not in (*SWEEP, DRY)]:
            raise UsageError(f"`{others[0]}` does not go with -m; expected pinn train -m [{DRY}] key=value ...")
        return launch.run(overrides, ["pinn", "train", *words], dry=DRY in flags)
    if launchers := [word for word in overrides if launch.of_launcher(word)]:
        raise UsageError(f"`{launchers[0]}` starts the runs of a sweep; type pinn train -m ... (one run is one too)")
    if DRY in flags:
        raise UsageError(f"{DRY} shows the runs of a sweep; type pinn train -m {DRY} ... (or --cfg job for one run)")
    compose(overrides)
    typed[:] = words
    return _hydra([*flags, *rewrite(overrides), *search_path()])


def _help() -> str:
    choices = {group: [name for name in options(group) if "/" not in name] for group in groups()}
    lines = [f"  {group}={'|'.join(names)}" for group, names in choices.items() if names]
    return HELP.format(groups="\n".join(lines))


def _hydra(words: list[str]) -> int:
    """Hydra reads the command line of the process."""
    before, sys.argv = sys.argv, ["pinn train", *words]
    codes.clear()
    try:
        task()
    except HydraException as error:
        raise UsageError(" ".join(str(error).split())) from error
    finally:
        sys.argv = before
    return max(codes, default=FINISHED)


@hydra.main(version_base=None, config_path="pkg://pinn_cli.conf", config_name="config")
def task(config: DictConfig) -> None:
    """One run."""
    sys.argv = ["pinn train", *typed]
    codes.append(carry_out(config))
