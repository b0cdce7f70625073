"""Weightings on constant gradients: their fixed points, their rate of convergence, their statistics."""

from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.derivatives.engines import Taylor
from pinn_cli.methods.architectures.modified_mlp import ModifiedMLP
from pinn_cli.methods.samplers.uniform import Uniform
from pinn_cli.methods.weightings.fixed import Fixed
from pinn_cli.methods.weightings.grad_norm import GradNorm
from pinn_cli.methods.weightings.lr_annealing import LRAnnealing
from pinn_cli.methods.weightings.product import Product
from pinn_cli.problems.helmholtz import Helmholtz
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective
from tests.conftest import refused

CONF = Path(__file__).parents[2] / "conf" / "weighting"
LAYOUT = {
    "network.layers.0.weight": slice(0, 4),
    "network.layers.0.bias": slice(4, 6),
    "network.layers.1.weight": slice(6, 16),
    "network.encoders.0.weight": slice(16, 20),
    "unknowns.nu": slice(20, 21),
}
NAMES = ("pde", "left", "right", "initial", "velocity")


@dataclass
class Frozen:
    """An objective whose gradients do not move."""

    fixed: dict[str, Tensor]
    base: dict[str, float] = field(default_factory=dict)
    layout: dict[str, slice] = field(default_factory=lambda: LAYOUT)

    def __post_init__(self):
        self.base = dict.fromkeys(self.fixed, 1.0) | self.base
        regions = {"pde": "interior", "pde2": "interior", "initial": "initial", "velocity": "initial"}
        self.constraints = {n: SimpleNamespace(name=n, region=regions.get(n, "boundary")) for n in self.fixed}

    def gradients(self):
        return self.fixed


def frozen(*names: str, seed: int = 0, **options) -> Frozen:
    generator = torch.Generator().manual_seed(seed)
    sizes = {name: 10.0**-i for i, name in enumerate(NAMES)}
    return Frozen({n: sizes[n] * torch.randn(21, generator=generator, dtype=torch.float64) for n in names}, **options)


def problem(*names: str):
    return SimpleNamespace(constraints=lambda: [SimpleNamespace(name=name) for name in names])


def factors(weighting, *names: str) -> dict[str, float]:
    return weighting(dict.fromkeys(names, torch.zeros(1, 2)), {})


def entries(parameters: str) -> list[slice]:
    inside = {"all": list(LAYOUT)[:4], "dense_weights": list(LAYOUT)[:3:2]}[parameters]
    return [LAYOUT[name] for name in inside]


def ratio(statistic: str, parameters: str, reference: Tensor, term: Tensor) -> float:
    """The three statistics, written out."""
    layers = [(reference[s].abs(), term[s].abs()) for s in entries(parameters)]
    if statistic == "layer_max_ratio":
        return max((r.max() / t.mean()).item() for r, t in layers)
    largest = max(r.max().item() for r, _ in layers)
    means = [t.mean().item() for _, t in layers]
    sizes = [len(t) for _, t in layers]
    pooled = sum(m * n for m, n in zip(means, sizes, strict=True)) / sum(sizes)
    return largest / (pooled if statistic == "pooled" else sum(means) / len(means))


@pytest.mark.parametrize("parameters", ["all", "dense_weights"])
@pytest.mark.parametrize("statistic", ["pooled", "layer_mean", "layer_max_ratio"])
@pytest.mark.parametrize("denominator", ["unweighted", "weighted"])
def test_annealing_has_the_published_fixed_points(statistic, denominator, parameters):
    """M / m unweighted, sqrt(M / m) weighted (M: maximum or its layer-wise kin, m: mean)."""
    objective = frozen("pde", "left")
    weighting = LRAnnealing(statistic, denominator, alpha=0.3, every=1, parameters=parameters)
    for step in range(400):
        weighting.update(step, objective)
    expected = ratio(statistic, parameters, objective.fixed["pde"], objective.fixed["left"])
    found = factors(weighting, "pde", "left")
    assert found == {"left": pytest.approx(expected if denominator == "unweighted" else sqrt(expected), rel=1e-12)}


@settings(max_examples=30, deadline=None)
@given(alpha=st.floats(0.02, 0.98), seed=st.integers(0, 100))
@pytest.mark.parametrize("denominator", ["unweighted", "weighted"])
def test_annealing_contracts_at_the_stated_rate(denominator, alpha, seed):
    """1 - alpha unweighted, 1 - 2 alpha weighted, which oscillates (-0.8) for alpha = 0.9."""
    objective = frozen("pde", "left", seed=seed)
    limit = ratio("pooled", "all", objective.fixed["pde"], objective.fixed["left"])
    limit = limit if denominator == "unweighted" else sqrt(limit)
    weighting = LRAnnealing("pooled", denominator, alpha=alpha, every=1)
    weighting.load_state_dict({"lambdas": {"left": limit * (1 + 1e-6)}})
    weighting.update(0, objective)
    error = weighting.lambdas["left"] / limit - 1
    assert error / 1e-6 == pytest.approx(1 - alpha if denominator == "unweighted" else 1 - 2 * alpha, abs=1e-4)


