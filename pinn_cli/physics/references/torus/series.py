"""Real functions of period 1 in x and in y by their Fourier coefficients.

    f(x, y) = Re sum_kl m_l c_kl exp(2 pi i (k x + l y))        |k| < n / 2, 0 <= l < n / 2, m_0 = 1, else m_l = 2
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

BLOCK = 4096  # points at a time
SMALL = 1e-17  # of the largest coefficient: outer rows and columns that are smaller are left out


@dataclass(frozen=True)
class Series:
    """A function (N,) of x and y (N,), by complex coefficients c (K, L), k = -(K // 2) ... K // 2, l = 0 ... L - 1."""

    c: Tensor

    @classmethod
    def through(cls, nodes: np.ndarray) -> "Series":
        """The series through the values (n, n) at x = i / n, y = j / n, without the highest frequency of an even n."""
        n = len(nodes)
        most = (n - 1) // 2
        c = np.fft.rfft2(nodes)[:, : most + 1] / n**2
        c = np.concatenate([c[n - most :], c[: most + 1]])
        large = abs(c) > SMALL * abs(c).max()
        k = max(abs(np.nonzero(large.any(1))[0] - most), default=0)
        last = max(np.nonzero(large.any(0))[0], default=0)
        return cls(torch.from_numpy(c[most - k : most + k + 1, : last + 1].copy()))

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """f(x, y) (N,), in the precision of x; the sum over k is that of two real products of matrices."""
        blocks = zip(x.split(BLOCK), y.split(BLOCK), strict=True)
        return torch.cat([self._values(*block) for block in blocks]) if len(x) else x.clone()

    def _values(self, x: Tensor, y: Tensor) -> Tensor:
        K, L = self.c.shape
        a, b = self.c.real.to(x), self.c.imag.to(x)
        alpha, beta = _angles(x, -(K // 2), K), _angles(y, 0, L)
        real = torch.cos(alpha) @ a - torch.sin(alpha) @ b
        imaginary = torch.cos(alpha) @ b + torch.sin(alpha) @ a
        terms = real * torch.cos(beta) - imaginary * torch.sin(beta)
        return 2 * terms.sum(1) - terms[:, 0]

    def side(self, axis: int) -> "Side":
        """f at x = 0 as a function of y (`axis` 0), or at y = 0 as a function of x (1)."""
        if axis == 0:
            return Side.of(self.c.sum(0))
        K = self.c.shape[0]
        both = self.c.sum(1) + self.c[:, 1:].sum(1).conj().flip(0)
        return Side.of(both[K // 2 :])

    @property
    def square(self) -> float:
        """The mean of f^2 over the square."""
        squares = (self.c.abs() ** 2).sum(0)
        return float(2 * squares.sum() - squares[0])


@dataclass(frozen=True)
class Side:
    """g(s) = a_0 + 2 sum_(k > 0) (a_k cos(2 pi k s) - b_k sin(2 pi k s)) at s (N,), in the precision of s.

    a and b (K + 1,) are real: the compiler takes no complex numbers.
    """

    a: Tensor
    b: Tensor

    @classmethod
    def of(cls, c: Tensor) -> "Side":
        """The function with the coefficients c = a + b i (K + 1,)."""
        return cls(c.real.clone(), c.imag.clone())

    def __call__(self, s: Tensor) -> Tensor:
        angle = _angles(s, 0, len(self.a))
        terms = self.a.to(s) * torch.cos(angle) - self.b.to(s) * torch.sin(angle)
        return 2 * terms.sum(1) - terms[:, 0]


def _angles(s: Tensor, first: int, count: int) -> Tensor:
    """2 pi k s (N, count) for k = first, first + 1, ..."""
    return 2 * torch.pi * s[:, None] * torch.arange(first, first + count, dtype=s.dtype, device=s.device)
