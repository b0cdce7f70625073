"""Combinations of basis functions that satisfy equations: solutions, gradients, memory, and what is refused."""

import gc
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.derivatives.engines import Taylor
from pinn_cli.methods import nonlinear_least_squares
from pinn_cli.methods.linear_algebra import least_squares
from pinn_cli.methods.nonlinear_least_squares import solve
from pinn_cli.methods.pointwise_equations import PointwiseEquation, System

TINY = 1e-6  # of finite differences
EXACT = torch.float64


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=EXACT)


def waves(theta: Tensor, X: Tensor) -> dict[str, Tensor]:
    """tanh(a x + b t + c) and the derivatives of Burgers' equation, for theta (3, P) and X (N, 2)."""
    a, b, c = theta
    f = torch.tanh(X @ torch.stack([a, b]) + c)
    return {"u": f, "u_x": a * (1 - f**2), "u_t": b * (1 - f**2), "u_xx": -2 * a**2 * f * (1 - f**2)}


def only(values: dict[str, Tensor], *names: str) -> dict[str, Tensor]:
    return {name: values[name] for name in names}


def burgers(u: Tensor, u_x: Tensor, u_t: Tensor, u_xx: Tensor, nu: Tensor) -> Tensor:
    return u_t + u * u_x - nu * u_xx


def heat(u_t: Tensor, u_xx: Tensor, nu: Tensor) -> Tensor:
    return u_t - nu * u_xx


def initial(u: Tensor, start: Tensor) -> Tensor:
    return u - start


class Family:
    """A family of initial values for an equation: its points, its data, and its equations for any theta."""

    def __init__(self, instances: int, functions: int, points: int = 20, nonlinear: bool = True, seed: int = 0):
        generator = torch.Generator().manual_seed(seed)
        self.X = 2 * torch.rand(points, 2, generator=generator, dtype=EXACT) - 1
        self.x0 = torch.stack([torch.linspace(-1, 1, points, dtype=EXACT), torch.full((points,), -1.0, dtype=EXACT)], 1)
        amplitude = 0.5 + torch.rand(instances, 1, generator=generator, dtype=EXACT)
        self.start = amplitude * torch.sin(torch.pi * self.x0[:, 0]) + 0.3
        self.nu = 0.05 + 0.2 * torch.rand(instances, 1, generator=generator, dtype=EXACT)
        self.theta = normal(3, functions, seed=seed) * torch.tensor([[2.0], [1.0], [1.0]], dtype=EXACT)
        self.nonlinear = nonlinear

    def equations(self, theta: Tensor, start: Tensor, nu: Tensor, multiplier: Tensor | float = 3.0):
        inside, names = waves(theta, self.X), ("u", "u_x", "u_t", "u_xx") if self.nonlinear else ("u_t", "u_xx")
        return [
            PointwiseEquation(burgers if self.nonlinear else heat, only(inside, *names), {"nu": nu}, name="equation"),
            PointwiseEquation(initial, only(waves(theta, self.x0), "u"), {"start": start}, multiplier=multiplier,
                              name="initial"),
        ]  # fmt: skip

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return self.theta, self.start, self.nu


def stationary(equations: list[PointwiseEquation], w: Tensor, ridge: float) -> float:
    """The largest derivative of the objective by w, by automatic differentiation; D from the Jacobian at 0."""
    system, w = System(equations, ridge).constant(), w.detach().requires_grad_()
    total = sum(e.residuals(w).square().sum() for e in system.equations)
    if ridge:
        J = [torch.autograd.functional.jacobian(lambda w, e=e: e.residuals(w), torch.zeros_like(w))
             for e in system.equations]  # fmt: skip
        squares = torch.stack([sum(j[i, :, i].square().sum(0) for j in J) for i in range(len(w))])
        total = total + ridge * (squares * w.square()).sum()
    (g,) = torch.autograd.grad(total, w)
    return float(g.abs().max())


