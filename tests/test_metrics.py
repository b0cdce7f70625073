"""Errors against a reference."""

from math import nan, sqrt
from types import SimpleNamespace

import pytest
import torch

from pinn_cli.metrics import compare, errors, points_of_comparison
from pinn_cli.references.exact import Exact


def test_errors_of_numbers_small_enough_to_do_by_hand():
    found = compare(torch.tensor([1.0, 2.0, 2.0]), torch.tensor([1.0, 2.0, 5.0]))
    assert found.relative_l2 == pytest.approx(3 / sqrt(30))
    assert (found.mean, found.maximum) == (1.0, 3.0)


def test_every_field_is_measured_in_double_precision_at_the_same_points():
    reference = Exact(lambda x, y: (x, x * y), ("u", "v"))
    X = torch.rand(50, 2, dtype=torch.float64)

    def evaluate(names, X):
        assert names == ["u", "v"]
        return {"v": (X[:, 0] * X[:, 1] * 1.1).float().requires_grad_(), "u": X[:, 0].float()}

    found = errors(reference, evaluate, X)
    assert list(found) == ["u", "v"]
    assert found["u"].relative_l2 < 1e-7
    assert found["v"].relative_l2 == pytest.approx(0.1, rel=1e-6)


def test_a_shape_that_would_broadcast_is_refused():
    with pytest.raises(ValueError, match="different shapes"):
        compare(torch.zeros(3, 1), torch.zeros(3))


def test_a_field_that_vanishes_has_no_relative_error():
    assert str(compare(torch.ones(3), torch.zeros(3)).relative_l2) == str(nan)


@pytest.mark.parametrize(("dimensions", "n"), [(1, 10_000), (2, 100), (3, 22), (4, 10)])
def test_a_grid_has_at_least_ten_thousand_nodes(dimensions, n):
    domain = SimpleNamespace(coordinates=("x", "y", "z", "t")[:dimensions], grid=lambda n: n)
    assert points_of_comparison(domain, SimpleNamespace(at=None)) == n


def test_a_table_is_compared_at_its_own_points():
    at = torch.rand(7, 2)
    assert points_of_comparison(None, SimpleNamespace(at=at)) is at
