"""How well measurements determine an unknown field at each point, by the delta method.

For a field k(x; phi) with parameters phi of covariance C, at the points x_i of a grid,

    standard error_i = (G C G^T)_ii^1/2        G = dk/dphi (M, P)

(Oehlert 1992). Some directions of phi hardly change the field, and no measurement determines them. So the parameters
have a prior besides: normal around those that were found, with the standard deviation 1, which is wide for the weights
of a network whose inputs lie in [-1, 1]. The band is that of the functions that this network can be near its solution:
it knows nothing of features that are finer than those.

    M = points   P = parameters of the field
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.terms import rms
from pinn_cli.records.results import Noted

NODES = 2500  # at most, of the grid on which a field is kept
LINE = 201  # of a field of one coordinate
WIDE = 0.25  # two standard errors over |k|: above it, a field counts as not determined at a point
MOVING = 0.5  # standard errors by which another step may change it
BAND = 2.0  # standard errors of the band that is drawn


@dataclass(frozen=True)
class FieldUncertainty:
    """A field at points (M, d) of its own coordinates: values, standard errors and floors (M,).

    `truth` (M,) is None where it is not known. `ahead` is the change by another Gauss-Newton step over the standard
    error, both rms. Standard errors are None where there are none.
    """

    name: str
    coordinates: Sequence[str]
    points: Tensor
    values: Tensor
    truth: Tensor | None = None
    standard_errors: Tensor | None = None
    floor: Tensor | None = None
    ahead: float = 0.0

    @property
    def relative_error(self) -> float | None:
        """|k - truth| / |truth|, L2 on the grid."""
        return None if self.truth is None else rms(self.values - self.truth) / rms(self.truth)

    @property
    def covered(self) -> float | None:
        """The share of the points at which the truth is within the band."""
        if self.truth is None or self.standard_errors is None:
            return None
        return float(((self.values - self.truth).abs() <= BAND * self.standard_errors).double().mean())

    def shown(self) -> str:
        """The field in one line."""
        low, high = float(self.values.min()), float(self.values.max())
        text = f"{self.name}({', '.join(self.coordinates)}) from {low:.4g} to {high:.4g}"
        if self.standard_errors is not None:
            text += f"; standard error {rms(self.standard_errors) / rms(self.values):.2%} of its rms"
        if self.floor is not None:
            text += f", floor {rms(self.floor) / rms(self.values):.2%}"
        if self.covered is not None:
            text += f"; the truth is within {BAND:g} standard errors at {self.covered:.0%} of the points"
        return text

    def lines(self) -> list[str]:
        """What else is to be said, a line each."""
        if self.standard_errors is None:
            return []
        wide = BAND * self.standard_errors > WIDE * self.values.abs()
        lines = []
        if wide.any():
            where = f"at {float(wide.double().mean()):.0%} of the points"
            lines.append(f"the data do not determine {self.name} {where}: twice its standard error is above a quarter "
                         "of its value; take more data there, or data with less noise")  # fmt: skip
        if self.ahead > MOVING:
            lines.append(f"training has not settled: another Gauss-Newton step would change {self.name} by "
                         f"{self.ahead:.2g} standard errors; type a larger stop.steps")  # fmt: skip
        return lines

    @property
    def group(self) -> dict[str, Any]:
        """Its group in the results file."""
        values = {"value": self.values, "truth": self.truth, "standard_error": self.standard_errors,
                  "floor": self.floor}  # fmt: skip
        numbers = {"relative_error": self.relative_error, "covered": self.covered}
        known = {name: value for name, value in numbers.items() if value is not None}
        out: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
        points = Noted(self.points, {"coordinates": list(self.coordinates)})
        return out | {"points": points, "value": Noted(self.values, known)}


def on_grid(problem: Problem, name: str, network: nn.Module) -> tuple[FieldUncertainty, Tensor]:
    """An unknown field on a grid of its own coordinates, without standard errors, and the points (M, D) of all."""
    own = [c for c in problem.coordinates if c in problem.unknown_fields[name].of]
    count = LINE if len(own) == 1 else max(2, round(NODES ** (1 / len(own))))
    axes = {c: torch.linspace(*problem.domain.extent(c), count, dtype=torch.float64, device="cpu") for c in own}
    columns = dict(zip(own, (m.flatten() for m in torch.meshgrid(*axes.values(), indexing="ij")), strict=True))
    like = next(iter(columns.values()))
    middle = {c: torch.full_like(like, sum(problem.domain.extent(c)) / 2) for c in problem.coordinates if c not in own}
    X = torch.stack([columns.get(c, middle.get(c, like)) for c in problem.coordinates], 1)
    with torch.no_grad():
        values = network(X.to(next(network.parameters())))[:, 0].double().cpu()
    truth = _truth(getattr(problem, name, None), columns)
    return FieldUncertainty(name, own, torch.stack(list(columns.values()), 1), values, truth), X


def _truth(known: Any, columns: Mapping[str, Tensor]) -> Tensor | None:
    """The true values (M,), which the problem may have as a coefficient of this name."""
    if isinstance(known, CoefficientField) and set(known.coordinates) <= columns.keys():
        values: Tensor = known(*(columns[c] for c in known.coordinates))
        return values
    return torch.full_like(next(iter(columns.values())), known) if isinstance(known, float) else None


def rows_of_field(network: nn.Module, X: Tensor) -> Tensor:
    """G = dk/dphi (M, P) at points X (M, D), the parameters in their order."""
    theta = {name: p.detach() for name, p in network.named_parameters()}

    def k(theta: dict[str, Tensor], x: Tensor) -> Tensor:
        value: Tensor = functional_call(network, theta, (x[None],))[0, 0]
        return value

    rows: dict[str, Tensor] = vmap(jacrev(k), (None, 0))(theta, X)
    return torch.cat([rows[name].flatten(1) for name in theta], 1)


def deviations(rows: Tensor, covariance: Tensor) -> Tensor | None:
    """(G C G^T)_ii^1/2 (M,); None if it is not finite."""
    variances = ((rows @ covariance) * rows).sum(1)
    return variances.clamp_min(0.0).sqrt().cpu() if isfinite(float(variances.sum())) else None
