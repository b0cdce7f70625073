"""References that are expensive to compute are stored in the user's cache folder."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from pinn_cli.basics.files import cache

Arrays = dict[str, np.ndarray]


def cached(name: str, parameters: dict[str, float | int | str], compute: Callable[[], Arrays]) -> Arrays:
    """Arrays by name from the cache, or from `compute` at the first call with these `parameters`.

    `parameters` must contain everything that the values depend on, the version of the method included. Parallel workers
    may compute the same entry twice; each renames a complete file, so that a reader never sees half of one. If the
    folder cannot be written, the values are computed again in the next run.
    """
    key = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:16]
    path = cache("references") / f"{name}-{key}.npz"
    if (known := _read(path)) is not None:
        return known
    arrays = compute()
    _write(path, arrays)
    return arrays


def _read(path: Path) -> Arrays | None:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, BadZipFile):  # absent or damaged: compute it again
        return None


def _write(path: Path, arrays: Arrays) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(file.name, path)
    except OSError:
        return
