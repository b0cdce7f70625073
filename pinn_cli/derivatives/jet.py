"""Jets: the value and the derivatives of a function at N points, one stream (N, H) each, and their arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor

from pinn_cli.derivatives.algebra import Algebra, Polynomial, unit
from pinn_cli.derivatives.keys import Key, Lap

T = torch.Tensor

RULES: dict[Callable, Callable] = {}  # torch function -> its rule for jets; each module of this folder adds some


def rule(*functions: Callable) -> Callable[[Callable], Callable]:
    """Register a function as the rule of these torch functions for jets."""

    def mark(does: Callable) -> Callable:
        RULES.update(dict.fromkeys(functions, does))
        return does

    return mark


@dataclass
class Tape:
    """A record of where parameters enter the streams, for the rows of the Jacobian (`jacobian.py`).

    `layers`: (weight, bias, inputs, outputs) of each linear layer, with the streams that enter and leave it. `factors`:
    (parameter, its copy (N, ...) with one row per point) for every other tensor that requires a gradient.
    """

    layers: list[tuple[Tensor, Tensor | None, list[Tensor | None], list[Tensor | None]]] = field(default_factory=list)
    factors: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def per_point(self, parameter: Tensor, n: int) -> Tensor:
        """Record a parameter and return its copy with one row for each of n points."""
        copy = parameter.expand(n, *parameter.shape[parameter.ndim > 1 :])
        self.factors.append((parameter, copy))
        return copy


class Jet:
    """The streams (N, H) of a function. In torch code it acts like a tensor of shape (N, H)."""

    def __init__(self, streams: list[Tensor | None], algebra: Algebra, tape: Tape | None = None):
        self.streams, self.algebra, self.tape = streams, algebra, tape

    @classmethod
    def identity(cls, algebra: Algebra, X: Tensor, tape: Tape | None = None) -> Jet:
        """The identity map at the points X (N, D): first derivatives are unit rows, all higher ones vanish."""
        streams: list[Tensor | None] = [X] + [None] * (len(algebra) - 1)
        for i, row in enumerate(torch.eye(algebra.dimension, dtype=X.dtype, device=X.device).unbind()):
            s = algebra.position.get(unit(i, algebra.dimension))
            if s is not None:
                streams[s] = row[None]
        return cls(streams, algebra, tape)

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
        """One derivative (N, H); zeros for a stream that is `None`."""
        if isinstance(key, Lap) and key not in self.algebra.position:
            parts = [self.derivative(unit(i, key.dimension, 2)) for i in key.axes]
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
                f"no Taylor rule for `{name}`: add one to pinn_cli/derivatives/, or type derivatives=autograd"
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
        return multiply(self, other**-1 if isinstance(other, Jet) else 1 / other)

    def __rtruediv__(self, other: Any) -> Jet:
        return multiply(self**-1, other)

    def __neg__(self) -> Jet:
        return self.map(torch.neg)

    def __pow__(self, exponent: Any) -> Jet:
        return RULES[torch.pow](self, exponent)

    __radd__, __rmul__ = __add__, __mul__

    def __getattr__(self, name: str) -> Callable:
        """Tensor methods, such as `h.reshape(...)`, call the rule of the torch function of that name."""
        function = getattr(T, name, None)
        if function is None or name.startswith("_"):
            raise AttributeError(f"a Jet has no attribute `{name}`")
        return lambda *args, **options: self.__torch_function__(function, (Jet,), (self, *args), options)


def _feature_key(key: Any) -> Any:
    """Refuse an index that picks points, because a stream may have a single row for all of them (IndexError)."""
    first = key[0] if isinstance(key, tuple) else key
    if first is not Ellipsis and first != slice(None):
        raise IndexError("a Jet is indexed by feature: write X[:, i] or X[..., i]; its points stay together")
    return key


@rule(torch.add, T.add, T.__add__, T.__radd__)
def add(a: Any, b: Any, *, alpha: float = 1) -> Jet:
    """a + alpha b. A constant changes only the value, no derivative."""
    b = b if alpha == 1 else alpha * b
    if isinstance(a, Jet) and isinstance(b, Jet):
        value = a.value + b.value
        pairs = [_sum([s for s in pair if s is not None]) for pair in zip(a.streams[1:], b.streams[1:], strict=True)]
        rest = [None if s is None else s.expand(-1, *value.shape[1:]) for s in pairs]
        return Jet([value, *rest], a.algebra, a.tape or b.tape)
    jet, constant = (a, b) if isinstance(a, Jet) else (b, a)
    value = jet.value + _per_point(constant, jet)
    rest = [None if s is None else s.expand(-1, *value.shape[1:]) for s in jet.streams[1:]]
    return Jet([value, *rest], jet.algebra, jet.tape)


@rule(torch.mul, torch.multiply, T.mul, T.__mul__, T.__rmul__)
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
    """With a tape, a trained scalar or vector (H,) gets one copy per point: its gradient is a row of the Jacobian."""
    if jet.tape is not None and isinstance(constant, Tensor) and constant.requires_grad and constant.ndim < jet.ndim:
        copy = jet.tape.per_point(constant, len(jet))
        return copy.reshape(len(jet), *(1,) * (jet.ndim - copy.ndim), *copy.shape[1:])
    return constant


def _scaled(c: int, x: Tensor) -> Tensor:
    return x if c == 1 else c * x


def _sum(terms: list[Tensor]) -> Tensor | None:
    return sum(terms[1:], terms[0]) if terms else None


def compose(chain: Callable[..., list[Tensor]]) -> Callable[[Jet], Jet]:
    """The rule of a scalar function f, from `chain`: z, K and the options of f -> [f(z), f'(z), ..., f^(K)(z)]."""

    def rule(z: Jet, *options: Any, **named: Any) -> Jet:
        f = chain(z.value, z.algebra.order, *options, **named)
        if len(f) <= z.algebra.order:
            raise NotImplementedError("derivatives by jets go to order 4; type derivatives=autograd for higher ones")
        streams: list[Tensor | None] = [f[0]]
        for terms in z.algebra.compositions[1:]:
            parts = [(f[k], _evaluate(polynomial, z.streams)) for k, polynomial in terms]
            streams.append(_sum([d * p for d, p in parts if p is not None]))
        return Jet(streams, z.algebra, z.tape)

    return rule


def _evaluate(polynomial: Polynomial, z: list[Tensor | None]) -> Tensor | None:
    terms = []
    for c, monomial in polynomial:
        streams = [z[s] for s in monomial]  # torch.compile does not support an assignment in a comprehension
        factors = [x for x in streams if x is not None]
        if len(factors) == len(monomial):
            terms.append(_scaled(c, prod(factors[1:], start=factors[0])))
    return _sum(terms)


@rule(torch.sub, torch.subtract, T.sub, T.__sub__)
def subtract(a: Any, b: Any, *, alpha: float = 1) -> Jet:
    """a - alpha b."""
    return add(a, b, alpha=-alpha)


@rule(torch.rsub, T.__rsub__)
def subtract_from(a: Any, b: Any) -> Jet:
    """b - a."""
    return add(b, -a)


@rule(torch.div, torch.true_divide, T.div, T.__truediv__)
def divide(a: Any, b: Any) -> Jet:
    """a / b."""
    return multiply(a, b**-1 if isinstance(b, Jet) else 1 / b)


@rule(torch.neg, T.neg)
def negative(a: Jet) -> Jet:
    """-a."""
    return -a


@rule(torch.square, T.square)
def square(a: Jet) -> Jet:
    """a a."""
    return multiply(a, a)
