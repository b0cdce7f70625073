"""Unknown coefficients and fields: where the search starts, and between which bounds it stays.

The optimizer moves a free number s, of which the coefficient is a function that cannot leave its bounds:

    free       mu = s
    one bound  mu = low + e^s,  or  mu = high - e^s        positive: low = 0
    two        mu = low + (high - low) / (1 + e^-s)

An unknown field k(x) is the same function of the output s(x) of a network of its own.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, log
from numbers import Real
from typing import Any, TypeVar

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError, nearest
from pinn_cli.derivatives import Tape

KEYS = ("start", "positive", "low", "high", "lr")
FIELD_KEYS = ("of", *KEYS, "width", "depth")
Number = TypeVar("Number", float, Tensor)


class Unknown(float):
    """The start value of a trained coefficient, with the bounds of its values, which it may not reach.

    `lr` is its own learning rate under a first-order optimizer; None: that of the network. Raises UsageError for
    bounds that leave no room, and for a start value that is not between them.
    """

    low: float
    high: float
    lr: float | None

    def __new__(
        cls, start: float, positive: bool = False, low: float = -inf, high: float = inf, lr: float | None = None
    ) -> "Unknown":
        unknown = super().__new__(cls, start)
        unknown.low, unknown.high, unknown.lr = max(float(low), 0.0 if positive else -inf), float(high), lr
        if not unknown.low < unknown.high:
            raise UsageError(f"its bounds are {unknown.low:g} and {unknown.high:g}; expected a lower and a higher one")
        if not isfinite(start) or not unknown.low < start < unknown.high:
            bounds = f"between {unknown.low:g} and {unknown.high:g}" if unknown.bounded else "finite"
            raise UsageError(f"it starts at {float(start):g}; expected a number {bounds}")
        if lr is not None and not 0 < lr < inf:
            raise UsageError(f"lr={lr:g}: expected a learning rate above 0")
        return unknown

    @property
    def bounded(self) -> bool:
        """Whether there is a bound."""
        return isfinite(self.low) or isfinite(self.high)

    @property
    def free(self) -> float:
        """s at the start."""
        if isfinite(self.low) and isfinite(self.high):
            return log((self - self.low) / (self.high - self))
        if isfinite(self.low):
            return log(self - self.low)
        return log(self.high - self) if isfinite(self.high) else float(self)

    def value(self, s: Tensor) -> Tensor:
        """mu of s, in any shape."""
        if isfinite(self.low) and isfinite(self.high):
            return self.low + (self.high - self.low) * torch.sigmoid(s)
        if isfinite(self.low):
            return self.low + torch.exp(s)
        return self.high - torch.exp(s) if isfinite(self.high) else s

    def __str__(self) -> str:
        return f"{float(self):.6g}" + (f" between {self.low:g} and {self.high:g}" if self.bounded else "")


@dataclass(frozen=True)
class Field:
    """An unknown function of the coordinates `of`: ``unknowns = {"k": Field("x", positive=True)}``.

    It is a field of the problem with a network of its own, which sees these coordinates alone: a symbol like any other,
    with its derivatives (``k_x``). The search starts at the constant `start`. The network has `depth` hidden layers of
    `width`. Raises UsageError as `Unknown` does, and for no coordinate or no layer.
    """

    of: Sequence[str]
    start: float = 1.0
    positive: bool = False
    low: float = -inf
    high: float = inf
    lr: float | None = None
    width: int = 12
    depth: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", tuple(self.of))
        if not self.of or len(set(self.of)) < len(self.of):
            raise UsageError(f"a field of ({', '.join(self.of)}); expected its coordinates, each once, e.g. of: x")
        for key in ("width", "depth"):
            if getattr(self, key) < 1:
                raise UsageError(f"{key}={getattr(self, key)}: expected a whole number above 0")
        assert self.bound

    @property
    def bound(self) -> Unknown:
        """The start value with its bounds."""
        return Unknown(self.start, self.positive, self.low, self.high, self.lr)

    @property
    def size(self) -> float:
        """The change of k that counts as usual: as large as its start value, or 1."""
        return abs(float(self.start)) or 1.0

    def __str__(self) -> str:
        return f"a function of {', '.join(self.of)} from {self.bound} on"


def values_of(model: Any) -> dict[str, Tensor]:
    """The values of the unknowns of a model, from its free numbers `unknowns` and their `bounds`."""
    bounds: Mapping[str, Unknown] = getattr(model, "bounds", {})
    free: Mapping[str, Tensor] = dict(getattr(model, "unknowns", {}))
    return {name: bounds[name].value(s) if name in bounds else s for name, s in free.items()}


def at_points(model: Any, n: int, tape: Tape | None = None, besides: Collection[str] = ()) -> dict[str, Tensor]:
    """The values (n,) of the unknowns of a model at n points, `besides` some; each has its own row on the tape."""
    trained: Mapping[str, Tensor] = getattr(model, "unknowns", {})
    free = {name: trained[name] for name in trained if name not in besides}  # the compiler cannot trace `items`
    each = {name: tape.per_point(s, n) if tape and s.requires_grad else s.expand(n) for name, s in free.items()}
    bounds: Mapping[str, Unknown] = getattr(model, "bounds", {})
    return {name: bounds[name].value(s) if name in bounds else s for name, s in each.items()}


def unknowns_of(written: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Unknowns as they are written: numbers, tables of `KEYS`, or lists of numbers, which are named ``lam1, lam2 ...``.

    A table with the coordinates `of` is a field. An entry that is None is left out. Raises UsageError for all else.
    """
    found: dict[str, Any] = {}
    for name, setting in written.items():
        if isinstance(setting, str) or (isinstance(setting, Sequence) and not setting):
            raise UsageError(f"{where}.{name}={setting}: expected a finite number, e.g. {where}.{name}=1")
        if not isinstance(setting, Mapping | Sequence):
            found |= {} if setting is None else {name: setting}
            continue
        table = dict(setting) if isinstance(setting, Mapping) else {"start": setting}
        keys = FIELD_KEYS if "of" in table else KEYS
        for key in table:
            if key not in keys:
                raise UsageError(f"{where}.{name}: unknown key `{key}`; {nearest(str(key), FIELD_KEYS)}")
        if "of" in table:
            found[str(name)] = _field(table, f"{where}.{name}")
            continue
        if "start" not in table:
            raise UsageError(f"{where}.{name}: no start value; type {where}.{name}.start=1")
        start = table.pop("start")
        if isinstance(start, Sequence) and not isinstance(start, str):
            found |= {f"{name}{k}": _unknown(value, table, f"{where}.{name}") for k, value in enumerate(start, 1)}
        else:
            found[str(name)] = _unknown(start, table, f"{where}.{name}")
    return found


