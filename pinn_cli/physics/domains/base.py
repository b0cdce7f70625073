"""What every domain answers: its regions by name, points on them, normals, its extent, and its part in time.

Samplers draw points of the unit cube [0, 1]^D, and the domain maps them onto a region. A region consists of one or
more parts (the faces of a box, for example); a part is the image of the unit cube under a map that may ignore some
coordinates of the cube.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pinn_cli.derivatives.keys import Index

Free = tuple[int, ...]  # the coordinates of the unit cube that move the points of a part
Columns = list[Tensor]  # the points by coordinate: one (N,) tensor or jet for each
Function = Callable[[Columns], Any]  # of the columns: a tensor or jet (N,), or one number for all points


@dataclass(frozen=True)
class Given:
    """The value of a field, or its first derivative `index`, as a constraint prescribes it on a region."""

    constraint: str
    field: int
    region: str
    index: Index
    value: Function


def zero(columns: Columns) -> float:
    """The function 0."""
    return 0.0


def one(columns: Columns) -> float:
    """The function 1."""
    return 1.0


@dataclass(frozen=True)
class Interpolant:
    """``u = lift + distance * network`` meets the conditions `met`, whatever the network is."""

    met: Sequence[Given] = ()
    lift: Function = zero
    distance: Function = one


class Domain(ABC):
    """A domain of D `coordinates`, one of which may be `time`.

    A new shape implements the five abstract methods. The others have defaults that serve any shape without time; a
    shape may override them, for example to slice time or to impose conditions exactly.
    """

    coordinates: tuple[str, ...]
    time: str | None = None

    # --- what a shape must answer ---------------------------------------------------------------------------------

    @property
    @abstractmethod
    def extents(self) -> tuple[tuple[float, float], ...]:
        """The smallest and the largest value of each coordinate."""

    @property
    @abstractmethod
    def regions(self) -> list[str]:
        """The names of the regions; `interior` is one of them."""

    @abstractmethod
    def parts(self, region: str) -> list[Free]:
        """The parts of a region: for each, the coordinates of the unit cube that move its points.

        All D of them for the interior, D - 1 for a piece of the boundary, none for a single point. Raises ValueError,
        with the names of the regions, for a name that is not among them.
        """

    @abstractmethod
    def sample(self, region: str, unit: Tensor) -> Tensor:
        """Map points of the unit cube (N, D) onto a region (N, D). Row k goes to part k modulo the number of parts."""

    @abstractmethod
    def contains(self, X: Tensor) -> Tensor:
        """Which points (N, D) lie inside, the boundary included: (N,) of torch.bool."""

    def lies_on(self, region: str, X: Tensor) -> Tensor:
        """Which points (N, D) lie on a region, to single precision: (N,) of torch.bool.

        Here: none, except for the interior. `pinn check` uses it to compare tabulated values with conditions.
        """
        return self.contains(X) if region == "interior" else torch.zeros(len(X), dtype=torch.bool, device=X.device)

    # --- the boundary ---------------------------------------------------------------------------------------------

    def has_normal(self, region: str) -> bool:
        """Whether the outward normal is defined on a region: on the boundary it is, at single points it is not."""
        return region != "interior" and not self.is_point(region)

    def normal(self, region: str, X: Tensor) -> Tensor:
        """Outward unit normals (N, D) at points X (N, D) of a region that has them."""
        raise NotImplementedError(f"{type(self).__name__} has no normals: implement `normal`")

    def is_point(self, region: str) -> bool:
        """Whether a part of the region is a single point, so that it needs no second one."""
        return () in self.parts(region)

    def periodic_pair(self, coordinate: str) -> tuple[str, Callable[[Tensor], Tensor]]:
        """The region where a periodic coordinate begins, and the map (N, D) -> (N, D) of its points to the other end.

        Raises ValueError for a domain that has no such pair.
        """
        raise ValueError(f"{type(self).__name__} has no periodic coordinates; expected a Box")

    def interpolate(self, given: Sequence[Given]) -> Interpolant:
        """The conditions on one field that this domain can impose exactly; none unless a shape knows how."""
        return Interpolant()

    # --- time -----------------------------------------------------------------------------------------------------

    def is_initial(self, region: str) -> bool:
        """Whether the whole region lies where time begins."""
        return False

    def spans_time(self, region: str) -> bool:
        """Whether each part of a region extends over the whole time."""
        return True

    def between(self, coordinate: str, start: float, end: float) -> "Domain":
        """The part of the domain with start <= coordinate <= end, whose regions keep their names."""
        raise ValueError(f"{type(self).__name__} cannot be sliced; expected a Box")

    # --- its extent -----------------------------------------------------------------------------------------------

    @property
    def dimension(self) -> int:
        """D, the number of coordinates."""
        return len(self.coordinates)

    def extent(self, coordinate: str) -> tuple[float, float]:
        """The smallest and the largest value of one coordinate."""
        return self.extents[self.coordinates.index(coordinate)]

    @property
    def length(self) -> float:
        """The largest extent."""
        return max(high - low for low, high in self.extents)

    @property
    def wavenumbers(self) -> Tensor:
        """pi / extent by coordinate (D,), float64: of one half wave over each extent, the gentlest function here."""
        return torch.tensor([math.pi / (high - low) for low, high in self.extents], dtype=torch.float64, device="cpu")

    def scaling(self, size: float) -> tuple[Tensor, Tensor]:
        """`scale` and `shift` (D,), float64: ``scale * x + shift`` maps each extent onto [-size, size]."""
        lower, upper = (torch.tensor(end, dtype=torch.float64, device="cpu") for end in zip(*self.extents, strict=True))
        scale = 2 * size / (upper - lower)
        return scale, -scale * (upper + lower) / 2

    def inwards(self, X: Tensor, share: float) -> Tensor:
        """Points X (N, D) moved by a share of their way to the centre of the extents."""
        return X + share * (X.new_tensor(self.extents).T.mean(0) - X)

    def grid(self, n: int) -> Tensor:
        """Nodes (M, D) for comparisons and pictures, float64, on the CPU; the boundary may be among them.

        Here: those of a uniform grid of n nodes per coordinate that lie inside; n grows until there are some.
        """
        X = lattice(self.extents, n)
        inside = self.contains(X)
        return X[inside] if inside.any() else self.grid(n + 1)


def lattice(extents: Sequence[tuple[float, float]], n: int) -> Tensor:
    """n^D uniform nodes (n^D, D), ends included; the last coordinate runs fastest. Float64, on the CPU."""
    axes = [torch.linspace(low, high, n, dtype=torch.float64, device="cpu") for low, high in extents]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(extents))
