"""The gradient of a least-squares solution: against finite differences, its formula, and exact arithmetic."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.linear_algebra import least_squares, triangle

TINY = 1e-6  # of finite differences


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def vandermonde(rows: int, columns: int) -> Tensor:
    x = torch.linspace(0, 1, rows, dtype=torch.float64)
    return torch.stack([x**k for k in range(columns)], 1)


def checked(A: Tensor, b: Tensor, ridge: float) -> bool:
    """Whether all derivatives of the solution equal central differences."""
    inputs = (A.requires_grad_(), b.requires_grad_())
    return torch.autograd.gradcheck(lambda A, b: least_squares(A, b, ridge), inputs, atol=TINY, rtol=TINY)


@given(st.integers(1, 5), st.integers(0, 6), st.sampled_from([(), (2,), (2, 2)]), st.sampled_from([None, 1, 3]),
       st.sampled_from([0.0, 1e-3, 1.0]), st.integers(0, 99))  # fmt: skip
@settings(max_examples=12, deadline=None)
def test_gradients_are_those_of_finite_differences(P, more, batch, K, ridge, seed):
    A = normal(*batch, P + more, P, seed=seed) + 2 * torch.eye(P + more, P)
    b = normal(*batch, P + more, *([] if K is None else [K]), seed=seed + 1)
    assert checked(A, b, ridge)


@pytest.mark.parametrize("ridge", [1e-4, 0.1])
def test_dependent_columns_have_gradients_with_a_ridge(ridge):
    A = normal(12, 3)
    assert checked(torch.cat([A, A[:, :1], A[:, :1] - A[:, 1:2]], 1), normal(12, seed=1), ridge)
    assert checked(normal(3, 5), normal(3, seed=1), ridge)  # fewer rows than columns


def test_gradients_of_one_kind_of_input_alone():
    A, b = normal(9, 4), normal(9, seed=1)
    (of_A,) = torch.autograd.grad(least_squares(A.requires_grad_(), b).sum(), A)
    A, b = A.detach(), b.requires_grad_()
    (of_b,) = torch.autograd.grad(least_squares(A, b).sum(), b)
    both = torch.autograd.grad(least_squares(A.requires_grad_(), b).sum(), (A, b))
    assert torch.equal(of_A, both[0])
    assert torch.equal(of_b, both[1])


@pytest.mark.parametrize("ridge", [0.0, 0.01])
def test_the_formula_of_the_gradient(ridge):
    A, b, g = normal(20, 6).requires_grad_(), normal(20, seed=1).requires_grad_(), normal(6, seed=2)
    x = least_squares(A, b, ridge)
    of_A, of_b = torch.autograd.grad(x @ g, (A, b))
    with torch.no_grad():
        H = A.T @ A + ridge * torch.diag(A.square().sum(0))
        z, r = torch.linalg.solve(H, g), A @ x - b
        expected = -torch.outer(r, z) - torch.outer(A @ z, x) - 2 * ridge * A * (x * z)
    assert torch.allclose(of_A, expected, rtol=1e-10, atol=1e-12)
    assert torch.allclose(of_b, A @ z, rtol=1e-10, atol=1e-12)


def test_the_gradient_does_not_square_the_condition_number():
    A, b, g = vandermonde(40, 11), normal(40).requires_grad_(), normal(11, seed=1)  # condition number 1e8
    (found,) = torch.autograd.grad(least_squares(A, b) @ g, b)
    exact = A @ torch.tensor(solved_exactly(A, g), dtype=torch.float64)
    by_normal_equations = A @ torch.cholesky_solve(g[:, None], torch.linalg.cholesky(A.T @ A))[:, 0]
    assert (found - exact).norm() < 1e-7 * exact.norm()
    assert (by_normal_equations - exact).norm() > 1e3 * (found - exact).norm()


def solved_exactly(A: Tensor, g: Tensor) -> list[float]:
    """(A^T A)^-1 g in rational arithmetic."""
    columns = [[Fraction(value) for value in column] for column in A.T.tolist()]
    rows = [[sum(x * y for x, y in zip(p, q, strict=True)) for q in columns] + [Fraction(value)]
            for p, value in zip(columns, g.tolist(), strict=True)]  # fmt: skip
    for k in range(len(rows)):  # Gauss-Jordan; the matrix is positive definite
        pivot = rows[k] = [value / rows[k][k] for value in rows[k]]
        for other in range(len(rows)):
            if other != k:
                factor = rows[other][k]
                rows[other] = [x - factor * y for x, y in zip(rows[other], pivot, strict=True)]
    return [float(row[-1]) for row in rows]


def test_dependent_columns_have_a_solution_but_no_gradient_without_a_ridge():
    A, b = normal(12, 3), normal(12, seed=1)
    A = torch.cat([A, A[:, :1]], 1)
    x = least_squares(A, b)
    assert torch.allclose(x[0], x[3])  # the shortest
    with pytest.raises(UsageError, match="only 3 of 4 columns are independent") as told:
        least_squares(A.requires_grad_(), b)
    assert "pass ridge=" in str(told.value)
    assert "\n" not in str(told.value)
    with torch.no_grad():
        assert torch.equal(least_squares(A, b), x)


def test_the_shortest_solution_jumps_when_dependent_columns_part():
    """Why it has no gradient."""
    A, b = normal(12, 3), normal(12, seed=1)
    A = torch.cat([A, A[:, :1]], 1)
    moved = A.clone()
    moved[:, 3] += 1e-9 * normal(12, seed=2)
    assert (least_squares(moved, b) - least_squares(A, b)).norm() > 1e6


def test_a_second_derivative_is_refused():
    A = normal(9, 4).requires_grad_()
    (g,) = torch.autograd.grad(least_squares(A, normal(9, seed=1)).square().sum(), A, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize("shape", [(30, 8), (8, 8), (5, 8)])
def test_several_problems_at_once_are_those_one_by_one(shape, ridge):
    A, B = normal(2, 3, *shape), normal(2, 3, shape[0], 2, seed=1)
    A[1, 2, :, 4] = A[1, 2, :, 3]  # one of them has dependent columns
    found = least_squares(A, B, ridge)
    assert found.shape == (2, 3, 8, 2)
    for i in range(2):
        for j in range(3):
            assert torch.allclose(found[i, j], least_squares(A[i, j], B[i, j], ridge), rtol=1e-10, atol=1e-11)


def test_the_triangles_of_several_problems():
    A, b, x = normal(3, 20, 5), normal(3, 20, 1, seed=1), normal(3, 5, 1, seed=2)
    solved = triangle(A, b)
    assert torch.allclose(solved.squares(x), (A @ x - b).square().sum(1))
    assert solved.rank().tolist() == [5, 5, 5]
    ridge = torch.tensor([0.0, 0.1, 10.0], dtype=torch.float64)
    damped = solved.with_ridge(ridge, x)
    for i in range(3):
        alone = triangle(A[i], b[i]).with_ridge(float(ridge[i]), x[i])
        assert torch.allclose(damped.solve()[i], alone.solve())
        assert torch.allclose(damped.covariance_times(x)[i], alone.covariance_times(x[i]))
