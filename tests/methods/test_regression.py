"""The network fitted to the reference: its residuals, its solution, refusals."""

import pytest
import torch

from pinn_cli.configuration.assemble import Parts, assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.derivatives.engines import Taylor
from pinn_cli.physics.references import reference_of
from pinn_cli.physics.references.table import Table
from pinn_cli.training.objective import Objective

SMALL = ["architecture.width=8", "architecture.depth=2", "points.interior=64", "points.face=16", "threads=1"]


def parts_of(problem: str, *more: str) -> Parts:
    return assemble(compose([f"problem={problem}", "strategy=[regression]", *SMALL, *more]))


def first_objective(parts: Parts) -> tuple:
    stage = next(iter(parts.strategy(parts.problem, parts.new_models())))
    objective = Objective(stage.problem, stage.model, Taylor, parts.weighting, parts.weights)
    objective.begin(stage.sampler.draw(0, stage.problem, objective))
    return stage, objective


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("problem", ["convection", "reaction_diffusion", "heat_2d"])
def test_every_residual_is_the_distance_from_the_reference(problem, dtype):
    parts = parts_of(problem, f"dtype={dtype}")
    stage, objective = first_objective(parts)
    known = reference_of(parts.problem)
    for c in stage.problem.constraints():
        X = objective.batch[c.name]
        expected = stage.model(X)[:, 0] - known(X.double())["u"].to(X)
        torch.testing.assert_close(objective.residual(c.name, X), expected)


def test_every_region_has_the_name_that_it_has_in_the_equation():
    parts = parts_of("reaction_diffusion", "weights.initial=7")
    stage, objective = first_objective(parts)
    assert [(c.name, c.region) for c in stage.problem.constraints()] == [
        ("pde", "interior"), ("initial", "initial"), ("seam", "x=0")
    ]  # fmt: skip
    assert float(objective.weights["initial"]) == 7


def test_a_problem_with_another_coefficient_has_another_reference():
    parts = parts_of("convection", "strategy=[continuation,regression]",
                     "strategy.continuation.coefficient=beta", "strategy.continuation.through=[1]")  # fmt: skip
    names = []
    for stage in parts.strategy(parts.problem, parts.new_models()):
        X, names = torch.tensor([[1.0, 0.5]], dtype=torch.float64), [*names, stage.name]
        expected = stage.model(X)[0, 0] - torch.sin(X[0, 0] - stage.problem.beta * X[0, 1])
        found = stage.problem.constraints()[0].residual(x=X[:, 0], t=X[:, 1], u=stage.model(X)[:, 0])
        torch.testing.assert_close(found[0], expected)
    assert names == ["beta=1: levenberg_marquardt", "levenberg_marquardt"]


def test_least_squares_finds_the_reference():
    parts = parts_of("convection", "problem.beta=1")
    stage, objective = first_objective(parts)
    for step in range(1, 60):
        objective.begin(stage.sampler.draw(step, stage.problem, objective))
        stage.optimizer.step(objective)
    X = parts.problem.domain.grid(40)
    truth = reference_of(parts.problem)(X)["u"]
    assert float((stage.model(X)[:, 0].detach() - truth).norm() / truth.norm()) < 1e-3


class NoReference:
    """The heat equation, if nobody knew its solution."""

    def __init__(self, problem):
        self.problem = problem

    def __getattr__(self, name):
        if name == "exact":
            raise AttributeError
        return getattr(self.__dict__["problem"], name)


class Measured(NoReference):
    """The same, known at three points."""

    def reference(self):
        self.folder.joinpath("u.csv").write_text("x,y,t,u\n0.1,0.2,0.3,1\n0.2,0.3,0.4,2\n0.3,0.4,0.5,3\n")
        return Table(self.folder / "u.csv", ("x", "y", "t"), ("u",))


@pytest.mark.parametrize(
    ("problem", "known", "found"),
    [
        ("heat_2d", NoReference, "NoReference has no reference"),
        ("heat_2d", Measured, "Measured has a reference at 3 points of its own"),
        ("lid_driven_cavity_streamfunction", lambda p: p, "LidDrivenCavityStreamfunction has a reference for u, v"),
    ],
)
def test_a_problem_without_values_to_fit_is_refused(problem, known, found, tmp_path, monkeypatch):
    monkeypatch.setattr(Measured, "folder", tmp_path, raising=False)
    parts = parts_of(problem)
    with pytest.raises(ValueError, match=rf"^strategy.regression: {found}; expected values of .*$"):
        next(iter(parts.strategy(known(parts.problem), parts.new_models())))
