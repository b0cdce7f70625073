"""What networks of a family of equations have in common: basis functions, and numbers of instances."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.pointwise_equations import PointwiseEquation
from pinn_cli.physics.family import SETS, Family

Equations = Callable[[], Sequence[PointwiseEquation]]


class FamilyNetwork(nn.Module, ABC):
    """P basis functions for each field, and a way to combine them for an instance i of a family:

        u_i(x) = sum_j w_ij f_j(x)

    `basis(inputs=, outputs=)` makes the network of the functions. Each step trains on `instances` of the first `train`
    instances of the training set, drawn anew every `every` steps (null: the same ones for the whole stage). The
    history has the mean error over the first `validation` instances of that set, the results that over `test`.

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
        trained = {id(p) for p in self.basis.parameters() if p.requires_grad}
        hidden = getattr(self.basis, "hidden", None)
        if isinstance(hidden, nn.Module) and not trained & {id(p) for p in hidden.parameters()}:
            raise UsageError(
                f"architecture.basis: the features of {type(self.basis).__name__} are not trained; type a network that "
                "is, e.g. architecture@architecture.basis=mlp"
            )

    points: Mapping[str, int] = {}  # at which equations are solved, by constraint, region or kind; none: nothing is

    def prepare(self, family: Family, instances: Sequence[Family]) -> None:
        """Look at some instances of the training set before training; initial values come from torch's generator."""

    @abstractmethod
    def coefficients(self, instances: Sequence[Family], equations: Equations) -> Tensor:
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


def _refuse_number(name: str, number: int, low: int, high: int, example: int) -> None:
    if not low <= number <= high:
        raise UsageError(f"architecture.{name}={number}: expected a whole number from {low} to {high}, e.g. {example}")