@pytest.mark.parametrize("ridge", [0.0, 1e-4])
@pytest.mark.parametrize("nonlinear", [False, True])
def test_every_instance_is_stationary(nonlinear, ridge):
    family = Family(4, 8, nonlinear=nonlinear)
    equations = family.equations(*family.inputs)
    w, outcome = solve(equations, ridge=ridge)
    assert outcome.converged.all()
    assert outcome.linear.tolist() == [not nonlinear] * 4
    assert stationary(equations, w, ridge) < 1e-8
    assert outcome.gradient.max() < 1e-8
    residual = torch.cat([e.residuals(w) for e in equations], 1).norm(dim=1)
    assert torch.allclose(outcome.residual, residual)


def test_linear_equations_take_one_step_and_are_those_of_the_dense_solver():
    family = Family(3, 7, nonlinear=False)
    equations = family.equations(*family.inputs)
    for ridge in (0.0, 1e-3):
        w, outcome = solve(equations, ridge=ridge)
        assert outcome.steps.tolist() == [1, 1, 1]
        inside, at_0 = waves(family.theta, family.X), waves(family.theta, family.x0)
        for i in range(3):
            A = torch.cat([inside["u_t"] - family.nu[i] * inside["u_xx"], 3 * at_0["u"]])
            b = torch.cat([torch.zeros(20, dtype=EXACT), 3 * family.start[i]])
            assert torch.allclose(w[i, 0], least_squares(A, b, ridge), rtol=1e-8)


def test_one_factorisation_serves_all_instances_of_one_linear_operator(monkeypatch):
    from pinn_cli.methods import pointwise_equations

    family, sizes = Family(5, 7, nonlinear=False), []
    plain = pointwise_equations.triangle
    monkeypatch.setattr(pointwise_equations, "triangle", lambda A, b: sizes.append(tuple(A.shape)) or plain(A, b))
    for ridge, rows in ((0.0, 40), (1e-3, 47)):
        together, outcome = solve(family.equations(family.theta, family.start, family.nu[0]), ridge=ridge)
        assert sizes == [(rows, 7)]
        assert outcome.linear.all()
        for i in range(5):
            alone, _ = solve(family.equations(family.theta, family.start[i], family.nu[0]), ridge=ridge)
            assert torch.allclose(together[i], alone[0], rtol=1e-9)
        sizes.clear()


@pytest.mark.parametrize("ridge", [0.0, 1e-5])
def test_instances_are_those_one_by_one(ridge):
    family = Family(4, 8)
    together, outcome = solve(family.equations(*family.inputs), ridge=ridge)
    for i in range(4):
        alone, its = solve(family.equations(family.theta, family.start[i], family.nu[i : i + 1]), ridge=ridge)
        assert torch.allclose(together[i], alone[0], rtol=1e-7, atol=1e-9)
        assert outcome.steps[i] == its.steps[0]
        assert torch.allclose(outcome.condition[i], its.condition[0], rtol=1e-5)


def directional(function, inputs: tuple[Tensor, ...], seed: int) -> tuple[float, float]:
    """A derivative of a random combination of the outputs along a random direction: by backward, and by differences."""
    inputs = tuple(x.detach().requires_grad_() for x in inputs)
    directions = [normal(*x.shape, seed=seed + k) for k, x in enumerate(inputs)]
    out = function(*inputs)
    g = normal(*out.shape, seed=seed + 99)
    slopes = torch.autograd.grad((g * out).sum(), inputs)
    found = float(sum((s * d).sum() for s, d in zip(slopes, directions, strict=True)))

    def at(h: float) -> float:
        with torch.no_grad():
            return float((g * function(*(x + h * d for x, d in zip(inputs, directions, strict=True)))).sum())

    h = 1e-3
    return found, (45 * (at(h) - at(-h)) - 9 * (at(2 * h) - at(-2 * h)) + at(3 * h) - at(-3 * h)) / (60 * h)


def assert_equal_to_differences(function, inputs: tuple[Tensor, ...], seed: int = 0) -> None:
    found, expected = directional(function, inputs, seed)
    assert found == pytest.approx(expected, rel=TINY)


MULTIPLIERS = (torch.full((), 3.0), 1 + normal(3, 1).abs(), 1 + normal(20).abs(), 1 + normal(3, 20).abs())


