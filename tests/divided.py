"""What two processes compute together, and one alone: `python divided.py PORT CASE...` is the second of two.

Both carry out `everything` in the same order; the tests compare what the first one gets with the work of one alone.
"""

import sys
from collections.abc import Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import pytest
import torch
from torch import Tensor, distributed

from pinn_cli.basics.ranks import Group, Ranks
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import read
from pinn_cli.configuration.sources import Sources
from pinn_cli.methods.symmetric import Buffers
from pinn_cli.runs.follow import Silent
from pinn_cli.runs.job import Job, surroundings
from pinn_cli.training.objective import Objective
from tests.objectives import by_hand, objective_of

CPU = torch.device("cpu")
SMALL = ["dtype=float64", "architecture.width=6", "architecture.depth=2", "compile=off", "threads=1", "record.every=1"]
FEW = ["points.interior=31", "points.face=7"]  # odd numbers, and fewer residuals than parameters
ADAM, LBFGS, LM = ["recipe=adam"], ["optimizer=lbfgs"], ["optimizer=levenberg_marquardt"]
HELMHOLTZ, WAVE = ["problem=helmholtz"], ["problem=wave"]
ANNEALED, CAUSAL = ["weighting=lr_annealing", "weighting.lr_annealing.every=2"], ["weighting=causal"]
PRODUCTS: dict[str, list[str]] = {
    f"{optimizer[0].partition('=')[2]} {problem[0].partition('=')[2]} {weighting[0] if weighting else 'fixed'}":
    [*problem, *optimizer, *FEW, *weighting, "stop.steps=3"]
    for optimizer in (ADAM, LBFGS, LM) for problem, other in ((HELMHOLTZ, ANNEALED), (WAVE, CAUSAL))
    for weighting in ([], other)
}  # fmt: skip
OTHERS: dict[str, list[str]] = {
    "more residuals than parameters": [*HELMHOLTZ, *LM, "points.interior=90", "points.face=9", "stop.steps=4"],
    "one initial point, and an unknown": [
        "problem=lotka_volterra", *LM, "points.interior=15", "points.face=1", "stop.steps=3"],
    "measurements and an unknown": ["problem=heat_inverse", *LM, "points.interior=15", "points.face=3", "stop.steps=4"],
    "points that the guard adds": [
        *HELMHOLTZ, *LM, *FEW, "sampler.held_out.every=2", "sampler.held_out.ratio=0.5", "stop.steps=5"],
    "points that residuals choose": [
        *WAVE, *ADAM, *FEW, "sampler=[sobol,rad]", "sampler.rad.every=2", "stop.steps=3"],
    "natural gradient": [*HELMHOLTZ, "optimizer=energy_natural_gradient", *FEW, "stop.steps=3"],
    "momentum": [*HELMHOLTZ, "optimizer=spring", "sampler=uniform", *FEW, "stop.steps=3"],
    "windows in time": [
        *WAVE, "optimizer=lbfgs", "strategy=time_marching", "strategy.time_marching.windows=2", *FEW,
        "optimizer.lbfgs.steps=2"],
}  # fmt: skip

CASES = PRODUCTS | OTHERS
AGAIN = "lbfgs wave weighting=causal"  # this case is carried out twice
EACH = ("adam helmholtz weighting=lr_annealing", AGAIN, "levenberg_marquardt wave fixed")  # of each factor every value


class Rows(Silent):
    """Keeps the loss of every step, and the parameters and numbers of points of the last."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def after_step(self, run: Any, stage: Any, objective: Objective, last: bool) -> None:
        self.losses.append(run.progress.loss)
        self.theta = objective.flat(objective.parameters).detach().clone()
        self.points = [len(X) for X in objective.batch.values()]


def trained(words: list[str], ranks: Ranks) -> dict[str, Any]:
    """The losses (steps,), the parameters and the numbers of points at the end."""
    config, code, rows = read([*words, *SMALL]).config, Sources(), Rows()
    with surroundings(config), code.active():
        Job(config, "case", assemble(config), code).followed(rows, ranks, None)
    return {"losses": torch.tensor(rows.losses, dtype=torch.float64), "theta": rows.theta,
            "points": torch.tensor(rows.points)}  # fmt: skip


def views(network: str, ranks: Ranks, compiled: bool) -> dict[str, Tensor]:
    """Every view of an objective with equations of every kind, at few and odd numbers of points."""
    with _uncompiled() if compiled else nullcontext():
        objective = objective_of(network, weighting=by_hand, compiled=compiled)
        objective.batch["start"] = objective.batch["start"][:1]
        factors = {"flux": torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)}
        with objective.divided(ranks):
            objective.begin(objective.batch, factors, 1)
            loss, gradient = objective.differentiated()
            found = {"loss": loss, "gradient": objective.flat(gradient)}
            found |= {f"gradient {name}": g for name, g in objective.gradients().items()}
            found |= {f"loss {name}": r for name, r in objective.losses().items()}
            if not compiled:
                found |= _least_squares(objective)
            with torch.no_grad():
                X = objective.batch["momentum"]
                found["residual"] = objective.residual("momentum", torch.cat([X, X[:2] / 2]))
    return found


def _least_squares(objective: Objective) -> dict[str, Tensor]:
    linear = objective.linearise()
    P, M, bits = linear.parameters, linear.rows, torch.Generator().manual_seed(1)
    v, u, w = (torch.rand(n, generator=bits, dtype=torch.float64) for n in (P, M, P))
    return {
        "F": linear.F, "J^T F": linear.gradient, "J v": linear.times(v), "J^T u": linear.transposed(u),
        "diag": linear.column_squares(), "J": linear.dense(),
        "J^T J": objective.linearise().gram(1e9, Buffers()).tril(),
        "J^T J in pieces": objective.linearise().gram(8.0 * P * 2).tril(),
        "J w J^T": objective.linearise().kernel(1e9, w).tril(),
        "J J^T in pieces": objective.linearise().kernel(8.0 * M * 9).tril(),
        "vector": objective.vector().detach(),
    }  # fmt: skip


@contextmanager
def _uncompiled() -> Any:
    """Let torch leave graphs as they are: a compilation takes half a minute, and changes no number."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch._inductor, "compile", lambda graph, tensors, **_: graph)
        yield


def everything(ranks: Ranks, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """All views, and these cases, by name."""
    found = {f"views {network}{' compiled' * compiled}": views(network, ranks, compiled)
             for network, compiled in (("mlp", False), ("mlp", True), ("factorised", False))}  # fmt: skip
    found |= {name: trained(CASES[name], ranks) for name in names}
    return found | ({"again": trained(CASES[AGAIN], ranks)} if AGAIN in names else {})


def group(number: int, store: Any) -> Group:
    return Group(number, 2, store, CPU)


if __name__ == "__main__":
    torch.set_num_threads(1)
    second = group(1, distributed.TCPStore("localhost", int(sys.argv[1]), 2, timeout=timedelta(minutes=10)))
    everything(second, sys.argv[2:])
    second.leave()
