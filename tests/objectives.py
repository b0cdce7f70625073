"""Objectives that several tests share."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pinn_cli.derivatives.engines import Taylor
from pinn_cli.physics.domains import Box, Interval
from pinn_cli.physics.problem import Problem, observable, on, periodic
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective
from tests.derivatives.test_derivatives import NETWORKS


class Function:
    """What an optimizer uses of an objective, for a plain function of the flat vector theta (P,)."""

    def __init__(self, function: Callable[[Tensor], Tensor], *parameters: Tensor) -> None:
        self.function, self.evaluations = function, 0
        self.parameters = [nn.Parameter(p.clone()) for p in parameters]
        self.points_changed, self.weights = False, {}

    @property
    def theta(self) -> Tensor:
        return self.flat(self.parameters).detach()

    def flat(self, tensors) -> Tensor:
        return torch.cat([t.flatten() for t in tensors])

    def place(self, theta: Tensor) -> None:
        for p, part in zip(self.parameters, theta.split([p.numel() for p in self.parameters]), strict=True):
            p.data.copy_(part.view_as(p))

    def loss(self) -> Tensor:
        self.evaluations += 1
        return self.function(self.flat(self.parameters))

    def differentiated(self) -> tuple[Tensor, list[Tensor]]:
        loss = self.loss()
        gradient = torch.autograd.grad(loss, self.parameters, allow_unused=True, materialize_grads=True)
        return loss.detach(), list(gradient)

    def descend(self, rule, numbers: Tensor, state: list[Tensor], ahead=()) -> list[Tensor]:
        assert not ahead  # it has no points
        loss, gradient = self.differentiated()
        change, *state[:] = rule(self.flat(gradient), numbers[0], *state)
        self.place(self.theta + change)
        return [loss]


@dataclass
class Growth(Problem):
    """u_x = u on [0, 1], u(0) = 1; nonlinear in the parameters of a network, linear in those of a polynomial."""

    coordinates = ("x",)
    fields = ("u",)

    def __post_init__(self):
        self.domain = Interval(x=(0, 1))

    @on("interior")
    def pde(self, u, u_x):
        return u_x - u

    @on("x=0")
    def start(self, u):
        return u - 1


@dataclass
class Everything(Problem):
    """Two fields, a nonlinear residual, a normal derivative, a periodic pair, data, and an unknown coefficient."""

    coordinates = ("x", "t")
    fields = ("u", "v")
    nu: float = 0.3
    unknowns: dict = field(default_factory=lambda: {"nu": 0.5})

    def __post_init__(self):
        self.domain = Box(x=(-1, 2), t=(0, 1), names={"lid": ["x=2"]})

    @on("interior")
    def momentum(self, u, u_t, u_x, v, lap_u, nu):
        return u_t + v * u_x - nu * lap_u

    @on("interior")
    def continuity(self, x, u_x, v_xt):
        return u_x * v_xt + torch.sin(x)

    @on("lid")
    def flux(self, u_n, v):
        return u_n * v - 1

    @on("initial")
    def start(self, x, u):
        return u - torch.cos(x)

    @periodic("x")
    def seam(self, u, v_x):
        return u + v_x

    @on("data")
    def measured(self, u, v_seen):
        return 2 * u - v_seen

    @observable
    def speed(self, u, v):
        return torch.sqrt(u**2 + v**2)

    def measurements(self):
        return {"x": torch.linspace(-1, 1, 4), "t": torch.rand(4), "v_seen": torch.arange(4.0)}


def by_hand(batch, residuals):
    """Weights of both kinds: a number, and one per point."""
    return {"momentum": torch.linspace(1, 3, len(residuals["momentum"]), dtype=torch.float64), "flux": 7.0}


def objective_of(network, engine=Taylor, weighting=lambda batch, residuals: {}, compiled=False):
    torch.manual_seed(0)
    problem = Everything()
    inner = NETWORKS[network](2, 2)
    model = Model(Features(problem.domain), inner, problem.unknowns).double()
    objective = Objective(problem, model, engine, weighting, {"start": 100.0, "seam": 4.0})
    objective.at.compiling = nullcontext if compiled else None
    points = {r: problem.domain.sample(r, torch.rand(n, 2, dtype=torch.float64)) for r, n in
              {"interior": 7, "lid": 3, "initial": 4, "x=-1": 5}.items()} | {"data": problem.data}  # fmt: skip
    objective.begin({c.name: points[c.region] for c in problem.constraints()})
    return objective
