"""Eigenvalues of the Hessian of the loss and of each of its terms (Wang, Teng and Perdikaris, arXiv:2001.04536).

Gradient descent is stable for steps below 2 / (largest eigenvalue). A spectrum over many decades means a stiff problem.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.contracts import Diagnostic, Objective
from pinn_cli.methods.diagnostics import refuse_below_one
from pinn_cli.methods.diagnostics.lanczos import extremes
from pinn_cli.methods.diagnostics.ntk_spectrum import eigenvalues
from pinn_cli.methods.diagnostics.weighted_terms import gradients, weighted


class HessianSpectrum(Diagnostic):
    """H_k = d^2 L_k / dtheta^2 of every weighted term L_k and of their sum `total`, over all trained parameters (P).

    For networks of at most `dense_below` parameters it forms H column by column and computes all eigenvalues. For
    larger ones it computes the two extreme eigenvalues by Lanczos iteration (`lanczos.py`) to a relative `tolerance`,
    with at most `iterations` products H v = d(g . v)/dtheta (Pearlmutter 1994) per term. Record, by term:
    `largest/term`, `smallest/term`, and for small networks `eigenvalues/term` (P,), descending.
    """

    datasets = {
        "largest/<term>": "largest eigenvalue of the Hessian of this weighted term",
        "smallest/<term>": "smallest eigenvalue of the Hessian of this weighted term",
        "eigenvalues/<term>": "eigenvalues of the Hessian of this weighted term, descending",
    }

    def __init__(
        self, every: int = 1000, dense_below: int = 2000, tolerance: float = 1e-6, iterations: int = 200
    ) -> None:
        refuse_below_one("hessian_spectrum", every=every, iterations=iterations)
        if not 0 < tolerance < 1 or dense_below < 0:
            found = f"diagnostics.hessian_spectrum: found tolerance={tolerance:g}, dense_below={dense_below}"
            raise UsageError(f"{found}; expected 0 < tolerance < 1, dense_below >= 0")
        self.every, self.dense_below, self.tolerance, self.iterations = every, dense_below, tolerance, iterations

    def __call__(self, objective: Objective) -> dict[str, Tensor | float]:
        return self._whole(objective) if objective.columns[-1].stop <= self.dense_below else self._ends(objective)

    def _whole(self, objective: Objective) -> dict[str, Tensor | float]:
        record: dict[str, Tensor | float] = {}
        for term, H in hessians(objective).items():
            values = eigenvalues(H)
            record |= {f"eigenvalues/{term}": values, f"largest/{term}": values[0], f"smallest/{term}": values[-1]}
        return record

    def _ends(self, objective: Objective) -> dict[str, Tensor | float]:
        record: dict[str, Tensor | float] = {}
        for term, times in products(objective).items():
            ends = extremes(times, start(objective), self.tolerance, self.iterations)
            record |= {f"largest/{term}": ends[0], f"smallest/{term}": ends[1]}
        return record


def start(objective: Objective) -> Tensor:
    """A random start vector (P,) for Lanczos, the same at every call."""
    generator = torch.Generator("cpu").manual_seed(0)
    v = torch.randn(objective.columns[-1].stop, generator=generator, dtype=torch.float64, device="cpu")
    return v.to(objective.device, objective.dtype)


def products(objective: Objective) -> dict[str, Callable[[Tensor], Tensor]]:
    """v (P,) -> H v (P,) of the total and of each term. They share one graph, so the objective must not change."""
    g = gradients(objective, weighted(objective), differentiable=True)

    def times(gradient: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda v: objective.flat(
            torch.autograd.grad(gradient, objective.parameters, v, retain_graph=True, allow_unused=True)
        )

    return {"total": times(torch.stack(list(g.values())).sum(0))} | {name: times(one) for name, one in g.items()}


def hessians(objective: Objective) -> dict[str, Tensor]:
    """H (P, P) of the total and of each term, one product per column."""
    P = objective.columns[-1].stop
    identity = torch.eye(P, dtype=objective.dtype, device=objective.device)
    each = products(objective)
    del each["total"]  # the sum of the others
    dense = {term: torch.stack([times(unit) for unit in identity.unbind()]) for term, times in each.items()}
    return {"total": torch.stack(list(dense.values())).sum(0)} | dense
