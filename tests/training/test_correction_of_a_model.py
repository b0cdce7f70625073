"""The equations that a correction of a frozen model has to satisfy: kept values are those computed anew."""

import pytest
import torch

from pinn_cli.training.correction import Basis, Correction, Equations
from pinn_cli.training.defect_correction import DefectCorrection
from pinn_cli.training.error_estimate import _pieces
from pinn_cli.training.residuals import Residuals
from tests.objectives import objective_of


@pytest.fixture(scope="module")
def corrected() -> tuple[DefectCorrection, dict]:
    """A correction of a model of two nonlinear equations with a periodic pair, data and an unknown; its points."""
    objective = objective_of("mlp")
    with torch.no_grad():
        return DefectCorrection(_pieces(objective.problem, objective)[0], 60, 0, None), objective.batch


def test_rows_and_residuals_in_any_order_are_those_of_new_equations(corrected):
    found, batch = corrected
    zero = Correction(found.basis, 0 * found.correction.c)
    kept = Equations(found.basis, batch)
    for at in (zero, found.correction, None, found.correction, zero):
        if at is not None:
            rows = Equations(found.basis, batch).rows(at)
            assert all(torch.equal(value, rows[name]) for name, value in kept.rows(at).items())
        values = Equations(found.basis, batch).values(at)
        assert all(torch.equal(value, values[name]) for name, value in kept.values(at).items())
    assert any(not torch.equal(value, kept.values()[name]) for name, value in kept.values(found.correction).items())


def test_values_of_a_correction_cost_one_pass_through_the_basis(corrected):
    found, batch = corrected
    passes, features = [], found.basis.features
    counted = Basis(found.basis.residuals, lambda X: (passes.append(1), features(X))[1], found.basis.count)
    equations, at = Equations(counted, batch), Correction(counted, found.correction.c)
    for _ in range(3):
        equations.values(at)
        equations.values()
    assert len(passes) == len(equations.sides)
    equations.rows(at)
    assert len(passes) == 2 * len(equations.sides)


def test_a_correction_of_nothing_leaves_the_residuals_as_they_are(corrected):
    found, batch = corrected
    equations = Equations(found.basis, batch)
    zero, plain = equations.values(Correction(found.basis, 0 * found.correction.c)), equations.values()
    assert all(torch.equal(value, plain[name]) for name, value in zero.items())
    residuals: Residuals = found.residuals
    with torch.no_grad():
        for names in residuals.groups(batch):
            for name, r in residuals.at(names, batch[names[0]]).items():
                assert torch.equal(r, plain[name])
