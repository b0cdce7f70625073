"""Errors against a reference."""

from math import inf, nan, sqrt
from types import SimpleNamespace

import pytest
import torch

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.references.base import CachedReference
from pinn_cli.physics.references.exact import Exact
from pinn_cli.training.metrics import Comparison, Errors, compare, own_metrics, points_of_comparison
from tests.conftest import refused


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

    found = Comparison(reference, X).errors(evaluate)
    assert list(found) == ["u", "v"]
    assert found["u"].relative_l2 < 1e-7
    assert found["v"].relative_l2 == pytest.approx(0.1, rel=1e-6)


def test_a_shape_that_would_broadcast_is_refused():
    with pytest.raises(ValueError, match="different shapes"):
        compare(torch.zeros(3, 1), torch.zeros(3))


def test_stop_error_is_compared_with_the_absolute_error_where_the_reference_is_0():
    numbers = ((0.5, 1.0, 2.0), (nan, 1.0, 2.0), (nan, nan, nan))
    assert [Errors(*three, points=9).judged for three in numbers] == [0.5, 2.0, inf]


def test_a_field_that_vanishes_has_no_relative_error():
    assert str(compare(torch.ones(3), torch.zeros(3)).relative_l2) == str(nan)


@pytest.mark.parametrize(("dimensions", "n"), [(1, 10_000), (2, 100), (3, 22), (4, 10)])
def test_a_grid_has_at_least_ten_thousand_nodes(dimensions, n):
    domain = SimpleNamespace(coordinates=("x", "y", "z", "t")[:dimensions], grid=lambda n: n)
    assert points_of_comparison(domain, SimpleNamespace(at=None)) == n


def test_a_table_is_compared_at_its_own_points():
    at = torch.rand(7, 2)
    assert points_of_comparison(None, SimpleNamespace(at=at)) is at


# --- which points count -----------------------------------------------------------------------------------------------


class Masked(Exact):
    """x on [0, 1], infinite in the half that does not count."""

    def __init__(self, counts):
        super().__init__(lambda x: torch.where(x < 0.5, x, torch.inf), ("u",))
        self.mask = counts

    def counts(self, X):
        return self.mask(X)


@pytest.mark.parametrize("wrap", [lambda reference: reference, CachedReference])
def test_only_points_that_count_enter_the_errors(wrap):
    X = torch.linspace(0, 1, 101, dtype=torch.float64)[:, None]
    reference = wrap(Masked(lambda X: X[:, 0] < 0.5))
    found = Comparison(reference, X).errors(lambda names, X: {"u": 1.1 * X[:, 0]})
    assert found["u"].relative_l2 == pytest.approx(0.1)
    assert found["u"].maximum == pytest.approx(0.049)


def test_a_reference_that_says_nothing_counts_everywhere():
    assert bool(CachedReference(Exact(lambda x: x, ("u",))).counts(torch.rand(7, 1)).all())


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (lambda X: X[:, 0], r"found torch.float64 \(5,\); expected torch.bool \(5,\)"),
        (lambda X: X < 2, r"found torch.bool \(5, 1\)"),
        (lambda X: None, "found NoneType"),
        (lambda X: X[:, 0] > 2, "none of 5 points"),
    ],
)
def test_points_that_count_are_a_bool_each_and_some_do(counts, message):
    X = torch.rand(5, 1, dtype=torch.float64)
    with pytest.raises(UsageError, match=message):
        Comparison(Masked(counts), X).errors(lambda names, X: {"u": X[:, 0]})


# --- the problem's own metrics ----------------------------------------------------------------------------------------


def measured(metrics):
    """The metrics of a problem whose prediction is u = 2 x in single precision."""

    def evaluate(names, X):
        assert X.dtype == torch.float32
        if names != ["u"]:
            raise TypeError(f"unknown symbol\n`{names[0]}`")
        return {"u": 2 * X[:, 0]}

    problem = type("Slope", (), {} if metrics is None else {"metrics": lambda self, evaluate: metrics(evaluate)})()
    objective = SimpleNamespace(device=torch.device("cpu"), dtype=torch.float32, evaluate=evaluate)
    return own_metrics(problem, objective)


def test_a_problem_measures_its_prediction_in_double_precision():
    def metrics(evaluate):
        u = evaluate(["u"], torch.tensor([[0.0], [0.5]], dtype=torch.float64))["u"]
        assert u.dtype == torch.float64
        return {"largest": u.max(), "mean": float(u.mean()), "count": len(u)}

    found = measured(metrics)
    assert found == {"largest": 1.0, "mean": 0.5, "count": 2.0}
    assert all(type(value) is float for value in found.values())


def test_a_number_that_is_not_finite_is_one_too():
    found = measured(lambda e: {"nowhere": nan, "far": torch.tensor(torch.inf)})
    assert (str(found["nowhere"]), found["far"]) == ("nan", torch.inf)


def test_a_problem_need_not_measure_anything():
    assert measured(None) == {}


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (lambda e: 1.0, "found float; expected a dict"),
        (lambda e: {"a": torch.ones(2)}, r"`a` is Tensor \(2,\); expected one number"),
        (lambda e: {"a": None}, "`a` is None"),
        (lambda e: {"a": "1"}, "`a` is '1'"),
        (lambda e: {"u/min": 1.0}, "'u/min' is no name"),
        (lambda e: {0: 1.0}, "0 is no name"),
        (lambda e: e(["w"], torch.ones(1, 1)), "unknown symbol `w`"),
    ],
)
def test_metrics_are_one_number_per_name(found, message):
    with refused(f"^Slope.metrics: .*{message}"):
        measured(found)
