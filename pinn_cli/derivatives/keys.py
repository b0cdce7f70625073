"""The names of derivatives: a multi-index, or the Laplacian over some axes."""

from dataclasses import dataclass

Index = tuple[int, ...]  # (2, 0) is d^2/dx^2 for coordinates (x, y)


@dataclass(frozen=True, order=True)
class Lap:
    """The sum of the second derivatives along `axes`, of functions of `dimension` coordinates."""

    axes: tuple[int, ...]
    dimension: int


Key = Index | Lap
