"""The top eigenvector of the Hessian: exact for a quadratic loss, and turned as far as the quadratic is."""

from math import cos, nan, pi, sin, sqrt

import numpy as np
import pytest
import torch
from torch import nn

from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.methods.diagnostics.hessian_spectrum import hessians
from pinn_cli.methods.diagnostics.top_eigenvector import TopEigenvector
from pinn_cli.records.results import Results
from pinn_cli.reports.figures.top_eigenvector import alignment, draw_top_eigenvector
from pinn_cli.training.diagnostic_records import DiagnosticRecords, snapshot
from tests.methods.test_diagnostics import helmholtz
from tests.methods.test_loss_landscape import quadratic
from tests.run_files import write_run


class Bowl:
    """L = theta . A theta / 2 of two parameters: its Hessian is A, of eigenvalues 9 and 4, turned by an angle."""

    device, dtype = torch.device("cpu"), torch.float64

    def __init__(self, angle):
        c, s = cos(angle), sin(angle)
        self.Q = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
        self.A = self.Q @ torch.diag(torch.tensor([9.0, 4.0], dtype=torch.float64)) @ self.Q.T
        self.parameters, self.columns = [nn.Parameter(torch.tensor([0.3, -0.7], dtype=torch.float64))], [slice(0, 2)]
        self.weights = {"bowl": 1.0}

    def residuals(self):
        (theta,) = self.parameters
        return {"bowl": torch.linalg.cholesky(self.A, upper=True) @ theta}  # mean of r^2 = theta . A theta / 2

    def flat(self, tensors):
        return torch.cat([t.flatten() for t in tensors])


def test_the_eigenvector_of_a_bowl_turns_with_it(tmp_path):
    """By 0, 30, 90 and 90 degrees: |v . v_before| = 1, cos 30, cos 60, 1."""
    results = write_run(tmp_path / "run")
    records = DiagnosticRecords({"top_eigenvector": TopEigenvector()}, results)
    angles = (0.0, 0.0, pi / 6, pi / 2, pi / 2)
    for step, angle in enumerate(angles):
        bowl = Bowl(angle)
        record = TopEigenvector()(bowl)
        torch.testing.assert_close(record["eigenvalues"], torch.tensor([9.0, 4.0], dtype=torch.float64))
        assert abs(float(record["vector"] @ bowl.Q[:, 0])) == pytest.approx(1)
        records.add("top_eigenvector", step, record)
    records.flush()
    found = results.read("diagnostics/top_eigenvector")
    np.testing.assert_allclose(alignment(found["vector"]), [1, sqrt(3) / 2, 0.5, 1], atol=1e-12)
    figure = draw_top_eigenvector(results)
    left, right = figure.axes
    np.testing.assert_allclose(right.lines[0].get_xydata()[:, 1], alignment(found["vector"]))
    assert [line.get_ydata().tolist() for line in left.lines] == found["eigenvalues"].T.tolist()


@pytest.mark.parametrize("engine", [Taylor, Autograd])
def test_the_eigenvectors_of_a_network_that_is_linear_in_its_parameters_are_those_of_its_jacobian(engine):
    objective, J = quadratic(engine)
    values, vectors = torch.linalg.eigh(2 * J.T @ J)
    record = TopEigenvector()(snapshot(objective))
    torch.testing.assert_close(record["eigenvalues"], values[-2:].flip(0))
    assert abs(float(record["vector"] @ vectors[:, -1])) == pytest.approx(1, abs=1e-9)
    assert bool((record["bounds"] <= 1e-6 * values[-1]).all())


def test_the_eigenvector_is_that_of_the_dense_hessian():
    view = snapshot(helmholtz(steps=20))
    values, vectors = torch.linalg.eigh(hessians(view)["total"])
    record = TopEigenvector()(view)
    torch.testing.assert_close(record["eigenvalues"], values[-2:].flip(0), rtol=1e-6, atol=0)
    assert abs(float(record["vector"] @ vectors[:, -1])) == pytest.approx(1, abs=1e-6)
    assert float(record["vector"][record["vector"].abs().argmax()]) > 0


def test_vectors_of_different_lengths_have_no_alignment():
    two = np.array([[1.0, 0.0, nan], [0.6, 0.8, nan], [0.0, 0.0, 1.0], [nan, nan, nan], [nan, nan, nan]])
    np.testing.assert_allclose(alignment(two), [0.6, nan, nan, nan])


def test_one_record_is_no_curve(tmp_path):
    results: Results = write_run(tmp_path / "run")
    assert draw_top_eigenvector(results) is None
    records = DiagnosticRecords({"top_eigenvector": TopEigenvector()}, results)
    records.add("top_eigenvector", 1, TopEigenvector()(Bowl(0.0)))
    records.flush()
    assert draw_top_eigenvector(results) is None
