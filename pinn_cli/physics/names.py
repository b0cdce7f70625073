"""The names of a problem. No name may mean two things, because one of them would be taken without a word."""

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from inspect import Signature, signature
from keyword import iskeyword
from types import FunctionType
from typing import Any
from unicodedata import normalize

from torch import nn

EXPECTED = {  # of the attributes that are no methods
    "coordinates": 'a tuple of names, e.g. ("x", "t")',
    "fields": 'a tuple of names, e.g. ("u",)',
    "imposes": 'a tuple of names of constraints, e.g. ("wall",)',
    "unknowns": 'start values by name, e.g. {"k": 1.0}',
    "scale": 'a size by field, e.g. {"T": 10.0}',
    "offset": 'a value by field, e.g. {"T": 300.0}',
    "parameters": 'distributions by name, e.g. {"beta": Range(1, 50)}',
}
# Methods and attributes that only some problems have; the others are those of the class `Problem`.
OPTIONAL = ("exact", "reference", "measurements", "ansatz", "impose", "metrics", "domain", *EXPECTED)
# These share `self.<name>` with the methods.
ATTRIBUTES = ("coefficient", "coefficient field", "unknown", "observable", "constraint")
RESERVED = ("self", "source")  # `source` is the part of an equation without the fields (`terms.py`)


class Body(dict[str, Any]):
    """The namespace of the body of a class, which refuses a second residual, observable or function of one name."""

    def __setitem__(self, name: str, value: Any) -> None:
        both = (self.get(name), value)
        functions = all(isinstance(one, FunctionType) for one in both)
        if name in self and (functions or any(map(is_marked, both))):
            raise TypeError(f"`{name}` is written twice in one class, and Python drops the first; rename one of them")
        super().__setitem__(name, value)


class OneOfEachName(type):
    """The class of `Problem` and of its subclasses: it reads their bodies with `Body`."""

    @classmethod
    def __prepare__(cls, name: str, bases: tuple[type, ...], /, **options: Any) -> MutableMapping[str, object]:
        return Body()

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        """A new problem; unknowns that are fields become fields of it."""
        problem = super().__call__(*arguments, **options)
        problem._take_unknowns(problem.unknowns)
        return problem

    @property
    def __signature__(cls) -> Signature:
        """That of `__init__`: without it, `inspect.signature` would give that of `__call__` above."""
        own = signature(cls.__init__)  # type: ignore[misc]
        return own.replace(parameters=[*own.parameters.values()][1:])


def is_marked(member: Any) -> bool:
    """Whether a member of a class is a residual or an observable."""
    return hasattr(member, "_build") or hasattr(member, "_observable")


def refuse_clashes(cls: type, kinds: Mapping[str, Iterable[str]], means_derivative: Callable[[str], bool]) -> None:
    """Refuse a name that two kinds share, that is no name, or that means a derivative such as `u_x` (TypeError).

    `kinds` are the names by what they are, e.g. ``{"coordinate": ("x",), "field": ("u",)}``. An unknown may also be a
    coefficient, whose value is then the true one.
    """
    where, taken = cls.__name__, dict[str, str]()
    for kind, names in kinds.items():
        for name in names:
            refuse_no_name(kind, name)
            if kind in ATTRIBUTES and _is_method(cls, name, overrides=kind in ("observable", "constraint")):
                what = f"the {kind} `{name}` has the name of a method or attribute of the class"
                raise TypeError(f"{where}: {what}; choose another")
            other = taken.get(name)
            if other is not None and (other, kind) != ("coefficient", "unknown"):
                raise TypeError(f"{where}: {other} `{name}` and {kind} `{name}`; give each a name of its own")
            if kind not in ("coordinate", "field") and means_derivative(name):
                raise TypeError(f"{where}: the {kind} `{name}` has the name of a derivative; choose another name")
            taken[name] = kind


def _is_method(cls: type, name: str, overrides: bool) -> bool:
    """Whether a name is that of a method or property; of one of `Problem` itself where a method `overrides` others."""
    bases = cls.__mro__[-2:] if overrides else cls.__mro__
    members = [vars(base)[name] for base in bases if name in vars(base)]
    return name in OPTIONAL or any(hasattr(member, "__get__") and not is_marked(member) for member in members)


def refuse_no_name(kind: str, name: Any) -> None:
    """Refuse what cannot be the name of a parameter, and what is reserved (TypeError)."""
    if not isinstance(name, str) or not name.isidentifier() or iskeyword(name) or name != normalize("NFKC", name):
        raise TypeError(f"the {kind} {name!r} is no name in Python; expected one such as `u` or `psi`")
    is_torch = kind == "unknown" and hasattr(nn.ParameterDict, name)
    if name in RESERVED or is_torch:
        raise TypeError(f"the {kind} `{name}` has a reserved name; choose another")
