"""Gaussians as narrow as the initial value is, times polynomials in time; only the coefficients are trained."""

import copy
from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import torch
from torch import Tensor, nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.memory import refuse_too_wide
from pinn_cli.derivatives.function_rules import gaussian
from pinn_cli.methods.grading import graded, shape_length

LOOKS = 4097  # points at which the initial value is looked at
SLOPE = 0.4  # of the length scale: so fast it grows away from a front
WIDTH = 3.0  # standard deviation of a Gaussian, in units of the distance between centres
OUTSIDE = 4  # centres beyond each end
ENDS = 3.0  # additional points at both ends, per point elsewhere, and the number of centres over which they fall by e
DIGITS = 1e-13  # of the largest singular value: smaller ones are left out of the fit of the initial value

Start = Callable[[Tensor], tuple[Tensor, Tensor]]


class AdaptedFeatures(nn.Module):
    """u(x, t) = a + sum_jk c_jk exp(-(x - x_j)^2 / (2 s_j^2)) T_k(t), T_k the Chebyshev polynomials, k = 0 ... degree.

    Only a and c are trained. The inputs are one coordinate x and the time t, both on [-1, 1]. Centres x_j and widths
    s_j follow a length scale l(x) of the value u0 with which time begins, of deviation U (equidistribution: de Boor
    1973; monitor functions: Huang & Russell 2011),

        l = narrower * min(U / |u0'|, sqrt(U / |u0''|), half the domain)    and |l'| <= 0.4

    Centres have the density 1 / l, four lie beyond each end, and s_j is three times the distance between them there.
    At both ends l is at most `finest` times the extent. The first coefficients fit u0, constant in time.

    Shapes: z (N, 2) -> (N, outputs); the features are width * (degree + 1). Raises UsageError for another number of
    inputs, fewer than 16 Gaussians, a degree below 0, and a `narrower` or `finest` that is not above 0 and at most 1.
    """

    unit_inputs = True
    remedies = (
        "a larger architecture.width or architecture.degree",
        "more or adapted windows (strategy.time_marching.windows, strategy.time_marching.loss)",
        "a smaller architecture.finest for a kink or a layer",
    )
    centre: Tensor
    weight: Tensor
    knots: Tensor

    def __init__(self, inputs: int, outputs: int, width: int = 120, degree: int = 6, narrower: float = 0.6,
                 finest: float = 1.0) -> None:
        super().__init__()
        if inputs != 2:
            found = "1 input" if inputs == 1 else f"{inputs} inputs"
            raise UsageError(f"architecture=adapted_features: found {found}; expected one space coordinate, not in "
                             "`periodic`, and the time; type architecture=random_features")
        if width < 16:
            raise UsageError(f"architecture.width={width}: expected a whole number from 16 on, e.g. 120")
        if degree < 0:
            raise UsageError(f"architecture.degree={degree}: expected a whole number from 0 on, e.g. 6")
        for name, share in (("narrower", narrower), ("finest", finest)):
            if not 0 < share <= 1:
                raise UsageError(f"architecture.{name}={share:g}: expected a number above 0 and at most 1")
        features = width * (degree + 1)
        refuse_too_wide([inputs, features, outputs])
        self.degree, self.narrower, self.finest = degree, narrower, finest
        even: dict[str, Any] = {"dtype": torch.float64}
        self.register_buffer("knots", torch.linspace(0, 1, LOOKS, **even))  # shares of x, equally many centres between
        self.register_buffer("centre", torch.zeros(width, **even))
        self.register_buffer("weight", torch.zeros(width, **even))
        self._lie_at(torch.linspace(-1, 1, LOOKS, **even))
        self.output_layer = nn.Linear(features, outputs)
        nn.init.zeros_(self.output_layer.weight)
        nn.init.zeros_(self.output_layer.bias)

    @torch.no_grad()
    def begin(self, start: Start) -> None:
        """Follow the value with which time begins.

        `start` maps points (N, 2) of the unit cube onto the inputs (N, 2) and fields (N, outputs) there, in units of
        the network, whatever their last coordinate is.
        """
        even = torch.linspace(0, 1, LOOKS, dtype=torch.float64)
        z, u = start(_row(even))
        x = z[:, 0]
        length = self.narrower * shape_length(x, u)
        length[[0, -1]] = length[[0, -1]].clamp_max(self.finest * float(x[-1] - x[0]))
        length = graded(x, length, SLOPE)
        between = (1 / length[1:] + 1 / length[:-1]) * x.diff()
        passed = torch.cat([between.new_zeros(1), between.cumsum(0)])
        self.knots.copy_(_interpolated(even, passed / passed[-1], even))
        self._lie_at(x)
        z, u = start(self.gathered(_row(torch.linspace(0, 1, 4 * len(self.centre), dtype=torch.float64))))
        constant = torch.cat([self._along(z[:, :1].to(self.centre)), torch.ones_like(z[:, :1])], 1)
        c = torch.linalg.lstsq(constant, u.to(constant), rcond=DIGITS, driver="gelsd").solution
        self.output_layer.weight[:, : len(self.centre)] = c[:-1].T
        self.output_layer.bias.copy_(c[-1])

    def gathered(self, unit: Tensor) -> Tensor:
        """Even points (N, 2) of the unit cube -> points as dense as the centres, and four times that at both ends of x.

        Features near an end have points on one side only. Without more of them there, a function of the features that
        is small at all points may be large between the last ones. In t the density is 1 / sqrt(1 - t^2), with which the
        polynomials in time are orthogonal, so least squares are as exact at both ends of the time as between them, and
        the next window begins at an end (Rauhut & Ward 2012; Cohen & Migliorati 2017).
        """
        share = torch.linspace(0, 1, LOOKS, dtype=torch.float64, device="cpu")
        reach = ENDS / (len(self.centre) - 2 * OUTSIDE)
        passed = share + ENDS * reach * (torch.exp((share - 1) / reach) - torch.exp(-share / reach))
        passed = (passed - passed[0]) / (passed[-1] - passed[0])
        x = _interpolated(_interpolated(unit[:, :1].to(share), passed, share), share, self.knots.to(share))
        return torch.cat([x, (1 - torch.cos(pi * unit[:, 1:].to(share))) / 2], 1)

    def redrawn(self, through: Tensor, generator: torch.Generator) -> "AdaptedFeatures":
        """Other features of the same kind: centres halfway between these, and polynomials of one more degree.

        A shift alone would leave the polynomials, and with them the error in time. Nothing is drawn.
        """
        other: Any = copy.deepcopy(self)
        other.degree, other.output_layer = self.degree + 1, nn.Identity()
        other.centre, other.weight = ((v[:-1] + v[1:]) / 2 for v in (self.centre, self.weight))
        return other

    def forward(self, z: Tensor) -> Tensor:
        """The fields (N, outputs) at the inputs z (N, 2)."""
        return self.output_layer(self.hidden(z))

    def hidden(self, z: Tensor) -> Tensor:
        """The features (N, width * (degree + 1))."""
        bumps, t = self._along(z[:, :1]), z[:, 1:]
        parts, before, now = [bumps], None, t
        for _ in range(self.degree):
            parts.append(bumps * now)
            before, now = now, 2 * t * now - (1 if before is None else before)
        return torch.cat(parts, -1)

    def _along(self, x: Tensor) -> Tensor:
        """The Gaussians (N, width) of x (N, 1); the difference comes first, because the weights may be large."""
        return gaussian((x - self.centre) * self.weight)

    def _lie_at(self, x: Tensor) -> None:
        """Place the centres, for coordinates x (LOOKS,) of even shares."""
        width = len(self.centre)
        inside = width - 2 * OUTSIDE
        even = torch.linspace(0, 1, LOOKS, dtype=torch.float64)
        place = (torch.arange(width, dtype=torch.float64) + 0.5 - OUTSIDE) / inside
        knots = _interpolated(self.knots.double().cpu(), even, x)  # x of equally many centres between
        slope = _interpolated(place.clamp(0, 1), even, torch.gradient(knots, spacing=(even,))[0])
        centre = _interpolated(place.clamp(0, 1), even, knots) + (place - place.clamp(0, 1)) * slope
        self.centre.copy_(centre)
        self.weight.copy_(inside / (sqrt(2) * WIDTH * slope))


def _row(share: Tensor) -> Tensor:
    """Points (N, 2) of the unit cube along its first coordinate."""
    return torch.stack([share, torch.zeros_like(share)], 1)


def _interpolated(at: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The line through the points (x, y), x increasing, at other x of any shape."""
    k = torch.searchsorted(x, at.contiguous()).clamp(1, len(x) - 1)
    return y[k - 1] + (at - x[k - 1]) / (x[k] - x[k - 1]) * (y[k] - y[k - 1])
