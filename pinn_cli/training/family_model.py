"""The model of a family of equations: basis functions, and the combination of them for each instance."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from pinn_cli.methods.contracts import Batch
from pinn_cli.methods.seeds import seed_for
from pinn_cli.physics.family import SETS, Family
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.scales import Scale
from pinn_cli.training.model import Features, Model

KEPT = 1000  # instances whose coefficient fields are kept


class FamilyModel(Model):
    """X (N, D) -> the basis functions of all fields (N, F P), in units of the fields:

        u_i(X) = offset + sum_j w_ij f_j(X)        f = size * network

    `points` by constraint, float64, are those at which the network solves equations; {} if it does not. Which
    instances a step trains is a function of `seed` and of its number alone, so a resumed run trains the same ones.
    `solution` makes the model of one instance. An ordinary problem is a family of one, whose seed is 0.
    """

    def __init__(
        self,
        features: Features,
        network: nn.Module,
        family: Problem,
        points: Batch,
        seed: int,
        imposed: Sequence[str] = (),
        scales: Mapping[str, Scale] | None = None,
    ):
        super().__init__(features, network, imposed=imposed, scales=scales)
        self.family, self.points, self.seed = family, points, seed
        self.instance = lru_cache(KEPT)(family.instance) if isinstance(family, Family) else lambda seed: family

    def step_seeds(self, step: int) -> list[int]:
        """The seeds of the instances that are trained in a step."""
        network: Any = self.network
        if not isinstance(self.family, Family):
            return [0]
        round_ = 0 if network.every is None else step // network.every
        generator = torch.Generator("cpu").manual_seed(seed_for(self.seed, "instances", round_))
        order = torch.randperm(network.train_set, generator=generator, device="cpu")
        return [SETS["train"][k] for k in order[: network.instances].tolist()]

    def functions(self, values: Tensor) -> Tensor:
        """(N, F P) as (N, F, P)."""
        return values.unflatten(-1, (len(self.family.fields), -1))

    def forward(self, X: Tensor, kept: Any = None) -> Tensor:
        f = self.network(self.features(X))
        if self.size is None:
            return f
        return f * self.size.repeat_interleave(self.network.functions)  # type: ignore[arg-type]

    def solution(self, w: Tensor) -> Model:
        """The model of one instance, by its coefficients (F, P): an ordinary network with parameters of its own."""
        basis: Any = self.network.basis
        network = Combination(deepcopy(basis), w)
        scales = None
        if self.size is not None and self.offset is not None:
            pairs = zip(self.family.fields, self.offset.tolist(), self.size.tolist(), strict=True)
            scales = {name: Scale(size=size, offset=offset) for name, offset, size in pairs}
        model = Model(deepcopy(self.features), network, imposed=self.imposed, scales=scales)
        return model.to(device=self.features.scale.device, dtype=self.features.scale.dtype)


class Combination(nn.Module):
    """sum_j w_j f_j(X): basis functions (N, F P) and an output layer with the coefficients w (F, P) of one instance."""

    def __init__(self, hidden: nn.Module, w: Tensor):
        super().__init__()
        F, P = w.shape
        self.hidden = hidden
        self.output_layer = nn.Linear(F * P, F, bias=False, device=w.device, dtype=w.dtype)
        with torch.no_grad():
            self.output_layer.weight.copy_(torch.block_diag(*w.detach().unsqueeze(1)))

    def forward(self, X: Tensor) -> Tensor:
        return self.output_layer(self.hidden(X))
