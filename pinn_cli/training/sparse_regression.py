"""Which columns of a linear regression are needed: y = X c + noise, with few c_k that are not zero.

    stlsq             least squares, drop what is small, again (sequential thresholding: Brunton, Proctor & Kutz 2016)
    best_subsets      all subsets A by  |y - X_A c_A|^2 / s^2 + |A| (log n + 6)  (BIC: Schwarz 1978, where a column
                      needs strong evidence, 20 to 1: Kass & Raftery 1995)
    cross_validated   all subsets by the error of rows that were left out; the smallest within one standard error of
                      the best (Breiman, Friedman, Olshen & Stone 1984)

A coefficient is small if it is below some standard errors of its own, so no result depends on the units of the columns.

    n = rows   K = columns
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log

import torch
from torch import Tensor

MOST = 12  # columns of which all subsets are compared; with more, those on the paths of stlsq and of single steps
STRONG = 6.0  # twice the logarithm of a ratio of evidences from which it is strong

Subset = tuple[int, ...]


@dataclass(frozen=True)
class Choice:
    """A subset of the columns: how badly it explains y (|y - X c|^2 / s^2), and the score, of which less is better."""

    columns: Subset
    misfit: float
    score: float


@dataclass(frozen=True)
class Regression:
    """X (n, K) and y (n,), rows in standard deviations.

    The first `observations` rows are noisy: they say how large the noise is, and count for the penalty. Other rows,
    such as those of an equation, hold as well as they can and are no observations. `taken` degrees of freedom of the
    observations have been fitted before.
    """

    X: Tensor
    y: Tensor
    observations: int
    taken: float = 0.0

    def solve(self, columns: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The coefficients (K,), 0 outside these columns, and their covariance there (k, k), for noise of size 1."""
        c = self.X.new_zeros(self.X.shape[1])
        if not columns:
            return c, self.X.new_zeros(0, 0)
        A, size = self._gram(columns)
        inverse = torch.linalg.pinv(A, rtol=1e-13, hermitian=True) / size[:, None] / size
        c[list(columns)] = inverse @ (self.X[:, list(columns)].T @ self.y)
        return c, inverse

    def squares(self, columns: Sequence[int]) -> float:
        """|y - X c|^2 of the best coefficients of these columns."""
        c, _ = self.solve(columns)
        return float((self.y - self.X @ c).square().sum())

    def variance(self) -> float:
        """s^2, from what all columns together leave of the observations."""
        c, _ = self.solve(range(self.X.shape[1]))
        left = (self.y - self.X @ c)[: self.observations]
        return float(left.square().sum()) / max(1.0, self.observations - self.taken - self.X.shape[1])

    def _gram(self, columns: Sequence[int]) -> tuple[Tensor, Tensor]:
        """X^T X of some columns, with a diagonal of 1, and the lengths (k,) of the columns."""
        some = self.X[:, list(columns)]
        size = some.norm(dim=0).clamp_min(1e-300)
        return (some / size).T @ (some / size), size


def stlsq(regression: Regression, threshold: float) -> Subset:
    """The columns that are left once each |c_k| is at least `threshold` of its standard errors."""
    s = regression.variance() ** 0.5
    columns: Subset = tuple(range(regression.X.shape[1]))
    while columns:
        c, covariance = regression.solve(columns)
        sizes = c[list(columns)].abs() / (s * covariance.diagonal().sqrt()).clamp_min(1e-300)
        kept = tuple(k for k, size in zip(columns, sizes.tolist(), strict=True) if size >= threshold)
        if kept == columns:
            return columns
        columns = kept
    return columns


def candidates(regression: Regression) -> Iterator[Subset]:
    """The subsets that are compared: all of them, or with many columns those of two paths from all columns to none."""
    K = regression.X.shape[1]
    if K <= MOST:
        for size in range(K + 1):
            yield from combinations(range(K), size)
        return
    found: dict[Subset, None] = {(): None}
    threshold, columns = 1.0, stlsq(regression, 1.0)
    while columns:
        found[columns] = None
        threshold *= 1.25
        columns = stlsq(regression, threshold)
    columns = tuple(range(K))
    while columns:
        found[columns] = None
        c, covariance = regression.solve(columns)
        sizes = (c[list(columns)].abs() / covariance.diagonal().sqrt().clamp_min(1e-300)).tolist()
        columns = tuple(k for k in columns if k != columns[sizes.index(min(sizes))])
    yield from found


def best_subsets(regression: Regression) -> list[Choice]:
    """All candidates, the best first, by |y - X c|^2 / s^2 + (number of columns) (log n + 6)."""
    score = scores(regression)
    return sorted((score(columns) for columns in candidates(regression)), key=lambda choice: choice.score)


def scores(regression: Regression) -> Callable[[Subset], Choice]:
    """The misfit and the score of any columns."""
    s2, penalty = regression.variance(), log(regression.observations) + STRONG
    explained, first = explained_by(regression), float(regression.y.square().sum())

    def score(columns: Subset) -> Choice:
        misfit = (first - explained(columns)) / s2
        return Choice(columns, misfit, misfit + len(columns) * penalty)

    return score


def cross_validated(regression: Regression, folds: int = 5, seed: int = 0) -> list[Choice]:
    """All candidates, the chosen first: the smallest whose left-out rows are predicted as well as by the best subset.

    As well: the mean difference of the squares is at most its standard error over the rows. `score` is the mean square.
    """
    n, chosen = len(regression.y), list(candidates(regression))
    place = torch.randperm(n, generator=torch.Generator("cpu").manual_seed(seed)) % folds
    errors = regression.y.new_zeros(len(chosen), n)
    for fold in range(folds):
        left = (place == fold).to(regression.y.device)
        rest = Regression(regression.X[~left], regression.y[~left], n)
        for k, columns in enumerate(chosen):
            errors[k, left] = (regression.y[left] - regression.X[left] @ rest.solve(columns)[0]).square()
    means, s2 = errors.mean(1), regression.variance()
    best = int(means.argmin())
    spread = (errors - errors[best]).std(1) / n**0.5
    well = (means - means[best] <= spread).tolist()
    order = sorted(range(len(chosen)), key=lambda k: (not well[k], len(chosen[k]) if well[k] else 0, float(means[k])))
    return [Choice(chosen[k], regression.squares(chosen[k]) / s2, float(means[k])) for k in order]


def explained_by(regression: Regression) -> Callable[[Subset], float]:
    """|X c|^2 of the best c of any columns, from X^T X, which is formed once."""
    every = list(range(regression.X.shape[1]))
    A, size = regression._gram(every)
    b = (regression.X / size).T @ regression.y

    def explained(columns: Subset) -> float:
        if not columns:
            return 0.0
        at = list(columns)
        return float(b[at] @ torch.linalg.pinv(A[at][:, at], rtol=1e-13, hermitian=True) @ b[at])

    return explained
