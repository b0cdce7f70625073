"""What can be looked at while a network trains: one file per diagnostic.

A diagnostic is handed an objective that is a copy (`diagnosis.py`), at the points and with the weights of the step that
has just been made, and returns numbers and arrays by name, a *record*. It keeps nothing from one record to the next.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from pinn_cli.basics.errors import UsageError


class Diagnostic(Protocol):
    """What every diagnostic is. `columns`: what of a record the history has too, {column: name in the record}."""

    every: int  # steps between records; the first and the last step of a stage always have one
    columns: Mapping[str, str]

    def __call__(self, objective: Any) -> dict[str, Tensor | float]:
        """A record: numbers and arrays by name; slashes make groups."""


def counted(name: str, **numbers: int) -> None:
    """Refuse numbers below 1 (UsageError)."""
    for key, value in numbers.items():
        if value < 1:
            raise UsageError(f"diagnostics.{name}.{key}={value}: expected a whole number above 0")
