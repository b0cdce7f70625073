"""Truncated multivariate Taylor series, carried through ordinary torch code.

A `Jet` holds the value of a function at N points and the partial derivatives it was asked for, one *stream* (N, H)
each. Networks are plain `nn.Module`s: torch sees a `Jet` and calls the rule below in place of its own kernel.

    S = streams   N = points   H = features   D = coordinates

Streams form a commutative algebra: the product is the Leibniz rule, a scalar function acts by the formula of Faa di
Bruno. The collapsed Laplacian (Li et al. 2023, "Forward Laplacian"; Dangel et al. 2025) is one more stream with

    (ab)_l = a_l b + a b_l + 2 sum_i a_i b_i        f(a)_l = f'(a) a_l + f''(a) sum_i a_i^2.

A stream that is zero everywhere is `None`; one that is the same at every point has a single row (1, H). Both make the
first layer, whose derivatives do not depend on the point, almost free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import product
from math import comb, factorial, prod
from typing import Any

import torch
from torch import Tensor

from pinn_cli.symbols import Index, Lap

Key = Index | Lap
Monomial = tuple[int, ...]  # positions of the streams that are multiplied


class Algebra:
    """The streams carried by a jet: all that were asked for, all below them, and how they multiply."""

    def __init__(self, wanted: Iterable[Key]):
        wanted = set(wanted)
        D = max(k.dimension if isinstance(k, Lap) else len(k) for k in wanted)
        laps = sorted(k for k in wanted if isinstance(k, Lap))
        indices = {k for k in wanted if not isinstance(k, Lap)}
        indices |= {_unit(i, D) for lap in laps for i in lap.axes} | {(0,) * D}
        closed = {b for a in indices for b in product(*(range(n + 1) for n in a))}
        self.dimension = D
        self.indices: list[Index] = sorted(closed, key=lambda a: (sum(a), tuple(-n for n in a)))
        self.laps = [lap for lap in laps if not all(_unit(i, D, 2) in closed for i in lap.axes)]
        self.position: dict[Key, int] = {k: s for s, k in enumerate([*self.indices, *self.laps])}
        self.order = max([sum(a) for a in self.indices] + [2] * bool(self.laps))
        self.products = [self._leibniz(a) for a in self.indices] + [self._leibniz_lap(lap) for lap in self.laps]
        self.compositions = self._faa_di_bruno()

    def __len__(self) -> int:
        return len(self.position)

    def _leibniz(self, a: Index) -> list[tuple[int, int, int]]:
        """(ab)_a = sum over b <= a of C(a, b) a_b b_{a-b}, as (left, right, coefficient)."""
        below = product(*(range(n + 1) for n in a))
        rest = {b: tuple(i - j for i, j in zip(a, b, strict=True)) for b in below}
        return [(self.position[b], self.position[c], prod(map(comb, a, b))) for b, c in rest.items()]

    def _leibniz_lap(self, lap: Lap) -> list[tuple[int, int, int]]:
        ends = self.position[lap]
        first = [self.position[_unit(i, self.dimension)] for i in lap.axes]
        return [(ends, 0, 1), (0, ends, 1), *((i, i, 2) for i in first)]

    def _faa_di_bruno(self) -> list[list[tuple[int, list[tuple[int, Monomial]]]]]:
        """f(z)_s = sum_k f^(k)(z_0) P_sk(z): for each stream s its (k, P_sk), P a list of (coefficient, monomial).

        With d = z - z_0, f(z) = sum_k f^(k)(z_0) d^k / k!; the powers are formed once, in symbols.
        """
        S = len(self)
        delta: list[Counter[Monomial]] = [Counter({(s,): 1}) if s else Counter() for s in range(S)]
        out: list[list[tuple[int, list[tuple[int, Monomial]]]]] = [[] for _ in range(S)]
        power = delta
        for k in range(1, self.order + 1):
            for s in range(1, S):
                if power[s]:
                    out[s].append((k, [(c // factorial(k), m) for m, c in power[s].items()]))
            power = [_polynomial_product(power, delta, terms) for terms in self.products]
        return out

    def seed(self, X: Tensor, tape: Tape | None = None) -> Jet:
        """The identity map at the points X (N, D): first derivatives are unit rows, all higher ones vanish."""
        streams: list[Tensor | None] = [X] + [None] * (len(self) - 1)
        for i in range(self.dimension):
            s = self.position.get(_unit(i, self.dimension))
            if s is not None:
                streams[s] = torch.eye(self.dimension, dtype=X.dtype, device=X.device)[i : i + 1]
        return Jet(streams, self, tape)


def _unit(axis: int, dimension: int, n: int = 1) -> Index:
    return tuple(n * int(i == axis) for i in range(dimension))


def _polynomial_product(a: list[Counter], b: list[Counter], terms: list[tuple[int, int, int]]) -> Counter[Monomial]:
    out: Counter[Monomial] = Counter()
    for left, right, c in terms:
        for m, x in a[left].items():
            for n, y in b[right].items():
                out[tuple(sorted(m + n))] += c * x * y
    return out


@dataclass
class Tape:
    """Where parameters meet the streams, for the rows of the Jacobian (`jacobian.py`).

    `layers`: (weight, bias, inputs, outputs), streams in and out of each linear layer; `factors`: (parameter, its copy
    (N, ...) with one row per point) for every other tensor that requires a gradient.
    """

    layers: list[tuple[Tensor, Tensor | None, list[Tensor | None], list[Tensor | None]]] = field(default_factory=list)
    factors: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def per_point(self, parameter: Tensor, n: int) -> Tensor:
        copy = parameter.expand(n, *parameter.shape[parameter.ndim > 1 :])
        self.factors.append((parameter, copy))
        return copy


class Jet:
    """Streams (N, H) of a function's value and derivatives; acts like a tensor of shape (N, H)."""

    def __init__(self, streams: list[Tensor | None], algebra: Algebra, tape: Tape | None = None):
        self.streams, self.algebra, self.tape = streams, algebra, tape

    @property
    def value(self) -> Tensor:
        assert self.streams[0] is not None
        return self.streams[0]

    @property
    def shape(self) -> torch.Size:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def dtype(self) -> torch.dtype:
        return self.value.dtype

    @property
    def device(self) -> torch.device:
        return self.value.device

    def __len__(self) -> int:
        return len(self.value)

    def derivative(self, key: Key) -> Tensor:
        """The stream of one derivative at every point, zeros where it vanishes."""
        if isinstance(key, Lap) and key not in self.algebra.position:
            parts = [self.derivative(_unit(i, key.dimension, 2)) for i in key.axes]
            return sum(parts[1:], parts[0])
        stream = self.streams[self.algebra.position[key]]
        return torch.zeros_like(self.value) if stream is None else stream.expand(self.value.shape)

    def map(self, f: Callable[[Tensor], Tensor]) -> Jet:
        """Apply a linear map of the features to every stream."""
        return Jet([None if s is None else f(s) for s in self.streams], self.algebra, self.tape)

    @classmethod
    def __torch_function__(cls, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func not in RULES:
            name = getattr(func, "__name__", str(func))
            raise NotImplementedError(
                f"no Taylor rule for `{name}`: add one to pinn_cli/jets.py, or type derivatives=autograd, which needs none"
            )
        return RULES[func](*args, **(kwargs or {}))

    def __getitem__(self, key: Any) -> Jet:
        return self.map(lambda s: s[_feature_key(key)])

    def __add__(self, other: Any) -> Jet:
        return add(self, other)

    def __mul__(self, other: Any) -> Jet:
        return multiply(self, other)

    def __sub__(self, other: Any) -> Jet:
        return add(self, -other)

    def __rsub__(self, other: Any) -> Jet:
        return add(-self, other)

    def __truediv__(self, other: Any) -> Jet:
        return multiply(self, reciprocal(other) if isinstance(other, Jet) else 1 / other)

    def __rtruediv__(self, other: Any) -> Jet:
        return multiply(reciprocal(self), other)

    def __neg__(self) -> Jet:
        return self.map(torch.neg)

    def __pow__(self, exponent: Any) -> Jet:
        return power(self, exponent)

    def reshape(self, *shape: Any) -> Jet:
        return reshape(self, *shape)

    __radd__, __rmul__, view = __add__, __mul__, reshape

    def unbind(self, dim: int = 0) -> tuple[Jet, ...]:
        return unbind(self, dim)

    def square(self) -> Jet:
        return multiply(self, self)

    def unsqueeze(self, dim: int) -> Jet:
        return unsqueeze(self, dim)

    def squeeze(self, dim: int) -> Jet:
        return squeeze(self, dim)


def _feature_key(key: Any) -> Any:
    """Features may be picked freely; points only all at once, since a stream may have one row for all of them."""
    first = key[0] if isinstance(key, tuple) else key
    if first is not Ellipsis and first != slice(None):
        raise IndexError("a Jet is indexed by feature: write X[:, i] or X[..., i]; its points stay together")
    return key


# --- Algebra ----------------------------------------------------------------------------------------------------------


def add(a: Any, b: Any, *, alpha: float = 1) -> Jet:
    b = b if alpha == 1 else alpha * b
    if isinstance(a, Jet) and isinstance(b, Jet):
        pairs = zip(a.streams, b.streams, strict=True)
        return Jet([y if x is None else x if y is None else x + y for x, y in pairs], a.algebra, a.tape or b.tape)
    jet, constant = (a, b) if isinstance(a, Jet) else (b, a)
    value = jet.value + _per_point(constant, jet)
    rest = [None if s is None else s.expand(-1, *value.shape[1:]) for s in jet.streams[1:]]
    return Jet([value, *rest], jet.algebra, jet.tape)


def multiply(a: Any, b: Any) -> Jet:
    """The Leibniz rule."""
    if not (isinstance(a, Jet) and isinstance(b, Jet)):
        jet, constant = (a, b) if isinstance(a, Jet) else (b, a)
        constant = _per_point(constant, jet)
        return jet.map(lambda s: s * constant)
    streams = []
    for terms in a.algebra.products:
        parts = [(c, a.streams[i], b.streams[j]) for i, j, c in terms]
        streams.append(_sum([_scaled(c, x * y) for c, x, y in parts if x is not None and y is not None]))
    return Jet(streams, a.algebra, a.tape or b.tape)


def _per_point(constant: Any, jet: Jet) -> Any:
    """On a tape, a trained scalar or vector (H,) gets one copy per point, whose gradient is a row of the Jacobian."""
    if jet.tape is not None and isinstance(constant, Tensor) and constant.requires_grad and constant.ndim < jet.ndim:
        copy = jet.tape.per_point(constant, len(jet))
        return copy.reshape(len(jet), *(1,) * (jet.ndim - copy.ndim), *copy.shape[1:])
    return constant


def _scaled(c: int, x: Tensor) -> Tensor:
    return x if c == 1 else c * x


def _sum(terms: list[Tensor]) -> Tensor | None:
    return sum(terms[1:], terms[0]) if terms else None


def compose(chain: Callable[[Tensor, int], list[Tensor]]) -> Callable[[Jet], Jet]:
    """Lift a scalar function f to jets, given z, K -> [f(z), f'(z), ..., f^(K)(z)]."""

    def rule(z: Jet, *_: Any, **options: Any) -> Jet:
        f = chain(z.value, z.algebra.order, **options)
        streams: list[Tensor | None] = [f[0]]
        for terms in z.algebra.compositions[1:]:
            parts = [(f[k], _evaluate(polynomial, z.streams)) for k, polynomial in terms]
            streams.append(_sum([d * p for d, p in parts if p is not None]))
        return Jet(streams, z.algebra, z.tape)

    return rule


def _evaluate(polynomial: list[tuple[int, Monomial]], z: list[Tensor | None]) -> Tensor | None:
    terms = [(c, [z[s] for s in monomial]) for c, monomial in polynomial]
    return _sum([_scaled(c, prod(m[1:], start=m[0])) for c, m in terms if not any(x is None for x in m)])


# --- Scalar functions: z, K -> f, f', ..., f^(K) ------------------------------------------------------------------------


def _tanh(z: Tensor, order: int) -> list[Tensor]:
    a = torch.tanh(z)
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


def _real_power(exponent: float) -> Callable[[Tensor, int], list[Tensor]]:
    """z^p for any real p: p (p-1) ... (p-k+1) z^(p-k)."""

    def chain(z: Tensor, order: int) -> list[Tensor]:
        falling = [prod([exponent - i for i in range(k)]) for k in range(order + 1)]
        return [c * z ** (exponent - k) for k, c in enumerate(falling)]

    return chain


def power(a: Jet, exponent: float) -> Jet:
    """Whole powers by products, exact where a vanishes; others by the chain rule."""
    if exponent != int(exponent) or exponent < 1:
        return compose(_real_power(exponent))(a)
    half = power(a, exponent // 2) if exponent > 1 else a
    return a if exponent == 1 else half * half if exponent % 2 == 0 else half * half * a


reciprocal = compose(_real_power(-1))


# --- Maps of the features -----------------------------------------------------------------------------------------------


def linear(a: Jet, weight: Tensor, bias: Tensor | None = None) -> Jet:
    """Z_s = A_s W^T (+ b for the value): one GEMM for all streams, one more of D rows where streams are constant."""
    n = len(a)
    full = [i for i, s in enumerate(a.streams) if s is not None and len(s) == n]
    rows = [i for i, s in enumerate(a.streams) if s is not None and len(s) != n]
    streams: list[Tensor | None] = [None] * len(a.streams)
    for group in filter(None, (full, rows)):
        stacked = torch.stack([s for i in group if (s := a.streams[i]) is not None])
        for i, z in zip(group, torch.nn.functional.linear(stacked, weight), strict=True):
            streams[i] = z
    if bias is not None:
        streams[0] = streams[0] + bias  # type: ignore[operator]
    if a.tape is not None and (weight.requires_grad or (bias is not None and bias.requires_grad)):
        streams = [None if z is None else z.expand(n, *z.shape[1:]) for z in streams]
        a.tape.layers.append((weight, bias, a.streams, streams))
    return Jet(streams, a.algebra, a.tape)


def _joined(join: Callable) -> Callable:
    """cat and stack, along features: constants among the parts have no derivatives, missing streams are zeros."""

    def rule(parts: Any, dim: int = 0) -> Jet:
        like = next(p for p in parts if isinstance(p, Jet))
        streams = []
        for s in range(len(like.streams)):
            of = [p.streams[s] if isinstance(p, Jet) else (p if s == 0 else None) for p in parts]
            n = max([0, *[len(x) for x in of if x is not None]])
            full = [_zeros(p, n) if x is None else x.expand(n, *x.shape[1:]) for x, p in zip(of, parts, strict=True)]
            streams.append(join(full, dim=dim) if n else None)
        return Jet(streams, like.algebra, like.tape)

    return rule


def _zeros(part: Any, n: int) -> Tensor:
    value = part.value if isinstance(part, Jet) else part
    return torch.zeros((n, *value.shape[1:]), dtype=value.dtype, device=value.device)


def reshape(a: Jet, *shape: Any) -> Jet:
    """Reshape the features; the first dimension stays that of the points."""
    shape = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    shape = tuple(a.value.reshape(shape).shape)
    if shape[0] != len(a):
        raise ValueError(f"a Jet of {len(a)} points cannot be reshaped to {shape}: the points come first and stay")
    return a.map(lambda s: s.reshape(len(s), *shape[1:]))


def unbind(a: Jet, dim: int = 0) -> tuple[Jet, ...]:
    return tuple(a.map(lambda s, i=i: s.select(dim, i)) for i in range(a.shape[dim]))  # type: ignore[misc]


def unsqueeze(a: Jet, dim: int) -> Jet:
    return a.map(lambda s: s.unsqueeze(dim))


def squeeze(a: Jet, dim: int) -> Jet:
    return a.map(lambda s: s.squeeze(dim))


def _zeros_like(a: Jet, **options: Any) -> Tensor:
    return torch.zeros_like(a.value, **options)


def _ones_like(a: Jet, **options: Any) -> Tensor:
    return torch.ones_like(a.value, **options)


_F, _T = torch.nn.functional, torch.Tensor
_subtract = lambda a, b: add(a, -b)  # noqa: E731
_divide = lambda a, b: a * (reciprocal(b) if isinstance(b, Jet) else 1 / b)  # noqa: E731
tanh, sin, cos, exp = compose(_tanh), compose(_sin), compose(_cos), compose(_exp)
sigmoid, softplus, silu, gelu = compose(_sigmoid), compose(_softplus), compose(_silu), compose(_gelu)

RULES: dict[Callable, Callable] = {
    _F.linear: linear,
    **dict.fromkeys((torch.add, _T.add, _T.__radd__, _T.__add__), add),
    **dict.fromkeys((torch.sub, _T.sub, torch.subtract, _T.__sub__), _subtract),
    **dict.fromkeys((_T.__rsub__, torch.rsub), lambda a, b: _subtract(b, a)),
    **dict.fromkeys((torch.mul, _T.mul, torch.multiply, _T.__mul__, _T.__rmul__), multiply),
    **dict.fromkeys((torch.div, _T.div, torch.true_divide, _T.__truediv__), _divide),
    _T.__rtruediv__: lambda a, b: _divide(b, a),
    **dict.fromkeys((torch.neg, _T.neg), lambda a: -a),
    **dict.fromkeys((torch.square, _T.square), lambda a: a * a),
    **dict.fromkeys((torch.pow, _T.pow, _T.__pow__), power),
    **dict.fromkeys((torch.reciprocal, _T.reciprocal), reciprocal),
    **dict.fromkeys((torch.sqrt, _T.sqrt), compose(_real_power(0.5))),
    **dict.fromkeys((torch.tanh, _T.tanh, _F.tanh), tanh),
    **dict.fromkeys((torch.sin, _T.sin), sin),
    **dict.fromkeys((torch.cos, _T.cos), cos),
    **dict.fromkeys((torch.exp, _T.exp), exp),
    **dict.fromkeys((torch.sigmoid, _T.sigmoid, _F.sigmoid), sigmoid),
    _F.softplus: softplus,
    _F.silu: silu,
    _F.gelu: gelu,
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), _joined(torch.cat)),
    torch.stack: _joined(torch.stack),
    torch.reshape: reshape,
    torch.unbind: unbind,
    torch.unsqueeze: unsqueeze,
    torch.squeeze: squeeze,
    torch.zeros_like: _zeros_like,
    torch.ones_like: _ones_like,
}
