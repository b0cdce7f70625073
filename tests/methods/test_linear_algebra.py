"""Dense least squares: against numpy, and where columns are dependent, badly scaled or nearly dependent."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from pinn_cli.methods import linear_algebra
from pinn_cli.methods.linear_algebra import (
    bytes_needed,
    least_ridge,
    least_squares,
    triangle,
    triangle_of_blocks,
)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def vandermonde(rows: int, columns: int) -> torch.Tensor:
    x = torch.linspace(0, 1, rows, dtype=torch.float64)
    return torch.stack([x**k for k in range(columns)], 1)


@pytest.mark.parametrize("shape", [(50, 20), (20, 20), (12, 20), (5, 1)])
def test_the_solution_is_that_of_numpy(shape):
    A, b = normal(*shape), normal(shape[0], seed=1)
    A = A / A.norm(dim=0)  # with columns of one length, the shortest x and the shortest D x are the same
    assert least_squares(A, b).numpy() == pytest.approx(np.linalg.lstsq(A.numpy(), b.numpy(), rcond=None)[0], abs=1e-11)


def test_several_right_hand_sides_are_solved_at_once():
    A, B = normal(30, 8), normal(30, 3, seed=1)
    assert least_squares(A, B).numpy() == pytest.approx(np.linalg.lstsq(A.numpy(), B.numpy(), rcond=None)[0])


def test_badly_scaled_columns_do_not_matter():
    A, x = normal(60, 12), normal(12, seed=1)
    scale = torch.logspace(-60, 50, 12, dtype=torch.float64)
    assert (least_squares(A * scale, A @ x) * scale).numpy() == pytest.approx(x.numpy(), abs=1e-12)


def test_the_condition_number_is_not_squared():
    A = vandermonde(200, 13)  # condition number 4e9: normal equations would have no digit left
    x = normal(13, seed=1)
    assert least_squares(A, A @ x).numpy() == pytest.approx(x.numpy(), abs=1e-5)


def test_a_nearly_singular_system_has_a_small_residual():
    A, b = vandermonde(200, 40), vandermonde(200, 1)[:, 0].sin()  # condition number 1e17
    assert (A @ least_squares(A, b) - b).abs().max() < 1e-12
    assert triangle(A, b).rank() < 40


def test_of_equal_columns_each_takes_half():
    A = normal(30, 4)
    A = torch.cat([A, A[:, :1], torch.zeros(30, 1, dtype=A.dtype)], 1)  # a column twice, and a column of zeros
    b = 3 * A[:, 0]
    assert least_squares(A, b).numpy() == pytest.approx(np.array([1.5, 0, 0, 0, 1.5, 0]), abs=1e-12)
    assert triangle(A, b).rank() == 4


def test_a_ridge_is_the_same_as_rows_below():
    A, b, ridge = normal(30, 8) * torch.logspace(-3, 3, 8, dtype=torch.float64), normal(30, seed=1), 0.3
    D = A.norm(dim=0)
    below = torch.cat([A, ridge**0.5 * torch.diag(D)])
    expected = np.linalg.lstsq(below.numpy(), torch.cat([b, torch.zeros(8)]).numpy(), rcond=None)[0]
    assert (least_squares(A, b, ridge) * D).numpy() == pytest.approx(expected * D.numpy())


def test_the_covariance_is_the_inverse_of_the_normal_matrix():
    A = normal(30, 6) * torch.logspace(-3, 3, 6, dtype=torch.float64)
    inverse = triangle(A, A[:, 0]).covariance_times(torch.eye(6, dtype=A.dtype))
    assert (inverse @ (A.T @ A)).numpy() == pytest.approx(np.eye(6), abs=1e-7)


def test_single_precision_stays_single():
    A, x = normal(40, 10, dtype=torch.float32), normal(10, seed=1, dtype=torch.float32)
    found = least_squares(A, A @ x)
    assert found.dtype == torch.float32
    assert found.numpy() == pytest.approx(x.numpy(), abs=1e-4)


@pytest.mark.parametrize("sizes", [[60], [7, 7, 40, 6], [1] * 60, [25, 35]])
def test_rows_may_come_in_blocks(sizes):
    A = normal(60, 12) * torch.logspace(-40, 40, 12, dtype=torch.float64)
    B = normal(60, 2, seed=1)
    whole, blocks = triangle(A, B), triangle_of_blocks(zip(A.split(sizes), B.split(sizes), strict=True))
    assert (blocks.solve() * blocks.D[:, None]).numpy() == pytest.approx((whole.solve() * whole.D[:, None]).numpy())
    assert blocks.D.numpy() == pytest.approx(A.norm(dim=0).numpy())
    assert blocks.rest.numpy() == pytest.approx(whole.rest.numpy())


@pytest.mark.parametrize("budget", [1.0, 1500.0, 4000.0, float("inf")])
def test_rows_that_are_zero_in_the_same_columns_are_reduced_together(budget):
    A, B = normal(90, 12), normal(90, 2, seed=1)
    A[:30, 5:] = A[40:70, :5] = 0
    A[:, 11] = 0  # in all of them
    whole = triangle(A, B)
    blocks = triangle_of_blocks(zip(A.split(10), B.split(10), strict=True), budget)
    assert (blocks.R.T @ blocks.R).numpy() == pytest.approx((whole.R.T @ whole.R).numpy(), abs=1e-13)
    assert blocks.R.tril(-1).abs().max() == 0
    x = blocks.solve()
    assert x.numpy() == pytest.approx(whole.solve().numpy(), abs=1e-13)
    assert blocks.squares(x).numpy() == pytest.approx((A @ x - B).square().sum(0).numpy())


def test_blocks_are_factored_together_up_to_a_budget(monkeypatch):
    found, factored = [], linear_algebra._factored

    def counting(kept: list[torch.Tensor]) -> torch.Tensor:
        found.append(sum(map(len, kept)))
        return factored(kept)

    monkeypatch.setattr(linear_algebra, "_factored", counting)
    A, b = normal(60, 4), normal(60, seed=1)
    triangle_of_blocks(zip(A.split(10), b.split(10), strict=True), budget=20 * 5 * 8)
    assert found == [20, 5 + 20, 5 + 20]  # 20 rows of A and b, below the five of the triangle


@pytest.mark.parametrize("panel", [1, 3, 8, 100])
def test_a_ridge_is_added_in_panels(monkeypatch, panel):
    monkeypatch.setattr(linear_algebra, "PANEL", panel)
    A, B, about = normal(30, 8) * torch.logspace(-3, 3, 8, dtype=torch.float64), normal(30, 2, seed=1), normal(8, 2)
    before = triangle(A, B)
    R, y, D = before.R.clone(), before.y.clone(), before.D
    found = before.with_ridge(0.3, about)
    expected = triangle(torch.cat([A, 0.3**0.5 * torch.diag(D)]), torch.cat([B, 0.3**0.5 * D[:, None] * about]))
    assert (found.R.T @ found.R).numpy() == pytest.approx((R.T @ R + 0.3 * torch.eye(8)).numpy())
    assert found.R.tril(-1).abs().max() == 0
    assert (found.solve() * D[:, None]).numpy() == pytest.approx((expected.solve() * D[:, None]).numpy())
    assert found.rest.numpy() == pytest.approx(expected.rest.numpy())
    assert torch.equal(before.R, R)
    assert torch.equal(before.y, y)


@pytest.mark.parametrize("shape", [(50, 20), (20, 20), (12, 20)])
def test_the_squares_are_those_of_the_residual(shape):
    A, B, x = normal(*shape), normal(shape[0], 2, seed=1), normal(shape[1], 2, seed=2)
    assert triangle(A, B).squares(x).numpy() == pytest.approx((A @ x - B).square().sum(0).numpy())
    ridge = triangle(A, B).with_ridge(0.3)
    expected = (A @ x - B).square().sum(0) + 0.3 * (ridge.D[:, None] * x).square().sum(0)
    assert ridge.squares(x).numpy() == pytest.approx(expected.numpy())


def test_a_ridge_about_a_point_pulls_there():
    A, b, x = normal(30, 8), normal(30, seed=1), normal(8, 1, seed=2)
    D = A.norm(dim=0)[:, None]
    found = triangle(A, b).with_ridge(0.3, x)
    below = torch.cat([A, 0.3**0.5 * torch.diag(D[:, 0])])
    expected = least_squares(below, torch.cat([b, 0.3**0.5 * (D * x)[:, 0]]))
    assert found.solve()[:, 0].numpy() == pytest.approx(expected.numpy())
    assert float(found.squares(x)) == pytest.approx(float((A @ x[:, 0] - b).square().sum()))
    assert triangle(A, b).with_ridge(1e12, x).solve().numpy() == pytest.approx(x.numpy())


def exact_minimiser(A: torch.Tensor, b: torch.Tensor, ridge: float) -> np.ndarray:
    """The minimiser of |A x - b|^2 + ridge |D x|^2 in rational arithmetic."""
    rows = [[Fraction(value) for value in row] for row in A.tolist()]
    columns, right = list(zip(*rows, strict=True)), [Fraction(value) for value in b.tolist()]
    normal = [[sum(x * y for x, y in zip(p, q, strict=True)) for q in columns] for p in columns]
    for k, row in enumerate(normal):
        row[k] *= 1 + Fraction(ridge)
        row.append(sum(x * y for x, y in zip(columns[k], right, strict=True)))
    for k, pivot in enumerate(normal):  # Gauss-Jordan; the matrix is positive definite
        normal[k] = pivot = [value / pivot[k] for value in pivot]
        for other in range(len(normal)):
            if other != k:
                factor = normal[other][k]
                normal[other] = [x - factor * y for x, y in zip(normal[other], pivot, strict=True)]
    return np.array([float(row[-1]) for row in normal])


def test_semi_normal_corrections_reach_the_exact_residual_where_columns_are_nearly_dependent():
    A, b = vandermonde(60, 24), (3 * vandermonde(60, 2)[:, 1]).exp()  # condition number 1e17
    ridge = least_ridge(24, A.dtype)
    damped = triangle(A, b).with_ridge(ridge)
    x = damped.solve(tolerance=0.0)[:, 0]
    for _ in range(3):
        x = x + damped.covariance_times((A.T @ (b - A @ x))[:, None])[:, 0]
    exact = torch.as_tensor(exact_minimiser(A, b, ridge))
    assert (A @ x - b).norm() < 1e-14 * b.norm() * 60
    assert (A @ (x - exact)).norm() < 1e-13 * b.norm()


def test_normal_equations_would_lose_half_of_the_digits():
    A, b = vandermonde(60, 24), (3 * vandermonde(60, 2)[:, 1]).exp()
    ridge = 1e-15  # the smallest with which the normal matrix can be factored
    D = A.norm(dim=0)
    matrix = (A / D).T @ (A / D) + ridge * torch.eye(24, dtype=A.dtype)
    x = torch.cholesky_solve(((A / D).T @ b)[:, None], torch.linalg.cholesky(matrix))[:, 0] / D
    assert (A @ x - b).norm() > 1e4 * (A @ least_squares(A, b, least_ridge(24, A.dtype)) - b).norm()


def test_the_bytes_are_at_least_those_of_the_blocks_and_the_triangle():
    assert bytes_needed(10_000, 100, 8, 1e12) >= 2 * 10_000 * 100 * 8
    assert bytes_needed(10_000, 100, 8, 1e5) < bytes_needed(10_000, 100, 8, 1e6) < bytes_needed(10_000, 100, 8, 1e12)
    assert bytes_needed(10, 1000, 8, 1e12) >= 4 * 1000 * 1000 * 8
