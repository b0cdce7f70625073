"""Conditions imposed exactly: the derived ansatz meets the constraints for any network."""

from dataclasses import dataclass

import pytest
import torch

from pinn_cli.basics.errors import UsageError
from pinn_cli.derivatives.engines import Taylor
from pinn_cli.methods.architectures.mlp import MLP
from pinn_cli.physics.ansatz import derive
from pinn_cli.physics.domains import Box
from pinn_cli.physics.problem import Problem, on, periodic
from pinn_cli.problems.burgers import Burgers
from pinn_cli.problems.heat_2d import Heat2D
from pinn_cli.problems.helmholtz import Helmholtz
from pinn_cli.problems.klein_gordon import KleinGordon
from pinn_cli.problems.lid_driven_cavity import LidDrivenCavity
from pinn_cli.problems.poisson_1d import Poisson1D
from pinn_cli.problems.wave import Wave
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective


@dataclass
class Mixed(Problem):
    """Dirichlet on one wall, a flux on the other, a scaled condition, a nonlinear one, and a periodic pair."""

    coordinates = ("x", "y", "t")
    fields = ("u", "p")

    def __post_init__(self):
        self.domain = Box(x=(0, 2), y=(-1, 1), t=(0, 3))

    @on("interior")
    def pde(self, u_t, p, lap_u):
        return u_t - lap_u + p

    @on("x=0")
    def inlet(self, y, t, u):
        return 3 * (torch.cos(y) * t - u)

    @on("x=2")
    def flux(self, u_n):
        return u_n

    @on("initial")
    def start(self, x, u):
        return u - x

    @on("x=2")
    def outlet(self, p):
        return p**2 - 1

    @periodic("y")
    def seam(self, u):
        return u


def worst(problem, names):
    """The largest residual of the imposed constraints for a random network."""
    torch.manual_seed(0)
    ansatz, imposed = derive(problem)
    assert set(imposed) == set(names)
    network = MLP(len(problem.coordinates), len(problem.fields), width=8, depth=2)
    model = Model(Features(problem.domain), network, problem.unknowns, ansatz).double()
    objective = Objective(problem, model, Taylor, lambda batch, residuals: {})
    unit = torch.rand(60, len(problem.coordinates), dtype=torch.float64)
    residuals = [objective.residual(n, problem.domain.sample(objective.constraints[n].region, unit)) for n in names]
    return max(float(r.detach().abs().max()) for r in residuals)


@pytest.mark.parametrize(
    ("problem", "names"),
    [
        (Helmholtz(), ["wall"]),
        (Poisson1D(), ["ends"]),
        (KleinGordon(), ["left", "right", "displacement", "velocity"]),
        (Wave(), ["wall", "displacement", "velocity"]),
        (Burgers(), ["wall", "initial"]),
        (Heat2D(), ["rim", "initial"]),
        (Mixed(), ["inlet", "start"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_network_meets_the_conditions(problem, names):
    known = {c.name for c in problem.constraints()}
    assert set(names) <= known, known
    assert worst(problem, names) < 1e-12


def test_contradicting_conditions_are_refused():
    """u = 1 + x at t = 0 and u = t cos y at x = 0 differ where the faces meet."""

    class Torn(Mixed):
        @on("initial")
        def start(self, x, u):
            return u - 1 - x

    with pytest.raises(UsageError, match=r"`start` contradicts .* on u where faces meet \(by up to 1\)"):
        derive(Torn())
    with pytest.raises(UsageError, match="`wall_u` contradicts itself or another"):
        derive(LidDrivenCavity(lid="unit", corner=0.0))


def test_the_walls_of_a_cavity_hold_where_the_lid_is_not_singular():
    assert worst(LidDrivenCavity(lid="regularised"), ["wall_u", "wall_v"]) < 1e-12


def test_conditions_on_other_quantities_stay_soft():
    _, imposed = derive(Mixed())
    assert not {"flux", "outlet", "seam"} & set(imposed)


def test_imposed_constraints_are_not_trained():
    problem = Helmholtz()
    ansatz, imposed = derive(problem)
    model = Model(Features(problem.domain), MLP(2, 1, width=4, depth=1), {}, ansatz, imposed).double()
    assert list(Objective(problem, model, Taylor, lambda b, r: {}).constraints) == ["pde"]


def test_distances_are_at_most_one():
    ansatz, _ = derive(Helmholtz())
    X = Helmholtz().domain.grid(21)
    one = ansatz(X, torch.ones(len(X), 1, dtype=torch.float64)).abs().max()
    assert float(one) == pytest.approx(1)


def test_a_slope_stays_soft_if_the_end_of_time_is_given_too():
    class Shooting(Wave):
        @on("t=1")
        def target(self, u):
            return u

    assert worst(Shooting(), ["displacement", "target", "wall"]) < 1e-12
