"""Scalar functions of jets. Each returns f, f', ..., f^(K) at the value; `compose` applies the chain rule."""

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from pinn_cli.derivatives.jet import Jet, compose, rule

F, T = torch.nn.functional, torch.Tensor


def _tanh(z: Tensor, order: int) -> list[Tensor]:
    a = torch.tanh(z)
    if order == 0:
        return [a]
    f1 = 1 - a * a
    higher = (lambda: f1, lambda: -2 * a * f1, lambda: f1 * (6 * a * a - 2), lambda: 8 * a * f1 * (2 - 3 * a * a))
    return [a, *(f() for f in higher[:order])]


def _sin(z: Tensor, order: int) -> list[Tensor]:
    s, c = torch.sin(z), torch.cos(z) if order else z
    return [(s, c, -s, -c)[k % 4] for k in range(order + 1)]


def _cos(z: Tensor, order: int) -> list[Tensor]:
    c, s = torch.cos(z), torch.sin(z) if order else z
    return [(c, -s, -c, s)[k % 4] for k in range(order + 1)]


def _exp(z: Tensor, order: int) -> list[Tensor]:
    return [torch.exp(z)] * (order + 1)


def _sigmoid(z: Tensor, order: int) -> list[Tensor]:
    s = torch.sigmoid(z)
    if order == 0:
        return [s]
    s1 = s * (1 - s)
    higher = (lambda: s1, lambda: s1 * (1 - 2 * s), lambda: s1 * (1 - 6 * s1), lambda: s1 * (1 - 2 * s) * (1 - 12 * s1))
    return [s, *(f() for f in higher[:order])]


def _softplus(z: Tensor, order: int, beta: float = 1, threshold: float = 20) -> list[Tensor]:
    if beta != 1:
        raise NotImplementedError("softplus has a Taylor rule for beta = 1 only")
    return [torch.nn.functional.softplus(z), *_sigmoid(z, order)[:order]]


def _silu(z: Tensor, order: int, inplace: bool = False) -> list[Tensor]:
    s = _sigmoid(z, order)
    return [z * s[0]] + [k * s[k - 1] + z * s[k] for k in range(1, order + 1)]


def _gelu(z: Tensor, order: int, approximate: str = "none") -> list[Tensor]:
    """z Phi(z); with the density p: Phi + z p, p (2 - z^2), p (z^3 - 4 z), p (-z^4 + 7 z^2 - 4)."""
    if approximate != "none":
        raise NotImplementedError("gelu has a Taylor rule for the exact form only (approximate='none')")
    cdf, square = 0.5 * (1 + torch.erf(z * 0.5**0.5)), z * z
    density = torch.exp(-0.5 * square) * 0.3989422804014327
    higher = (
        lambda: cdf + z * density,
        lambda: density * (2 - square),
        lambda: density * z * (square - 4),
        lambda: density * (7 * square - square * square - 4),
    )
    return [z * cdf, *(f() for f in higher[:order])]


def gaussian(z: Tensor) -> Tensor:
    """exp(-z^2), which torch does not have; for jets by its own rule."""
    if has_torch_function_unary(z):
        return handle_torch_function(gaussian, (z,), z)
    return torch.exp(-z * z)


def _gaussian(z: Tensor, order: int) -> list[Tensor]:
    """The derivatives are Hermite polynomials times the function itself."""
    square = z * z
    f = torch.exp(-square)
    higher = (
        lambda: -2 * z * f,
        lambda: (4 * square - 2) * f,
        lambda: (12 - 8 * square) * z * f,
        lambda: ((16 * square - 48) * square + 12) * f,
    )
    return [f, *(g() for g in higher[:order])]


def _atan(z: Tensor, order: int) -> list[Tensor]:
    a = 1 / (1 + z * z)
    higher = (lambda: a, lambda: -2 * z * a**2, lambda: (6 * z * z - 2) * a**3, lambda: 24 * z * (1 - z * z) * a**4)
    return [torch.atan(z), *(f() for f in higher[:order])]


def _clamp(z: Tensor, order: int, min: float | None = None, max: float | None = None) -> list[Tensor]:
    """Slope 1 between the bounds, 0 beyond them."""
    held = torch.clamp(z, min, max)
    return [held, (held == z).to(z.dtype), *[torch.zeros_like(z)] * (order - 1)][: order + 1]


def _floor(z: Tensor, order: int) -> list[Tensor]:
    """The slope is 0 wherever it is defined."""
    return [torch.floor(z), *[torch.zeros_like(z)] * order]


def _real_power(exponent: float) -> Callable[[Tensor, int], list[Tensor]]:
    """z^p for any real p: p (p-1) ... (p-k+1) z^(p-k)."""

    def chain(z: Tensor, order: int) -> list[Tensor]:
        falling = [prod([exponent - i for i in range(k)]) for k in range(order + 1)]
        return [c * z ** (exponent - k) for k, c in enumerate(falling)]

    return chain


def _log(z: Tensor, order: int) -> list[Tensor]:
    """log z, and the derivatives of 1/z."""
    return [torch.log(z), *(_real_power(-1)(z, order - 1) if order else [])]


@rule(torch.pow, T.pow, T.__pow__)
def power(a: Jet, exponent: float) -> Jet:
    """Whole powers by products, which are exact where a = 0; other powers by the chain rule."""
    if exponent == 0:
        return Jet([torch.ones_like(a.value), *[None] * (len(a.streams) - 1)], a.algebra, a.tape)
    if exponent != int(exponent) or exponent < 1:
        return compose(_real_power(exponent))(a)
    half = power(a, exponent // 2) if exponent > 1 else a
    return a if exponent == 1 else half * half if exponent % 2 == 0 else half * half * a


for chain, functions in {
    _tanh: (torch.tanh, T.tanh, F.tanh),
    _sin: (torch.sin, T.sin),
    _cos: (torch.cos, T.cos),
    _exp: (torch.exp, T.exp),
    _sigmoid: (torch.sigmoid, T.sigmoid, F.sigmoid),
    _softplus: (F.softplus,),
    _silu: (F.silu,),
    _gelu: (F.gelu,),
    _gaussian: (gaussian,),
    _atan: (torch.atan, T.atan),
    _log: (torch.log, T.log),
    _clamp: (torch.clamp, T.clamp, T.clip),
    _floor: (torch.floor, T.floor),
    _real_power(-1): (torch.reciprocal, T.reciprocal),
    _real_power(0.5): (torch.sqrt, T.sqrt),
}.items():
    rule(*functions)(compose(chain))
