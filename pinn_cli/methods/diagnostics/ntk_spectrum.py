"""Eigenvalues of the neural tangent kernel, constraint by constraint (Wang, Yu and Perdikaris, arXiv:2007.14527)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pinn_cli.methods.diagnostics import counted

MEMORY = 5e8  # bytes that rows of J may take at a time


class NTKSpectrum:
    """The eigenvalues of K_cc = J_c J_c^T by constraint c, and of the whole K = J J^T, J = dF/dtheta, loss |F|^2.

    F_i = sqrt(w_i / N) r_i carries the weights in force, so the eigenvalues do not grow with the number of points, and
    under gradient flow F decays as dF/dt = -2 K F: each is half a rate, and constraints whose eigenvalues are small
    are learned last. Taken at `points` of each constraint's points (all of them where there are fewer), chosen once
    and for all steps. Record: `eigenvalues/c` and `eigenvalues/total`, descending; `trace/c`, `trace/total`.
    """

    columns: Mapping[str, str] = {}

    def __init__(self, every: int = 1000, points: int = 256) -> None:
        counted("ntk_spectrum", every=every, points=points)
        self.every, self.points = every, points

    def __call__(self, objective: Any) -> dict[str, Tensor | float]:
        """The record at some of the objective's points."""
        begin_at_some(objective, self.points)
        linear = objective.linearise()
        K, end = linear.kernel(MEMORY), 0
        record = {"eigenvalues/total": eigenvalues(K), "trace/total": K.trace()}
        names = [name for name in objective.constraints if name in objective.batch]  # the order of F
        for name in names:
            start, end = end, end + len(objective.batch[name])
            block = K[start:end, start:end]
            record |= {f"eigenvalues/{name}": eigenvalues(block), f"trace/{name}": block.trace()}
        return record


def begin_at_some(objective: Any, points: int) -> None:
    """Go on with at most so many points per constraint, drawn without repetition; per-point weights go with them."""
    weights, drawn = objective.weights, {id(X): _some(len(X), points, X.device) for X in objective.batch.values()}
    rows = {name: drawn[id(X)] for name, X in objective.batch.items()}
    some = {id(X): X[drawn[id(X)]] for X in objective.batch.values()}  # constraints that share points go on sharing
    kept = {n: w[rows[n]] if isinstance(w, Tensor) and w.ndim else w for n, w in weights.items()}
    objective.weighting = lambda batch, residuals: kept
    objective.begin({name: some[id(X)] for name, X in objective.batch.items()})


def _some(count: int, points: int, device: torch.device) -> Tensor:
    """Positions of at most `points` of `count`, the same at every step."""
    generator = torch.Generator("cpu").manual_seed(0)
    return torch.randperm(count, generator=generator, device="cpu")[:points].sort().values.to(device)


def eigenvalues(K: Tensor) -> Tensor:
    """Of a symmetric matrix given by its lower triangle, descending; NaN where it is not finite."""
    if not K.tril().isfinite().all():
        return K.new_full((len(K),), torch.nan)
    return torch.linalg.eigvalsh(K, UPLO="L").flip(0)
