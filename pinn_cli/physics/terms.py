"""The size of the terms of an equation, which its residual is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from pinn_cli.derivatives.keys import Key, Lap
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.scales import field_scales
from pinn_cli.physics.symbols import Derivative, Normal

CONSTANT = 1e-4  # the smallest deviation of a field relative to its mean: below, it counts as constant
COUPLED = 1e-3  # the smallest deviation relative to the one at which its terms equal the others of its equations
MOST = 0.9  # of the points: those that count where a residual is divided by its response
AT_REST = 1e-2  # the smallest deviation relative to the natural size, of a field that nothing moves


@dataclass(frozen=True)
class Scales:
    """The mean of every field on the domain, and the size of its deviation from the mean, each (F,)."""

    mean: Tensor
    deviation: Tensor


def scales_of(values: Tensor) -> Scales:
    """The scales of fields with these values (N, F) on the domain. A constant field gets a small part of its mean."""
    mean = values.detach().mean(0)
    return Scales(mean, (values.detach() - mean).square().mean(0).sqrt().maximum(CONSTANT * mean.abs()))


def terms_of(
    problem: Problem,
    constraint: Constraint,
    values: Mapping[str, Tensor],
    scales: Scales,
    factor: Tensor | float = 1.0,
) -> dict[str, float]:
    """rms of (s - s0) dr/ds for every symbol s of a field, and of the residual where all symbols are s0 (`source`).

    s0 is the symbol of a constant field at its mean: the mean itself, and 0 for a derivative. So an offset (300 K) is
    no term of T - 300, while all of k T is one. `values` are the symbols (N,) by name. A symbol that vanishes on the
    region gets the size that a function of the field's deviation has if it varies over the extents of the domain. With
    a `factor` (N,), the terms are those of the equation times this function of the points.
    """
    terms, constant = {}, {}
    for name, slope in slopes_of(constraint, values).items():
        field, level = field_of(constraint, name), _level(constraint, name, scales)
        usual = float(scales.deviation[field]) * steepness(problem, constraint, name)
        constant[name] = torch.full_like(values[name], level)
        terms[name] = max(rms(factor * slope * (values[name] - level)), rms(factor * slope) * usual)
    source = rms(factor * constraint.residual(**{**values, **constant}))
    most = rms(factor * constraint.residual(**values)) + sum(terms.values())  # 1 / u may be infinite at a constant u
    return terms | {"source": source if source <= most else most}


def levelling(problem: Problem, constraint: Constraint, values: Mapping[str, Tensor], scales: Scales) -> Tensor:
    """The factor (N,) that makes an equation react equally to its fields at all points; 1 for constant coefficients.

    An equation may be multiplied by any function of the points: without it, exp(-20 t) (u_t - u) counts at t = 0 alone.
    """
    largest = torch.zeros_like(next(iter(values.values())))
    for name, slope in slopes_of(constraint, values).items():
        usual = float(scales.deviation[field_of(constraint, name)]) * steepness(problem, constraint, name)
        largest = largest.maximum((slope.abs() * usual).nan_to_num(0.0, 0.0))  # the slope of a root at 0 is infinite
    return torch.where(largest > 0, rms(largest) / largest, 0.0)


def relative_size(
    problem: Problem, constraint: Constraint, values: Mapping[str, Tensor], r: Tensor, scales: Scales
) -> float:
    """The rms of the residuals r (N,) of an equation over its largest term.

    It is the larger of two: as the equation is written, and divided at each point by its response to the fields.
    The second leaves out the few points at which it is largest: an equation may be damped near a singularity.
    """
    factor = levelling(problem, constraint, values, scales)
    most = (factor * r).abs().sort().values[: max(1, int(MOST * len(r)))]
    sizes = ((rms(r), 1.0), (rms(most), factor))
    largest = [max(terms_of(problem, constraint, values, scales, f).values()) for _, f in sizes]
    return max(size / max(term, 1e-300) for (size, _), term in zip(sizes, largest, strict=True))


def coupled(problem: Problem, scales: Scales, values: Mapping[str, Mapping[str, Tensor]]) -> Scales:
    """The scales, where a field that vanishes (v = 0 in a channel) gets a small part of what its equations allow.

    That is the smallest deviation, over the equations in the interior, whose term is as large as the largest one of
    the other fields and the source. `values` are the symbols (N,) of each equation at points of the interior.
    """
    allowed: dict[int, list[float]] = {}
    for constraint in problem.constraints():
        if constraint.name in values:
            at = values[constraint.name]
            terms = terms_of(problem, constraint, at, scales)
            slopes = slopes_of(constraint, at)
            for field in {field_of(constraint, name) for name in slopes}:
                own = [name for name in slopes if field_of(constraint, name) == field]
                response = max(rms(slopes[name]) * steepness(problem, constraint, name) for name in own)
                others = max(size for name, size in terms.items() if name not in own)
                if response > 0:
                    allowed.setdefault(field, []).append(others / response)
    least = [COUPLED * min(allowed.get(k, [0.0])) for k in range(len(problem.fields))]
    return replace(scales, deviation=scales.deviation.maximum(scales.deviation.new_tensor(least)))


def at_rest(problem: Problem, scales: Scales) -> Scales:
    """The scales, where a field that nothing moves gets a small part of its natural size.

    Constant values are all that is prescribed for it, so its solution is constant, and what a network deviates from
    it is error.
    """
    still = [s.size if s.origin == "not found" else 0.0 for s in field_scales(problem).values()]
    return replace(scales, deviation=scales.deviation.maximum(AT_REST * scales.deviation.new_tensor(still)))


def slopes_of(
    constraint: Constraint, values: Mapping[str, Tensor], all_symbols: bool = False
) -> dict[str, Tensor]:
    """dr/ds (N,) for every symbol s of a field, or for all symbols, at these values of all of them."""
    names = list(constraint.symbols) if all_symbols else supplied(constraint)
    leaves = {n: values[n].detach().clone().requires_grad_() for n in names}
    with torch.enable_grad():
        r = constraint.residual(**{**values, **leaves})
        slopes = torch.autograd.grad(r.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(leaves, slopes, strict=True))


def _level(constraint: Constraint, name: str, scales: Scales) -> float:
    """The value of a symbol for a constant field at its mean."""
    return float(scales.mean[field_of(constraint, name)]) if order_of(constraint, name) == 0 else 0.0


def supplied(constraint: Constraint) -> list[str]:
    """The symbols whose values come from the network."""
    return [name for name, symbol in constraint.symbols.items() if isinstance(symbol, Derivative | Normal)]


def is_prior(problem: Problem, constraint: Constraint) -> bool:
    """Whether a residual inside is one of unknown fields alone, such as k_x: prior knowledge, and no law to satisfy."""
    fields = {problem.fields[field_of(constraint, name)] for name in supplied(constraint)}
    return constraint.kind == "interior" and bool(fields) and fields <= problem.unknown_fields.keys()


def order_of(constraint: Constraint, name: str) -> int:
    """The order of the derivative that a symbol stands for; 0 for a value."""
    return max(map(order, constraint.symbols[name].needs))


def order(key: Key) -> int:
    """The order of a derivative."""
    return 2 if isinstance(key, Lap) else sum(key)


def field_of(constraint: Constraint, name: str) -> int:
    """The position of the field that a symbol stands for."""
    symbol = constraint.symbols[name]
    assert isinstance(symbol, Derivative | Normal)
    return symbol.field


def steepness(problem: Problem, constraint: Constraint, name: str) -> float:
    """The size of the derivative of a function of size 1 that varies over the extents of the domain."""
    lengths = [high - low for low, high in problem.domain.extents]

    def of(key: Key) -> float:
        if isinstance(key, Lap):
            return sum(lengths[axis] ** -2 for axis in key.axes)
        return prod(length**-k for length, k in zip(lengths, key, strict=True))

    return max(map(of, constraint.symbols[name].needs))


def rms(x: Tensor) -> float:
    """The root mean square."""
    return float(x.detach().square().mean().sqrt())
