"""The checkpoint comes back bit for bit, survives kills and full disks, and runs no foreign code."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from pinn_cli.basics.errors import TrainingError, UsageError
from pinn_cli.records import checkpoint
from pinn_cli.records.checkpoint import CheckpointError
from tests.conftest import ROOT, refused


def state() -> dict[str, Any]:
    return {
        "step": 12, "stage": "adam", "best": None, "done": False, "rate": 1e-3, "shape": (2, 3),
        "model": {"weight": torch.randn(3, 2, dtype=torch.float64)},
        "optimizer": {"state": {0: {"exp_avg": torch.randn(4)}}, "groups": [{"lr": 1e-3, "betas": (0.9, 0.999)}]},
        "generator": torch.Generator().manual_seed(3).get_state(),
    }


def test_a_checkpoint_is_loaded_bit_for_bit(tmp_path: Path) -> None:
    saved = state()
    checkpoint.save(tmp_path / "checkpoint.pt", saved)
    loaded = checkpoint.load(tmp_path / "checkpoint.pt")
    assert torch.equal(loaded["model"]["weight"], saved["model"]["weight"])
    assert torch.equal(loaded["generator"], saved["generator"])
    assert torch.equal(loaded["optimizer"]["state"][0]["exp_avg"], saved["optimizer"]["state"][0]["exp_avg"])
    plain = ("step", "stage", "best", "done", "rate", "shape")
    assert {key: loaded[key] for key in plain} == {key: saved[key] for key in plain}
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_a_part_of_a_tensor_is_saved_without_the_rest(tmp_path: Path) -> None:
    whole = torch.randn(64, 1000)
    checkpoint.save(tmp_path / "checkpoint.pt", {"sampler": {"tensors": [whole[3], whole[4]]}, "again": (whole[3],)})
    loaded = checkpoint.load(tmp_path / "checkpoint.pt")
    assert torch.equal(torch.stack(loaded["sampler"]["tensors"]), whole[3:5])
    assert torch.equal(loaded["again"][0], whole[3])
    assert (tmp_path / "checkpoint.pt").stat().st_size < 20_000


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_gets_one_clear_line(tmp_path: Path, fraction: float) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, state())
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])
    with refused("truncated", CheckpointError):
        checkpoint.load(path)
    assert issubclass(CheckpointError, UsageError)  # so the command line prints it and exits with 2


class Malicious:
    def __reduce__(self) -> Any:
        return os.system, ("touch harmed",)


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_malicious_file_runs_nothing(tmp_path: Path, monkeypatch, write: Any) -> None:
    monkeypatch.chdir(tmp_path)
    write({"step": Malicious()}, tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError):
        checkpoint.load(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "harmed").exists()


def test_a_flipped_bit_gets_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, state())
    content = bytearray(path.read_bytes())
    content[content.index(state()["generator"].numpy().tobytes()[:64])] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"checksum of archive/data/\d+ is wrong"):
        checkpoint.load(path)


def test_tables_with_an_order_and_numbers_in_common_come_back(tmp_path: Path) -> None:
    network = torch.nn.Linear(3, 2)
    saved = {"model": network.state_dict(), "again": network.state_dict(), "kinds": [torch.zeros(2, dtype=torch.bool)]}
    checkpoint.save(tmp_path / "checkpoint.pt", saved)
    loaded = checkpoint.load(tmp_path / "checkpoint.pt")
    assert torch.equal(loaded["again"]["weight"], network.weight)
    assert (type(loaded["model"]), loaded["model"]._metadata) == (OrderedDict, saved["model"]._metadata)


def test_a_missing_and_a_foreign_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint"):
        checkpoint.load(tmp_path / "checkpoint.pt")
    torch.save([1, 2], tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="list"):
        checkpoint.load(tmp_path / "checkpoint.pt")


def test_a_state_that_could_not_be_loaded_is_refused_when_saved(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "checkpoint.pt", {"step": 1})
    with pytest.raises(TypeError, match="primitives"):
        checkpoint.save(tmp_path / "checkpoint.pt", {"path": Path("x")})
    assert checkpoint.load(tmp_path / "checkpoint.pt") == {"step": 1}


def test_a_folder_that_cannot_be_written_keeps_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").mkdir()
    with pytest.raises(TrainingError, match="cannot write"):
        checkpoint.save(tmp_path / "checkpoint.pt", {"step": 1})
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_kill_9_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    code = """
import sys, torch
from pinn_cli.records import checkpoint
step = 0
while True:
    step += 1
    checkpoint.save(sys.argv[1], {"step": step, "weight": torch.full((20000,), float(step))})
    print(step, flush=True)
"""
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "checkpoint.pt")], cwd=ROOT, text=True,
                              stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    time.sleep(0.05)
    writer.send_signal(signal.SIGKILL)
    recorded = max([1, *(int(line) for line in writer.communicate()[0].split())])
    loaded = checkpoint.load(tmp_path / "checkpoint.pt")
    assert loaded["step"] >= recorded
    assert torch.equal(loaded["weight"], torch.full((20000,), float(loaded["step"])))
