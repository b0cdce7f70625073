"""The problems of benchmarks/peers are those of this package."""

import importlib

import pytest
import torch

from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.training.objective import Objective
from tests.conftest import ROOT

NAMES = ("helmholtz", "klein_gordon", "burgers", "lid_driven_cavity")


@pytest.fixture
def peers(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "peers")
    return importlib.import_module("cases"), importlib.import_module("bare_torch")


@pytest.mark.parametrize("name", NAMES)
def test_the_losses_of_a_case_are_those_of_the_problem(name, peers):
    """Each mean square, at the same points and for the same network, by nested autograd and by ours."""
    cases, bare = peers
    case = cases.CASES[name]
    words = [f"problem={name}", *case.words, "dtype=float64", "units=raw", "scaling=none", "weighting=fixed",
             "points.interior=40", "points.face=6", "architecture=mlp", "architecture.width=8"]  # fmt: skip
    parts = assemble(compose(words))
    stage = next(iter(parts.strategy(parts.problem, parts.new_models())))
    ours = Objective(stage.problem, stage.model, parts.engine, parts.weighting, parts.weights)
    stage.sampler.begin_stage(stage.problem)
    ours.begin(stage.sampler.draw(0, stage.problem, ours))
    expected = sorted(float(r.detach().square().mean()) for r in ours.residuals().values())
    batch, found = ours.batch, []
    d = bare.Derivatives(stage.model, batch[next(iter(batch))].detach().clone())
    found += [equation(torch, d.x, d).square().mean() for equation in case.equations]
    regions = {c.region: batch[n] for n, c in ours.constraints.items()}
    for where in case.faces:
        names = {"boundary"} if len(where.sides) > 1 else {"initial", f"x={where.sides[0][1]:g}"}
        X = next(points for region, points in regions.items() if region in names and _on(points, where))
        d = bare.Derivatives(stage.model, X.detach().clone())
        found += [(d(c.field, *c.axes) - c.target(torch, d.x)).square().mean() for c in where.conditions]
    if case.pin is not None:
        found.append(stage.model(torch.tensor([case.low], dtype=torch.float64))[:, case.pin].square().mean())
    assert sorted(float(each.detach()) for each in found) == pytest.approx(expected, rel=1e-10)


def _on(points, where):
    return all(any(float(x[axis]) == end for axis, end in where.sides) for x in points)
