"""Standard errors of unknown fields: against posteriors in closed form, and over draws of the noise."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pinn_cli import Field, Interval, Problem, on
from pinn_cli.derivatives.engines import Taylor
from pinn_cli.physics.coefficient_fields.base import CoefficientField
from pinn_cli.physics.coefficient_fields.formula import Formula
from pinn_cli.physics.data_set import data_set
from pinn_cli.physics.problem import given
from pinn_cli.training.field_uncertainty import rows_of_field
from pinn_cli.training.model import Features, FieldNetwork, Model
from pinn_cli.training.objective import Objective
from pinn_cli.training.uncertainty import uncertainty

SIGMA = 1e-3
DEGREE = 3  # of the field


class Polynomial(nn.Module):
    """c_0 + c_1 z + ... for z in [-1, 1]."""

    def __init__(self, degree: int) -> None:
        super().__init__()
        self.output_layer = nn.Linear(degree, 1).double()
        self.degree = degree

    def forward(self, z):
        return self.output_layer(torch.cat([z**k for k in range(1, self.degree + 1)], -1))


@dataclass
class Load(Problem):
    """u_xx = k(x) on [0, 1], u = 0 at both ends, for k = 1 + 2 x: linear in k, which is unknown."""

    coordinates = ("x",)
    fields = ("u",)
    k: CoefficientField = field(default_factory=lambda: Formula(lambda x: 1 + 2 * x, ["x"]))
    unknowns: dict[str, Any] = field(default_factory=lambda: {"k": Field("x", start=1.0)})

    def __post_init__(self) -> None:
        self.domain = Interval(x=(0, 1))

    def exact(self, x: Tensor) -> Tensor:
        return (x**2 - x) / 2 + (x**3 - x) / 3

    @on("interior")
    def pde(self, u_xx, k):
        return u_xx - k

    @on("boundary")
    def ends(self, u):
        return u


@dataclass
class Smooth(Load):
    """The same with a prior: k varies slowly."""

    @on("interior")
    def smooth(self, k_x):
        return k_x


def fitted(problem: Problem, weights: dict[str, float], seed: int = 0, count: int = 40) -> Objective:
    """The objective after a Gauss-Newton step, which solves this linear problem."""
    clean = data_set({"points": count, "seed": 1}, problem)
    noise = torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    clean.columns["u_data"] = clean.columns["u_data"] + SIGMA * noise
    clean.sigma = {"u": SIGMA}
    problem = given(problem, data_set=clean)
    network = FieldNetwork(Features(problem.domain), Polynomial(DEGREE), problem.unknown_fields["k"])
    model = Model(Features(problem.domain), Polynomial(9), unknown_fields={"k": network})
    objective = Objective(problem, model, Taylor, lambda batch, r: {}, {"measured_u": 1.0, **weights})
    inside = torch.linspace(0, 1, 60, dtype=torch.float64)[:, None]
    regions = {"interior": inside, "boundary": inside[[0, -1]], "data": problem.data}
    objective.begin({c.name: regions[c.region] for c in problem.constraints()})
    linear = objective.linearise()
    objective.shift(torch.linalg.lstsq(linear.dense().detach().clone(), -linear.F.detach()[:, None]).solution[:, 0])
    return objective


def sensitivities(x: Tensor) -> Tensor:
    """du/dc_j (N, DEGREE + 1) for k = sum_j c_j z^j, z = 2 x - 1: the solution of u_xx = z^j with zero ends."""
    columns = []
    for j in range(DEGREE + 1):
        def particular(z: Tensor, j: int = j) -> Tensor:
            return z ** (j + 2) / (4 * (j + 1) * (j + 2))

        low, high = particular(torch.tensor(-1.0)), particular(torch.tensor(1.0))
        columns.append(particular(2 * x - 1) - low - x * (high - low))
    return torch.stack(columns, 1)


def powers(x: Tensor) -> Tensor:
    return torch.stack([(2 * x - 1) ** j for j in range(DEGREE + 1)], 1)


@pytest.mark.parametrize("prior", [0.0, 2e-6])
def test_the_band_of_a_linear_problem_is_that_of_regression_with_a_normal_prior(prior):
    """The equation is nearly exact. Each coefficient has the prior variance 1, and the slope of k that of its weight:
    the weight w of a mean square counts as N_d w mean k_x^2, in the units of the measurements."""
    problem = Smooth() if prior else Load()
    weights = {"pde": 1e9, "ends": 1e9} | ({"smooth": prior / SIGMA**2} if prior else {})
    objective = fitted(problem, weights)
    (found,) = uncertainty(objective).fields
    x = objective.batch["measured_u"][:, 0]
    A = sensitivities(x) / SIGMA
    z = objective.batch["pde"][:, 0]
    slopes = torch.stack([2 * j * (2 * z - 1) ** max(j - 1, 0) for j in range(DEGREE + 1)], 1)
    information = A.T @ A + len(x) * prior / SIGMA**2 * slopes.T @ slopes / len(z)
    covariance = torch.linalg.inv(information + torch.eye(DEGREE + 1))
    G = powers(found.points[:, 0])
    expected = ((G @ covariance) * G).sum(1).sqrt()
    torch.testing.assert_close(found.standard_errors, expected, rtol=2e-2, atol=0.0)
    torch.testing.assert_close(found.floor, expected, rtol=2e-2, atol=0.0)
    assert found.covered is not None
    assert found.ahead < 0.1


@pytest.mark.slow
def test_the_band_covers_the_truth_as_often_as_it_says():
    """40 draws of the noise. Two standard errors hold 95 % of a normal variable, at each point of the grid; in a draw
    the points are correlated, which leaves about 160 independent numbers: 0.9 or more at 99.8 %."""
    scores = []
    for seed in range(40):
        (found,) = uncertainty(fitted(Load(), {"pde": 1e9, "ends": 1e9}, seed)).fields
        scores.append(((found.values - found.truth) / found.standard_errors)[::20])
    scores = torch.stack(scores)
    assert 0.9 <= float((scores.abs() < 2).double().mean()) < 0.99
    assert 0.85 < float(scores.std()) < 1.15


def test_the_rows_of_a_field_are_those_of_autograd():
    network = FieldNetwork(Features(Load().domain), Polynomial(3), Field("x", start=2.0, positive=True))
    nn.init.normal_(network.network.output_layer.weight)
    X = torch.rand(4, 1, dtype=torch.float64)
    rows = [torch.cat([g.flatten() for g in torch.autograd.grad(k, list(network.parameters()), retain_graph=True)])
            for k in network(X)[:, 0]]  # fmt: skip
    torch.testing.assert_close(rows_of_field(network, X), torch.stack(rows))


def test_what_the_data_do_not_determine_and_a_step_that_is_missing_are_said():
    objective = fitted(Load(), {"pde": 1e9, "ends": 1e9}, count=2)
    (found,) = uncertainty(objective).fields
    assert any("the data do not determine k at" in line for line in found.lines())
    assert found.shown().startswith("k(x) from ")
    objective = fitted(Load(), {"pde": 1e9, "ends": 1e9})
    with torch.no_grad():
        objective.model.unknown_fields["k"].network.output_layer.bias += 0.3
    (found,) = uncertainty(objective).fields
    assert any("another Gauss-Newton step would change k by" in line for line in found.lines())
    without = given(objective.problem, unknowns={"k": Field("x")}, data_set=None)
    alone = Objective(without, objective.model, Taylor, lambda batch, r: {})
    alone.begin({name: X for name, X in objective.batch.items() if name != "measured_u"})
    known = uncertainty(alone)
    assert known.why == "there are no measurements"
    assert known.fields[0].standard_errors is None
