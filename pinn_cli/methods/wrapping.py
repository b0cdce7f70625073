"""The base of optimizers that take the steps of another one and judge them."""

from dataclasses import dataclass

from torch import Tensor

from pinn_cli.methods.contracts import Objective, Optimizer, Rule


@dataclass
class Wrapping(Optimizer):
    """Has the flags and the costs of `inner`."""

    inner: Optimizer

    def __post_init__(self) -> None:
        for name in ("cadence", "at_once", "remedy", "least_squares", "interruptible", "output_layer_alone"):
            setattr(self, name, getattr(self.inner, name))

    def carry(self, keep: bool | str) -> None:
        self.inner.carry(keep)

    def rule(self, objective: Objective) -> Rule | None:
        return self.inner.rule(objective)

    def refuse(self, objective: Objective) -> None:
        self.inner.refuse(objective)

    def workspace(self, parameters: int, rows: int, itemsize: int) -> float:
        return self.inner.workspace(parameters, rows, itemsize)

    def operations(self, parameters: int, rows: int) -> float:
        return self.inner.operations(parameters, rows)

    def factorise(self, J: Tensor) -> None:
        self.inner.factorise(J)
