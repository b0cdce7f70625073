"""A network for all instances of a family: functions of the points times functions of the parameters."""

from collections.abc import Callable, Sequence
from math import inf

import torch
from torch import Tensor, nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.architectures.family import Equations, FamilyNetwork
from pinn_cli.methods.architectures.mlp import MLP
from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.family import Family
from pinn_cli.physics.problem import Problem


class DeepONet(FamilyNetwork):
    """u_i(x) = sum_j w_j(parameters of i) f_j(x): w is an MLP, the branch, and f the trunk (`basis`).

    The branch reads numbers as they are and coefficient fields at a lattice of about `sensors` points of their own
    coordinates. Each parameter is shifted and scaled to mean 0 and variance 1 over some training instances. It has
    `branch_depth` hidden layers of `branch_width`, and its first w are multiplied by `output_scale`: below 1 training
    begins near u = 0, where a sum of many waves is no large field. Equations and conditions are penalties.

    DeepONet: Lu et al. 2021; trained on equations: Wang, Wang & Perdikaris 2021, arXiv:2103.10974. Raises UsageError
    for numbers that are not possible.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, inputs: int, outputs: int, basis: Callable[..., nn.Module], functions: int = 100,
                 instances: int = 8, every: int | None = 1, train: int = 1000, validation: int = 8, test: int = 16,
                 sensors: int = 101, branch_width: int = 100, branch_depth: int = 3, activation: str = "tanh",
                 initialiser: str = "glorot_normal", output_scale: float = 1.0) -> None:
        super().__init__(inputs, outputs, basis, functions, instances, every, train, validation, test)
        if sensors < 2:
            raise UsageError(f"architecture.sensors={sensors}: expected a whole number above 1, e.g. 101")
        if not 0 < output_scale < inf:
            raise UsageError(f"architecture.output_scale={output_scale:g}: expected a number above 0, e.g. 0.1")
        self.sensors, self.output_scale = sensors, output_scale
        self.new_branch = lambda inputs: MLP(
            inputs, self.fields * functions, branch_width, branch_depth, activation, initialiser
        )

    def prepare(self, family: Family, instances: Sequence[Family]) -> None:
        read = [self._read(one) for one in instances]
        mean, deviation = [], []
        for values in zip(*read, strict=True):
            one = torch.stack(values)
            size = float((one - one.mean()).square().mean().sqrt())
            mean.append(one.mean().expand(one.shape[1]))
            deviation.append(one.new_full((one.shape[1],), size or 1.0))
        self.register_buffer("mean", torch.cat(mean))
        self.register_buffer("deviation", torch.cat(deviation))
        branch = self.new_branch(len(self.mean))
        with torch.no_grad():
            branch.layers[-1].weight.mul_(self.output_scale)  # type: ignore[operator]
        self.branch = branch

    def coefficients(self, instances: Sequence[Problem], equations: Equations) -> Tensor:
        read = torch.stack([torch.cat(self._read(one)) for one in instances if isinstance(one, Family)]).to(self.mean)
        return self.branch((read - self.mean) / self.deviation).unflatten(-1, (self.fields, self.functions))

    def _read(self, instance: Family) -> list[Tensor]:
        """The values (S,) of each parameter, float64 on the CPU."""
        values = [getattr(instance, name) for name in instance.distributions]
        return [
            self._at_sensors(instance, value) if isinstance(value, CoefficientField) else
            torch.tensor([float(value)], dtype=torch.float64, device="cpu")
            for value in values
        ]  # fmt: skip

    def _at_sensors(self, instance: Family, function: CoefficientField) -> Tensor:
        n = max(2, round(self.sensors ** (1 / len(function.coordinates))))
        extents = [instance.domain.extent(c) for c in function.coordinates]
        axes = [torch.linspace(*ends, n, dtype=torch.float64, device="cpu") for ends in extents]
        return function.on_lattice(axes).flatten()