def test_a_group_has_the_gradient_of_its_sum_with_base_weights():
    objective = frozen(*NAMES, base={"left": 4.0, "pde": 2.0, "velocity": 0.5})
    groups = {"walls": ["left", "right"], "start": ["initial", "velocity"]}
    weighting = LRAnnealing(alpha=1.0, every=1, groups=groups)
    weighting.begin_stage(problem(*NAMES))
    weighting.update(0, objective)
    g = objective.fixed
    walls = ratio("pooled", "all", 2 * g["pde"], 4 * g["left"] + g["right"])
    start = ratio("pooled", "all", 2 * g["pde"], g["initial"] + 0.5 * g["velocity"])
    expected = {"left": walls, "right": walls, "initial": start, "velocity": start}
    assert factors(weighting, *NAMES) == pytest.approx(expected, rel=1e-12)


def test_four_times_the_base_weight_gives_a_quarter_of_the_factor():
    """The paper sums four edges where one mean over them is taken: weights.wall=4."""
    plain, weighted = (LRAnnealing(alpha=1.0, every=1) for _ in range(2))
    plain.update(0, frozen("pde", "left"))
    weighted.update(0, frozen("pde", "left", base={"left": 4.0}))
    assert factors(plain, "left")["left"] == pytest.approx(4 * factors(weighted, "left")["left"])


def test_the_numerator_is_the_sum_of_all_interior_residuals():
    objective = frozen("pde", "left")
    objective.fixed["pde2"] = objective.fixed["pde"].flip(0)
    objective.__post_init__()
    weighting = LRAnnealing(alpha=1.0, every=1)
    weighting.update(0, objective)
    both = objective.fixed["pde"] + objective.fixed["pde2"]
    assert factors(weighting, *objective.fixed) == {
        "left": pytest.approx(ratio("pooled", "all", both, objective.fixed["left"]))}


def test_a_zero_gradient_skips_the_update():
    objective = frozen("pde", "left")
    objective.fixed["left"].zero_()
    for statistic in ("pooled", "layer_mean", "layer_max_ratio"):
        weighting = LRAnnealing(statistic, every=1)
        weighting.update(0, objective)
        assert factors(weighting, "left") == {"left": 1.0}


def test_updates_come_every_so_many_steps_the_first_included():
    objective, weighting = frozen("pde", "left"), LRAnnealing(alpha=0.5, every=10)
    seen = []
    for step in range(21):
        weighting.update(step, objective)
        seen.append(weighting.lambdas["left"])
    assert [i for i in range(1, 21) if seen[i] != seen[i - 1]] == [10, 20]
    assert seen[0] != 1.0


def test_constraints_imposed_exactly_leave_their_group():
    weighting = LRAnnealing(alpha=1.0, every=1, groups={"walls": ["left", "right"], "start": ["initial"]})
    weighting.begin_stage(problem(*NAMES))
    weighting.update(0, frozen("pde", "left"))
    assert set(weighting.lambdas) == {"walls"}


@pytest.mark.parametrize(("name", "options"), [
    ("lr_annealing_paper", ("pooled", "unweighted", 0.9, 10, "all")),
    ("lr_annealing", ("pooled", "weighted", 0.1, 10, "all")),
    ("lr_annealing_code", ("layer_mean", "weighted", 0.1, 10, "dense_weights")),
    ("lr_annealing_code_cavity", ("layer_max_ratio", "weighted", 0.1, 10, "dense_weights")),
    ("lr_annealing_siam", ("pooled", "weighted", 0.1, 10, "all")),
])
def test_each_preset_has_its_published_settings(name, options):
    preset = OmegaConf.load(CONF / f"{name}.yaml")
    found = tuple(preset[key] for key in ("statistic", "denominator", "alpha", "every", "parameters"))
    assert found == options
    assert preset._target_ == "pinn_cli.methods.weightings.lr_annealing.LRAnnealing"