def fields_of(written: Mapping[str, Any], where: str) -> dict[str, Field]:
    """Those of the unknowns that are fields, written as a `Field` or as a table with `of` (Raises UsageError)."""
    tables = {name: one for name, one in written.items() if isinstance(one, Mapping) and "of" in one}
    return {name: one for name, one in {**written, **unknowns_of(tables, where)}.items() if isinstance(one, Field)}


def _unknown(start: Any, table: Mapping[str, Any], where: str) -> Unknown:
    _refuse_kinds({"start": start, **table}, where)
    if start is None:
        raise UsageError(f"{where}: no start value; expected a finite number")
    try:
        return Unknown(start, **{key: value for key, value in table.items() if value is not None})
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _field(table: Mapping[str, Any], where: str) -> Field:
    of = table["of"]
    if not isinstance(of, Sequence) or not all(isinstance(c, str) for c in of):
        raise UsageError(f"{where}: `of` is {of!r}; expected the coordinates of the field, e.g. of: x or of: [x, y]")
    own = {key: value for key, value in table.items() if value is not None}
    _refuse_kinds({key: value for key, value in own.items() if key != "of"}, where)
    try:
        return Field(**own)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _refuse_kinds(table: Mapping[str, Any], where: str) -> None:
    """Refuse an entry that is no number, or for some keys no whole number, true or false (UsageError)."""
    kinds: dict[str, tuple[type, str]] = {"positive": (bool, "true or false"), "width": (int, "a whole number"),
                                          "depth": (int, "a whole number")}  # fmt: skip
    for key, value in table.items():
        kind, expected = kinds.get(key, (Real, "a finite number"))
        if value is not None and (not isinstance(value, kind) or (kind is not bool and isinstance(value, bool))):
            raise UsageError(f"{where}: `{key}` is {value!r}; expected {expected}")
