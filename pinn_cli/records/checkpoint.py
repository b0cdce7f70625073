"""The checkpoint, ``checkpoint.pt``: everything a resume needs; after a kill there is the old one or the new one.

A state is a dict, nested at will, of tensors, numbers, texts, booleans, None, lists, tuples and dicts. torch's
`weights_only` loader refuses anything else, so loading runs no foreign code.
"""

import io
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

import torch
from torch import Tensor

from pinn_cli.basics import files
from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.text import in_shell

RUN = {
    "progress": dict, "seconds": float, "phases": dict, "finished": list, "model": dict, "values": dict,
    "generator": Tensor, "optimizer": dict, "sampler": dict, "weighting": dict, "residuals": dict,
}  # fmt: skip
PROGRESS = {
    "step": int, "stage": int, "stage_step": int, "idle": int, "loss": float, "error": float, "estimated": float,
    "best": float, "began": int, "seconds": float,
}  # fmt: skip


class CheckpointError(UsageError):
    """A file that is no checkpoint of ours."""


def save(path: str | Path, state: dict[str, Any]) -> None:
    """Write `state` beside `path`, then move it into place. Raises TrainingError, with the old file kept."""
    files.write(path, _pack(state), "the checkpoint before it is kept", f"`pinn resume {in_shell(Path(path).parent)}`")


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


def unpacked(content: bytes, device: str | torch.device) -> Any:
    """The state in the bytes of a file that this version has loaded before."""
    return _read(io.BytesIO(content), device)


def load_run(path: str | Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """The state of a run saved at `path`. Raises CheckpointError also if something that a run needs is missing."""
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
    """What a file holds. torch does not verify the checksums in it, so a flipped bit is found here."""
    with ZipFile(file) as archive:
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"the checksum of {damaged} is wrong")
    file.seek(0)
    return torch.load(file, map_location=device, weights_only=True)


def _compact(value: Any, copies: dict[int, Tensor]) -> Any:
    """The same with a copy of each tensor that is a part of a larger one, which torch would write as a whole."""
    if isinstance(value, Tensor) and value.untyped_storage().nbytes() > value.nbytes:
        return copies.setdefault(id(value), value.clone())
    if type(value) is dict:
        return {key: _compact(each, copies) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_compact(each, copies) for each in value)
    return value


def _pack(state: dict[str, Any]) -> bytes:
    """The bytes of the file. Raises TypeError for a state that `load` would refuse, before it is written."""
    buffer = io.BytesIO()
    torch.save(_compact(state, {}), buffer)
    try:
        _read(buffer, "cpu")
    except Exception as error:
        reason = str(error).splitlines()[0][:200]
        raise TypeError(f"the state holds more than tensors and primitives: {reason}") from error
    return buffer.getvalue()
