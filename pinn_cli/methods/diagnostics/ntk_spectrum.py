"""Eigenvalues of the neural tangent kernel, constraint by constraint (Wang, Yu and Perdikaris, arXiv:2007.14527)."""

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Diagnostic, Objective
from pinn_cli.methods.diagnostics import refuse_below_one

MEMORY = 5e8  # bytes that rows of J may take at a time


class NTKSpectrum(Diagnostic):
    """The eigenvalues of K_cc = J_c J_c^T by constraint c, and of the whole K = J J^T, J = dF/dtheta, loss |F|^2.

    F_i = sqrt(w_i / N) r_i includes the weights in force, so the eigenvalues do not grow with the number of points.
    Under gradient flow dF/dt = -2 K F: each eigenvalue is half a rate of decay, and constraints with small eigenvalues
    are learned last. It uses `points` of the points of each constraint (all if there are fewer), the same at all
    steps. Record: `eigenvalues/c` and `eigenvalues/total`, descending; `trace/c`, `trace/total`.
    """

    datasets = {
        "eigenvalues/<term>": "eigenvalues of J J^T, J the rows sqrt(w/N) dr/dtheta, descending",
        "trace/<term>": "sum of the eigenvalues of J J^T",
    }

    def __init__(self, every: int = 1000, points: int = 256) -> None:
        refuse_below_one("ntk_spectrum", every=every, points=points)
        self.every, self.points = every, points

    def __call__(self, objective: Objective) -> dict[str, Tensor | float]:
        begin_at_some(objective, self.points)
        linear = objective.linearise()
        K, end = linear.kernel(MEMORY), 0
        record: dict[str, Tensor | float] = {"eigenvalues/total": eigenvalues(K), "trace/total": K.trace()}
        names = [name for name in objective.constraints if name in objective.batch]  # the order of F
        for name in names:
            start, end = end, end + len(objective.batch[name])
            block = K[start:end, start:end]
            record |= {f"eigenvalues/{name}": eigenvalues(block), f"trace/{name}": block.trace()}
        return record


def begin_at_some(objective: Objective, points: int) -> None:
    """Reduce the objective to at most `points` points per constraint; per-point weights keep to their points."""
    weights, drawn = objective.weights, {id(X): some_of(len(X), points, X.device) for X in objective.batch.values()}
    rows = {name: drawn[id(X)] for name, X in objective.batch.items()}
    some = {id(X): X[drawn[id(X)]] for X in objective.batch.values()}  # constraints that share points still share them
    kept = {n: w[rows[n]] if isinstance(w, Tensor) and w.ndim else w for n, w in weights.items()}
    objective.weighting = lambda batch, residuals: kept
    objective.begin({name: some[id(X)] for name, X in objective.batch.items()})


def some_of(count: int, points: int, device: torch.device) -> Tensor:
    """Indices of at most `points` of `count` points, without repetition, the same at every step."""
    generator = torch.Generator("cpu").manual_seed(0)
    return torch.randperm(count, generator=generator, device="cpu")[:points].sort().values.to(device)


def eigenvalues(K: Tensor) -> Tensor:
    """The eigenvalues of a symmetric matrix given by its lower triangle, descending; NaN if it is not finite."""
    if not K.tril().isfinite().all():
        return K.new_full((len(K),), torch.nan)
    return torch.linalg.eigvalsh(K, UPLO="L").flip(0)