@given(st.booleans(), st.sampled_from(MULTIPLIERS), st.integers(2, 6), st.sampled_from([0.0, 1e-4, 1e-2]),
       st.integers(0, 30))  # fmt: skip
@settings(max_examples=12, deadline=None)
def test_gradients_are_those_of_finite_differences(nonlinear, multiplier, functions, ridge, seed):
    family = Family(3, functions, nonlinear=nonlinear, seed=seed)
    start = solve(family.equations(*family.inputs, multiplier), ridge=ridge)[0]

    def solution(*inputs: Tensor) -> Tensor:
        w, outcome = solve(family.equations(*inputs), ridge=ridge, start=start, tolerance=1e-12)
        assert outcome.converged.all()
        return w

    assert_equal_to_differences(solution, (*family.inputs, multiplier.to(EXACT)), seed)


def doubled(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The first function once more at the end."""
    return {name: torch.cat([B, B[:, :1]], 1) for name, B in values.items()}


@pytest.mark.parametrize("nonlinear", [False, True])
def test_dependent_functions_need_a_ridge_for_a_gradient(nonlinear):
    family = Family(2, 5, nonlinear=nonlinear)

    def solution(*inputs: Tensor, ridge: float = 0.0) -> Tensor:
        equations = family.equations(*inputs)
        bases = [doubled({s: B[0] for s, B in e.bases.items()}) for e in equations]
        return solve([PointwiseEquation(e.residual, B, e.data, multiplier=e.multiplier)
                      for e, B in zip(equations, bases, strict=True)], ridge=ridge)[0]  # fmt: skip

    with torch.no_grad():
        shortest = solution(*family.inputs)
    assert torch.allclose(shortest[..., 0], shortest[..., 5])
    with pytest.raises(UsageError, match="only 5 of 6 basis functions are independent") as told:
        solution(family.theta.requires_grad_(), family.start, family.nu)
    assert "pass ridge=" in str(told.value)
    assert "\n" not in str(told.value)
    assert_equal_to_differences(lambda *inputs: solution(*inputs, ridge=1e-6), family.inputs)


def test_more_functions_than_equations_need_a_ridge():
    family = Family(2, 45)
    with pytest.raises(UsageError, match="45 basis functions and 40 equations") as told:
        solve(family.equations(*family.inputs))
    assert "pass ridge=" in str(told.value)
    assert "\n" not in str(told.value)
    equations = family.equations(*family.inputs)
    w, outcome = solve(equations, ridge=1e-4)
    assert outcome.converged.all()
    assert stationary(equations, w, 1e-4) < 1e-8


def test_without_second_derivatives_the_gradient_is_that_of_vanishing_residuals():
    family = Family(2, 5)
    theta = family.theta.clone().requires_grad_()

    def gradient(backward: str, equations) -> Tensor:
        w, _ = solve(equations, backward=backward)
        return torch.autograd.grad(w.sum(), theta)[0]

    far = [gradient(b, family.equations(theta, family.start, family.nu)) for b in ("implicit", "implicit_gn")]
    assert (far[0] - far[1]).norm() > 1e-2 * far[0].norm()

    def known(u: Tensor, u_x: Tensor, f: Tensor) -> Tensor:
        return u + 0.1 * u * u_x - f

    values, exact = only(waves(family.theta, family.X), "u", "u_x"), 0.3 * normal(2, 5)
    f = known(*(exact @ B.T for B in values.values()), f=torch.zeros(()))  # of which `exact` is the solution

    def solvable() -> list[PointwiseEquation]:
        return [PointwiseEquation(known, only(waves(theta, family.X), "u", "u_x"), {"f": f})]

    assert torch.allclose(solve(solvable())[0][:, 0], exact)
    near = [gradient(b, solvable()) for b in ("implicit", "implicit_gn")]
    assert torch.allclose(*near, rtol=1e-9)
    linear = Family(2, 5, nonlinear=False)
    same = [gradient(b, linear.equations(theta, linear.start, linear.nu)) for b in ("implicit", "implicit_gn")]
    assert torch.equal(*same)


@pytest.mark.parametrize("nonlinear", [False, True])
def test_the_unrolled_gradient_is_the_implicit_one(nonlinear):
    family = Family(3, 4, nonlinear=nonlinear, seed=1)
    inputs = [x.requires_grad_() for x in family.inputs]
    found = {}
    for backward in ("implicit", "unroll"):
        w, outcome = solve(family.equations(*inputs), ridge=1e-5, backward=backward, tolerance=1e-12, steps=200)
        assert outcome.converged.all()
        found[backward] = [w, *torch.autograd.grad(w.square().sum(), inputs)]
    for implicit, unrolled in zip(found["implicit"], found["unroll"], strict=True):
        assert torch.allclose(implicit, unrolled, rtol=1e-6, atol=1e-7)


class Saved:
    """A tensor that a graph has saved."""

    def __init__(self, x: Tensor):
        self.x = x


def kept(function) -> int:
    """Bytes that the graph of a solution has saved when the solver has returned; a memory counts once."""
    saved: list[weakref.ref[Saved]] = []

    def pack(x: Tensor) -> Saved:
        saved.append(weakref.ref(one := Saved(x)))
        return one

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one.x):
        solution = function()
    gc.collect()
    storages = [one.x.untyped_storage() for ref in saved if (one := ref()) is not None]
    assert solution[0].requires_grad
    return sum({s.data_ptr(): s.nbytes() for s in storages}.values())


def test_the_memory_does_not_grow_with_the_number_of_steps():
    family = Family(3, 8)
    theta = family.theta.clone().requires_grad_()
    equations = family.equations(theta, family.start, family.nu)
    solution, taken = solve(equations, ridge=1e-4)
    few = solve(equations, ridge=1e-4, start=solution + 1e-4)[1]
    assert taken.steps.max() > few.steps.max() + 3
    many = kept(lambda: solve(equations, ridge=1e-4))
    assert many == kept(lambda: solve(equations, ridge=1e-4, start=solution + 1e-4))
    assert kept(lambda: solve(equations, ridge=1e-4, backward="unroll")) > 5 * many


def test_unrolled_steps_have_a_limit_of_memory():
    family = Family(3, 8)
    equations = family.equations(family.theta.requires_grad_(), family.start, family.nu)
    with pytest.raises(UsageError, match="backward=unroll would keep about") as told:
        solve(equations, ridge=1e-4, backward="unroll", memory=1e-4)
    assert "pass backward=implicit" in str(told.value)
    with pytest.raises(UsageError, match="backward=exact: expected implicit"):
        solve(equations, backward="exact")  # type: ignore[arg-type]


def test_rows_come_in_blocks_of_instances():
    family = Family(5, 6)
    whole, _ = solve(family.equations(*family.inputs))
    blocks, _ = solve(family.equations(*family.inputs), memory=3e-5)
    assert torch.allclose(whole, blocks, rtol=1e-10)


def test_a_warm_start_at_the_solution_takes_no_step():
    family = Family(3, 8)
    equations = family.equations(*family.inputs)
    w, _ = solve(equations, ridge=1e-4)
    again, outcome = solve(equations, ridge=1e-4, start=w, tolerance=1e-8)
    assert outcome.steps.tolist() == [0, 0, 0]
    assert torch.equal(again, w)
    assert outcome.converged.all()
    with pytest.raises(UsageError, match=r"start has shape \(2, 1, 8\); expected \(3, 1, 8\)"):
        solve(equations, start=w[:2])


def test_instances_that_have_converged_are_not_evaluated():
    family, counts = Family(3, 8), []

    def counting(u: Tensor, u_x: Tensor, u_t: Tensor, u_xx: Tensor, nu: Tensor) -> Tensor:
        counts.append(len(u))
        return burgers(u, u_x, u_t, u_xx, nu)

    def equations() -> list[PointwiseEquation]:
        first, second = family.equations(*family.inputs)
        return [PointwiseEquation(counting, {s: B[0] for s, B in first.bases.items()}, first.data), second]

    w, _ = solve(equations(), ridge=1e-4)
    counts.clear()
    solve(equations(), ridge=1e-4, start=w, tolerance=1e-8)
    without_steps, start = counts.copy(), w.clone()
    start[1] = 0
    counts.clear()
    again, outcome = solve(equations(), ridge=1e-4, start=start, tolerance=1e-8)
    assert outcome.steps[0] == outcome.steps[2] == 0
    assert outcome.steps[1] > 2
    assert torch.equal(again[[0, 2]], w[[0, 2]])
    assert counts.count(3) == without_steps.count(3)
    assert counts.count(1) >= outcome.steps[1]


def test_coefficients_in_single_precision_give_residuals_in_double():
    w = torch.rand(2, 1, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    basis = torch.rand(7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    r = PointwiseEquation(lambda u: u**2 - 1, {"u": basis}).residuals(w)
    assert torch.equal(r, (w[:, 0].double() @ basis.T) ** 2 - 1)
    (gradient,) = torch.autograd.grad(r.sum(), w)
    assert gradient.dtype == torch.float32


def test_several_fields_have_coefficients_of_their_own():
    """Rosenbrock's function as two fields of one constant: its minimum is at (1, 1)."""
    one = torch.ones(1, 1, dtype=EXACT)
    equations = [
        PointwiseEquation(lambda u, v: 10 * (v - u**2), {"u": one, "v": one}, fields={"v": 1}, name="valley"),
        PointwiseEquation(lambda u: 1 - u, {"u": one}, name="slope"),
    ]
    start = torch.tensor([[[-1.2], [1.0]], [[3.0], [-2.0]]], dtype=EXACT)
    w, outcome = solve(equations, start=start)
    assert outcome.converged.all()
    assert torch.allclose(w, torch.ones(2, 2, 1, dtype=EXACT))
    assert outcome.rank.tolist() == [2, 2]


def test_a_start_beside_a_saddle_moves_on():
    """u^2 + (0.55 - u^2)^2 has a maximum at 0, from which Gauss-Newton steps lead a tenth further each time."""
    one = torch.ones(1, 1, dtype=EXACT)
    equations = [PointwiseEquation(lambda u: u, {"u": one}), PointwiseEquation(lambda u: 0.55 - u**2, {"u": one})]
    w, outcome = solve(equations, start=torch.tensor([[[1e-3]], [[-1e-4]]]))
    assert outcome.converged.all()
    assert w.flatten().tolist() == pytest.approx([0.05**0.5, -(0.05**0.5)])
    assert outcome.steps.max() < 20


def test_second_derivatives_help_where_residuals_are_large(monkeypatch):
    family = Family(4, 16, points=60, seed=2)
    equations = family.equations(*family.inputs)
    _, outcome = solve(equations)
    assert outcome.converged.all()
    monkeypatch.setattr(nonlinear_least_squares, "CURVED", torch.inf)
    _, without = solve(equations)
    assert outcome.steps.sum() < 0.6 * without.steps.sum()


def test_gradients_of_several_fields():
    """u u_x + v u_t = nu u_xx, v_x + u_t = 0 and both fields given at the start."""
    family = Family(2, 5)

    def solution(theta: Tensor, start: Tensor, nu: Tensor) -> Tensor:
        inside, at_0 = waves(theta, family.X), waves(theta, family.x0)
        both = {"u": at_0["u"], "v": at_0["u"]}
        w, outcome = solve([
            PointwiseEquation(lambda u, v, u_x, u_t, u_xx, nu: u * u_x + v * u_t - nu * u_xx,
                              inside | {"v": inside["u"]}, {"nu": nu}, {"v": 1}),
            PointwiseEquation(lambda v_x, u_t: v_x + u_t, {"v_x": inside["u_x"], "u_t": inside["u_t"]},
                              fields={"v_x": 1}),
            PointwiseEquation(lambda u, v, f: u - f + 2 * (v + f), both, {"f": start}, {"v": 1}),
            PointwiseEquation(lambda v, f: v + f, {"v": at_0["u"]}, {"f": start}, {"v": 1}, multiplier=2.0),
        ], ridge=1e-6, tolerance=1e-12)  # fmt: skip
        assert outcome.converged.all()
        assert w.shape == (2, 2, 5)
        return w

    assert_equal_to_differences(solution, family.inputs)


def test_points_may_differ_from_instance_to_instance():
    family = Family(3, 6)
    X = normal(3, 20, 2, seed=5)
    values = [waves(family.theta, points) for points in X]
    stacked = {name: torch.stack([v[name] for v in values]) for name in values[0]}
    initial_values = family.equations(*family.inputs)[1]
    together, _ = solve([PointwiseEquation(burgers, stacked, {"nu": family.nu}), initial_values], ridge=1e-4)
    for i in range(3):
        own = family.equations(family.theta, family.start[i], family.nu)[1]
        alone, _ = solve([PointwiseEquation(burgers, values[i], {"nu": family.nu[i]}), own], ridge=1e-4)
        assert torch.allclose(together[i], alone[0], rtol=1e-7)

    def solution(X: Tensor) -> Tensor:
        values = [waves(family.theta, points) for points in X]
        stacked = {name: torch.stack([v[name] for v in values]) for name in values[0]}
        return solve([PointwiseEquation(burgers, stacked, {"nu": family.nu}), initial_values], ridge=1e-4)[0]

    assert_equal_to_differences(solution, (X,))


def test_a_tensor_that_a_residual_uses_besides_gets_its_gradient():
    family = Family(2, 5)

    def solution(c: Tensor) -> Tensor:
        first, second = family.equations(*family.inputs)
        residual = lambda u, u_x, u_t, u_xx, nu: u_t + c * u * u_x - nu * u_xx  # noqa: E731
        return solve([PointwiseEquation(residual, {s: B[0] for s, B in first.bases.items()}, first.data), second])[0]

    assert_equal_to_differences(solution, (torch.tensor(0.7, dtype=EXACT),))


def test_basis_functions_from_one_pass_of_jets():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 5)).double()
    family, parameters = Family(2, 5), tuple(p.detach() for p in network.parameters())
    engine = Taylor([(0, 0), (1, 0), (0, 1), (2, 0)])
    names = {"u": (0, 0), "u_x": (1, 0), "u_t": (0, 1), "u_xx": (2, 0)}

    def outer_loss(*parameters: Tensor) -> Tensor:
        a, b, c, d = parameters
        f = lambda X: torch.nn.functional.linear(torch.tanh(torch.nn.functional.linear(X, a, b)), c, d)  # noqa: E731
        inside, at_0 = engine(f, family.X), f(family.x0)
        equation = PointwiseEquation(burgers, {n: inside[key] for n, key in names.items()}, {"nu": family.nu})
        w, _ = solve([equation, PointwiseEquation(initial, {"u": at_0}, {"start": family.start})], ridge=1e-4,
                     tolerance=1e-12)  # fmt: skip
        other = engine(f, 0.5 * family.X)
        elsewhere = PointwiseEquation(burgers, {n: other[key] for n, key in names.items()}, {"nu": family.nu})
        return elsewhere.residuals(w).square().mean()

    assert_equal_to_differences(outer_loss, parameters)


