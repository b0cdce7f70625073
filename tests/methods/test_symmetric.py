"""Symmetric products and Cholesky factors in place, against the general operations."""

import pytest
import torch

from pinn_cli.methods.symmetric import Buffers, add_product, factor, solve

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])


def random(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


@DTYPES
@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (1, 4), (4, 1), (1, 1)])
def test_products_of_rows_and_of_columns(shape, dtype):
    X = random(*shape, dtype=dtype)
    for J in (X, X.T):
        A = torch.full((J.shape[1], J.shape[1]), float("nan"), dtype=dtype)
        add_product(A, J, keep=False)
        torch.testing.assert_close(A.tril(), (J.T @ J).tril())
        add_product(A, J, keep=True)
        torch.testing.assert_close(A.tril(), 2 * (J.T @ J).tril())


@DTYPES
def test_a_factor_solves_and_reads_the_lower_triangle_alone(dtype):
    J, b = random(9, 6, dtype=dtype), random(6, dtype=dtype)
    A = J.T @ J
    L = A.tril() + torch.full_like(A, float("nan")).triu(1)
    assert factor(L)
    torch.testing.assert_close(L.tril(), torch.linalg.cholesky(A))
    before = b.clone()
    torch.testing.assert_close(solve(L, b), torch.linalg.solve(A, b), rtol=1e-4, atol=1e-4)
    assert torch.equal(b, before)


def test_an_indefinite_matrix_has_no_factor():
    assert not factor(torch.diag(torch.tensor([1.0, -1.0, 1.0])))


def test_buffers_are_used_again_where_they_are_large_enough():
    buffers, like = Buffers(), torch.zeros((), dtype=torch.float64)
    first = buffers("J", like, 3, 4)
    assert buffers("J", like, 2, 5).data_ptr() == first.data_ptr()
    assert buffers("A", like, 3, 4).data_ptr() != first.data_ptr()
    assert buffers("J", like, 4, 4).shape == (4, 4)
    assert buffers("J", like.float(), 2, 2).dtype == torch.float32
