"""Finite Fourier series on a box: of a periodic function, or of one that has zero slopes or values at its ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import pi
from typing import Any, Literal

import torch
from torch import Tensor

from pinn_cli.derivatives.keys import Index
from pinn_cli.physics.coefficient_fields.base import CoefficientField

Ends = Literal["periodic", "neumann", "dirichlet"]


@dataclass(frozen=True)
class Waves:
    """Functions of one coordinate: cos(w_k (x - origin) + p_k), with w and p (K,), float64."""

    wavenumbers: Tensor
    phases: Tensor
    origin: float

    def __len__(self) -> int:
        return len(self.wavenumbers)

    def __call__(self, x: Tensor) -> Tensor:
        """(N, K) at x (N,)."""
        return torch.cos((x - self.origin)[:, None] * self.wavenumbers.to(x) + self.phases.to(x))

    def differentiated(self, order: int) -> "Waves":
        """Their derivatives without the factor w^order: each is the wave a quarter of a turn ahead."""
        return Waves(self.wavenumbers, self.phases + order * pi / 2, self.origin)


def waves(ends: Ends, side: tuple[float, float], modes: int) -> tuple[Waves, Tensor]:
    """The eigenfunctions of -d^2/dx^2 on an interval up to the number `modes`, and the norm (K,) of each in L2.

    periodic    1, cos(2 pi k x / L), sin(2 pi k x / L)     k = 1 ... modes, x counted from the lower end
    neumann     cos(pi k x / L)                             k = 0 ... modes
    dirichlet   sin(pi k x / L)                             k = 1 ... modes
    """
    low, length = side[0], side[1] - side[0]
    k = torch.arange(modes + 1, dtype=torch.float64, device="cpu")
    if ends == "periodic":
        k = k.repeat_interleave(2)[1:]
        phases = torch.zeros_like(k)
        phases[2::2] = -pi / 2
        w = 2 * pi / length * k
    elif ends == "neumann":
        w, phases = pi / length * k, torch.zeros_like(k)
    else:
        k = k[1:]
        w, phases = pi / length * k, torch.full_like(k, -pi / 2)
    return Waves(w, phases, low), torch.where(k > 0, 0.5, 1.0).to(k).mul(length).sqrt()


class Series(CoefficientField):
    """f = sum_k c_k prod_i wave_(i, k_i)(x_i), with amplitudes c (K_1, ..., K_d), one dimension for each coordinate."""

    def __init__(self, coordinates: Sequence[str], amplitudes: Tensor, axes: Sequence[Waves]) -> None:
        self.coordinates, self.amplitudes, self.axes = tuple(coordinates), amplitudes, tuple(axes)
        if tuple(amplitudes.shape) != tuple(map(len, axes)) or len(axes) != len(self.coordinates):
            found, expected = tuple(amplitudes.shape), tuple(map(len, axes))
            raise ValueError(f"amplitudes of shape {found}; expected {expected}, a dimension for each coordinate")

    def values(self, *columns: Tensor) -> Tensor:
        tables = [self._waves(i, x) for i, x in enumerate(columns)]
        amplitudes = self.moved("amplitudes", self.amplitudes, tables[0])
        if len(tables) == 1:
            return tables[0] @ amplitudes
        sums = tables[0] @ amplitudes.flatten(1)
        for table in tables[1:]:
            sums = (sums.view(len(table), table.shape[1], -1) * table[:, :, None]).sum(1)
        return sums[:, 0]

    def _waves(self, i: int, x: Tensor) -> Tensor:
        """Those of the coordinate i (N, K) at x (N,)."""
        wave = self.axes[i]
        wavenumbers, phases = (self.moved(f"{name}{i}", getattr(wave, name), x) for name in ("wavenumbers", "phases"))
        return Waves(wavenumbers, phases, wave.origin)(x)

    def derivative(self, index: Index) -> "Series":
        amplitudes = self.amplitudes
        for i, (axis, order) in enumerate(zip(self.axes, index, strict=True)):
            shape = [-1 if j == i else 1 for j in range(len(index))]
            amplitudes = amplitudes * (axis.wavenumbers**order).view(shape)
        axes = [axis.differentiated(order) for axis, order in zip(self.axes, index, strict=True)]
        return Series(self.coordinates, amplitudes, axes)

    def on_lattice(self, axes: Sequence[Tensor]) -> Tensor:
        """As for any field, one coordinate after the other: (n K + n^2) K products instead of n^2 K^2."""
        out: Any = self.amplitudes.to(axes[0])
        for wave, x in zip(self.axes, axes, strict=True):
            out = torch.tensordot(out, wave(x), dims=([0], [1]))  # the next coordinate is the first dimension now
        return out

    @property
    def state(self) -> Mapping[str, Tensor]:
        origins = torch.tensor([axis.origin for axis in self.axes], dtype=torch.float64, device="cpu")
        numbers = {f"wavenumbers{i}": axis.wavenumbers for i, axis in enumerate(self.axes)}
        phases = {f"phases{i}": axis.phases for i, axis in enumerate(self.axes)}
        return {"amplitudes": self.amplitudes, "origins": origins, **numbers, **phases}

    def __str__(self) -> str:
        return f"a series of {self.amplitudes.numel()} waves in {', '.join(self.coordinates)}"
