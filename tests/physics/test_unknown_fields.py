"""Unknown fields: how they are written, what they are in a problem, and how they are trained."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pinn_cli import Box, Field, Problem, on
from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.contradictions import refuse_contradictions
from pinn_cli.configuration.plan import preview
from pinn_cli.methods.architectures.mlp import MLP
from pinn_cli.physics.ansatz import derive, written_ansatz
from pinn_cli.physics.data_set import data_set
from pinn_cli.physics.determinacy import undetermined
from pinn_cli.physics.doubts import doubts
from pinn_cli.physics.problem import given
from pinn_cli.physics.references import reference_of
from pinn_cli.physics.references.darcy import Darcy
from pinn_cli.physics.references.rod import Rod
from pinn_cli.physics.terms import is_prior
from pinn_cli.physics.unknowns import unknowns_of
from pinn_cli.problems.heat_conductivity import HeatConductivity
from pinn_cli.problems.permeability import Permeability
from pinn_cli.training.jacobian import row_by_row
from pinn_cli.training.model import Features, FieldNetwork

SMALL = ["architecture.width=4", "architecture.depth=1", "points.interior=16", "points.face=4"]
ROD = ["problem=heat_conductivity", "problem.count=20", *SMALL]


@dataclass
class Rough(HeatConductivity):
    """The rod with a prior on the slope of k, and a condition on k itself."""

    @on("interior")
    def smooth(self, k_x):
        return k_x

    @on("x=0")
    def known(self, k):
        return k - 0.1


def test_an_unknown_field_is_a_field_of_the_problem_and_its_number_or_function_is_the_truth():
    problem = HeatConductivity()
    assert problem.fields == ("u", "k")
    assert problem.solution_fields == ("u",)
    assert list(problem.unknown_fields) == ["k"]
    assert not problem.unknowns
    assert not problem.coefficient_fields
    changed = problem.with_(base=0.2, bump=0.0)
    assert changed.fields == ("u", "k")
    X = torch.tensor([[0.1, 0.2], [0.6, 0.3]], dtype=torch.float64)
    assert reference_of(problem)(X)["k"].tolist() == pytest.approx([0.1, 0.2], abs=1e-5)
    assert reference_of(changed)(X)["k"].tolist() == [0.2, 0.2]
    known = given(problem, unknowns={})
    assert known.fields == ("u",)
    assert list(known.coefficient_fields) == ["k"]
    assert HeatConductivity(unknowns={"k": {"of": "x", "start": 0.15, "positive": True}}) == problem
    assert given(known, unknowns={"k": Field("x")}).fields == ("u", "k")


def test_any_coefficient_becomes_a_field_from_the_command_line_with_rows_of_autograd():
    words = ["problem=burgers", "problem.data={points: 20, seed: 1}", *SMALL,
             "problem.unknowns.nu={of: x, start: 0.01, positive: true, width: 3}"]  # fmt: skip
    objective = preview(assemble(compose(words)))
    assert objective.problem.fields == ("u", "nu")
    objective.shift(0.1 * torch.randn(objective.columns[-1].stop, generator=torch.Generator().manual_seed(0)).double())
    J = objective.linearise().dense()
    assert torch.allclose(J, row_by_row(objective.vector(), objective.parameters), rtol=1e-9, atol=1e-12)
    own = [columns for name, columns in objective.layout.items() if name.startswith("unknown_fields.nu.")]
    assert len(own) == 6  # the weights and biases of three layers
    assert all(bool(J[:, columns].any()) for columns in own)


@pytest.mark.parametrize("bounds", [{}, {"positive": True}, {"low": -1, "high": 0.5}, {"high": 2}], ids=str)
def test_a_field_starts_at_its_start_value_and_stays_between_its_bounds(bounds):
    unknown, domain = Field("t", start=0.3, **bounds), Box(x=(0, 1), t=(0, 2))
    features = Features(domain, only=unknown.of)
    network = MLP(features.outputs, 1, width=3, depth=1).double()
    k = FieldNetwork(features, network, unknown)
    X = torch.rand(50, 2, dtype=torch.float64)
    assert torch.allclose(k(X), torch.tensor(0.3, dtype=torch.float64))
    torch.nn.init.normal_(network.output_layer.weight, std=30.0)
    values = k(X)
    assert torch.equal(k(torch.stack([0 * X[:, 0], X[:, 1]], 1)), values)  # x makes no difference
    assert values.std() > 0
    bound = unknown.bound
    assert bool(((values >= bound.low) & (values <= bound.high)).all())


def test_a_derivative_by_a_coordinate_that_the_field_does_not_have_is_refused():
    with pytest.raises(TypeError, match="`k_t` vanishes, because `k` is a function of x and not of t"):
        HeatConductivity().grammar.parse("k_t", "somewhere", "interior")
    with pytest.raises(TypeError, match="unknown field `k` is a function of y; expected of x, t"):
        HeatConductivity(unknowns={"k": Field("xy")}).constraints()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"of": "xx"}, "expected its coordinates, each once"),
        ({"of": 3}, "`of` is 3; expected the coordinates of the field"),
        ({"of": "x", "start": -1, "positive": True}, "it starts at -1; expected a number between 0 and inf"),
        ({"of": "x", "width": 0}, "width=0: expected a whole number above 0"),
        ({"of": "x", "depth": 1.5}, "`depth` is 1.5; expected a whole number"),
        ({"of": "x", "widht": 3}, "did you mean `width`?"),
    ],
)
def test_what_is_no_field_is_refused(table, says):
    with pytest.raises(UsageError, match=r"problem\.unknowns\.k") as refused:
        unknowns_of({"k": table}, "problem.unknowns")
    assert says in str(refused.value)


def test_null_takes_an_unknown_field_away_and_a_table_changes_it():
    assert assemble(compose([*ROD, "problem.unknowns.k=null"])).problem.fields == ("u",)
    wider = assemble(compose([*ROD, "problem.unknowns.k.width=5"]))
    assert wider.problem.unknown_fields["k"] == Field("x", start=0.15, positive=True, width=5)


def test_adam_moves_a_field_with_its_own_rate():
    words = [*ROD, "recipe=adam", "optimizer.adam.lr=1e-4", "problem.unknowns.k.lr=0.5"]
    parts = assemble(compose(words))
    objective, optimizer = preview(parts), parts.schedule[0].optimizer()
    optimizer.step(objective)
    (last,) = objective.model.unknown_fields["k"].network.output_layer.bias.tolist()
    assert abs(last) == pytest.approx(0.5, rel=1e-3)


def test_measurements_determine_a_field_and_without_them_it_is_told_to_be_undetermined():
    problem = HeatConductivity()
    made = data_set({"points": 100}, problem)
    assert list(made.columns) == ["x", "t", "u_data"]  # k itself is not measured
    assert undetermined(given(problem, data_set=made)) is None

    class Blind(HeatConductivity):
        measured = None

    doubt = undetermined(Blind())
    assert doubt is not None
    assert "k" in doubt.names
    assert any("k" in line for line in doubts(Blind()))


def test_a_field_that_measurements_leave_open_at_some_points_is_no_doubt_of_the_whole(monkeypatch):
    """The standard error of k is large at the corners, where the flow stands still."""
    monkeypatch.setattr("pinn_cli.problems.permeability.Reference", partial(Darcy, nodes=41))
    assert undetermined(Permeability()) is not None
    assert not doubts(Permeability())


def test_a_true_permeability_may_be_drawn(monkeypatch):
    """Each draw is another field, which depends on its number alone, and has readings of its own."""
    monkeypatch.setattr("pinn_cli.problems.permeability.Reference", partial(Darcy, nodes=41))
    drawn = [Permeability(draw=draw, count=20) for draw in (0, 0, 1)]
    assert min(problem.k.values(*torch.rand(2, 50, dtype=torch.float64)).min() for problem in drawn) > 0
    first, second, third = (problem.measurements()["u_data"] for problem in drawn)
    assert torch.equal(first, second)
    assert not torch.allclose(first, third, rtol=1e-2)


def test_a_field_that_no_residual_names_is_refused():
    config = compose([*ROD, "problem.unknowns.q={of: x}"])
    parts = assemble(config)
    with pytest.raises(UsageError, match="no residual with points and a weight names the field `q`"):
        refuse_contradictions(config, parts, preview(parts), None)


def test_where_a_field_cannot_be_trained_it_is_refused():
    words = [*ROD, "strategy=[time_marching]", "strategy.time_marching.windows=2"]
    with pytest.raises(UsageError, match="each window in time would have an own one"):
        preview(assemble(compose(words)))
    with pytest.raises(UsageError, match="it adds features to the solution alone, and a field is unknown"):
        preview(assemble(compose([*ROD, "recipe=corrected", "stop.steps=200"])))


@pytest.mark.parametrize(
    "words",
    [[*ROD, "architecture=deeponet"], [*ROD, "architecture=constrained"],
     ["problem=burgers_family", "architecture=deeponet", "problem.unknowns.k={of: x}"]],
    ids=["deeponet", "constrained", "of a family"],
)  # fmt: skip
def test_a_network_for_a_family_refuses_a_field_in_one_line(words):
    with pytest.raises(UsageError) as refused:
        preview(assemble(compose(words)))
    assert str(refused.value).startswith("unknown field `k`: ")
    assert str(refused.value).endswith("solves for the fields of the solution; type problem.unknowns.k=null or leave "
                                       "that part out")  # fmt: skip
    assert "\n" not in str(refused.value)


def test_a_residual_of_unknown_fields_alone_inside_is_a_prior():
    problem = Rough()
    assert [c.name for c in problem.constraints() if is_prior(problem, c)] == ["smooth"]
    assert not any(is_prior(problem, c) for c in HeatConductivity().constraints())


@dataclass
class Imposed(HeatConductivity):
    """The rod with its conditions imposed by an ansatz of the solution alone."""

    def ansatz(self, x: Tensor, t: Tensor, u: Tensor) -> Tensor:
        return torch.sin(torch.pi * x) * (1 + t * u)


def test_an_ansatz_and_exact_conditions_leave_an_unknown_field_as_it_is():
    problem: Any = Imposed()
    X, u = torch.rand(5, 2, dtype=torch.float64), torch.rand(5, 2, dtype=torch.float64)
    out = written_ansatz(problem)(X, u)
    assert torch.equal(out[:, 1], u[:, 1])
    assert not torch.equal(out[:, 0], u[:, 0])
    parts = assemble(compose([*ROD, "constraints=exact"]))
    objective = preview(parts)
    assert set(objective.constraints) == {"pde", "measured"}
    assert derive(parts.problem)[1] == ["wall", "initial"]
    assert objective.model(X).shape == (5, 2)


def test_the_rod_is_that_of_conservative_finite_differences():
    """A second-order scheme on 400 cells with small implicit steps, extrapolated from 200 cells."""

    def marched(n: int) -> np.ndarray:
        x = np.linspace(0, 1, n + 1)
        k = 0.1 + 0.1 * np.exp(-((((x[1:] + x[:-1]) / 2 - 0.6) / 0.15) ** 2))
        A = (np.diag(-(k[1:] + k[:-1])) + np.diag(k[1:-1], 1) + np.diag(k[1:-1], -1)) * n**2
        dt, source, u, one = 1 / n, 2 * np.sin(np.pi * x[1:-1]), np.sin(np.pi * x[1:-1]), np.eye(n - 1)
        step = np.linalg.solve(one - dt / 2 * A, one + dt / 2 * A)  # Crank and Nicolson
        push = np.linalg.solve(one - dt / 2 * A, dt * source)
        for _ in range(n // 2):
            u = step @ u + push
        return u

    coarse, fine = marched(100), marched(200)[1::2]
    expected = fine + (fine - coarse) / 3
    x = torch.linspace(0, 1, 101, dtype=torch.float64)[1:-1]
    rod = HeatConductivity().reference()
    assert isinstance(rod, Rod)
    found = rod(torch.stack([x, torch.full_like(x, 0.5)], 1))["u"]
    assert np.abs(found.numpy() - expected).max() < 1e-6
    assert rod.error < 1e-5


@dataclass
class WithNumber(Problem):
    """u_t = k u_xx, of which k may be a number, an unknown, or an unknown field."""

    coordinates = ("x", "t")
    fields = ("u",)
    k: float = 0.3
    unknowns: dict[str, Any] = field(default_factory=lambda: {"k": Field("t", start=0.2)})

    def __post_init__(self) -> None:
        self.domain = Box(x=(0, 1), t=(0, 1))

    def exact(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.exp(-self.k * t) * torch.sin(x)

    @on("interior")
    def pde(self, u_t, u_xx, k):
        return u_t - k * u_xx


def test_a_number_is_the_truth_of_a_field():
    problem = WithNumber()
    assert "k" not in problem.coefficients
    X = torch.rand(4, 2, dtype=torch.float64)
    assert reference_of(problem)(X)["k"].tolist() == [0.3] * 4
    assert reference_of(problem).fields == ("u", "k")
