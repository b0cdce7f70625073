"""The results file, ``results.h5``: the only package that imports h5py.

`layout` says what it holds. Rows are appended by *open, append, close*, uncompressed and without SWMR: whenever the
process is killed, the file opens and holds every row whose append has returned. Everything else (a new column, fields,
the network, an attribute, a cut) goes through an image in memory, which replaces the file in one ``os.replace``.
Readers open without locks, so reading never stops a run. After a failed write the HDF5 library can neither close nor
reopen its file: the process prints one line and exits at once.
"""

import os
import sys
from functools import wraps
from typing import Any

import h5py

from pinn_cli.records.results.export import collect, export
from pinn_cli.records.results.file import Results
from pinn_cli.records.results.values import Noted

__all__ = ["Noted", "Results", "collect", "export"]

_open = h5py.File.__init__


@wraps(_open)
def _announced(self: h5py.File, name: Any, mode: str = "r", *arguments: Any, **keywords: Any) -> None:
    """Open an HDF5 file as `open` does: Python's audit hooks are told (PEP 578). HDF5 itself tells nobody."""
    if isinstance(name, str | bytes | os.PathLike):
        sys.audit("open", os.fspath(name), mode, 0)
    _open(self, name, mode, *arguments, **keywords)


h5py.File.__init__ = _announced