@pytest.mark.parametrize(("options", "message"), [
    ({"statistic": "median"}, "unknown statistic 'median': expected one of pooled, layer_mean, layer_max_ratio"),
    ({"denominator": "both"}, "unknown denominator 'both': expected one of unweighted, weighted"),
    ({"parameters": "biases"}, "unknown parameters 'biases': expected one of all, dense_weights"),
    ({"alpha": 0.0}, "found alpha=0.0, every=10; expected 0 < alpha <= 1"),
    ({"every": 0}, "found alpha=0.1, every=0"),
    ({"groups": {"walls": ["lift"]}}, "unknown constraint 'lift': expected one of pde, left"),
    ({"groups": {"a": ["left"], "b": ["left"]}}, "'left' is named twice"),
    ({"groups": {"a": ["pde"]}, "reference": ["pde"]}, "'pde' is named twice"),
])
def test_a_wrong_setting_is_refused_in_one_line(options, message):
    with refused(message):
        LRAnnealing(**options).begin_stage(problem(*NAMES))


def test_dense_weights_of_a_network_without_layers_are_refused():
    objective = frozen("pde", "left", layout={"network.w": slice(0, 21)})
    with pytest.raises(UsageError, match="parameters=all"):
        LRAnnealing(parameters="dense_weights").update(0, objective)


def test_a_problem_without_an_interior_needs_a_named_reference():
    with pytest.raises(UsageError, match=r"reference=\[left\]"):
        LRAnnealing().update(0, frozen("left", "initial"))


@pytest.mark.parametrize("parameters", ["all", "dense_weights"])
def test_the_statistic_of_a_real_objective_uses_the_gradients_of_the_network(parameters):
    problem, weighting = Helmholtz(), LRAnnealing("layer_mean", alpha=1.0, every=1, parameters=parameters)
    torch.manual_seed(0)
    network = ModifiedMLP(2, 1, width=5, depth=2)
    model = Model(Features(problem.domain), network).double()
    objective = Objective(problem, model, Taylor, weighting, {"wall": 4.0})
    objective.begin(Uniform({"interior": 16, "face": 4}).draw(0, problem, objective))
    weighting.begin_stage(problem)
    weighting.update(0, objective)
    chosen = list(network.parameters()) if parameters == "all" else [layer.weight for layer in network.layers]
    r = objective.residuals()
    pde = torch.autograd.grad(r["pde"].square().mean(), chosen, retain_graph=True)
    wall = torch.autograd.grad(4 * r["wall"].square().mean(), chosen)
    expected = max(g.abs().max() for g in pde) / torch.stack([g.abs().mean() for g in wall]).mean()
    assert objective.weights == {"pde": 1.0, "wall": pytest.approx(4 * expected.item(), rel=1e-12)}


def test_grad_norm_makes_the_gradients_equally_long_for_any_base_weights():
    for base in ({}, {"left": 100.0}):
        objective, weighting = frozen("pde", "left", "initial", base=base), GradNorm(alpha=0.5, every=1)
        for step in range(60):
            weighting.update(step, objective)
        w = factors(weighting, "pde", "left", "initial")
        norms = {n: objective.base[n] * g.norm().item() for n, g in objective.fixed.items()}
        mean = sum(norms.values()) / 3
        assert {n: w[n] * (norms[n] + 1e-5 * mean) for n in w} == pytest.approx(dict.fromkeys(w, mean), rel=1e-12)


def test_grad_norm_keeps_its_weights_where_all_gradients_vanish():
    objective, weighting = frozen("pde", "left"), GradNorm(every=1)
    for gradient in objective.fixed.values():
        gradient.zero_()
    weighting.update(0, objective)
    assert factors(weighting, "pde", "left") == {"pde": 1.0, "left": 1.0}


def test_a_product_multiplies_updates_and_restores_all_its_parts():
    def make():
        return Product(Fixed(), LRAnnealing(alpha=1.0, every=1), GradNorm(alpha=1.0, every=1))

    objective, weighting = frozen("pde", "left"), make()
    weighting.begin_stage(problem("pde", "left"))
    weighting.update(0, objective)
    _, annealing, norms = weighting.parts
    found = factors(weighting, "pde", "left")
    assert found["pde"] == norms.weights["pde"]
    assert found["left"] == annealing.lambdas["left"] * norms.weights["left"]
    again = make()
    again.load_state_dict(weighting.state_dict())
    assert factors(again, "pde", "left") == found


def test_fixed_does_not_change_the_base_weights():
    assert factors(Fixed(), "pde", "left") == {}
    assert factors(Product(Fixed()), "pde", "left") == {"pde": 1, "left": 1}


def test_a_class_that_reads_residuals_gets_them_whatever_it_inherits():
    class Own(Fixed):
        def __call__(self, batch, residuals):
            return {name: r.abs().mean() for name, r in residuals.items()}

    assert not Fixed.of_residuals
    assert Own.of_residuals
    assert Product(Fixed(), Own()).of_residuals
