"""One objective, many views: they agree with each other and with row-by-row autograd."""


import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pinn_cli.configuration import plan
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.methods.optimizers.adam import Adam
from pinn_cli.methods.weightings.fixed import Fixed
from pinn_cli.physics.problem import on
from pinn_cli.problems.poisson_2d import Poisson2D
from pinn_cli.training.jacobian import ConstraintRows, Dense, Layer, Linearisation, row_by_row
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective
from tests.derivatives.test_derivatives import NETWORKS
from tests.objectives import Everything, by_hand, objective_of


@pytest.mark.parametrize("network", NETWORKS)
def test_rows_of_the_jacobian_equal_autograd_row_by_row(network):
    objective = objective_of(network)
    linear, J = objective.linearise(), row_by_row(objective.vector(), objective.parameters)
    torch.testing.assert_close(linear.dense(), J, rtol=1e-9, atol=1e-9)
    assert not any(objective.untaped.values())  # every parameter met a rule
    v, u = torch.randn(J.shape[1], dtype=J.dtype), torch.randn(len(J), dtype=J.dtype)
    torch.testing.assert_close(linear.times(v), J @ v, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(linear.transposed(u), J.T @ u, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(linear.column_squares(), (J**2).sum(0), rtol=1e-9, atol=1e-9)
    w = torch.linspace(0.5, 2, J.shape[1], dtype=J.dtype)
    for budget in (1, 1e3, 1e9):
        torch.testing.assert_close(linear.gram(budget).tril(), (J.T @ J).tril(), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(linear.kernel(budget).tril(), (J @ J.T).tril(), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(linear.kernel(budget, w).tril(), (w * J @ J.T).tril(), rtol=1e-9, atol=1e-9)
    assert linear.J is not None  # products with J itself
    torch.testing.assert_close(linear.times(v), J @ v, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(linear.transposed(u), J.T @ u, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(linear.column_squares(), (J**2).sum(0), rtol=1e-9, atol=1e-9)


def test_rows_are_written_once_and_added_where_pieces_overlap():
    def piece(start, stop):
        return Dense(slice(start, stop), torch.full((3, stop - start), float(stop)))

    rows = ConstraintRows(3, [piece(6, 8), piece(1, 4), piece(1, 4), piece(2, 5), piece(1, 2)])
    J = torch.full((2, 10), float("nan"))
    rows.write(slice(1, 3), J, slice(0, 10))
    assert J.tolist() == [[0, 10, 13, 13, 5, 0, 8, 8, 0, 0]] * 2


@pytest.mark.parametrize("width", range(1, 18))
def test_the_kernel_by_columns_cuts_no_piece_where_those_of_two_constraints_differ(width):
    """A weight has factors in one constraint and dense rows in the other, which end at other columns."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    layer, rest, dense = Layer(slice(0, 12), random(5, 2, 3), random(5, 2, 4)), random(5, 5), random(5, 12)
    blocks = [ConstraintRows(5, [layer, Dense(slice(12, 17), rest)]), ConstraintRows(5, [Dense(slice(0, 12), dense)])]
    J = torch.cat([torch.cat([layer.dense(slice(None)), rest], 1), torch.nn.functional.pad(dense, (0, 5))])
    kernel = Linearisation(random(10), lambda: blocks, 17, lambda: None).kernel(8 * 10 * width)
    torch.testing.assert_close(kernel.tril(), (J @ J.T).tril())


def test_an_evaluation_is_used_again_at_the_same_points_and_parameters_only():
    objective, calls = objective_of("mlp"), []
    taped = objective.at.taped
    objective.at.taped = lambda batch: calls.append(1) or taped(batch)
    step = torch.full((objective.columns[-1].stop,), 1e-3, dtype=torch.float64)
    objective.shift(step)
    F = objective.linearise().F
    objective.begin(dict(objective.batch))  # another step, the same points
    again = objective.linearise()
    assert len(calls) == 1
    assert torch.equal(again.F, F)
    with torch.no_grad():
        J = again.dense()
    torch.testing.assert_close(J, row_by_row(objective.vector(), objective.parameters), rtol=1e-9, atol=1e-9)
    objective.linearise()
    assert len(calls) == 2  # the one before has been used
    objective.shift(step)
    assert not torch.equal(objective.linearise().F, F)
    objective.begin({name: X.clone() for name, X in objective.batch.items()})
    objective.linearise()
    assert len(calls) == 4


def test_an_evaluation_that_is_used_again_takes_the_weights_of_its_step():
    weights = {"momentum": 1.0}
    objective = objective_of("mlp", weighting=lambda batch, residuals: dict(weights))
    before = objective.linearise().F
    weights["momentum"] = 4.0
    objective.begin(objective.batch)
    n = len(objective.batch["momentum"])
    torch.testing.assert_close(objective.linearise().F[:n], 2 * before[:n])


@pytest.mark.parametrize("network", NETWORKS)
def test_the_gradient_of_the_loss_is_two_jacobian_transposed_f(network):
    objective = objective_of(network)
    gradient = objective.flat(torch.autograd.grad(objective.loss(), objective.parameters))
    linear = objective.linearise()
    torch.testing.assert_close(2 * linear.gradient, gradient, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(linear.F @ linear.F, objective.loss(), rtol=1e-12, atol=0)
    parts = objective.gradients()
    torch.testing.assert_close(sum(objective.base[n] * g for n, g in parts.items()), gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("network", ["mlp", "weighted", "ansatz"])
def test_both_engines_give_the_same_linearisation(network):
    fast, slow = objective_of(network), objective_of(network, Autograd)
    torch.testing.assert_close(fast.vector(), slow.vector(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(fast.linearise().dense(), slow.linearise().dense(), rtol=1e-9, atol=1e-9)


def test_an_equation_that_no_parameter_changes_has_rows_of_zeros():
    """u_xx + u_yy of a network that is linear in x and y is 0 for all its weights."""
    problem = Poisson2D()
    model = Model(Features(problem.domain), torch.nn.Linear(2, 1)).double()
    objective = Objective(problem, model, Taylor, lambda b, r: {})
    rim = problem.domain.sample("boundary", torch.rand(5, 2).double())
    objective.begin({"pde": problem.domain.grid(3), "rim": rim})
    J = objective.linearise().dense()
    assert not J[:9].any()
    torch.testing.assert_close(J[9:], row_by_row(objective.vector()[9:], objective.parameters))


def test_a_parameter_without_a_rule_gets_its_columns_the_slow_way():
    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.shift = torch.nn.Linear(2, 2), torch.nn.Parameter(torch.tensor([0.3, 0.1]))

        def forward(self, X):
            row = self.shift.expand(len(X), 2)
            return self.last(torch.tanh(torch.cat([X, row], -1)[:, :2] * torch.cat([X * 0 + 1, row], -1)[:, 2:]))

    objective = objective_of("mlp")
    model = Model(Features(objective.problem.domain), Odd(), {"nu": 0.5}).double()
    objective = Objective(objective.problem, model, Taylor,
                          lambda b, r: {})  # fmt: skip
    objective.begin(objective_of("mlp").batch)
    J = row_by_row(objective.vector(), objective.parameters)
    torch.testing.assert_close(objective.linearise().dense(), J, rtol=1e-9, atol=1e-9)
    assert any(objective.untaped.values())


class Closed(torch.nn.Module):
    """A gate that is closed at the start hides what lies behind it; `shape` (1, 8) is no scalar and no vector."""

    def __init__(self):
        super().__init__()
        self.first, self.last = torch.nn.Linear(2, 8), torch.nn.Linear(8, 2)
        self.alpha, self.shape = torch.nn.Parameter(torch.tensor(0.0)), torch.nn.Parameter(torch.ones(1, 8))
        torch.nn.init.zeros_(self.last.weight)

    def forward(self, X):
        h = torch.tanh(self.first(X))
        return self.last(h + self.alpha * torch.sin(self.shape * h))


@pytest.mark.parametrize("engine", [Taylor, Autograd])
def test_a_parameter_whose_gradient_vanishes_at_first_is_not_missed(engine):
    source = objective_of("mlp")
    model = Model(Features(source.problem.domain), Closed(), {"nu": 0.5}).double()
    objective = Objective(source.problem, model, engine, lambda batch, residuals: {})
    objective.begin(source.batch)
    before = objective.flat(objective.parameters).detach().clone()
    objective.linearise()
    torch.testing.assert_close(objective.flat(objective.parameters).detach(), before, rtol=0, atol=0)
    objective.shift(0.5 * torch.randn(len(before), dtype=torch.float64))
    J = row_by_row(objective.vector(), objective.parameters)
    torch.testing.assert_close(objective.linearise().dense(), J, rtol=1e-9, atol=1e-9)


def test_constraints_of_one_region_share_one_pass():
    objective = objective_of("mlp")
    assert ("momentum", "continuity") in objective.at.groups(objective.batch)


def test_weights_stay_as_they_are_within_a_step():
    seen = []

    def weighting(batch, residuals):
        seen.append(1)
        return {"momentum": 1 / (1e-3 + residuals["momentum"] ** 2)}

    objective = objective_of("mlp", weighting=weighting)
    before = objective.weights["momentum"].clone()
    objective.shift(torch.full((objective.columns[-1].stop,), 0.1, dtype=torch.float64))
    objective.vector(), objective.loss(), objective.linearise()
    assert torch.equal(objective.weights["momentum"], before)
    assert len(seen) == 1
    objective.begin(objective.batch)
    assert not torch.equal(objective.weights["momentum"], before)
    assert objective.weights["start"] == 100


def test_weights_multiply_mean_squares():
    objective = objective_of("mlp")
    total = sum(objective.base[name] * r.square().mean() for name, r in objective.residuals().items())
    torch.testing.assert_close(objective.loss(), total)
    torch.testing.assert_close(objective.losses()["seam"], objective.residuals()["seam"].square().mean().detach())


def test_begin_says_whether_points_changed():
    objective = objective_of("mlp")
    assert objective.points_changed
    objective.begin(dict(objective.batch))
    assert not objective.points_changed
    objective.begin({**objective.batch, "seam": objective.batch["seam"].clone()})
    assert objective.points_changed


def test_any_symbol_observable_or_residual_at_any_points():
    objective = objective_of("mlp")
    X = objective.batch["momentum"]
    values = objective.evaluate(["u", "u_xt", "speed", "residual/momentum", "lap_v"], X)
    assert list(values) == ["u", "u_xt", "speed", "residual/momentum", "lap_v"]
    torch.testing.assert_close(values["speed"] ** 2, values["u"] ** 2 + objective.evaluate(["v"], X)["v"] ** 2)
    torch.testing.assert_close(values["residual/momentum"], objective.residuals()["momentum"].detach())
    with pytest.raises(TypeError, match=r"`u_z` is no symbol"):
        objective.evaluate(["u_z"], X)


@pytest.mark.parametrize(
    "shape", [lambda u: u[:, None], lambda u: u.sum(), lambda u: u[1:]], ids=["(N,1)", "()", "(N-1,)"]
)
def test_a_residual_of_another_shape_is_refused(shape):
    class Bad(Everything):
        @on("interior")
        def momentum(self, u):
            return shape(u)

    good = objective_of("mlp")
    objective = Objective(Bad(), good.model, Taylor, good.weighting)
    objective.begin(good.batch)
    with pytest.raises(TypeError, match=r"residual `momentum` .* expected \(7,\), one number per point"):
        objective.residuals()


@settings(max_examples=20, deadline=None)
@given(st.floats(-2, 2), st.floats(-2, 2))
def test_shift_moves_the_parameters_and_back(a, b):
    objective = objective_of("mlp")
    before = objective.flat(objective.parameters).detach().clone()
    d = torch.linspace(a, b, len(before), dtype=torch.float64)
    objective.shift(d)
    objective.shift(-d)
    torch.testing.assert_close(objective.flat(objective.parameters).detach(), before, rtol=1e-12, atol=1e-12)


def test_an_unknown_coefficient_is_trained():
    objective = objective_of("mlp")
    gradient = objective.flat(torch.autograd.grad(objective.loss(), objective.parameters))
    assert gradient[objective.layout["unknowns.nu"]].abs() > 1e-6


@pytest.mark.slow  # all kinds of constraints take a minute to compile; test_compiled_step.py has some of each
def test_the_compiled_step_equals_the_eager_one():
    """Also term by term, and with weights that are numbers, or one for each point, and with the step of Adam in it."""
    eager, compiled = (objective_of("mlp", weighting=by_hand, compiled=on) for on in (False, True))
    optimizers = [Adam(1e-2), Adam(1e-2)]
    compiled.at.rule = optimizers[1].rule(compiled)
    (loss, gradient), (expected, slope) = compiled.differentiated(), eager.differentiated()
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-12)
    for one, other in zip(gradient, slope, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)
    for name, g in compiled.gradients().items():
        torch.testing.assert_close(g, eager.gradients()[name], rtol=1e-8, atol=1e-10)
    for name, mean in compiled.losses().items():
        torch.testing.assert_close(mean, eager.losses()[name], rtol=1e-10, atol=1e-12)
    for _ in range(3):
        for objective, optimizer in zip((eager, compiled), optimizers, strict=True):
            objective.begin(objective.batch)
            optimizer.step(objective)
        one, other = (objective.flat(objective.parameters).detach() for objective in (eager, compiled))
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


def test_many_points_are_evaluated_some_at_a_time_with_the_same_residuals(monkeypatch):
    objective = objective_of("mlp")
    X = torch.rand(25, 2, dtype=torch.float64)
    whole = objective.residual("momentum", X)
    monkeypatch.setattr("pinn_cli.training.residuals.AT_ONCE", 7)
    with torch.no_grad():
        torch.testing.assert_close(objective.residual("momentum", X), whole.detach(), rtol=1e-12, atol=1e-12)
        assert objective.at.symbols("momentum", X)["u"].shape == (25,)


@pytest.mark.parametrize("at_once", [1, 3, 4, 100])
def test_points_may_be_linearised_some_at_a_time(at_once):
    factors = torch.linspace(1, 2, 7, dtype=torch.float64)
    whole, pieces = (objective_of("mlp", weighting=lambda batch, residuals: {"momentum": factors}) for _ in range(2))
    one, other = whole.linearise(), pieces.linearise(at_once)
    torch.testing.assert_close(other.F, one.F, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(other.dense(), one.dense(), rtol=1e-12, atol=1e-12)
    assert {n: float(v) for n, v in pieces.losses().items()} == pytest.approx(
        {n: float(v) for n, v in whole.losses().items()}
    )


@pytest.mark.parametrize(("of_residuals", "passes"), [(True, 1), (False, 0)])
def test_weights_take_an_evaluation_only_where_the_weighting_reads_residuals(of_residuals, passes, monkeypatch):
    objective = plan.preview(assemble(compose(["problem=helmholtz", "points.interior=8", "points.face=4"])))
    objective.weighting = type("W", (Fixed,), {"of_residuals": of_residuals})()
    calls, inner = [], type(objective).residuals
    monkeypatch.setattr(type(objective), "residuals", lambda self: calls.append(1) or inner(self))
    objective.begin(objective.batch)
    weights = objective.weights
    assert len(calls) == passes
    objective.loss()
    assert objective.weights == weights == objective.base
