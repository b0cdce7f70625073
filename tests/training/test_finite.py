"""Residuals that are not finite are refused before the first step, with the cause and advice for the run."""

import re
from dataclasses import dataclass

import pytest
import torch

from pinn_cli import cli
from pinn_cli.basics.errors import USAGE, TrainingError, UsageError
from pinn_cli.derivatives.engines import Taylor
from pinn_cli.methods.contracts import Stage
from pinn_cli.methods.optimizers.first_order import FirstOrder
from pinn_cli.methods.optimizers.lbfgs import LBFGS
from pinn_cli.methods.optimizers.levenberg_marquardt import LevenbergMarquardt
from pinn_cli.physics.domains import Box
from pinn_cli.physics.problem import Problem, on, periodic
from pinn_cli.training import loop
from pinn_cli.training.finite import refuse_not_finite, where_not_finite
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective
from pinn_cli.training.stopping import Progress


@dataclass
class Singular(Problem):
    """A plane flow with one residual that may not be finite."""

    coordinates = ("x", "t")
    fields = ("u",)

    def __post_init__(self):
        self.domain = Box(x=(0, 1), t=(0, 1))

    @on("interior")
    def pde(self, u, u_t):
        return u + u_t


class Root(Singular):
    @on("interior")
    def pde(self, x, u, u_t):
        return u_t + x * torch.sqrt(u)


class Log(Singular):
    @on("interior")
    def pde(self, u_t, u):
        return u_t - torch.log(u)


class Quotient(Singular):
    @on("interior")
    def pde(self, u, u_t, x):
        return u_t + u / x


class Pair(Singular):
    @periodic("x")
    def seam(self, u, t):
        return torch.sqrt(-1 - t) * u


def objective_of(problem, value: float = -0.3, dtype=torch.float64) -> Objective:
    """The constant network u = value."""
    network = torch.nn.Linear(2, 1)
    torch.nn.init.zeros_(network.weight)
    torch.nn.init.constant_(network.bias, value)
    model = Model(Features(problem.domain, "none"), network).to(dtype)
    objective = Objective(problem, model, Taylor, lambda batch, residuals: {})
    X = torch.tensor([[0.5, 0.25], [0.0, 0.5], [1.0, 0.75]], dtype=dtype)
    objective.begin({c.name: X for c in problem.constraints()})
    return objective


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        (Root(), "the residual of `pde` is nan at 3 of 3 points, first at x=0.5, t=0.25, where u=-0.3 is the cause"),
        (Log(), "the residual of `pde` is nan at 3 of 3 points, first at x=0.5, t=0.25, where u=-0.3 is the cause"),
        (Quotient(), "the residual of `pde` is -inf at 1 of 3 points, first at x=0, t=0.5, where x=0 is the cause"),
        (Pair(), "the residual of `seam` is nan at 3 of 3 points, first at x=0.5, t=0.25, "),
    ],
)
def test_a_residual_that_is_not_finite_is_refused_with_its_symbol(problem, says) -> None:
    with pytest.raises(UsageError) as refusal:
        refuse_not_finite(objective_of(problem))
    assert str(refusal.value).startswith(f"before the first step, {says}")
    assert "\n" not in str(refusal.value)
    refuse_not_finite(objective_of(Singular()))


def test_a_network_that_overflows_is_the_cause_and_not_the_equation() -> None:
    objective = objective_of(Root(), value=float("inf"))
    clause = where_not_finite(objective, "pde")
    assert clause is not None
    assert clause.endswith("because the network itself gives u=inf there")
    assert "square root" not in clause


OWN = """
from dataclasses import dataclass
import torch
from pinn_cli import Problem, Box, on

@dataclass
class Root(Problem):
    coordinates = ("x", "t")
    fields = ("u",)

    def __post_init__(self):
        self.domain = Box(x=(0, 1), t=(0, 1))

    @on("interior")
    def pde(self, u, u_t):
        return u_t + torch.sqrt(u - 20)
"""


def test_a_run_whose_residual_is_not_finite_makes_no_folder(here, capsys) -> None:
    (here / "own_root.py").write_text(OWN)
    (here / "conf" / "problem").mkdir(parents=True)
    (here / "conf" / "problem" / "root.yaml").write_text("_target_: own_root.Root\n")
    assert cli.main(["train", "problem=root", "points.interior=8", "folder=a"]) == USAGE
    error = capsys.readouterr().err
    assert error.startswith("pinn: before the first step, the residual of `pde` is nan at 8 of 8 points, first at x=")
    assert re.search(r"where u=\S+ is the cause: look for the square root", error)
    assert not (here / "a").exists()


@pytest.mark.parametrize(
    ("optimizer", "dtype", "advice"),
    [
        (FirstOrder(), torch.float64, ". Try a smaller learning rate, e.g. optimizer.adam.lr=1e-4"),
        (FirstOrder(), torch.float32, ". Try a smaller learning rate, e.g. optimizer.adam.lr=1e-4 or dtype=float64"),
        (LevenbergMarquardt(), torch.float64, ""),
        (LBFGS(), torch.float32, ". Try dtype=float64"),
    ],
)
def test_the_advice_fits_the_optimizer_and_the_precision(optimizer, dtype, advice) -> None:
    objective = objective_of(Root(), dtype=dtype)
    objective.loss()
    stage = Stage("nu=0.1: adam", objective.problem, objective.model, optimizer, None)
    with pytest.raises(TrainingError) as error:
        loop._finite(float("nan"), stage, objective, Progress(step=7))
    text = str(error.value)
    assert text.startswith("the loss is nan at step 8: the residual of `pde` is nan at 3 of 3 points")
    assert text.endswith(f"the last good checkpoint is kept{advice}")