def test_single_precision_is_solved_in_double_precision():
    family = Family(2, 5)
    family.X, family.x0, theta = family.X.float(), family.x0.float(), family.theta.float().requires_grad_()
    w, _ = solve(family.equations(theta, family.start.float(), family.nu.float()))
    assert w.dtype == EXACT
    (g,) = torch.autograd.grad(w.sum(), theta)
    assert g.dtype == torch.float32
    family.X, family.x0 = family.X.double(), family.x0.double()
    exact, _ = solve(family.equations(theta.double(), family.start, family.nu))
    assert torch.allclose(w, exact, rtol=1e-3)


def test_the_condition_is_that_of_the_jacobian():
    family = Family(2, 6, nonlinear=False)
    _, outcome = solve(family.equations(*family.inputs))
    inside, at_0 = waves(family.theta, family.X), waves(family.theta, family.x0)
    for i in range(2):
        A = torch.cat([inside["u_t"] - family.nu[i] * inside["u_xx"], 3 * at_0["u"]])
        A = A / A.norm(dim=0)
        assert float(outcome.condition[i]) == pytest.approx(float(A.norm() * torch.linalg.pinv(A).norm()))
        assert float(torch.linalg.cond(A)) <= float(outcome.condition[i]) <= 6 * float(torch.linalg.cond(A))


