"""Train a network on a problem; every `key=value` changes the configuration, `-m` sweeps over lists of values."""

import os

from omegaconf import OmegaConf

from pinn_cli.basics.errors import FINISHED, UsageError
from pinn_cli.configuration import project
from pinn_cli.configuration.catalogue import groups, options
from pinn_cli.configuration.compose import as_setting, compose
from pinn_cli.studies import launch
from pinn_cli.studies.launchers.basic import carry_out
from pinn_cli.studies.launchers.choose import is_of_launcher, is_setting, named

SWEEP = ("-m", "--multirun")
DRY = "--dry-run"
CONFIGURATION = ("--cfg", "-c")
TORCHRUN = "TORCHELASTIC_RUN_ID"  # in the environment of what torchrun starts

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

  --cfg job    print the configuration that would be trained, every key that can be changed"""


def run_words(words: list[str]) -> int:
    """Train one run, or with -m one per combination; the exit code. Raises UsageError."""
    if "-h" in words or "--help" in words:
        print(_help())
        return FINISHED
    project.enter()
    flags, settings = _split(words)
    if any(flag in SWEEP for flag in flags):
        if TORCHRUN in os.environ:
            raise UsageError("torchrun starts the processes of one run; type pinn train -m ... processes=2 without it")
        if others := [flag for flag in flags if flag not in (*SWEEP, DRY)]:
            raise UsageError(f"`{others[0]}` does not go with -m; expected pinn train -m [{DRY}] key=value ...")
        return launch.run(settings, ["pinn", "train", *words], dry=DRY in flags)
    if launchers := [word for word in settings if is_setting(word)]:
        named([word for word in launchers if not is_of_launcher(word)])  # refuses the others of Hydra's
        raise UsageError(f"`{launchers[0]}` starts the runs of a sweep; type pinn train -m ... (one run is one too)")
    if DRY in flags:
        raise UsageError(f"{DRY} shows the runs of a sweep; type pinn train -m {DRY} ... (or --cfg job for one run)")
    if flags:
        print(OmegaConf.to_yaml(compose(settings), resolve=True), end="")
        return FINISHED
    return carry_out(settings)


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """The flags and the other words, without the `job` of `--cfg job`. Raises UsageError for an unknown flag."""
    flags, settings = [], []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            settings.append(word)
            continue
        if word not in (*SWEEP, DRY, *CONFIGURATION):
            way = _setting(word, words)
            known = f"pinn train has {SWEEP[0]}, {DRY}, {CONFIGURATION[0]} job and --help"
            raise UsageError(f"unknown flag `{word}`; {f'settings have no dashes: {way}' if way else known}")
        if word in CONFIGURATION and next(rest, None) != "job":
            raise UsageError(f"`{word}`: expected {word} job, which prints the configuration of a run")
        flags.append(word)
    return flags, settings


def _setting(flag: str, words: list[str]) -> str:
    """What to type instead of a flag and the word after it; "" if no setting has its name."""
    name, _, value = flag.partition("=")
    after = words[words.index(flag) + 1 :][:1]
    settings = [word for word in words if "=" in word and not word.startswith("-")]
    way = as_setting(name, value or next((word for word in after if "=" not in word), "..."), settings)
    return way if name.strip("-") and way.startswith("type ") else ""


def _help() -> str:
    choices = {group: [name for name in options(group) if "/" not in name] for group in groups()}
    lines = [f"  {group}={'|'.join(names)}" for group, names in choices.items() if names]
    return HELP.format(groups="\n".join(lines))
