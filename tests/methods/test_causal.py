"""Causal weights: their values, when epsilon grows, time windows, resumed runs."""

from math import exp
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pinn_cli import cli
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.plan import preview
from pinn_cli.methods.weightings.causal import Causal
from pinn_cli.methods.weightings.product import Product
from pinn_cli.physics.domains import Box
from pinn_cli.physics.time_window import Window
from pinn_cli.records.results import Results
from tests.conftest import refused
from tests.run_files import assert_same_run

SMALL = ["architecture.width=4", "architecture.depth=1", "points.interior=64", "points.face=8", "device=cpu"]


def parts_of(*words: str):
    return assemble(compose(["weighting=causal", *SMALL, *words]))


def begun(causal, *equations: str, start: float = 0.0, end: float = 1.0):
    """A weighting at the beginning of a stage in x and t, with equations and one initial condition."""
    domain = Box(x=(0, 1), t=(start, end))
    regions = [*((name, "interior") for name in equations), ("initial", "initial")]
    constraints = [SimpleNamespace(name=name, region=region) for name, region in regions]
    causal.begin_stage(SimpleNamespace(coordinates=("x", "t"), domain=domain, constraints=lambda: constraints))
    return causal


def held(t: torch.Tensor, **residuals: torch.Tensor):
    """An objective whose residuals do not move."""
    X = torch.stack([torch.zeros_like(t), t], 1)
    batch, units = dict.fromkeys(residuals, X), dict.fromkeys(residuals, 1.0)
    return SimpleNamespace(batch=batch, units=units, factors={}, residuals=lambda: residuals)


def weights(causal, objective):
    return causal(objective.batch, objective.residuals())


def test_the_weight_of_a_slice_is_the_exponential_of_what_is_before_it() -> None:
    t = torch.tensor([0.9, 0.1, 0.3, 0.6, 0.2], dtype=torch.float64)
    r = torch.tensor([5.0, 2.0, 1.0, 3.0, 4.0], dtype=torch.float64)
    objective = held(t, pde=r, initial=r)
    causal = begun(Causal(bins=4, epsilons=[0.05]), "pde")
    causal.update(0, objective)
    first, second, third = (4 + 16) / 2, 1.0, 9.0
    w = [1.0, exp(-0.05 * first), exp(-0.05 * (first + second)), exp(-0.05 * (first + second + third))]
    found = weights(causal, objective)
    assert found.keys() == {"pde"}, "conditions keep their weight"
    assert found["pde"].tolist() == pytest.approx([w[3], w[0], w[1], w[2], w[0]])
    assert causal.values() == {"causal/epsilon": 0.05, "causal/smallest": pytest.approx(w[3])}


def test_equations_share_the_weights_of_the_sum_of_their_losses_wherever_their_points_are() -> None:
    t = torch.tensor([0.1, 0.6])
    objective = held(t, pde=torch.tensor([1.0, 0.0]), mass=torch.tensor([2.0, 0.0]))
    objective.batch["mass"] = objective.batch["mass"].flip(0)
    causal = begun(Causal(bins=2, epsilons=[0.1]), "pde", "mass")
    causal.update(0, objective)
    found = weights(causal, objective)
    assert found["pde"].tolist() == pytest.approx([1.0, exp(-0.1)])
    assert found["mass"].tolist() == pytest.approx([exp(-0.1), 1.0])


@settings(max_examples=50, deadline=None)
@given(
    points=st.lists(st.tuples(st.floats(0, 1), st.floats(-1e3, 1e3)), min_size=1, max_size=40),
    bins=st.integers(1, 20),
    epsilon=st.floats(1e-3, 1e2),
)
def test_weights_begin_at_one_and_do_not_increase_in_time(points, bins, epsilon) -> None:
    t, r = torch.tensor(points, dtype=torch.float64).T
    objective = held(t, pde=r)
    causal = begun(Causal(bins=bins, epsilons=[epsilon]), "pde")
    causal.update(0, objective)
    assert causal.weights[0] == 1
    assert (causal.weights.diff() <= 0).all()
    assert (causal.weights >= 0).all()
    w = weights(causal, objective)["pde"][t.argsort()]
    assert (w.diff() <= 0).all()


def test_epsilon_grows_as_long_as_all_weights_are_near_one_and_stays_at_the_last() -> None:
    t = torch.tensor([0.1, 0.9])
    causal = begun(Causal(bins=2), "pde")
    for size, epsilon in ((10.0, 0.01), (0.4, 0.1), (10.0, 0.1), (0.05, 10.0), (1e-4, 100.0), (1e-6, 100.0)):
        causal.update(0, held(t, pde=torch.full((2,), size)))
        assert causal.epsilon == epsilon, "the first that leaves a weight at or below 0.99; never a smaller one again"
        assert causal.values()["causal/smallest"].item() == pytest.approx(exp(-epsilon * size**2), rel=1e-5)
    begun(causal, "pde")
    assert causal.epsilon == 0.01, "a stage begins anew"