def test_what_looks_linear_at_two_points_is_no_reason_to_stop():
    """|u| has the same slopes wherever the signs are the same."""
    one = torch.eye(2, dtype=EXACT)
    equations = [PointwiseEquation(lambda u, f: u.abs() + 0.1 * u - f, {"u": one}, {"f": torch.tensor([1.0, 2.0])})]
    w, outcome = solve(equations, start=torch.tensor([[[-3.0, 4.0]]]))
    assert outcome.converged.all()
    assert equations[0].residuals(w).abs().max() < 1e-12


def test_a_jump_between_equal_slopes_is_not_linear():
    one = torch.ones(1, 1, dtype=EXACT)
    equations = [PointwiseEquation(lambda u: u + 3 * (u > 0.5).to(u) - 1, {"u": one})]
    _, outcome = solve(equations)
    assert not outcome.linear.any()
    assert outcome.residual < 1


def test_a_residual_that_depends_on_other_points_is_refused():
    family = Family(2, 5)
    inside = only(waves(family.theta, family.X), "u")
    means = (lambda u: u - u.mean(), lambda u: u - u.mean(1, True))
    coupled = (*means, lambda u: u - u.roll(1, 1), lambda u: u - u.sum(0))
    for residual in coupled:
        with pytest.raises(UsageError, match="depends on its own only"):
            solve([PointwiseEquation(residual, inside, multiplier=family.nu)])
    with pytest.raises(UsageError, match="Numbers that belong to points or instances are"):
        solve([PointwiseEquation(lambda u: u - family.start, inside)])


