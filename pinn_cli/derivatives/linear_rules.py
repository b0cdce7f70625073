"""Linear maps of the features: layers, joins, slices, shapes. The first dimension is always that of the points."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pinn_cli.derivatives.jet import Jet, rule

T = torch.Tensor
FEW = 64  # features per output above which a layer has few outputs


@rule(torch.nn.functional.linear)
def linear(a: Jet, weight: Tensor, bias: Tensor | None = None) -> Jet:
    """Z_s = A_s W^T (+ b for the value). One GEMM for all full streams, and a small one for those of a single row.

    To place the streams side by side would take longer where there is one, and where the layer has few outputs of many
    features: each is a product of its own.
    """
    n = len(a)
    full = [i for i, s in enumerate(a.streams) if s is not None and len(s) == n]
    rows = [i for i, s in enumerate(a.streams) if s is not None and len(s) != n]
    streams: list[Tensor | None] = [None] * len(a.streams)
    apart = len(full) == 1 or len(weight) * FEW < weight.shape[1]
    for i in full if apart else ():
        streams[i] = torch.nn.functional.linear(a.streams[i], weight)  # type: ignore[arg-type]
    for group in filter(None, (() if apart else full, rows)):
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
    """The rule of cat and stack along features. Constants among the parts have no derivatives."""

    def rule(parts: Any, dim: int = 0) -> Jet:
        like = next(p for p in parts if isinstance(p, Jet))
        streams = []
        for s in range(len(like.streams)):
            of = [p.streams[s] if isinstance(p, Jet) else (p if s == 0 else None) for p in parts]
            lengths = [len(x) for x in of if x is not None]
            n = 0 if 0 in lengths else max(lengths, default=0)  # a single row stands for all points, also for none
            full = [_zeros(p, n) if x is None else x.expand(n, *x.shape[1:]) for x, p in zip(of, parts, strict=True)]
            streams.append(join(full, dim=dim) if lengths else None)
        return Jet(streams, like.algebra, like.tape)

    return rule


rule(torch.cat, torch.concat, torch.concatenate)(_joined(torch.cat))
rule(torch.stack)(_joined(torch.stack))


def _zeros(part: Any, n: int) -> Tensor:
    value = part.value if isinstance(part, Jet) else part
    return torch.zeros((n, *value.shape[1:]), dtype=value.dtype, device=value.device)


@rule(torch.reshape, T.reshape, T.view)
def reshape(a: Jet, *shape: Any) -> Jet:
    """Reshape the features. Raises ValueError if the first dimension would change."""
    shape = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    shape = tuple(a.value.reshape(shape).shape)
    if shape[0] != len(a):
        raise ValueError(f"a Jet of {len(a)} points cannot be reshaped to {shape}: the points come first and stay")
    return a.map(lambda s: s.reshape(len(s), *shape[1:]))


@rule(torch.unbind, T.unbind)
def unbind(a: Jet, dim: int = 0) -> tuple[Jet, ...]:
    """One jet for each entry along a dimension of the features."""
    return tuple(a.map(lambda s, i=i: s.select(dim, i)) for i in range(a.shape[dim]))  # type: ignore[misc]


@rule(torch.unsqueeze, T.unsqueeze)
def unsqueeze(a: Jet, dim: int) -> Jet:
    """Insert a dimension of size one among the features."""
    return a.map(lambda s: s.unsqueeze(dim))


@rule(torch.squeeze, T.squeeze)
def squeeze(a: Jet, dim: int) -> Jet:
    """Remove a dimension of size one among the features."""
    return a.map(lambda s: s.squeeze(dim))


for _constant in (torch.zeros_like, torch.ones_like, torch.full_like):  # a plain tensor: it has no derivatives
    rule(_constant)(lambda a, *args, constant=_constant, **options: constant(a.value, *args, **options))
