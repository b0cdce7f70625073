"""The error estimate against known errors: an exact solution plus a perturbation, and runs that must not lie."""

from collections.abc import Callable
from math import pi

import pytest
import torch
from torch import Tensor, nn

from pinn_cli.derivatives.engines import Taylor
from pinn_cli.physics.problem import Problem
from pinn_cli.problems.helmholtz import Helmholtz
from pinn_cli.training.error_estimate import Estimate, estimate
from pinn_cli.training.objective import Objective


class Written(nn.Module):
    """A frozen model u(X) written as a formula of jets."""

    def __init__(self, formula: Callable[..., Tensor]):
        super().__init__()
        self.formula = formula
        self.unused = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, X):
        fields = self.formula(*(X[:, i] for i in range(X.shape[1])))
        return torch.stack(list(fields) if isinstance(fields, tuple) else [fields], -1)


def estimated(problem: Problem, formula: Callable[..., Tensor], **options) -> tuple[Estimate, Tensor]:
    """The estimate for u(X) = formula, and the points at which it was made."""
    objective = Objective(problem, Written(formula), Taylor, lambda batch, residuals: {})
    X = problem.domain.grid(40)
    return estimate(objective, X, **options), X


def test_an_error_that_the_features_express_is_found():
    def perturbation(x, y):
        return 1e-3 * torch.exp(0.7 * x + 0.3) * torch.sin(2 * y + 0.5)

    problem = Helmholtz()
    found, X = estimated(problem, lambda x, y: problem.exact(x, y) + perturbation(x, y))
    true = perturbation(*X.T)
    assert found.explained > 0.99
    assert found.error["u"] == pytest.approx(float(true.norm() / problem.exact(*X.T).norm()), rel=0.01)
    assert (found.correction["u"] + true).norm() < 0.01 * true.norm()
    assert found.lines() == [f"estimated error u {found.error['u']:.0e} (relative L2; 100 % of the residual explained)"]


def test_an_error_that_the_features_cannot_express_is_called_a_lower_bound():
    problem = Helmholtz()
    found, _ = estimated(
        problem, lambda x, y: problem.exact(x, y) + 1e-3 * torch.sin(60 * pi * x) * torch.sin(55 * pi * y)
    )
    assert found.is_bound
    assert "a lower bound" in found.lines()[0] or found.why