def test_bad_input_gets_one_line():
    family = Family(2, 5)
    inside = only(waves(family.theta, family.X), "u")
    for wrong, message in (
        (lambda: PointwiseEquation(initial, {}), "expected bases with one shape"),
        (lambda: PointwiseEquation(initial, {"u": inside["u"][0]}), r"shape \(5,\); expected \(N, P\)"),
        (lambda: PointwiseEquation(initial, inside, {"start": family.start[:, :7]}), "`start` has shape"),
        (lambda: solve([PointwiseEquation(initial, inside)]), "TypeError"),
        (lambda: solve([]), "found no equations"),
        (lambda: solve([PointwiseEquation(initial, inside, {"start": normal(k, 20)}) for k in (2, 3)]), "instances"),
        (lambda: solve([PointwiseEquation(lambda u: u, {"u": inside["u"][:, :k]}) for k in (2, 3)]), "one number"),
        (lambda: solve([PointwiseEquation(lambda u: u.log(), inside)]), "not finite at the start of instance 0"),
        (lambda: solve([PointwiseEquation(lambda u: (u - 1).sqrt(), inside)], ridge=1e-3,
                       start=100 * normal(1, 1, 5)), "pass ridge=0|not finite"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=message) as told:
            wrong()
        assert "\n" not in str(told.value)


def test_all_tensors_lie_where_the_bases_lie():
    family = Family(3, 8)
    equations = family.equations(family.theta.requires_grad_(), family.start, family.nu)
    with torch.device("meta"):  # where a tensor made without `device=` would lie
        for backward in ("implicit", "implicit_gn", "unroll"):
            w, outcome = solve(equations, ridge=1e-4, backward=backward, steps=100)
            assert outcome.converged.device == w.device == family.theta.device
            w.sum().backward(retain_graph=True)


def test_what_has_not_converged_is_said():
    family = Family(2, 8)
    _, outcome = solve(family.equations(*family.inputs), steps=2)
    assert not outcome.converged.any()
    assert outcome.reasons == ("it needs more steps",) * 2
    assert outcome.steps.tolist() == [2, 2]


def test_a_second_derivative_is_refused():
    family = Family(2, 5)
    theta = family.theta.requires_grad_()
    w, _ = solve(family.equations(theta, family.start, family.nu))
    (g,) = torch.autograd.grad(w.square().sum(), theta, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()
