"""The choice of columns of a regression, compared with brute force and with what is known to be true."""

from itertools import combinations
from math import log

import pytest
import torch

from pinn_cli.training.sparse_regression import (
    MOST,
    STRONG,
    Regression,
    best_subsets,
    candidates,
    cross_validated,
    scores,
    stlsq,
)


def regression(n: int = 300, K: int = 6, noise: float = 1.0, seed: int = 0, **columns: float) -> Regression:
    """y = sum of the columns c0=..., c3=... of random X, which are correlated, and noise."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n, K, generator=generator, dtype=torch.float64)
    X = X + 0.5 * X.roll(1, 1)
    y = sum(value * X[:, int(name[1:])] for name, value in columns.items())
    y = y + noise * torch.randn(n, generator=generator, dtype=torch.float64)
    return Regression(X * torch.logspace(-6, 6, K, dtype=torch.float64), y, n)


def test_scores_of_all_subsets_are_those_of_least_squares_one_by_one():
    problem = regression(c1=1.0, c4=-2.0)
    full = float((problem.y - problem.X @ torch.linalg.lstsq(problem.X, problem.y).solution).square().sum())
    s2 = full / (300 - 6)
    for choice in best_subsets(problem):
        some = problem.X[:, list(choice.columns)]
        left = problem.y - some @ torch.linalg.lstsq(some, problem.y).solution if choice.columns else problem.y
        assert choice.misfit == pytest.approx(float(left.square().sum()) / s2, rel=1e-8)
        assert choice.score == pytest.approx(choice.misfit + len(choice.columns) * (log(300) + STRONG))
        assert scores(problem)(choice.columns) == choice
    assert len(best_subsets(problem)) == 2**6


@pytest.mark.parametrize("choose", [best_subsets, cross_validated], ids=lambda f: f.__name__)
def test_the_true_columns_are_chosen_whatever_their_units(choose):
    right = [choose(regression(K=5, seed=seed, c1=1.0, c4=-2.0))[0].columns == (1, 4) for seed in range(5)]
    assert sum(right) >= 4


def test_rows_that_are_no_observations_make_the_noise_no_smaller():
    """Those of an equation that holds exactly, as many as one likes, leave standard errors and choices as they are."""
    problem = regression(c1=1.0, c4=-2.0)
    exact = torch.zeros(900, 6, dtype=torch.float64)
    with_equation = Regression(torch.cat([problem.X, exact]), torch.cat([problem.y, exact[:, 0]]), problem.observations)
    assert with_equation.variance() == pytest.approx(problem.variance())
    for choice, other in zip(best_subsets(with_equation), best_subsets(problem), strict=True):
        assert choice.columns == other.columns
        assert choice.score == pytest.approx(other.score)
    taken = Regression(problem.X, problem.y, 300, taken=100.0)
    assert taken.variance() == pytest.approx(problem.variance() * 294 / 194)


def test_thresholds_drop_what_is_no_number_of_its_standard_errors():
    problem = regression(c0=0.5, c5=3.0)
    assert stlsq(problem, 4.0) == (0, 5)
    assert stlsq(problem, 1e6) == ()
    assert stlsq(problem, 0.0) == tuple(range(6))


def test_noise_alone_asks_for_no_column():
    chosen = [best_subsets(regression(K=3, seed=seed))[0].columns for seed in range(10)]
    assert chosen.count(()) >= 8


def test_standard_errors_are_those_of_repeated_data():
    c = [regression(seed=seed, c1=1.0, c4=-2.0).solve((1, 4))[0][[1, 4]] for seed in range(200)]
    problem = regression(seed=0, c1=1.0, c4=-2.0)
    told = problem.solve((1, 4))[1].diagonal().sqrt()
    assert (torch.stack(c).std(0) / told).tolist() == pytest.approx([1, 1], rel=0.2)


def test_with_many_columns_only_two_paths_are_compared():
    problem = regression(n=3000, K=MOST + 4, seed=1, c3=1.0, c9=-1.0)
    some = list(candidates(problem))
    assert len(some) < 100
    assert best_subsets(problem)[0].columns == (3, 9)
    assert len(list(candidates(regression(K=4)))) == sum(1 for k in range(5) for _ in combinations(range(4), k))
