"""Importance sampling: an unbiased loss, and factors that every view, wrapping sampler and verdict respects."""

from math import inf

import pytest
import torch
from torch import Tensor

from pinn_cli.basics.errors import FINISHED
from pinn_cli.cli import main
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.methods.contracts import Sampler
from pinn_cli.methods.samplers.focused import Focused
from pinn_cli.methods.samplers.held_out import HeldOut
from pinn_cli.methods.samplers.importance import Importance
from pinn_cli.methods.samplers.rad import Rad
from pinn_cli.methods.samplers.rar import RarD
from pinn_cli.methods.samplers.uniform import Uniform
from pinn_cli.methods.weightings.causal import Causal
from pinn_cli.physics.terms import rms
from pinn_cli.records.results import Results
from pinn_cli.training.diagnostic_records import snapshot
from pinn_cli.training.objective import Objective
from pinn_cli.training.verdict import examine
from tests.conftest import TINY
from tests.methods.test_causal import begun, held
from tests.methods.test_moving_points import Known, Square, made, size, trained
from tests.objectives import objective_of

ONE = {"every": 1, "pool": 1000}
MEANS = {  # functions of the points, and their means over the domain
    "the loss": (lambda X: size(X) ** 2, 112 / 45),
    "one": (lambda X: torch.ones(len(X), dtype=X.dtype), 1.0),
    "another residual": (lambda X: (X[:, 0] - 1) ** 2 + X[:, 1], 1 / 3),
}


def slow(*values):
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


@pytest.mark.parametrize("settings", [{"power": 4.0, "floor": 1.0}, *slow({}, {"power": 1.0}, {"floor": 0.5})])
def test_the_mean_with_factors_is_unbiased(settings):
    """Over 400 draws, each from a pool of its own, within four standard errors; the mean without factors is not.

    A function that is not 0 where the residual is 0 has no finite variance without a floor.
    """
    draws: dict[str, list[float]] = {name: [] for name in [*MEANS, "without"]}
    for seed in range(400):
        sampler = made(Importance, seed=seed, n=50, **ONE, **settings)
        X = trained(sampler, Known(), 2)[1]["pde"]
        f = sampler.factors()["pde"]
        for name, (function, _) in MEANS.items():
            draws[name].append(float((f * function(X)).mean()))
        draws["without"].append(float((size(X) ** 2).mean()))
    found = {name: torch.tensor(values, dtype=torch.float64) for name, values in draws.items()}
    error = {name: float(values.std()) / 20 for name, values in found.items()}
    for name in MEANS if "floor" in settings else ["the loss"]:
        assert abs(float(found[name].mean()) - MEANS[name][1]) < 4 * error[name]
    assert float(found["without"].mean()) - 112 / 45 > 10 * error["without"]


def test_the_loss_at_the_draw_is_that_of_the_pool_whatever_is_drawn():
    """With p in proportion to the loss every point contributes the same, and no point of no loss is drawn."""
    sampler = made(Importance, **ONE)
    X = trained(sampler, Known(), 2)[1]["pde"]
    each = sampler.factors()["pde"] * size(X) ** 2
    torch.testing.assert_close(each, each[:1].expand(len(each)), rtol=1e-12, atol=0)
    assert float(each[0]) == pytest.approx(112 / 45, rel=0.15)  # of 1000 points of the pool
    assert made(Importance, **ONE).factors() == {}, "the first points count once"


def test_a_floor_bounds_the_factors():
    sampler = made(Importance, floor=0.25, **ONE)
    trained(sampler, Known(), 2)
    assert 1 < float(sampler.factors()["pde"].max()) <= 5


def test_equations_that_hold_exactly_are_drawn_evenly():
    objective = Known()
    objective.residual = lambda name, X: X.new_zeros(len(X))
    sampler = made(Importance, **ONE)
    trained(sampler, objective, 2)
    assert sampler.factors()["pde"].unique().tolist() == [1.0]