def test_updates_come_every_so_many_steps_and_weights_are_one_before_the_first() -> None:
    t = torch.tensor([0.1, 0.9])
    causal = begun(Causal(bins=2, epsilons=[1.0], every=5), "pde")
    assert weights(causal, held(t, pde=torch.ones(2)))["pde"].tolist() == [1.0, 1.0]
    seen = []
    for step in range(11):
        causal.update(step, held(t, pde=torch.full((2,), 1 + step / 10)))
        seen.append(float(causal.weights[1]))
    assert [i for i in range(1, 11) if seen[i] != seen[i - 1]] == [5, 10]
    assert seen[0] == pytest.approx(exp(-1))


def test_the_slices_of_a_time_window_divide_that_window() -> None:
    parts = parts_of("problem=wave")
    parts.weighting.begin_stage(Window(parts.problem, 0.25, 0.5))
    (causal,) = parts.weighting.parts
    assert (causal.start, causal.end) == (0.25, 0.5)
    t = torch.tensor([0.2501, 0.4999])
    causal.update(0, held(t, pde=torch.full((2,), 100.0)))
    assert weights(causal, held(t, pde=torch.ones(2)))["pde"].tolist() == pytest.approx([1.0, exp(-100)])


def test_a_product_reports_the_values_of_its_parts() -> None:
    parts = parts_of("problem=wave", "weighting=[fixed,causal]")
    assert isinstance(parts.weighting, Product)
    assert parts.weighting.values() == {"causal/epsilon": 0.01, "causal/smallest": 1.0}


def test_a_changed_number_of_slices_begins_at_weight_one() -> None:
    causal = begun(Causal(bins=4), "pde")
    causal.load_state_dict({"epsilon": 0.5, "weights": torch.zeros(3)})
    assert causal.weights.tolist() == [1.0] * 4
    causal.update(0, held(torch.tensor([0.1]), pde=torch.ones(1)))
    assert causal.epsilon == 1.0


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (["problem=helmholtz"], "weighting=causal: the problem has no time axis; expected a coordinate `t`"),
        (["problem=wave", "weighting.causal.bins=0"], "found bins=0, every=10, solved=0.99; expected"),
        (["problem=wave", "weighting.causal.solved=1"], "found bins=32, every=10, solved=1; expected"),
        (["problem=wave", "weighting.causal.epsilons=[]"], r"epsilons=\[\]: expected growing numbers above 0"),
        (["problem=wave", "weighting.causal.epsilons=[1,0.1]"], r"epsilons=\[1, 0.1\]: expected growing numbers"),
        (["problem=wave", "weighting.causal.epsilons=[0]"], r"epsilons=\[0\]: expected growing numbers above 0"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(made, says) -> None:
    with refused(says):
        preview(parts_of(*made))


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(["recipe=adam"], marks=pytest.mark.slow, id="adam"),
        pytest.param(["optimizer=lbfgs", "weighting.causal.every=4"], id="lbfgs"),
        pytest.param(
            ["optimizer=levenberg_marquardt", "weighting.causal.every=1"],
            marks=pytest.mark.slow,
            id="levenberg_marquardt",
        ),
        pytest.param(
            ["strategy=time_marching", "strategy.time_marching.windows=2", "strategy.time_marching.steps=3"],
            marks=pytest.mark.slow,
            id="time_marching",
        ),
    ],
)
def test_a_resumed_run_has_the_same_bits_and_its_history_has_epsilon_and_the_smallest_weight(how, here) -> None:
    run = ["train", "problem=reaction", "weighting=causal", "units=raw", "weights.interior=1", "record.every=1", *SMALL]
    run = [*run, "figures=off", "compile=off", *how]
    assert cli.main([*run, "stop.steps=6", "folder=whole"]) == 0
    assert cli.main([*run, "stop.steps=3", "folder=parts"]) == 0
    assert cli.main(["resume", "parts", "stop.steps=6"]) == 0
    assert_same_run("whole", "parts")
    then = Results(Path("whole/results.h5")).read_history()
    assert len(then["step"]) == 6
    assert set(then["causal/epsilon"]) <= {0.01, 0.1, 1.0, 10.0, 100.0}
    assert ((then["causal/smallest"] > 0) & (then["causal/smallest"] < 1)).all()
    assert (then["weight/pde"] > then["causal/smallest"]).all()
    assert (then["weight/pde"] < 1).all()
