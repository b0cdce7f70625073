"""The size of the terms of an equation, which its residual is compared with."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pinn_cli.derivatives.keys import Lap
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.symbols import Derivative, Normal


def terms_of(problem: Problem, constraint: Constraint, values: Mapping[str, Tensor], size: float) -> dict[str, float]:
    """rms of s dr/ds for every symbol s of a field, and of the residual with all of them zero (`source`).

    `values` are the symbols (N,) by name, `size` is the rms of the solution. A symbol that vanishes on the region gets
    the size of a derivative of such a function: size / L^order, L the largest extent of the domain.
    """
    leaves = {n: values[n].detach().clone().requires_grad_() for n in supplied(constraint)}
    with torch.enable_grad():
        r = constraint.residual(**{**values, **leaves})
        slopes = torch.autograd.grad(r.sum(), list(leaves.values()), allow_unused=True)
    terms = {}
    for name, slope in zip(leaves, slopes, strict=True):
        usual = size / problem.domain.length ** max(order(key) for key in constraint.symbols[name].needs)
        terms[name] = 0.0 if slope is None else max(rms(slope * values[name]), rms(slope) * usual)
    source = constraint.residual(**{**values, **{name: torch.zeros_like(leaf) for name, leaf in leaves.items()}})
    return terms | {"source": rms(source.detach())}


def supplied(constraint: Constraint) -> list[str]:
    """The symbols whose values come from the network."""
    return [name for name, symbol in constraint.symbols.items() if isinstance(symbol, Derivative | Normal)]


def order(key: tuple[int, ...] | Lap) -> int:
    """The order of a derivative."""
    return 2 if isinstance(key, Lap) else sum(key)


def rms(x: Tensor) -> float:
    """The root mean square."""
    return float(x.detach().square().mean().sqrt())
