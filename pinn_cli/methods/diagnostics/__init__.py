"""Diagnostics, one file each: what a run can record of the objective while the network trains."""

from pinn_cli.basics.errors import UsageError


def refuse_below_one(name: str, **numbers: int) -> None:
    """Refuse settings of the diagnostic `name` below 1 (UsageError)."""
    for key, value in numbers.items():
        if value < 1:
            raise UsageError(f"diagnostics.{name}.{key}={value}: expected a whole number above 0")
