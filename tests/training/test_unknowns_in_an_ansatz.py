"""An ansatz may ask for unknown coefficients by name: it gets their trained values, and derivatives flow through it."""

import copy
from dataclasses import dataclass

import pytest
import torch

from pinn_cli import Box, Problem, on
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.methods.architectures.mlp import MLP
from pinn_cli.methods.optimizers.levenberg_marquardt import LevenbergMarquardt
from pinn_cli.physics.ansatz import written_ansatz
from pinn_cli.physics.determinacy import undetermined
from pinn_cli.physics.points import measured_points
from pinn_cli.physics.unknowns import Unknown
from pinn_cli.training.correction import Basis, Correction, Equations
from pinn_cli.training.jacobian import row_by_row
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective
from pinn_cli.training.random_features import FeaturesOfPoints

TRUTH = 0.2


@dataclass
class Layer(Problem):
    """eps u_xx + u_x = 0 on [0, 1], u(0) = 1. The solution exp(-x / eps) is in the ansatz; its eps is unknown."""

    coordinates = ("x",)
    fields = ("u",)
    unknowns = {"eps": Unknown(0.5, low=0.05, high=2.0)}

    def __post_init__(self):
        self.domain = Box(x=(0, 1))

    def ansatz(self, x, u, eps):
        return torch.exp(-x / eps) + x * u

    @on("interior")
    def pde(self, u_x, u_xx, eps):
        return eps * u_xx + u_x

    def measurements(self):
        x = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
        return {"x": x, "u_data": torch.exp(-x / TRUTH)}

    @on("data")
    def measured(self, u, u_data):
        return u - u_data


class EndValue(Layer):
    """u_xx = 0 with an unknown value at x = 0, which stands in the ansatz alone."""

    unknowns = {"eps": 0.5}

    def ansatz(self, x, u, eps):
        return eps * (1 - x) + x * (1 - x) * u

    @on("interior")
    def pde(self, u_xx):
        return u_xx


class Redundant(EndValue):
    """The network can make up for any change of eps."""

    def ansatz(self, x, u, eps):
        return 1 - x + x * (1 - x) * (eps + u)


def objective_of(engine=Taylor):
    torch.manual_seed(0)
    problem = Layer()
    model = Model(Features(problem.domain), MLP(1, 1, width=5, depth=1), problem.unknowns, written_ansatz(problem))
    objective = Objective(problem, model.double(), engine, lambda batch, residuals: {})
    data = {c.name: measured_points(problem, c) for c in problem.constraints() if c.kind == "data"}
    objective.begin({"pde": problem.domain.grid(20), **data})
    return objective


@pytest.mark.parametrize("engine", [Taylor, Autograd])
def test_rows_of_the_jacobian_have_the_way_through_the_ansatz(engine):
    objective = objective_of(engine)
    J = objective.linearise().dense()
    torch.testing.assert_close(J, row_by_row(objective.vector(), objective.parameters), rtol=1e-9, atol=1e-9)
    (column,) = [c for p, c in zip(objective.parameters, objective.columns, strict=True)
                 if p is objective.model.unknowns["eps"]]  # fmt: skip
    ends, s = [], objective.model.unknowns["eps"].data
    for step in (1e-5, -1e-5):
        s += step
        ends.append(objective.vector().detach())
        s -= step
    torch.testing.assert_close(J[:, column][:, 0], (ends[0] - ends[1]) / 2e-5, rtol=1e-6, atol=1e-8)
    assert J[-9:, column].abs().min() > 0  # the measurements do not name eps: they see it in the fields


def test_the_search_moves_the_unknown_in_the_ansatz_to_its_true_value():
    objective, optimizer = objective_of(), LevenbergMarquardt()
    for _ in range(60):
        optimizer.step(objective)
        objective.begin(objective.batch)
    assert float(objective.unknowns["eps"].detach()) == pytest.approx(TRUTH, abs=1e-6)


def test_what_determines_an_unknown_in_an_ansatz_is_found_through_the_fields():
    assert undetermined(Layer()) is None
    assert undetermined(EndValue()) is None
    assert "eps" in undetermined(Redundant()).names


def test_a_correction_of_an_unknown_changes_the_fields_that_its_ansatz_makes_of_it():
    """Compared with a model that has the changed coefficient: both agree to second order in the change."""
    objective = objective_of()
    batch, change = dict(objective.batch), 1e-4
    ridges = torch.nn.Sequential(torch.nn.Linear(1, 3), torch.nn.Tanh()).double()
    basis = Basis(objective.at, FeaturesOfPoints(Features(objective.problem.domain).double(), ridges, 3), 4)
    equations = Equations(basis, batch)
    nothing = torch.zeros(basis.columns, dtype=torch.float64)
    only = nothing.clone()
    only[-1] = change
    changed = copy.deepcopy(objective.model)
    bound = changed.bounds["eps"]
    value = bound.value(changed.unknowns["eps"].detach()) + change
    changed.unknowns["eps"].data = torch.tensor(Unknown(float(value), low=bound.low, high=bound.high).free).double()
    before, after = objective.at(batch), Objective(objective.problem, changed, Taylor, lambda b, r: {}).at(batch)
    found, rows = equations.values(Correction(basis, only)), equations.rows(Correction(basis, nothing))
    for name in batch:
        true = (after[name] - before[name]).detach()
        assert true.norm() > 1e-6
        torch.testing.assert_close(found[name] - before[name].detach(), true, rtol=1e-2, atol=1e-3 * float(true.norm()))
        torch.testing.assert_close(rows[name][:, -1] * change, true, rtol=1e-2, atol=1e-3 * float(true.norm()))
