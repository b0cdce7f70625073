"""Gaussian random fields, and functions of them."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.coefficient_fields.pointwise import Exponential, TwoValues
from pinn_cli.physics.coefficient_fields.series import Ends, Series, waves
from pinn_cli.physics.distributions.base import Distribution, Outside, shown

LATTICE = 10_000  # nodes at which a field is looked at
ROUNDING = 1e-9  # relative
ENDS = 1e-6  # relative difference of a given field at the ends of its box from what it must be there
RARE = 3.0  # times the rms of a law: a field that is larger counts as one that is never drawn


class GaussianField(Distribution):
    """A Gaussian field with mean 0 and covariance sigma^2 (-Laplacian + tau^2)^-gamma on a box.

        f = sum_k sigma (lambda_k + tau^2)^(-gamma / 2) xi_k e_k        xi_k independent, normal, of variance 1

    e_k are the eigenfunctions of -Laplacian, of norm 1 in L2, up to the number `modes` along each coordinate, lambda_k
    their eigenvalues. The constant is left out; periodic and `neumann` fields therefore have the mean 0. `ends` says
    what they are at the ends of the box: `periodic`, or with zero slopes (`neumann`) or values (`dirichlet`). `box` has
    the ends by coordinate, ``GaussianField({"x": (0, 1)}, sigma=1, tau=3, gamma=2)``, of some or all coordinates of the
    problem. A larger `tau` makes shorter waves, a larger `gamma` a smoother field.

    Waves are summed at the points where the field is asked for; a lattice is no place of its own, so there is no
    interpolation, and derivatives are exact. Raises ValueError for settings that make no field with a finite variance.
    """

    def __init__(
        self,
        box: Mapping[str, tuple[float, float]],
        sigma: float,
        tau: float,
        gamma: float,
        ends: Ends = "periodic",
        modes: int = 64,
    ) -> None:
        self.box, self.sigma, self.tau, self.gamma = dict(box), sigma, tau, gamma
        self.ends, self.modes = ends, modes
        if not self.box or not all(low < high for low, high in self.box.values()):
            raise ValueError(f"box={box!r}: expected ends by coordinate, the lower one first, e.g. {{'x': (0, 1)}}")
        if ends not in ("periodic", "neumann", "dirichlet"):
            raise ValueError(f"ends={ends!r}: expected periodic, neumann or dirichlet")
        if not (isinstance(modes, int) and modes > 0 and sigma > 0 and tau >= 0 and gamma > 0):
            found = f"modes={modes}, sigma={sigma:g}, tau={tau:g}, gamma={gamma:g}"
            raise ValueError(f"{found}: expected a whole number of modes and numbers above 0 (tau may be 0)")

    def draw(self, random: np.random.Generator) -> Series:
        sides = [waves(self.ends, side, self.modes) for side in self.box.values()]
        deviations = self.deviations
        xi = np.empty(tuple(deviations.shape))
        order = _by_shells(self.ends, xi.shape)
        xi.flat[order] = random.standard_normal(xi.size)
        norms = _outer([norm for _, norm in sides])
        drawn = Series(tuple(self.box), deviations * torch.from_numpy(xi) / norms, [axis for axis, _ in sides])
        drawn.periodic = tuple(self.box) if self.ends == "periodic" else ()
        return drawn

    @property
    def deviations(self) -> Tensor:
        """sigma (lambda_k + tau^2)^(-gamma / 2) of every mode, a dimension for each coordinate; 0 for the constant."""
        squares = [waves(self.ends, side, self.modes)[0].wavenumbers ** 2 for side in self.box.values()]
        eigenvalues = squares[0]
        for more in squares[1:]:
            eigenvalues = eigenvalues[..., None] + more
        sizes = self.sigma * (eigenvalues + self.tau**2) ** (-self.gamma / 2)
        return torch.where(eigenvalues > 0, sizes, 0.0)

    @property
    def rms(self) -> float:
        """The root of the variance, on average over the box."""
        volume = prod(high - low for low, high in self.box.values())
        return float(self.deviations.square().sum() / volume) ** 0.5

    def refuse(self, value: Any) -> None:
        table = _refuse_no_field(value, self.box)
        _refuse_other_periods(value, self.box)
        size = float(table.abs().max())
        for k, (c, (low, high)) in enumerate(self.box.items()):
            first, last = table.select(k, 0), table.select(k, -1)
            gap = {"periodic": last - first, "dirichlet": torch.stack([first, last]), "neumann": 0 * first}
            if float(gap[self.ends].abs().max()) > ENDS * size:
                expected = "the same values" if self.ends == "periodic" else "zeros"
                raise ValueError(f"found other values at {c} = {low:g} and {c} = {high:g}; expected {expected} there")

    def rare(self, value: Any) -> str:
        return self.far(on_lattice(value, self.box))

    def far(self, table: Tensor) -> str:
        """Whether the values of a field are far larger than those that are drawn, in words; "" if they are not."""
        rms = float(table.square().mean().sqrt())
        return f"found the rms {rms:.3g}; expected about {self.rms:.3g}" if rms > RARE * self.rms else ""

    def __str__(self) -> str:
        law = f"covariance {self.sigma:g}^2 (-Laplacian + {self.tau:g}^2)^-{self.gamma:g}"
        return f"Gaussian field of {', '.join(self.box)}, {self.ends}, {law}, rms {self.rms:.3g}"


class LogNormal(Distribution):
    """factor exp(f) of a Gaussian field f: positive and smooth, with the median `factor`."""

    def __init__(self, of: GaussianField, factor: float = 1.0) -> None:
        self.of, self.factor = of, factor
        if not factor > 0:
            raise ValueError(f"factor={factor:g}: expected a number above 0")

    def draw(self, random: np.random.Generator) -> Exponential:
        return Exponential(self.of.draw(random), self.factor)

    def refuse(self, value: Any) -> None:
        least = float(_refuse_no_field(value, self.of.box).min())
        if not least > 0:
            raise ValueError(f"found a field whose smallest value is {least:.3g}; expected values above 0")

    def rare(self, value: Any) -> str:
        far = self.of.far((on_lattice(value, self.of.box) / self.factor).log())
        return far and f"of its logarithm, less that of {self.factor:g}, {far}"

    def __str__(self) -> str:
        return f"{self.factor:g} times the exponential of a {self.of}"


class TwoMaterials(Distribution):
    """`high` where a Gaussian field f >= 0, `low` elsewhere: half of the box each, on average."""

    def __init__(self, of: GaussianField, low: float, high: float) -> None:
        self.of, self.low, self.high = of, low, high
        if not low < high:
            raise ValueError(f"TwoMaterials(..., {low!r}, {high!r}): expected two numbers, the smaller one first")

    def draw(self, random: np.random.Generator) -> TwoValues:
        return TwoValues(self.of.draw(random), self.low, self.high)

    def refuse(self, value: Any) -> None:
        found = _refuse_no_field(value, self.of.box)
        low, high = float(found.min()), float(found.max())
        slack = ROUNDING * (self.high - self.low)
        if not self.low - slack <= low <= high <= self.high + slack:
            expected = f"expected values from {self.low:g} to {self.high:g}"
            raise Outside(f"found a field with values from {low:.6g} to {high:.6g}; {expected}")

    def __str__(self) -> str:
        return f"{self.low:g} or {self.high:g}, by the sign of a {self.of}"


def on_lattice(field: CoefficientField, box: Mapping[str, tuple[float, float]]) -> Tensor:
    """The values of a field on a uniform lattice of its box, its ends included, of about LATTICE nodes."""
    n = max(3, round(LATTICE ** (1 / len(box))))
    return field.on_lattice([torch.linspace(*box[c], n, dtype=torch.float64, device="cpu") for c in field.coordinates])


def _refuse_no_field(value: Any, box: Mapping[str, tuple[float, float]]) -> Tensor:
    """The values of a field on the lattice of a box. Raises ValueError unless it is one, known there, and finite."""
    coordinates = tuple(box)
    if not isinstance(value, CoefficientField):
        expected = f"a field of {', '.join(coordinates)}, such as Gridded(...), a function, or a file of its values"
        raise ValueError(f"found {shown(value)}; expected {expected}")
    if value.coordinates != coordinates:
        found, expected = ", ".join(value.coordinates), ", ".join(coordinates)
        raise ValueError(f"found a field of {found}; expected one of {expected}, in this order")
    for c, (low, high) in (value.box or {}).items():
        first, last = box[c]
        if min(first - low, high - last) < -ENDS * (last - first):
            raise ValueError(f"found a field known for {c} from {low:g} to {high:g}; expected {first:g} to {last:g}")
    table = on_lattice(value, box)
    if not bool(table.isfinite().all()):
        raise ValueError(f"found a field that is not finite at {int((~table.isfinite()).sum())} of {table.numel()} "
                         "points; expected finite numbers")  # fmt: skip
    return table


def _refuse_other_periods(field: CoefficientField, box: Mapping[str, tuple[float, float]]) -> None:
    """Raise ValueError for a field that is periodic over more than the box."""
    for c in field.periodic:
        (first, last), (low, high) = (field.box or box)[c], box[c]
        if last - first > (1 + ENDS) * (high - low):
            raise ValueError(f"found a field known for {c} from {first:g} to {last:g}, one period; "
                             f"expected {low:g} to {high:g}")  # fmt: skip


def _outer(factors: list[Tensor]) -> Tensor:
    """The products of one entry of each (K_i,): (K_1, ..., K_d)."""
    out = factors[0]
    for more in factors[1:]:
        out = out[..., None] * more
    return out


def _by_shells(ends: Ends, shape: tuple[int, ...]) -> np.ndarray:
    """The flat places of all modes, those whose largest number is smallest first: more modes come behind them."""
    numbers = np.indices(shape).reshape(len(shape), -1)
    largest = ((numbers + 1) // 2 if ends == "periodic" else numbers).max(0)
    return np.lexsort((*numbers[::-1], largest))
