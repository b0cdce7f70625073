"""A sweep is a folder: ``sweep.json`` says which runs there are, and each is an ordinary run in a folder of its own.

    outputs/sweeps/<time>-<short id>/
        sweep.json      the command, the launcher, the words of every run and why some were refused: written once,
                        before the first run starts; a cluster's job numbers are added
        0/ 1/ 2/ ...    run folders, as `pinn train WORDS folder=<sweep>/<number>` makes them by hand too
        3.refused       why run 3, although its words compose, was refused when it started
        4.failed        why run 4 failed when it was last started; both are gone when it begins anew

A run whose words name another folder lies there, with the same notes beside it, and X.sweep: which sweep X is part of.

Nothing here reads a configuration or a results file: what state a run is in, its own folder says.
"""

from pinn_cli.records.folder import MANIFEST
from pinn_cli.studies.sweep.folder import NEW, Sweep, counted
from pinn_cli.studies.sweep.notes import FAILED, REFUSED, forget, leave, note, sweep_of
from pinn_cli.studies.sweep.planned import Planned, quoted
from pinn_cli.studies.sweep.varied import labels, varied

__all__ = [
    "FAILED", "MANIFEST", "NEW", "REFUSED", "Planned", "Sweep", "counted", "forget", "labels", "leave", "note",
    "quoted", "sweep_of", "varied",
]  # fmt: skip
