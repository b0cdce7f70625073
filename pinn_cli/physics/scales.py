"""Natural units: the scale of every field, and the size of every residual for a plain function on the domain.

A field is u = offset + size v with v of order 1. The plain function is a product of waves, one whole wave over each
extent L_i. With the amplitude `size`, its derivative of orders m_1 ... m_D has the amplitude

    size k_1^m_1 ... k_D^m_D        k_i = 2 pi / L_i

and the natural unit of a residual r is the size of its largest term there,

    unit = max_s rms(dr/ds) amplitude(s)        over the symbols s of the fields

with the slopes dr/ds at offset + size v. Phases are random, so that nothing vanishes on a face. Sources are no part
of a unit: they say how large a field is, not how much its residual reacts to it.

One whole wave is measured, over problems with derivatives of first to fourth order at equal weights (docs/methods.md).
With half a wave, the gentlest function, equations of fourth order count too much beside those of first, and with three
halves too little.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite, pi, prod
from numbers import Real

import torch
from torch import Tensor

from pinn_cli.derivatives.keys import Key, Lap
from pinn_cli.physics.points import even_points
from pinn_cli.physics.problem import Constraint, Problem, asked_once
from pinn_cli.physics.symbols import Derivative, Normal, Place

WAVES = 2.0  # half waves over each extent
ROUNDING = 1e-9  # of the values and terms that a difference is left of; a smaller one is rounding
ZERO = 1e-14  # a prescribed value below it is the rounding of 0, such as sin(pi)


@dataclass(frozen=True)
class Scale:
    """A field is ``offset + size * v`` with v of order 1. `origin` says what this was found from."""

    offset: float = 0.0
    size: float = 1.0
    origin: str = "not found"


def natural_units(problem: Problem, scales: Mapping[str, Scale]) -> dict[str, float]:
    """The natural unit of every constraint by name; 1 where its residual does not react, or is not finite.

    Measurements whose noise is known share the largest unit of them: their weights are then those of a likelihood.
    """
    units = {}
    for c in problem.constraints():
        unit = max(Probe(problem, c, scales, WAVES).terms().values(), default=0.0)
        units[c.name] = unit if 0 < unit < inf else 1.0
    measured = [c.name for c in problem.constraints() if c.noise is not None]
    return units | dict.fromkeys(measured, max((units[name] for name in measured), default=1.0))


@asked_once
def field_scales(problem: Problem) -> dict[str, Scale]:
    """The scale of every field: what the problem says in `scale` and `offset`, else what can be found, in this order.

    values    conditions and measurements of a field itself say its range, offset +- size
    sources   the size with which the largest term of an equation balances what constant fields leave of it; it counts
              where it is larger than the range. A source that varies quickly asks for a field that does, too
    balance   a field without either gets the size with which its terms balance those of the fields that are known

    Of several conditions or equations, the largest size counts. Where nothing is found, the size is that of the offset,
    or 1. An unknown field is of the size of its start value. Raises ValueError for a name that is no field, and for a
    size that is not above 0.
    """
    _refuse_unknown(problem)
    ranges = {f: _range(problem, f) for f in problem.fields}
    offsets = {f: _middle(*ends) for f, ends in ranges.items()} | dict(problem.offset)
    offsets |= {f: field.start for f, field in problem.unknown_fields.items()}
    at_rest = {f: Scale(offsets[f], 0.0) for f in problem.fields}
    known = {f: Scale(offsets[f], (high - low) / 2, "values") for f, (low, high) in ranges.items() if high > low}
    known |= _from_sources(problem, at_rest | known)
    known |= {f: Scale(field.start, field.size, "given") for f, field in problem.unknown_fields.items()}
    known |= {f: Scale(offsets[f], size, "given") for f, size in problem.scale.items()}
    while found := _from_balance(problem, at_rest | known, known):
        known |= found
    return {f: known.get(f, Scale(offsets[f], abs(offsets[f]) or 1.0)) for f in problem.fields}


class Probe:
    """A constraint for a product of `waves` half waves of these scales, at points all over its region."""

    def __init__(self, problem: Problem, c: Constraint, scales: Mapping[str, Scale], waves: float = 1.0):
        self.problem, self.c, self.scales = problem, c, scales
        self.k = waves * problem.domain.wavenumbers
        self.X = even_points(problem, c)
        self.symbols = {n: s for n, s in c.symbols.items() if isinstance(s, Derivative | Normal)}
        self.field = {n: problem.fields[s.field] for n, s in self.symbols.items()}

    def terms(self, size: float | None = None, k: Tensor | None = None) -> dict[str, float]:
        """The size of each term by symbol, for fields of amplitude `size` (None: theirs) and wavenumbers k (D,)."""
        sizes = {n: self.scales[f].size if size is None else size for n, f in self.field.items()}
        return {n: self.slopes[n] * sizes[n] * self.amplitude(n, k) for n in self.symbols}

    def amplitude(self, name: str, k: Tensor | None = None) -> float:
        """The amplitude of a symbol of a field of amplitude 1 with wavenumbers k (D,); None: its own."""
        symbol, k = self.symbols[name], self.k if k is None else k
        if isinstance(symbol, Normal):
            along = (self._normals() * k)[:, list(symbol.axes)]
            return float(along.square().sum(1).mean().sqrt())
        return derivative_amplitude(symbol.index, k.tolist())

    @cached_property
    def slopes(self) -> dict[str, float]:
        """rms dr/ds of each symbol."""
        leaves = {n: v.requires_grad_() for n, v in self._gentle().items()}
        with torch.enable_grad():
            r = self.c.plain(**self._others(self.X), **leaves)
            slopes = torch.autograd.grad(r.sum(), list(leaves.values()), allow_unused=True) if r.requires_grad else ()
        return dict.fromkeys(leaves, 0.0) | {
            n: _finite(s).square().mean().sqrt().item() for n, s in zip(leaves, slopes, strict=False) if s is not None
        }

    def source(self) -> tuple[float, Tensor]:
        """The largest residual for constant fields, and the wavenumbers (D,) with which it varies."""
        k, X = self.k, self.X.clone().requires_grad_()
        rest = {n: self.X.new_full((len(X),), 0.0 if self.varies(n) else self.scales[f].offset)
                for n, f in self.field.items()}  # fmt: skip
        with torch.enable_grad():
            r = self.c.residual(**self._others(X), **rest)
            slope = torch.autograd.grad(r.sum(), X, allow_unused=True)[0] if r.requires_grad else None
        largest = float(_finite(r).abs().max())
        if not largest > ROUNDING * max(self.slopes[n] * float(v.abs().max()) for n, v in rest.items()):
            return 0.0, k
        if slope is not None and bool(slope.isfinite().all()):
            varies = slope[:, : len(k)].square().mean(0).sqrt() / _finite(r).square().mean().sqrt()
            k = torch.maximum(k, varies)
        return largest, k

    def balanced(self, field: str) -> float:
        """The size of a field whose largest term is as large as the source; 0 without a source or a derivative."""
        own = [n for n in self.symbols if self.field[n] == field]
        if not any(self.varies(n) for n in own):
            return 0.0
        source, k = self.source()
        terms = self.terms(1.0, k)
        return _ratio(source, max(terms[n] for n in own))

    def varies(self, name: str) -> bool:
        """Whether a symbol is a derivative, which vanishes for constant fields."""
        symbol = self.symbols[name]
        return isinstance(symbol, Normal) or isinstance(symbol.index, Lap) or any(symbol.index)

    def _gentle(self) -> dict[str, Tensor]:
        """Every symbol (N,) of a product of waves, its phases random at every point, one for each field."""
        D, generator = len(self.problem.coordinates), torch.Generator("cpu").manual_seed(0)
        turns = {f: 2 * pi * torch.rand(len(self.X), D, generator=generator, dtype=torch.float64, device="cpu")
                 for f in self.problem.fields}  # fmt: skip
        values = {}
        for name, field in self.field.items():
            scale, quarters = self.scales[field], self.X.new_tensor(_quarters(self.symbols[name], D))
            wave = self.amplitude(name) * torch.cos(turns[field] + pi / 2 * quarters).prod(1)
            values[name] = scale.size * wave + (0.0 if self.varies(name) else scale.offset)
        return values

    def _others(self, X: Tensor) -> dict[str, Tensor]:
        """The symbols (N,) that no network supplies."""
        coefficients = {k: X.new_full((len(X),), v) for k, v in self.problem.coefficients.items()}
        at = Place({}, X, self._normals() if self._has_normal else None, coefficients)
        return {n: s.read(at) for n, s in self.c.symbols.items() if n not in self.symbols}

    @property
    def _has_normal(self) -> bool:
        return self.c.region != "data" and self.problem.domain.has_normal(self.c.region)

    def _normals(self) -> Tensor:
        return self.problem.domain.normal(self.c.region, self.X[:, : len(self.problem.coordinates)])


def derivative_amplitude(key: Key, k: list[float]) -> float:
    """The amplitude of a derivative of a wave of amplitude 1 with the wavenumbers k."""
    if isinstance(key, Lap):
        return sum(k[i] ** 2 for i in key.axes)
    return prod(wave**order for wave, order in zip(k, key, strict=True))


def _quarters(symbol: Derivative | Normal, dimension: int) -> tuple[int, ...]:
    """By how many quarters of a turn a derivative is ahead of its field, by coordinate."""
    whole = isinstance(symbol, Normal) or isinstance(symbol.index, Lap)
    return (0,) * dimension if whole else symbol.index  # type: ignore[union-attr, return-value]


def _refuse_unknown(problem: Problem) -> None:
    for name in ("scale", "offset"):
        for field, number in getattr(problem, name).items():
            where = f"{type(problem).__name__}.{name}"
            if field not in problem.fields:
                raise ValueError(f"{where}: `{field}` is no field; expected of {', '.join(problem.fields)}")
            if not isinstance(number, Real) or not isfinite(number) or (name == "scale" and not float(number) > 0):
                raise ValueError(f"{where}: {field} = {number}; expected a number{' above 0' * (name == 'scale')}")


def _range(problem: Problem, field: str) -> tuple[float, float]:
    """The smallest and the largest value that conditions and measurements prescribe for a field; (0, 0) without any."""
    found = [v for c in problem.constraints() if (v := _prescribed(problem, c, field)) is not None]
    ends = [float(end) for values in found if len(values) for end in (values.min(), values.max())]
    low, high = (min(ends), max(ends)) if ends else (0.0, 0.0)
    size = max(abs(low), abs(high))
    if size < ZERO:
        return 0.0, 0.0
    return (low, high) if high - low > ROUNDING * size else (low, low)


def _middle(low: float, high: float) -> float:
    middle = (low + high) / 2
    return middle if abs(middle) > ROUNDING * (high - low) else 0.0


def _prescribed(problem: Problem, c: Constraint, field: str) -> Tensor | None:
    """The values g (N,) of a residual a (u - g) in one field u; None for any other residual."""
    probe = Probe(problem, c, {})
    if c.kind == "interior" or c.against is not None or list(probe.field.values()) != [field]:
        return None
    (name,) = probe.symbols
    if probe.varies(name):
        return None
    others = probe._others(probe.X)
    r0, r1, r2 = (c.plain(**others, **{name: torch.full_like(probe.X[:, 0], u)}) for u in (0.0, 1.0, 2.0))
    slope = r1 - r0
    if not torch.allclose(r2 - r1, slope):
        return None
    return (-r0 / slope)[slope != 0]


def _from_sources(problem: Problem, scales: Mapping[str, Scale]) -> dict[str, Scale]:
    """The fields that stand alone in an equation whose source makes them larger than they are known to be."""
    found = dict(scales)
    for c in _equations(problem):
        probe = Probe(problem, c, scales)
        if len(set(probe.field.values())) == 1:
            (field, *_) = probe.field.values()
            found[field] = _larger(found[field], probe.balanced(field), "sources")
    return {f: scale for f, scale in found.items() if scale.size > 0}


def _from_balance(problem: Problem, scales: Mapping[str, Scale], known: Mapping[str, Scale]) -> dict[str, Scale]:
    """The fields that are not known yet, and stand in an equation with a source or with fields that are."""
    found = {f: scale for f, scale in scales.items() if f not in known}
    for c in _equations(problem):
        probe = Probe(problem, c, scales)
        have, each = max(probe.terms().values(), default=0.0), probe.terms(1.0)
        for field in found.keys() & set(probe.field.values()):
            own = max(term for n, term in each.items() if probe.field[n] == field)
            found[field] = _larger(found[field], max(_ratio(have, own), probe.balanced(field)), "balance")
    return {f: scale for f, scale in found.items() if scale.size > 0}


def _equations(problem: Problem) -> list[Constraint]:
    return [c for c in problem.constraints() if c.kind != "data" and c.against is None]


def _larger(scale: Scale, size: float, origin: str) -> Scale:
    return Scale(scale.offset, size, origin) if scale.size < size < inf else scale


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else 0.0


def _finite(x: Tensor) -> Tensor:
    """The finite values of x (N,), or one 0."""
    values = x.detach()[x.detach().isfinite()]
    return values if len(values) else x.new_zeros(1)
