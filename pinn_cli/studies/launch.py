"""A sweep through a launcher: which runs there are is known, checked and written down before the first one starts.

One run that is refused or fails ends no other.
"""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Protocol

from pinn_cli.basics.errors import MachineError, UsageError
from pinn_cli.configuration.build import Builder
from pinn_cli.configuration.compose import compose, read, spread, value_of
from pinn_cli.studies.grid import Combination, combinations
from pinn_cli.studies.launchers.plugins import Plugin, configuration
from pinn_cli.studies.launchers.slurm import commands as slurm
from pinn_cli.studies.status import refuse_busy
from pinn_cli.studies.sweep import NEW, Sweep


class Launcher(Protocol):
    """Carries out sweeps: one of Hydra's (`plugins`), or a class of ours that a YAML in conf/hydra/launcher names."""

    @property
    def adds(self) -> Sequence[str]:
        """Words of every run, where nothing else is typed."""

    def check(self) -> None:
        """Raise UsageError, with nothing made, where nothing could be launched."""

    def launch(self, sweep: Sweep) -> int:
        """Start what is not refused, and say so; the exit code."""

    def preview(self, sweep: Sweep) -> str:
        """What there would be besides the runs, with nothing made."""


def run(words: Sequence[str], command: Sequence[str], dry: bool = False) -> int:
    """Carry out the sweep of these words, or with `dry` only show it; the exit code. Raises UsageError."""
    settings = [word for word in words if of_launcher(word)]
    name, launcher = named(settings)
    chosen, typed = _folder([word for word in words if word not in settings])
    keys = [word.partition("=")[0] for word in typed]
    runs = combinations([*typed, *(word for word in launcher.adds if word.partition("=")[0] not in keys)])
    return start(_placed(runs), command, (name, launcher), chosen, dry)


def start(
    runs: list[Combination], command: Sequence[str], by: tuple[str, Launcher], chosen: str | None = None,
    dry: bool = False,
) -> int:  # fmt: skip
    """Carry out a sweep of these runs `by` a launcher, or with `dry` only show it; the exit code. Raises UsageError."""
    (name, launcher), typed = by, shlex.join(command)
    if dry:
        return _show(Sweep.planned(Path(chosen or NEW), typed, name, _rehearsed(runs)), launcher)
    launcher.check()
    refuse_busy(Sweep.planned(Path(chosen or NEW), typed, name, runs).runs)
    return launcher.launch(Sweep.create(typed, name, runs, chosen))


def go_on(sweep: Sweep) -> int:
    """Start what of a sweep has not finished, by the launcher that it was started with; the exit code.

    Without the Slurm that it was submitted to, the runs are carried out here. Raises UsageError.
    """
    if sweep.jobs and not slurm.is_here():
        print("there is no Slurm here (no `sbatch`): the runs go on here, one after the other")
        return Plugin([]).launch(replace(sweep, launcher="basic"))
    typed = [word for word in shlex.split(sweep.command)[2:] if of_launcher(word)]
    settings = [word for word in typed if not word.startswith("hydra/launcher=")]
    launcher = named([f"hydra/launcher={sweep.launcher}", *settings])[1]
    launcher.check()
    return launcher.launch(sweep)


def of_launcher(word: str) -> bool:
    """Whether a word speaks of the launcher, and not of the runs."""
    return word.lstrip("+~").startswith(("hydra.", "hydra/"))


def named(settings: Sequence[str]) -> tuple[str, Launcher]:
    """The launcher that `hydra/launcher=...` and its settings, or a YAML, name, behind its name. Raises UsageError."""
    config = configuration(settings, ".")
    name, node = config.hydra.runtime.choices["hydra/launcher"], config.hydra.launcher
    if "_target_" not in node:
        raise UsageError(f"hydra/launcher={name} names no class; expected `defaults: [slurm_array]` in its YAML")
    if node._target_.startswith("pinn_cli."):
        return name, Builder([f"hydra.launcher.{key}" for key in node]).part(node, "hydra.launcher")()
    return name, Plugin(settings)


def _folder(words: list[str]) -> tuple[str | None, list[str]]:
    """The folder chosen for the sweep; one that differs between runs (`folder=x/${seed}`) stays a word of each."""
    typed = [word for word in words if word.startswith("folder=")]
    if not typed or "${" in typed[-1] or len(spread(typed[-1])) > 1:
        return None, words
    chosen = value_of(typed[-1])[1]
    return None if chosen is None else str(chosen), [word for word in words if word not in typed]


def _placed(runs: list[Combination]) -> list[Combination]:
    """The runs with the folders that their words ask for. Raises UsageError if two of them ask for the same."""
    placed: list[Combination] = []
    for words, reason in runs:
        if reason is None and any(word.startswith("folder=") for word in words):
            folder = Path(compose(words).folder).absolute()
            words = [*(word for word in words if not word.startswith("folder=")), f"folder={folder}"]
            if any(f"folder={folder}" in others for others, _ in placed):
                raise UsageError(f"two runs would share {folder}; type folder=NAME for the whole sweep")
        placed.append((words, reason))
    return placed


def _rehearsed(runs: list[Combination]) -> list[Combination]:
    """The runs with what each would be refused for when it starts; seeds make no difference to that."""

    @cache
    def reason(words: tuple[str, ...]) -> str | None:
        from pinn_cli.runs.start import rehearse  # imports torch

        try:
            rehearse(read(words))
        except MachineError:  # it may well start where it is carried out
            return None
        except UsageError as error:
            return str(error)
        return None

    def same(words: list[str]) -> tuple[str, ...]:
        return tuple(word for word in words if not word.startswith(("seed=", "folder=")))

    return [(words, refused or reason(same(words))) for words, refused in runs]


def _show(sweep: Sweep, launcher: Launcher) -> int:
    """Print what would be run, and what not."""
    for run in sweep.runs:
        text = f"-  {' '.join(run.words)}: refused, {run.refused}" if run.refused is not None else run.command
        print(f"{run.number:>4}  {text}")
    if text := launcher.preview(sweep):
        print(f"\n{text}")
    print(f"\n{sweep.counts()}; with hydra/launcher={sweep.launcher}; nothing has been started")
    return 0
