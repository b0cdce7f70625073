"""What networks of a family of equations have in common: basis functions, and numbers of instances."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.pointwise_equations import PointwiseEquation
from pinn_cli.physics.family import SETS, Family
from pinn_cli.physics.problem import Problem

Equations = Callable[[], Sequence[PointwiseEquation]]


class FamilyNetwork(nn.Module, ABC):
    """P basis functions for each field, and a way to combine them for an instance i of a family:

        u_i(x) = sum_j w_ij f_j(x)

    `basis(inputs=, outputs=)` makes the network of the functions. Each step trains on `instances` of the first `train`
    instances of the training set, drawn anew every `every` steps (null: the same ones for the whole stage). The
    history has the mean error over the first `validation` instances of that set, the results that over `test`. An
    ordinary problem is a family of one for a network that solves equations.

    Where the features of the basis are random and not trained, the functions begin as 1 and the first P - 1 features,
    and the linear map from features to functions is trained. With as many functions as features and 1, their span
    never changes: the basis is frozen.

    Shapes: X (N, inputs) -> the functions of all fields (N, outputs * P). Raises UsageError for numbers that are not
    possible.
    """

    def __init__(self, inputs: int, outputs: int, basis: Callable[..., nn.Module], functions: int, instances: int,
                 every: int | None, train: int, validation: int, test: int) -> None:
        super().__init__()
        _refuse_number("functions", functions, 1, 10_000, 50)
        _refuse_number("train", train, 1, len(SETS["train"]), 1000)
        _refuse_number("instances", instances, 1, train, min(8, train))
        _refuse_number("validation", validation, 1, len(SETS["validation"]), 8)
        _refuse_number("test", test, 1, len(SETS["test"]), 50)
        if every is not None:
            _refuse_number("every", every, 1, 2**31, 1)
        self.functions, self.instances, self.every, self.train_set = functions, instances, every, train
        self.validation, self.test = validation, test
        self.basis = basis(inputs=inputs, outputs=outputs * functions)
        self.fields = outputs
        self.unit_inputs = getattr(self.basis, "unit_inputs", False)
        trained = {id(p) for p in self.basis.parameters() if p.requires_grad}
        hidden, output = (getattr(self.basis, name, None) for name in ("hidden", "output_layer"))
        if isinstance(hidden, nn.Module) and not trained & {id(p) for p in hidden.parameters()}:
            assert isinstance(output, nn.Linear)
            _begin_with_features(output, functions)

    points: Mapping[str, int] = {}  # at which equations are solved, by constraint, region or kind; none: nothing is

    def prepare(self, family: Family, instances: Sequence[Family]) -> None:
        """Look at some instances of the training set before training; initial values come from torch's generator."""

    def place(self, draw: Callable[[int], Tensor]) -> None:
        """Let the ridges of random features go through points of the domain (`random_features.py`)."""
        of_features: Any = getattr(self.basis, "place", None)
        if of_features is not None:
            of_features(draw)

    @abstractmethod
    def coefficients(self, instances: Sequence[Problem], equations: Equations) -> Tensor:
        """w (I, F, P) of some instances. `equations()` gives their equations at the network's own points."""

    def failures(self) -> Sequence[str]:
        """What is wrong with each instance of the last call of `coefficients`, and what to type; "" if nothing."""
        return ()

    def values(self) -> Mapping[str, float]:
        """Columns for the history, by name."""
        return {}

    def forward(self, X: Tensor) -> Tensor:
        """The functions (N, F P) at inputs X (N, inputs)."""
        return self.basis(X)


@torch.no_grad()
def _begin_with_features(output: nn.Linear, functions: int) -> None:
    """Make the functions of each field 1 and the first features. Raises UsageError for more functions than these."""
    K = output.in_features
    if functions > K + 1:
        raise UsageError(
            f"architecture.functions={functions}: {K} features that are not trained give at most {K + 1} functions; "
            f"type architecture.functions={K + 1}, or architecture.basis.width={functions}"
        )
    output.weight.copy_(torch.eye(functions, K + 1)[:, 1:].repeat(output.out_features // functions, 1))
    output.bias.copy_(torch.eye(functions, 1)[:, 0].repeat(output.out_features // functions))


def _refuse_number(name: str, number: int, low: int, high: int, example: int) -> None:
    if not low <= number <= high:
        raise UsageError(f"architecture.{name}={number}: expected a whole number from {low} to {high}, e.g. {example}")
