"""What a coefficient field is: a known function of some coordinates, with its exact derivatives.

It stands in an equation under its name, like a number: ``nu``, and its derivatives as ``nu_x``, ``nu_xy``.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from itertools import product
from math import factorial, prod
from typing import Any

import torch
from torch import Tensor

from pinn_cli.derivatives import Jet, Taylor
from pinn_cli.derivatives.jet import multiply
from pinn_cli.derivatives.keys import Index

SEEN = 64  # points whose values count in a fingerprint


class CoefficientField(ABC):
    """A function of `coordinates`, called with one tensor or jet (N,) for each of them: ``nu(x, y)``.

    A subclass writes `values` in functions of torch, and all derivatives follow from it. One that knows its derivatives
    better overrides `derivative`. Two fields are equal if their `fingerprint` is.
    """

    coordinates: tuple[str, ...]
    smooth = True  # False: it has jumps or kinks, and no derivatives there
    box: Mapping[str, tuple[float, float]] | None = None  # where it is known, by coordinate; None: everywhere
    periodic: tuple[str, ...] = ()  # coordinates in which it is one on a circle

    @abstractmethod
    def values(self, *columns: Any) -> Any:
        """The values (N,) at points given by their coordinates, each (N,), in their precision and on their device."""

    @cached_property
    def _moved(self) -> dict[tuple[str, torch.device, torch.dtype], Tensor]:
        """Tables that have been copied to a device, or to another precision."""
        return {}

    def moved(self, name: str, table: Tensor, like: Tensor) -> Tensor:
        """A constant table of this field in the precision and on the device of a tensor, to which it is copied once."""
        if table.device == like.device and table.dtype == like.dtype:
            return table
        key = (name, like.device, like.dtype)
        if key not in self._moved:
            if torch.compiler.is_compiling():  # a graph must not keep its own tensors
                return table.to(like)
            self._moved[key] = table.to(like)
        return self._moved[key]

    @property
    @abstractmethod
    def state(self) -> Mapping[str, Tensor]:
        """All numbers that the values depend on, by name, float64 on the CPU."""

    def derivative(self, index: Index) -> "CoefficientField":
        """The partial derivative of these orders by coordinate. Raises ValueError if there is none."""
        return Differentiated(self, index) if any(index) else self

    @cached_property
    def _derivatives(self) -> dict[Index, "CoefficientField"]:
        """Those that jets have asked for."""
        return {}

    def __call__(self, *columns: Any) -> Any:
        """The values (N,); of jets with all the derivatives that these carry."""
        return self._of_jets(columns) if any(isinstance(c, Jet) for c in columns) else self.values(*columns)

    def on_lattice(self, axes: Sequence[Tensor]) -> Tensor:
        """The values (n_1, ..., n_d) at the nodes of a lattice, given by its axes, each (n_i,)."""
        columns = torch.meshgrid(*axes, indexing="ij")
        return self(*(c.flatten() for c in columns)).view(columns[0].shape)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of class, coordinates and state: 16 hexadecimal digits.

        A class of a user's own may change its formula and keep its name, so some values in [-1, 1]^d count as well.
        """
        parts = [(name, tuple(v.shape), v.detach().cpu().numpy().tobytes()) for name, v in sorted(self.state.items())]
        random = torch.Generator("cpu").manual_seed(0)
        X = 2 * torch.rand(len(self.coordinates), SEEN, generator=random, dtype=torch.float64, device="cpu") - 1
        values = self.values(*X)
        seen = values.detach().float().numpy().tobytes() if isinstance(values, Tensor) else repr(values).encode()
        parts.append(("values", (SEEN,), seen))
        return sha256(repr((type(self).__name__, self.coordinates, parts)).encode()).hexdigest()[:16]

    def __deepcopy__(self, memo: Any) -> "CoefficientField":
        """Itself: it never changes, and a family copies its parameters for each instance."""
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CoefficientField) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def _of_jets(self, columns: Sequence[Any]) -> Jet:
        """Taylor's formula, f(z + d) = sum_a f^(a)(z) d^a / a!, where d are the derivatives of the columns."""
        plain = [c.value if isinstance(c, Jet) else c for c in columns]
        jets = {i: c for i, c in enumerate(columns) if isinstance(c, Jet)}
        moving = {i: Jet([None, *c.streams[1:]], c.algebra, c.tape) for i, c in jets.items()}
        like = next(iter(jets.values()))
        streams: list[Any] = [self.values(*plain), *[None] * (len(like.algebra) - 1)]
        for index in product(range(like.algebra.order + 1), repeat=len(moving)):
            if not 0 < sum(index) <= like.algebra.order:
                continue
            factors = [moving[i] for i, n in zip(moving, index, strict=True) for _ in range(n)]
            power = factors[0]
            for factor in factors[1:]:
                power = multiply(power, factor)
            if all(s is None for s in power.streams):
                continue
            orders = dict(zip(moving, index, strict=True))
            own = tuple([orders.get(i, 0) for i in range(len(columns))])
            if own not in self._derivatives:
                self._derivatives[own] = self.derivative(own)
            f = self._derivatives[own].values(*plain) / prod([factorial(n) for n in index])
            for k, s in enumerate(power.streams):
                if s is not None:
                    streams[k] = f * s if streams[k] is None else streams[k] + f * s
        return Jet(streams, like.algebra, like.tape)


class Differentiated(CoefficientField):
    """A partial derivative of a field that is written in functions of torch, by jets."""

    def __init__(self, of: CoefficientField, index: Index) -> None:
        self.of, self.index, self.coordinates = of, index, of.coordinates
        self._engine = Taylor({index})
        try:  # the derivatives that it needs are made here, and not while it is compiled
            self.values(*(torch.zeros(1, dtype=torch.float64, device="cpu") for _ in self.coordinates))
        except NotImplementedError as error:
            raise ValueError(str(error)) from error

    def values(self, *columns: Tensor) -> Tensor:
        def u(X: Any) -> Any:
            return self.of.values(*(X[:, i] for i in range(len(self.coordinates))))

        return self._engine(u, torch.stack(columns, 1))[self.index]

    def derivative(self, index: Index) -> CoefficientField:
        return self.of.derivative(tuple(a + b for a, b in zip(self.index, index, strict=True)))

    @property
    def state(self) -> Mapping[str, Tensor]:
        return {**self.of.state, "index": torch.tensor(self.index, dtype=torch.float64, device="cpu")}
