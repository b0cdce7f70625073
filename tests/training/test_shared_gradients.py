"""Runs that are trained together equal the same runs, each by itself."""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from pinn_cli.basics.lockstep import in_turn, to_the_end
from pinn_cli.basics.signals import Interruption
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import read
from pinn_cli.physics.domains import Box
from pinn_cli.physics.problem import Problem, on
from pinn_cli.training.loop import Run, training
from pinn_cli.training.recorder import row
from pinn_cli.training.shared_gradients import SharedGradients, Sharing
from pinn_cli.training.stopping import StopRules
from tests.conftest import each

BASE = ["problem=klein_gordon", "recipe=adam", "points.interior=12", "points.face=4", "architecture.width=5",
        "architecture.depth=2", "compile=off", "threads=1", "dtype=float64", "stop.steps=3"]  # fmt: skip
OPTIMIZERS = ["adam", "adamw", "rmsprop", "sgd", "soap", "muon"]
WEIGHTINGS = {
    "fixed": [], "grad_norm": ["weighting.grad_norm.every=1"], "lr_annealing": ["weighting.lr_annealing.every=2"],
    "lr_annealing_code": ["weighting.lr_annealing_code.every=1"], "causal": ["weighting.causal.every=1"],
    "[causal,grad_norm]": ["weighting.grad_norm.every=2"],
}  # fmt: skip


class Rows:
    """Keeps the row of every step."""

    def __init__(self):
        self.rows, self.run = [], None

    def say(self, text): ...
    def before_draw(self, run, objective, points): ...
    def after_stage(self, run, stage, objective): ...
    def steps_left(self, run, stage):
        return 1

    def save(self, run, stage, objective): ...

    def after_step(self, run, stage, objective, last):
        if not last:
            self.rows.append(row(stage, objective, run.weighting))
            self.parameters = torch.cat([p.detach().flatten().clone() for p in objective.parameters])


@cache
def composed(*words: str) -> DictConfig:
    return read(words).config


def config_of(*words: str, **settings: Any) -> DictConfig:
    """The configuration of these words, with other values of some settings."""
    config = deepcopy(composed(*words))
    for key, value in settings.items():
        OmegaConf.update(config, key, value, force_add=True)
    return config


def run_of(config: DictConfig, shared: SharedGradients | None = None, problem: Problem | None = None) -> Run:
    parts = assemble(config)
    return Run(
        problem=problem or parts.problem, strategy=parts.strategy, new_model=parts.new_models(), engine=parts.engine,
        weighting=parts.weighting, weights=parts.weights, scales=parts.scales, stop=StopRules(**config.stop),
        interruption=Interruption(), shared=shared,
    )  # fmt: skip


def together(runs: Sequence[Run]) -> list[Rows]:
    observers = [Rows() for _ in runs]
    going = {k: training(run, observer) for k, (run, observer) in enumerate(zip(runs, observers, strict=True))}
    assert {key for key, _ in in_turn(going)} == set(going)
    return observers


def alone(run: Run) -> Rows:
    observer = Rows()
    to_the_end(training(run, observer))
    return observer


def assert_equal(one: Rows, other: Rows, tolerance: float = 1e-10, steps: int | None = None) -> None:
    assert len(one.rows) == len(other.rows) > 0
    for now, then in zip(one.rows[:steps], other.rows[:steps], strict=True):
        assert now.keys() == then.keys()
        for name in now:
            assert now[name] == pytest.approx(then[name], rel=tolerance), name
    if steps is None:
        torch.testing.assert_close(one.parameters, other.parameters, rtol=tolerance, atol=tolerance)


def compare(configs: Sequence[DictConfig], shared: SharedGradients) -> None:
    """Train runs together and one by one."""
    many = together([run_of(config, shared) for config in configs])
    assert shared.sharing == Sharing.ALL
    assert not shared.members
    for config, rows in zip(configs, many, strict=True):
        rough = "soap" in config.optimizer
        assert_equal(rows, alone(run_of(config)), *((1e-5, 2) if rough else ()))


@pytest.fixture(scope="module")
def shared() -> SharedGradients:
    """Runs with other weightings need the same graph."""
    return SharedGradients(False, pytest.fail, at_once=3)


@pytest.mark.parametrize("weighting", each(WEIGHTINGS, ["[causal,grad_norm]"]))
def test_every_first_order_optimizer_with_every_weighting(weighting, shared):
    """Optimizers stay those of each run, so runs with several may share their gradients.

    SOAP takes all eigenvectors of matrices of low rank. Those of the eigenvalue 0 are decided by rounding, and change
    the third step.
    """
    words = [*BASE, f"weighting={weighting}", *WEIGHTINGS[weighting]]
    configs = [config_of(*words, seed=seed) for seed in range(len(OPTIMIZERS))]
    for config, name in zip(configs, OPTIMIZERS, strict=True):
        config.optimizer = config_of(*BASE, f"optimizer={name}").optimizer
    compare(configs, shared)


