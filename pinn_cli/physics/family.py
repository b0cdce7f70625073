"""A family of equations: one problem whose coefficients, sources or initial values are random.

An instance of it is an ordinary problem, drawn by a whole number, its seed. Which seeds belong to which set is said
here and nowhere else, so that no instance that a method is tested on has been trained on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from inspect import signature
from typing import Any, ClassVar, Self

from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.coefficient_fields.given import field_from
from pinn_cli.physics.distributions.base import Distribution, Outside, generator
from pinn_cli.physics.distributions.numbers import Range
from pinn_cli.physics.problem import Problem

SETS = {"test": range(1000), "validation": range(1000, 2000), "train": range(2000, 2**31)}  # seeds of instances


@dataclass
class Family(Problem):
    """Base of all families: a problem with `parameters`, a distribution for each, by the names of dataclass fields.

        @dataclass
        class Waves(Family):
            beta: float | None = None                   # a number; None: drawn
            parameters = {"beta": Range(1, 50)}         # or (1, 50)

    The family itself is its instance `seed`: a parameter that is not given is drawn with this seed. One that is given
    keeps its value in all instances, and must be one that the distribution can take. A field may be given as a file, as
    arrays on a grid, or as a function (`coefficient_fields/given.py`). Where distributions depend on other settings of
    the family, `parameters` is a property. A `__post_init__` of a subclass calls ``super().__post_init__()`` first, and
    finds the values there.

    Raises ValueError for a seed that no set has and for a value that its distribution cannot take; TypeError for a
    family without parameters, and for a parameter that is no dataclass field or has no distribution.
    """

    parameters: ClassVar[Mapping[str, Any]] = {}
    seed: int = field(default=0, kw_only=True)
    _outside: ClassVar[list[str] | None] = None  # of a copy that `given` makes: what its distributions do not draw

    def __post_init__(self) -> None:
        where = type(self).__name__
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or which_set(self.seed) is None:
            last = SETS["train"].stop - 1
            raise ValueError(f"{where}: seed={self.seed!r}: expected a whole number from 0 to {last}, e.g. 7")
        self._drawn = [name for name in self.distributions if getattr(self, name) is None]
        for name, distribution in self.distributions.items():
            drawn, value = distribution.draw(generator(name, self.seed)), getattr(self, name)
            if name in self._drawn:
                setattr(self, name, drawn)
                continue
            try:
                if isinstance(drawn, CoefficientField):
                    value = field_from(name, value, drawn)
                    setattr(self, name, value)
                distribution.refuse(value)
            except Outside as error:
                if self._outside is None:
                    raise ValueError(f"{where}.{name}: {error}") from None
                self._outside.append(f"{name} is outside of what was trained: {error}")
            except ValueError as error:
                raise ValueError(f"{where}.{name}: {error}") from None
            if self._outside is not None and (rare := distribution.rare(value)):
                self._outside.append(f"{name} is outside of what was trained: {rare}")
        inner: Any = super()
        if hasattr(inner, "__post_init__"):  # of the problem of which this is a family
            inner.__post_init__()

    @cached_property
    def distributions(self) -> dict[str, Distribution]:
        """The distribution of each parameter (Raises TypeError for a wrong one)."""
        where = f"{type(self).__name__}.parameters"
        example = 'e.g. {"beta": Range(1, 50)}'
        if not isinstance(self.parameters, Mapping) or not self.parameters:
            raise TypeError(f"{where} = {self.parameters!r}: expected a distribution by the name of each, {example}")
        known = signature(type(self)).parameters
        for name, given in self.parameters.items():
            if name not in known:
                raise TypeError(
                    f"{where}: `{name}` is no field of the dataclass; write @dataclass above the class and "
                    f"`{name}: float | None = None` in it"
                )
            if not isinstance(given, Distribution) and not _is_pair(given):
                raise TypeError(f"{where}: {name} = {given!r}: expected a distribution, {example}")
        return {n: Range(*given) if _is_pair(given) else given for n, given in self.parameters.items()}

    def instance(self, seed: int) -> Self:
        """The instance with this seed, an ordinary problem."""
        return self.with_(seed=seed)

    def instances(self, which: str, count: int) -> list[Self]:
        """The first `count` instances of a set: test, validation or train. Raises ValueError if it has fewer."""
        if which not in SETS:
            raise ValueError(f"no set `{which}`; expected one of {', '.join(SETS)}")
        if not 0 <= count <= len(SETS[which]):
            raise ValueError(f"{count} instances of the set {which}; expected 0 to {len(SETS[which])}")
        return [self.instance(seed) for seed in SETS[which][:count]]

    def with_(self, **changes: Any) -> Self:
        """A changed copy. Parameters that were drawn are drawn again, those that were given keep their values."""
        if self._outside is not None:
            return self.given(**changes)[0]
        return super().with_(**dict.fromkeys(self._drawn) | changes)  # type: ignore[return-value]

    def given(self, **changes: Any) -> tuple[Self, list[str]]:
        """A changed copy, also with values that its distributions do not draw, and a line for each such value."""
        copy = object.__new__(type(self))
        outside: list[str] = []
        copy._outside = outside  # type: ignore[misc]
        copy.__init__(**self._arguments(dict.fromkeys(self._drawn) | changes))  # type: ignore[misc]
        return copy, outside

    @property
    def _numbers(self) -> dict[str, Any]:
        """The coefficients, of which the seed is none."""
        return {name: value for name, value in super()._numbers.items() if name != "seed"}


def which_set(seed: int) -> str | None:
    """The set that an instance belongs to, by its seed; None: it belongs to none."""
    return next((name for name, seeds in SETS.items() if seed in seeds), None)


def _is_pair(given: Any) -> bool:
    return isinstance(given, tuple | list) and len(given) == 2
