"""What the derivatives of a problem cost: streams of jets, against passes of nested reverse mode."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pinn_cli.derivatives.engines import Taylor
from pinn_cli.derivatives.keys import Index, Key, Lap
from pinn_cli.physics.problem import Constraint
from pinn_cli.physics.terms import order


@dataclass
class Streams:
    """The derivatives carried over one region, and what a residual there costs in passes through the network."""

    region: str
    constraints: list[str]
    derivatives: list[str]
    taylor: int
    nested: int


def plan(problem: Any, constraints: Iterable[Constraint]) -> list[Streams]:
    """Streams by region: constraints of one region share their points and one pass; periodic pairs need two."""
    groups: dict[tuple[str, str], list[Constraint]] = {}
    for c in constraints:
        groups.setdefault((c.region, c.name if c.against else ""), []).append(c)
    return [_streams(problem, group) for group in groups.values()]


def _streams(problem: Any, group: list[Constraint]) -> Streams:
    zero = (0,) * len(problem.coordinates)
    wanted: set[Key] = {zero}
    wanted.update(*(s.needs for c in group for s in c.symbols.values()))
    spelt = [spell(problem.coordinates, key) for key in sorted(wanted, key=lambda k: (order(k), str(k)))]
    ends = 2 if group[0].against else 1
    taylor, nested = Taylor(wanted).streams, nested_passes(wanted, len(zero), len(problem.fields))
    return Streams(group[0].region, [c.name for c in group], spelt, ends * taylor, ends * nested)


def spell(coordinates: Iterable[str], key: Key) -> str:
    """(2, 0) -> `xx`, the Laplacian -> `lap`, the value itself -> `1`."""
    if isinstance(key, Lap):
        return "lap"
    return "".join(c * n for c, n in zip(coordinates, key, strict=True)) or "1"


def nested_passes(wanted: Iterable[Key], D: int, F: int) -> int:
    """Passes through the network of nested reverse mode that shares lower derivatives, as `Autograd` does.

    The function itself is one pass. The gradient of a derivative of order m goes back through its whole graph, which is
    2^m passes, for each of the F fields: a chain to order m costs 2^m in all, a Laplacian 1 + F (1 + 2 D).
    """
    differentiated: set[Index] = set()
    for key in wanted:
        for index in [_twice(i, D) for i in key.axes] if isinstance(key, Lap) else [key]:
            while any(index):
                i = next(i for i, n in enumerate(index) if n)
                index = tuple(n - (i == j) for j, n in enumerate(index))
                differentiated.add(index)
    return 1 + F * sum(2 ** sum(index) for index in differentiated)


def _twice(axis: int, D: int) -> Index:
    return tuple(2 * int(axis == j) for j in range(D))
