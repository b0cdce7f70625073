"""The checkpoint, ``checkpoint.pt``: everything a resume needs; after a kill there is the old one or the new one.

A state is a dict (nested as one likes) of tensors, numbers, texts, booleans, None, lists, tuples and dicts: nothing
that could run code when it is loaded.
"""

import io
import re
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

import torch
from torch import Tensor

from pinn_cli.basics import files as atomic
from pinn_cli.basics.errors import UsageError
from pinn_cli.records import pickled

RUN = {
    "progress": dict, "seconds": float, "finished": list, "model": dict, "values": dict, "generator": Tensor,
    "optimizer": dict, "sampler": dict, "weighting": dict,
}  # fmt: skip
PROGRESS = {
    "step": int, "stage": int, "stage_step": int, "idle": int, "loss": float, "error": float, "best": float,
}  # fmt: skip
PICKLE = "/data.pkl"
NUMBERS = re.compile(r"[^/]+/data/([0-9]+)")  # the record of a tensor's numbers
SHARED = 10  # several tensors may have the same numbers (a solution, the model that is a part of it), but not many


class CheckpointError(UsageError):
    """A file that is no checkpoint of ours."""


def save(path: str | Path, state: dict[str, Any]) -> None:
    """Write `state` beside `path`, then put it in its place. Raises TrainingError, with the old file kept."""
    atomic.write(path, _pack(state), "the checkpoint before it is kept", f"`pinn resume {Path(path).parent}`")


def load(path: str | Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """The state saved at `path`, its tensors on `device`. Raises CheckpointError, in one line, for any other file."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}; expected the folder of a run that was stopped or killed")
    try:
        with open(path, "rb") as file:
            state = _read(file, device)
    except Exception as error:  # torch, zipfile and pickle each raise errors of their own
        reason = str(error).strip().split("\n")[0][:120]
        kind = type(error).__name__
        raise CheckpointError(f"{path} is truncated or no checkpoint of pinn ({kind}: {reason})") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} holds a {type(state).__name__}, not the state of a run")
    return state


def load_run(path: str | Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """The state of a run saved at `path`. Raises CheckpointError also where something that a run needs is missing."""
    state = load(path, device)
    for name, kind in RUN.items():
        if name not in state or not isinstance(state[name], kind):
            raise CheckpointError(f"{path} holds no `{name}`; expected the checkpoint of a run")
    if not all(isinstance(end, dict) for end in state["finished"]):
        raise CheckpointError(f"{path} does not say how its finished stages ended; expected the checkpoint of a run")
    if {key: type(value) for key, value in state["progress"].items()} != PROGRESS:
        raise CheckpointError(f"{path} does not say how far the run was; expected the checkpoint of a run")
    return state


def _read(file: IO[bytes], device: str | torch.device) -> Any:
    """What a file holds. Raises errors of many kinds if it could run code, or would be much larger than it is."""
    size = file.seek(0, io.SEEK_END)
    state = torch.load(_checked(file, size), map_location=device, weights_only=True)
    _check_size(state, SHARED * size)
    return state


def _checked(file: IO[bytes], size: int) -> IO[bytes]:
    """A copy of the file, so that torch reads just what has been looked at: it finds records in other ways than we."""
    copy = io.BytesIO()
    with ZipFile(file) as old, ZipFile(copy, "w") as new:
        entries = old.infolist()
        names = [entry.filename.lower() for entry in entries]  # torch does not tell capital letters apart
        if sum(entry.file_size for entry in entries) > size:
            raise ValueError("it is said to hold more than it does")
        if len(set(names)) < len(names) or any("/data/" in name and not NUMBERS.fullmatch(name) for name in names):
            raise ValueError("its records have other names than torch gives")
        for entry in entries:
            content = old.read(entry)  # and its checksum, at which torch does not look
            if entry.filename.lower().endswith(PICKLE):
                pickled.check(content)
            new.writestr(entry.filename, content)
    copy.seek(0)
    return copy


def _check_size(state: Any, room: int) -> None:
    """Raises ValueError if the tensors of a state, and its values at a byte each, would fill more than `room` bytes."""
    pending = [state]
    while pending:
        node = pending.pop()
        inner = list(node.values()) if isinstance(node, dict) else node if isinstance(node, list | tuple) else ()
        room -= len(inner) + (node.nbytes if isinstance(node, Tensor) else 0)
        if room < 0:
            raise ValueError("its tensors are said to hold more than it does")
        pending.extend(inner)


def _pack(state: dict[str, Any]) -> bytes:
    """The bytes of the file. Raises TypeError for a state that `load` would refuse: better now than at the resume."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    try:
        _read(buffer, "cpu")
    except Exception as error:
        reason = str(error).splitlines()[0][:200]
        raise TypeError(f"the state holds more than tensors and primitives: {reason}") from error
    return buffer.getvalue()