@pytest.mark.parametrize("settings", [{"power": -1.0}, {"floor": -0.1}, {"every": 0}, {"pool": 0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match="expected"):
        made(Importance, **settings)


def stacked(*wraps, steps=2):
    """The outermost of some samplers around importance, with these settings each, and what it drew."""
    sampler: Sampler = Uniform({"interior": 60, "face": 8}, every=None)
    for kind, settings in [(Importance, ONE | {"every": 4}), *wraps]:
        sampler = kind(sampler, **settings)
    sampler.begin_stage(Square())
    return sampler, trained(sampler, Known(), steps)


def test_a_sampler_that_adds_points_passes_the_factors_of_the_others_on():
    for wrap in [(Focused, {"add": 0.5}), (RarD, {"every": 5, "pool": 200, "add": 30})]:
        sampler, batches = stacked(wrap, steps=6)
        f, inner = sampler.factors()["pde"], sampler.inner.factors()["pde"]
        assert torch.equal(f[:60], inner), "those of importance"
        assert f[60:].tolist() == [1.0] * 30
        assert len(f) == len(batches[-1]["pde"])


def test_a_sampler_that_moves_all_points_passes_no_factors_on():
    sampler, _ = stacked((Rad, {"every": 5, "pool": 200}), steps=6)
    assert sampler.inner.factors()
    assert sampler.factors() == {}


def test_the_guard_compares_with_the_mean_over_the_domain():
    """Without factors the residual at the training points would be that of a density with more of the large ones."""
    sampler, _ = stacked((HeldOut, {"every": 3, "candidates": 50.0}), steps=7)
    f, X = sampler.factors()["pde"], sampler.batch["pde"]
    assert len(f) == len(X) == 60
    assert sampler.ratios["pde"] == pytest.approx(1.0, rel=0.1)
    assert rms(size(X)) > 1.2 * rms(f.sqrt() * size(X))


def test_added_points_of_the_guard_count_once():
    sampler, _ = stacked((HeldOut, {"every": 3, "ratio": 0.1, "add": 0.5}), steps=7)
    f = sampler.factors()["pde"]
    assert f[:60].std() > 0
    assert f[60:].tolist() == [1.0] * 30


@pytest.mark.parametrize("per_point", [False, True], ids=["numbers", "weights per point"])
def test_every_view_of_the_objective_has_the_factors(per_point):
    weighting = (lambda batch, r: {"momentum": r["momentum"] ** 2 + 1}) if per_point else (lambda batch, r: {})
    objective = objective_of("mlp", weighting=weighting)
    f = torch.rand(7, dtype=torch.float64) + 0.1
    objective.begin(objective.batch, {"momentum": f})
    r = objective.residuals()
    squares = {name: x.square() * (f if name == "momentum" else 1.0) for name, x in r.items()}
    w = {name: objective.base[name] * weighting(objective.batch, r).get(name, 1.0) for name in r}
    loss = sum((w[name] * squares[name]).mean() for name in r)
    close = torch.testing.assert_close
    close(objective.loss(), loss)
    close(objective.vector().square().sum(), loss)
    close(objective.losses(), {name: s.mean().detach() for name, s in squares.items()})
    gradient = objective.flat(torch.autograd.grad(squares["momentum"].mean(), objective.parameters, allow_unused=True))
    close(objective.gradients()["momentum"], gradient)
    slope = objective.flat(torch.autograd.grad(objective.loss(), objective.parameters))
    for linear in (objective.linearise(), objective.linearise(at_once=3)):
        close(2 * linear.gradient, slope)
    close(snapshot(objective).loss(), objective.loss())
    objective.begin(objective.batch)
    assert objective.factors == {}


def test_causal_weights_take_the_mean_of_a_slice_with_the_factors():
    t = torch.tensor([0.1, 0.2, 0.6])
    objective = held(t, pde=torch.tensor([1.0, 3.0, 0.0]))
    objective.factors = {"pde": torch.tensor([0.5, 1.5, 1.0])}
    causal = begun(Causal(bins=2, epsilons=[0.1]), "pde")
    causal.update(0, objective)
    assert causal.weights[1].log() == pytest.approx(-0.1 * (0.5 * 1 + 1.5 * 9) / 2)


def test_the_verdict_compares_with_the_mean_over_the_domain():
    objective = objective_of("mlp")
    f = torch.rand(7, dtype=torch.float64) + 0.1
    plain = examine(objective.problem, objective).ratio["momentum"]
    objective.begin(objective.batch, {"momentum": f})
    r = objective.residuals()["momentum"]
    weighted: Tensor = f.sqrt() * r
    assert examine(objective.problem, objective).ratio["momentum"] == pytest.approx(plain * rms(r) / rms(weighted))


WORDS = [*TINY, "sampler=[uniform,importance]", "sampler.uniform.every=null", "sampler.importance.every=3",
         "sampler.importance.pool=200"]  # fmt: skip


@pytest.mark.parametrize("words", [
    ["optimizer=lbfgs"],
    pytest.param(
        ["optimizer=levenberg_marquardt", "sampler=[uniform,importance,held_out]", "sampler.held_out.every=2",
         "sampler.held_out.ratio=0.5"], marks=pytest.mark.slow),
    pytest.param(
        ["recipe=adam", "weighting=[grad_norm,causal]", "problem=wave", "weighting.grad_norm.every=2",
         "diagnostics=[ntk_spectrum,gradient_histograms]", "sampler=[uniform,importance]"], marks=pytest.mark.slow),
])  # fmt: skip
def test_a_resumed_run_has_the_same_bits(words, here):
    """Stopped between two draws; also what the history and the verdict say."""
    words = ["train", *WORDS, *words]
    assert main([*words, "stop.steps=11", "folder=whole"]) == FINISHED
    assert main([*words, "stop.steps=5", "folder=parts"]) == FINISHED
    assert main(["resume", "parts", "stop.steps=11"]) == FINISHED
    whole, parts = (Results(here / name / "results.h5") for name in ("whole", "parts"))
    one, other = whole.read_history(), parts.read_history()
    kept = [list(other["step"]).index(step) for step in one["step"]]
    for name in one:
        if name != "time":
            torch.testing.assert_close(
                torch.as_tensor(other[name])[kept], torch.as_tensor(one[name]), rtol=0, atol=0, equal_nan=True
            )
    assert whole.read("guard")["ratio/pde"] == parts.read("guard")["ratio/pde"] < inf


def test_the_loss_of_a_run_is_an_estimate_of_that_over_the_domain():
    """The mean r^2 of the history, at the points of the draw, is near that at many even points."""
    parts = assemble(compose([*WORDS, "points.interior=400", "dtype=float64", "architecture.width=8"]))
    stage = next(iter(parts.strategy(parts.problem, parts.new_models())))
    objective = Objective(stage.problem, stage.model, parts.engine, parts.weighting, parts.weights)
    stage.sampler.begin_stage(stage.problem)
    for step in range(4):
        objective.begin(stage.sampler.draw(step, stage.problem, objective), stage.sampler.factors())
    objective.loss()
    even = stage.problem.domain.grid(60)
    domain = float(objective.residual("pde", even).detach().square().mean())
    assert float(objective.losses()["pde"]) == pytest.approx(domain, rel=0.3)
    assert rms(objective.residuals()["pde"]) ** 2 > 1.3 * domain
