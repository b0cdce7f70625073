"""Several processes of one run: two equal one, to rounding."""

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import torch
from torch import distributed

from pinn_cli.basics.ranks import ALONE, Ranks, _digest
from tests.conftest import ROOT, refused
from tests.divided import AGAIN, EACH, OTHERS, PRODUCTS, everything, group
from tests.objectives import objective_of

Found = dict[str, dict[str, Any]]
REST = [name for name in PRODUCTS if name not in EACH]
ALIKE = ("more residuals than parameters", "measurements and an unknown", "natural gradient", "momentum",
         "windows in time")  # fmt: skip
FAST = [*EACH, *(name for name in OTHERS if name not in ALIKE)]


def both(names: Sequence[str]) -> tuple[Found, Found]:
    """What the first of two processes has found, and what one alone finds."""
    limit = timedelta(minutes=10)
    store = distributed.TCPStore("localhost", 0, 2, is_master=True, wait_for_workers=False, timeout=limit)
    command = [sys.executable, "-m", "tests.divided", str(store.port), *names]
    second = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        first = group(0, store)
        together = everything(first, names)
        first.leave(after_the_others=True)
        assert second.wait(limit.total_seconds()) == 0
        return together, everything(ALONE, names)
    finally:
        second.kill()
        second.wait()
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(FAST, id="each optimizer, problem and weighting, and special cases"),
        pytest.param([*REST, *ALIKE], id="the other combinations", marks=pytest.mark.slow),
    ],
)
def test_two_processes_equal_one_and_end_with_the_same_bits_each_time(names):
    """To rounding. All cases in one test: two processes start once."""
    together, alone = both(names)
    assert together.keys() == alone.keys() >= {"views mlp", "views mlp compiled", "views factorised", *names}
    for name in alone:
        assert together[name].keys() == alone[name].keys()
        for key, value in alone[name].items():
            what = f"{name}: {key}"
            assert together[name][key].shape == value.shape, what
            close = {"rtol": 1e-9, "atol": 1e-9 * float(value.abs().max())}
            torch.testing.assert_close(together[name][key], value, **close, msg=what)
    for name in names:
        losses = together[name]["losses"]
        assert len(losses) >= 3
        assert losses[0] != losses[-1], f"{name} stands still"
    if AGAIN in names:
        one, other = together[AGAIN], together["again"]
        assert all(torch.equal(one[key], other[key]) for key in one)
        assert together["points that the guard adds"]["points"][0] > 31


@pytest.mark.parametrize("length", [0, 1, 2, 7, 1000])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_shares_are_as_long_as_others_or_one_longer_and_leave_nothing_out(length, size):
    shares = [Ranks(number, size).share(length) for number in range(size)]
    assert [k for share in shares for k in range(length)[share]] == list(range(length))
    lengths = [share.stop - share.start for share in shares]
    assert max(lengths) - min(lengths) <= 1


def test_a_derivative_that_a_method_takes_itself_is_refused():
    """It would be that at the points of one process."""

    class Two(Ranks):
        def sum(self, tensor):
            return 2 * tensor

        whole = sum

    objective = objective_of("mlp")
    with objective.divided(Two(0, 2)):
        objective.begin(objective.batch)
        for value in (objective.loss(), objective.vector().sum(), objective.residuals()["flux"].sum()):
            with refused("differentiates `loss`.* take `differentiated`.* or type processes=1"):
                value.backward()
    objective.loss().backward()  # alone it is that of all points


def test_processes_with_different_parameters_are_found_out():
    one = [torch.rand(3, dtype=dtype) for dtype in (torch.float64, torch.float32)]
    other = [p.clone() for p in one]
    assert _digest(one) == _digest(other)
    other[1][2] = torch.nextafter(other[1][2], torch.tensor(1.0))
    assert _digest(one) != _digest(other)
