"""Nodes of a grid drawn without replacement: the points of the published runs, and refusals."""

from math import pi
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pinn_cli.methods.samplers.grid_subset import GridSubset
from pinn_cli.problems.convection import Convection
from pinn_cli.problems.heat_2d import Heat2D
from tests.conftest import refused

PAPER = {"interior": 1000, "initial": 256, "seam": 100}


def draw(sampler, problem=None):
    problem = problem or Convection()
    constraints = {c.name: c for c in problem.constraints()}
    settings = {"constraints": constraints, "dtype": torch.float64, "device": torch.device("cpu")}
    return sampler.draw(0, problem, SimpleNamespace(problem=problem, **settings))


def test_the_points_equal_those_of_the_published_runs():
    """numpy.random.seed(0); choice without replacement among the nodes with x > 0, t > 0, a time at a time."""
    x, t = np.meshgrid(2 * pi * np.arange(256) / 256, np.linspace(0, 1, 100))
    inner = np.stack([x[1:, 1:].ravel(), t[1:, 1:].ravel()], 1)
    chosen = inner[np.random.RandomState(0).choice(len(inner), 1000, replace=False)]
    batch = draw(GridSubset(PAPER, seed=7))
    assert np.allclose(batch["pde"], chosen, rtol=0, atol=1e-15)
    assert np.allclose(batch["initial"], np.stack([x[0], 0 * x[0]], 1), rtol=0, atol=1e-15)
    assert np.allclose(batch["seam"], np.stack([0 * t[:, 0], t[:, 0]], 1), rtol=0, atol=1e-15)


def test_points_are_distinct_nodes_of_the_grid():
    batch = draw(GridSubset({"interior": 255 * 99, "initial": 256, "seam": 40}))
    assert len(batch["pde"].unique(dim=0)) == 255 * 99
    assert batch["pde"][:, 1].max() == 1
    assert len(batch["seam"].unique(dim=0)) == 40
    assert torch.isin((batch["seam"][:, 1] * 99).round() / 99, torch.arange(100, dtype=torch.float64) / 99).all()


def test_the_seed_of_the_run_matters_only_without_a_fixed_seed():
    fixed = [draw(GridSubset(PAPER, seed=s))["pde"] for s in (0, 1)]
    own = [draw(GridSubset(PAPER, seed=s, fixed_seed=None))["pde"] for s in (0, 0, 1)]
    assert torch.equal(*fixed)
    assert torch.equal(own[0], own[1])
    assert not torch.equal(own[0], own[2])
    assert not torch.equal(own[0], fixed[0])


def test_each_axis_has_its_own_number_of_nodes_and_each_wall_its_points():
    sampler = GridSubset({"interior": 100, "initial": 35, "boundary": 20}, nodes=[5, 7, 6])
    batch = draw(sampler, Heat2D())
    inside, rim = batch["pde"], batch["rim"]
    assert (inside[:, :2] > 0).all()
    assert ((inside[:, 2] * 5 - (inside[:, 2] * 5).round()).abs() < 1e-12).all()
    assert len(rim) == 80
    faces = torch.stack([rim[:, 0] == 0, rim[:, 0] == 1, rim[:, 1] == 0, rim[:, 1] == 1])
    assert (faces.sum(1) >= 20).all()
    assert sorted(batch["initial"][:, 0].unique().tolist()) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])


@pytest.mark.parametrize(("options", "points", "message"), [
    ({}, {"interior": 30000}, r"30000 points, but the interior has 25245 nodes; type e.g. points.interior=25245"),
    ({}, {"initial": 300}, r"300 points, but a face in t has 256 nodes; type e.g. points.face=256"),
    ({"nodes": [16]}, {}, r"nodes=\[16\]: expected a number for each coordinate \(x, t\)"),
    ({"nodes": [16, 1]}, {}, r"nodes=\[16, 1\]: expected whole numbers above 1"),
])  # fmt: skip
def test_numbers_that_do_not_fit_the_grid_are_refused_in_one_line(options, points, message):
    with refused(message):
        draw(GridSubset(PAPER | points, **options))


def test_the_points_stay_the_same_for_the_run_and_the_next_stage():
    sampler, problem = GridSubset(PAPER), Convection()
    first = draw(sampler)
    assert draw(sampler)["pde"] is first["pde"]
    sampler.begin_stage(problem)
    assert torch.equal(draw(sampler)["pde"], first["pde"])
