"""The direction of parameter space in which the loss curves most (Subramanian et al. 2022, arXiv:2207.04084)."""

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.contracts import Diagnostic, Objective
from pinn_cli.methods.diagnostics import refuse_below_one
from pinn_cli.methods.diagnostics.hessian_spectrum import products, start
from pinn_cli.methods.diagnostics.lanczos import lanczos


class TopEigenvector(Diagnostic):
    """H v = lambda_1 v, |v| = 1, H = d^2 L / dtheta^2, lambda_1 >= lambda_2 the two largest eigenvalues.

    |v . v_before|, with v_before that of the record before, says whether this direction has turned: 1 if not, 0 if it
    is orthogonal. It is computed where the records are read. v is accurate to about bounds[0] / (lambda_1 - lambda_2);
    where both are equal it has no direction of its own. The Lanczos iteration ends where both bounds are below
    `tolerance` lambda_1, or after `iterations` products. With `draws`, the last step before points are drawn anew and
    the first one with new points have a record, too, where the span of steps has none yet (`most`).

    Record: `vector` (P,), its largest entry positive; `eigenvalues` (2,) and `bounds` (2,) on their errors, NaN for
    the second of a single parameter.
    """

    datasets = {
        "vector": "unit eigenvector of the largest eigenvalue of the Hessian of the loss, over all parameters",
        "eigenvalues": "the two largest eigenvalues of the Hessian of the loss",
        "bounds": "largest possible distance of each of the two from an eigenvalue",
    }

    def __init__(
        self, every: int = 100, draws: bool = False, most: int = 50, tolerance: float = 1e-6, iterations: int = 200
    ) -> None:
        refuse_below_one("top_eigenvector", every=every, most=most, iterations=iterations)
        if not 0 < tolerance < 1:
            raise UsageError(f"diagnostics.top_eigenvector.tolerance={tolerance:g}: expected a number between 0 and 1")
        self.every, self.before_draws, self.after_draws, self.most = every, draws, draws, most
        self.tolerance, self.iterations = tolerance, iterations

    def __call__(self, objective: Objective) -> dict[str, Tensor | float]:
        def known(theta: Tensor, bounds: Tensor) -> bool:
            return len(theta) > 1 and bool((bounds[-2:] <= self.tolerance * theta[-1].abs()).all())

        ritz = lanczos(products(objective)["total"], start(objective), self.iterations, known)
        return {
            "vector": ritz.largest(1)[0],
            "eigenvalues": two(ritz.values),
            "bounds": two(ritz.bounds),
        }


def two(ascending: Tensor) -> Tensor:
    """The last two numbers (2,), the last one first; NaN for a second one that is missing."""
    largest = ascending[-2:].flip(0)
    return torch.cat([largest, largest.new_full((2 - len(largest),), torch.nan)])
