"""pinn: a runner for physics-informed neural networks.

What a problem file needs comes from here: ``from pinn_cli import Box, Problem, on, periodic, observable``; a notebook
takes ``from pinn_cli import load, train``. Each name is imported when it is first used, so that ``import pinn_cli``
alone imports no torch.

`pinn_cli.conf` and `pinn_cli.problems` are the folders `conf/` and `problems/` of the project. In a wheel they lie
inside this package; in a checkout they lie beside it, and the parent folder is searched too.
"""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pinn_cli.physics.domains import Box, Interval
    from pinn_cli.physics.family import Family
    from pinn_cli.physics.problem import Problem, observable, on, periodic
    from pinn_cli.physics.unknowns import Field
    from pinn_cli.runs.load import Prediction

__version__ = "0.1.0"
__all__ = [
    "Box", "Family", "Field", "Interval", "Problem", "__version__", "load", "observable", "on", "periodic", "train",
]  # fmt: skip

# The module of each name that is imported when it is first used.
_MODULES = {
    "Box": "pinn_cli.physics.domains",
    "Family": "pinn_cli.physics.family",
    "Field": "pinn_cli.physics.unknowns",
    "Interval": "pinn_cli.physics.domains",
    "Problem": "pinn_cli.physics.problem",
    "observable": "pinn_cli.physics.problem",
    "on": "pinn_cli.physics.problem",
    "periodic": "pinn_cli.physics.problem",
}

# HDF5 reads this variable once, when h5py is imported, and it overrides `locking=False` of a single file.
os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"

_here = Path(__file__).resolve().parent
if not (_here / "conf").is_dir():
    __path__.append(str(_here.parent))


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module `pinn_cli` has no attribute `{name}`")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


def load(
    run: str | Path = "latest",
    trust_source: bool = False,
    device: str = "cpu",
    changed: bool = False,
    instance: int | None = None,
) -> Prediction:
    """The network of a run as a function: ``u = load("helmholtz"); u(x=0.3, y=[0, 0.5], derivatives=["u", "u_x"])``.

    `run` is a path or any other name of a run: the unique beginning of its folder's name, ``latest``, ``SWEEP/17``.
    The problem is the recorded one, whatever has happened to its file since; with `changed` it is the file as it is
    now. `instance` is the seed of an instance of the family that a network was trained for. Warns if the network has
    not solved it. Raises UsageError if there is no such run or instance, if its file is damaged, or if the recorded
    text comes from somebody else (unless `trust_source`: loading runs it).
    """
    from pinn_cli.runs.load import load as load_folder  # imports torch
    from pinn_cli.studies.find import find

    solution = load_folder(find(str(run)), trust_source, device, changed, instance)
    for note in solution.notes:
        warnings.warn(note, stacklevel=2)
    return solution


def train(*words: str) -> Prediction:
    """Train a run, as `pinn train` does with these words, and load it: ``u = train("problem=burgers", "seed=1")``.

    Interrupting it (Ctrl-C, or a notebook's stop button) saves after the step and returns the solution so far;
    `pinn resume` goes on. Raises UsageError, with nothing made on disk, for words that make no run, and TrainingError
    for a run that cannot go on.
    """
    from pinn_cli.configuration import project
    from pinn_cli.configuration.compose import read
    from pinn_cli.runs.load import load as load_folder  # imports torch
    from pinn_cli.runs.start import start

    project.enter()
    _, folder = start(read(words))
    return load_folder(folder)