@pytest.mark.slow
def test_runs_with_other_rates_weights_coefficients_and_limits():
    words = ["problem=helmholtz", *BASE[1:], "weighting=lr_annealing_code"]
    own = [
        {"problem.k": 1.5, "optimizer.adam.lr": 1e-2, "stop.steps": 2}, {"problem.a1": 2.0, "weights": {"wall": 3.0}},
        {"problem.a2": 1.5, "stop.steps": 5, "units": "raw"}, {"seed": 7, "stop.steps": 5},
    ]  # fmt: skip
    compare([config_of(*words, **settings) for settings in own], SharedGradients(False, pytest.fail, at_once=2))


@pytest.mark.slow
def test_networks_with_random_features_and_points_drawn_by_residuals():
    words = [word for word in BASE if not word.startswith("architecture.depth")]
    words += ["architecture=fourier", "sampler=[uniform,importance]", "optimizer=adam"]
    compare([config_of(*words, seed=seed) for seed in range(2)], SharedGradients(False, pytest.fail))


@dataclass
class Rooted(Problem):
    """u_x = sqrt(k), which Python's `math` computes, so that k cannot be a tensor."""

    coordinates = ("x",)
    fields = ("u",)
    k: float = 1.0

    def __post_init__(self):
        self.domain = Box(x=(0, 1))

    @on("interior")
    def slope(self, u_x):
        return u_x - math.sqrt(self.k)

    @on("x=0")
    def start(self, u):
        return u


@dataclass
class Hidden(Rooted):
    """The same coefficient in a function that was made before: it is found by its residuals."""

    def __post_init__(self):
        super().__post_init__()
        k = self.k
        self.given = lambda u: u - k

    @on("interior")
    def slope(self, u_x):
        return self.given(u_x)


LINE = [word.replace("depth=2", "depth=1") for word in BASE[1:]]
LINE += ["problem=poisson_1d", "weighting=grad_norm", "weighting.grad_norm.every=1"]


@pytest.mark.parametrize("kind", [Hidden, pytest.param(Rooted, marks=pytest.mark.slow)])
def test_runs_share_gradients_where_coefficients_are_equal_if_they_are_no_tensors(kind):
    problems = [kind(k) for k in (1.0, 4.0, 1.0)]
    configs = [config_of(*LINE, seed=seed) for seed in range(3)]
    shared = SharedGradients(False, pytest.fail)
    many = together([run_of(c, shared, problem) for c, problem in zip(configs, problems, strict=True)])
    for config, problem, rows in zip(configs, problems, many, strict=True):
        assert_equal(rows, alone(run_of(config, None, problem)))
    assert shared.sharing == Sharing.OF_EQUAL_COEFFICIENTS


def test_runs_that_cannot_share_a_gradient_have_their_own():
    class Branching(Rooted):
        @on("interior")
        def slope(self, u_x):
            return u_x - 1 if float(u_x.detach().sum()) > 1e9 else u_x - 2  # a value that no graph can look at

    said: list[str] = []
    shared, configs = SharedGradients(False, said.append), [config_of(*LINE, seed=seed) for seed in range(2)]
    for config, rows in zip(configs, together([run_of(c, shared, Branching()) for c in configs]), strict=True):
        assert_equal(rows, alone(run_of(config, None, Branching())))
    assert len(said) == 1
    assert "each with its own gradient" in said[0]


def test_a_gradient_is_computed_anew_for_other_parameters():
    shared, objectives = SharedGradients(False, pytest.fail), []
    for seed in range(2):
        run = run_of(config_of(*LINE, seed=seed))
        stage = next(iter(run.strategy(run.problem, run.new_model)))
        objective = run.objective(stage, Rows())
        objective.begin(stage.sampler.draw(0, stage.problem, objective))
        shared.join(objective, run.clock)
        objectives.append(objective)
    one, other = objectives
    one.differentiated()
    other.shift(torch.full((other.columns[-1].stop,), 0.1, dtype=torch.float64))
    loss, gradient = other.differentiated()
    shared.leave(other)
    own, right = other.differentiated()
    assert float(loss) == pytest.approx(float(own), rel=1e-12)
    torch.testing.assert_close(gradient, right, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_a_compiled_gradient_of_several_runs():
    said: list[str] = []
    configs = [config_of(*BASE, "weighting=lr_annealing_code", seed=seed) for seed in range(3)]
    compare(configs, SharedGradients(True, said.append))
    assert all(line.startswith("compiling a gradient of 3 runs") for line in said)
