"""Dense least squares: against numpy, and where columns are dependent, badly scaled or nearly dependent."""

import numpy as np
import pytest
import torch

from pinn_cli.methods.linear_algebra import least_squares, triangle


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
