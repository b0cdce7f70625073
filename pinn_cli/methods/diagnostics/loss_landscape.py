"""The loss on a plane through the network's parameters.

Along the stiffest directions (Krishnapriyan et al., arXiv:2109.01050) it shows what limits an optimizer; along random
ones (Li et al., arXiv:1712.09913) it shows a typical direction.
"""

from math import isfinite

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.contracts import Diagnostic, Objective
from pinn_cli.methods.diagnostics import refuse_below_one
from pinn_cli.methods.diagnostics.hessian_spectrum import products, start
from pinn_cli.methods.diagnostics.lanczos import Ritz, lanczos
from pinn_cli.methods.diagnostics.weighted_terms import weighted

DIRECTIONS = ("hessian", "filter")
KNOWN = 0.1  # an eigenvalue counts as known if its relative error is below this


class LossLandscape(Diagnostic):
    """L(theta + e1 v1 + e2 v2) and each weighted term L_k on n x n nodes, e1 and e2 from -extent to extent.

    With `directions=hessian`, v1 and v2 are the unit eigenvectors of the two largest eigenvalues of
    H = d^2 L / dtheta^2, so steps are absolute, of length up to sqrt(2) extent. With `filter` they are random: each row
    of a weight matrix (the weights into one neuron) is as long as that row of theta, and parameters that are not
    matrices stay fixed (Li et al. 2018). H is approximated by `iterations` Lanczos products. With `draws`, the last
    step before points are drawn anew and the first one with new points have a record, too, where the span of steps has
    none yet (`most`).

    Record: `values/total`, `values/term` (n, n), at e1[i], e2[j]; `highest`, the maximum of `values/total`; `e1`, `e2`
    (n,); `curvature` (2,), v^T H v; `eigenvalues` (2,), the two largest, and `bounds` (2,) on their errors;
    `sharpness`, the largest eigenvalue; `condition_number`, the largest over the smallest known magnitude, which is a
    lower bound.
    """

    columns = {"sharpness": "sharpness", "condition_number": "condition_number"}
    datasets = {
        "values/<term>": "this weighted term of the loss at (e1[i], e2[j]); total: their sum",
        "highest": "largest loss on the plane",
        "e1": "steps along the first direction",
        "e2": "steps along the second direction",
        "curvature": "second derivative of the loss along each direction at the network",
        "eigenvalues": "the two largest eigenvalues of the Hessian of the loss",
        "bounds": "largest possible distance of each of the two from an eigenvalue",
        "sharpness": "largest eigenvalue of the Hessian of the loss",
        "condition_number": "largest over smallest magnitude of the eigenvalues computed",
    }

    def __init__(
        self,
        every: int = 10000,
        directions: str = "hessian",
        n: int = 21,
        extent: float = 1.0,
        iterations: int = 100,
        draws: bool = False,
        most: int = 20,
    ) -> None:
        refuse_below_one("loss_landscape", every=every, most=most)
        for key, good, expected in (
            (f"directions={directions}", directions in DIRECTIONS, f"one of {', '.join(DIRECTIONS)}"),
            (f"n={n}", n > 1, "a whole number above 1"),
            (f"extent={extent:g}", isfinite(extent) and extent > 0, "a number above 0"),
            (f"iterations={iterations}", iterations > 1, "a whole number above 1"),
        ):
            if not good:
                raise UsageError(f"diagnostics.loss_landscape.{key}: expected {expected}")
        self.every, self.directions, self.n, self.extent = every, directions, n, float(extent)
        self.iterations, self.most = iterations, most
        self.before_draws = self.after_draws = draws

    def __call__(self, objective: Objective) -> dict[str, Tensor | float]:
        times = products(objective)["total"]
        ritz = lanczos(times, start(objective), self.iterations)
        v = ritz.largest(2) if self.directions == "hessian" else filter_normalised(objective)
        e = torch.linspace(-self.extent, self.extent, self.n, dtype=objective.dtype, device=objective.device)
        record: dict[str, Tensor | float] = {
            "e1": e,
            "e2": e,
            "curvature": torch.stack([one @ times(one) for one in v]),
            "eigenvalues": ritz.values[-2:].flip(0),
            "bounds": ritz.bounds[-2:].flip(0),
            "sharpness": float(ritz.values[-1]),
            "condition_number": condition_number(ritz, torch.finfo(objective.dtype).eps),
        }
        heights = landscape(objective, v, e)
        return record | {"highest": float(heights["total"].max()), **{f"values/{t}": h for t, h in heights.items()}}


@torch.no_grad()
def landscape(objective: Objective, directions: Tensor, e: Tensor) -> dict[str, Tensor]:
    """L and its terms (n, n) at theta + e_i v1 + e_j v2, directions (2, P); theta is then restored exactly."""
    theta = objective.flat(objective.parameters)
    columns: dict[str, list[Tensor]] = {}
    for steps in torch.cartesian_prod(e, e):
        objective.place(theta + steps @ directions)
        losses = weighted(objective)
        for term, value in {"total": torch.stack(list(losses.values())).sum(), **losses}.items():
            columns.setdefault(term, []).append(value)
    objective.place(theta)
    return {term: torch.stack(values).view(len(e), len(e)) for term, values in columns.items()}


@torch.no_grad()
def filter_normalised(objective: Objective) -> Tensor:
    """Two random directions (2, P), the same at every call; each row of a matrix is as long as that row of theta."""
    generator = torch.Generator("cpu").manual_seed(0)
    d = torch.randn(2, objective.columns[-1].stop, generator=generator, dtype=torch.float64, device="cpu")
    d = d.to(objective.device, objective.dtype)
    for p, where in zip(objective.parameters, objective.columns, strict=True):
        if p.ndim < 2:
            d[:, where] = 0.0
        else:
            rows = d[:, where].view(2, len(p), -1)
            d[:, where] = (rows * (p.flatten(1).norm(dim=1) / rows.norm(dim=2)).unsqueeze(2)).flatten(1)
    return d


def condition_number(ritz: Ritz, epsilon: float) -> float:
    """max |lambda| / min |lambda| over the eigenvalues known to 10 %; NaN if there are none."""
    sizes = ritz.values.abs()
    rounding = len(sizes) * epsilon * sizes.max()
    known = sizes[ritz.bounds + rounding <= KNOWN * sizes]
    return float(sizes.max() / known.min()) if len(known) and known.min() > 0 else torch.nan
