"""Functions of period 2 pi by their coefficients c_k, k = 0 .. K: f(x) = c_0 + 2 Re sum_(k > 0) c_k exp(i k x)."""

from collections.abc import Callable

import numpy as np
import torch
from numpy import pi
from torch import Tensor

NODES = 16  # of Gauss-Legendre in each panel, over which exp(i k x) turns by half a turn at most


def coefficients(function: Callable[[Tensor], Tensor], modes: int) -> np.ndarray:
    """c_k = 1/(2 pi) int_0^(2 pi) f(x) exp(-i k x) dx, complex (modes + 1,), to rounding.

    The integral and not a sum over the nodes of a grid: where f or its slope jumps at the seam, a sum would mix in
    the modes that its grid does not have. Gauss-Legendre in 2 `modes` panels, summed over the panels by FFT.
    """
    panels = 2 * modes
    node, weight = np.polynomial.legendre.leggauss(NODES)
    inside = 2 * pi / panels * (node + 1) / 2
    x = 2 * pi / panels * np.arange(panels)[:, None] + inside
    k = np.arange(modes + 1)[:, None]
    by_panel = np.fft.fft(function(torch.from_numpy(x)).numpy(), axis=0)[: modes + 1]
    return (by_panel * np.exp(-1j * k * inside) * weight / 2).sum(1) / panels


def values(c: Tensor, x: Tensor) -> Tensor:
    """f(x) (N,) at x (N,), with coefficients of its own at each point, complex (N, K + 1)."""
    angle = x[:, None] * torch.arange(c.shape[1], dtype=x.dtype, device=x.device)
    terms = c.real * torch.cos(angle) - c.imag * torch.sin(angle)
    return 2 * terms.sum(1) - terms[:, 0]
