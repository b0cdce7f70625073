"""Samplers that move the points of the interior: densities, counts, stalls, and the same points after a resume."""

import io
from dataclasses import dataclass
from itertools import pairwise
from math import cos, pi

import pytest
import torch
from scipy.stats import chisquare

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.corrections import focused
from pinn_cli.methods.proxies import drawn, losses, sizes, slopes
from pinn_cli.methods.samplers.adaptive import AdaptiveGradient, AdaptiveResidual
from pinn_cli.methods.samplers.density import Density
from pinn_cli.methods.samplers.focused import Focused
from pinn_cli.methods.samplers.held_out import HeldOut
from pinn_cli.methods.samplers.importance import Importance
from pinn_cli.methods.samplers.r3 import R3
from pinn_cli.methods.samplers.rad import Rad, density
from pinn_cli.methods.samplers.rar import Rar, RarD
from pinn_cli.methods.samplers.uniform import Uniform
from pinn_cli.methods.samplers.vrba import Vrba
from pinn_cli.methods.seeds import seed_for
from pinn_cli.methods.stall import Stall
from pinn_cli.physics.domains import Box
from pinn_cli.physics.problem import Problem, on

SAMPLERS = [Rad, Rar, RarD, R3, Vrba, Importance, AdaptiveResidual, AdaptiveGradient]


@dataclass
class Square(Problem):
    coordinates = ("x", "y")
    fields = ("u",)

    def __post_init__(self):
        self.domain = Box(x=(0, 2), y=(-1, 1))

    @on("interior")
    def pde(self, u):
        return u

    @on("boundary")
    def wall(self, u):
        return u


class Known:
    """An objective whose residual is x (1 + y^2) everywhere; its loss falls only if `falls`."""

    device, dtype = torch.device("cpu"), torch.float64
    parameters = (torch.zeros(1, dtype=torch.float64),)

    def __init__(self, falls=True):
        self.problem, self.base, self.batch = Square(), {"pde": 4.0, "wall": 1.0}, {}
        self.constraints = {c.name: c for c in self.problem.constraints()}
        self.falls, self.loss = falls, 1.0

    def residual(self, name, X):
        return X[:, 0] * (1 + X[:, 1] ** 2)

    def terms(self, name, X):
        return {"u": 1.0}

    def losses(self):
        self.loss *= 0.5 if self.falls else 1.0
        return {"pde": torch.tensor(self.loss), "wall": torch.tensor(0.0)}


def trained(sampler, objective, steps, first=0):
    """The batches of some steps."""
    out = []
    for step in range(first, first + steps):
        objective.batch = sampler.draw(step, objective.problem, objective)
        out.append(objective.batch)
    return out


def made(kind, seed=0, n=400, **settings):
    inner = Uniform({"interior": n, "face": 8}, seed=seed, every=None)
    sampler = kind(inner, seed=seed, **settings)
    sampler.begin_stage(Square())
    return sampler


def counts(points, bins=6):
    """How many points lie in each of bins x bins equal parts of the domain."""
    ix = (points[:, 0] / 2 * bins).long().clamp(0, bins - 1)
    iy = ((points[:, 1] + 1) / 2 * bins).long().clamp(0, bins - 1)
    return torch.bincount(ix * bins + iy, minlength=bins * bins).double()


def expected(density, total, bins=6, n=240):
    """The counts of `total` points with this density (by quadrature over the domain)."""
    node = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    x, y = torch.meshgrid(2 * node, 2 * node - 1, indexing="ij")
    X = torch.stack([x.ravel(), y.ravel()], 1)
    p = density(X)
    ix = (X[:, 0] / 2 * bins).long().clamp(0, bins - 1) * bins + ((X[:, 1] + 1) / 2 * bins).long().clamp(0, bins - 1)
    share = torch.zeros(bins * bins, dtype=torch.float64).index_add(0, ix, p)
    return total * share / share.sum()


def size(X):
    return X[:, 0] * (1 + X[:, 1] ** 2)


def rad(X, power=1.0, floor=1.0):
    raised = size(X) ** power
    return raised / raised.mean() + floor


def slope(X):
    """|d/dx| + |d/dy| of (x (1 + y^2))^2."""
    x, y = X.T
    return 2 * x * (1 + y**2) ** 2 + (4 * x**2 * y * (1 + y**2)).abs()


def even(X):
    return torch.ones(len(X), dtype=X.dtype)


NODES = {"pool": 203**2, "every": 1, "momentum": 0.0, "patience": 1000, "period": 10**9, "jitter": "symmetric"}
MANY = {"every": 1, "pool": 40000}  # few of the pool are drawn, so that hardly any would come twice
DENSITIES = {
    "rad": (Rad, MANY, rad),
    "rad squared": (Rad, MANY | {"power": 2.0, "floor": 0.0}, lambda X: size(X) ** 2),
    "rar_d": (RarD, MANY | {"add": 100}, lambda X: size(X) ** 2),
    "vrba": (Vrba, MANY | {"memory": 0.0, "rate": 1.0}, lambda X: 2 ** (size(X) / 4)),
    "density": (Density, {"pool": 40000, "formula": "x * exp(-y)"}, lambda X: X[:, 0] * torch.exp(-X[:, 1])),
    "importance": (Importance, MANY, lambda X: size(X) ** 2),
    "importance with a floor": (Importance, MANY | {"power": 1.0, "floor": 1.0}, rad),
    "adaptive_residual": (AdaptiveResidual, NODES, size),
    "adaptive_gradient": (AdaptiveGradient, NODES, slope),
    "adaptive_residual, even": (AdaptiveResidual, NODES | {"start": 0}, even),
    "focused": (Focused, {}, lambda X: 1 + size(X) / size(X).mean()),  # one half even
    "held_out": (HeldOut, {"every": 1, "candidates": 400.0, "ratio": 0.1, "add": 1.0}, size),
    "r3, kept": (R3, {}, lambda X: (size(X) > 4 / 3).to(X)),  # those with |r| above its mean
    "r3, drawn anew": (R3, {}, even),
}
ADDED = (RarD, Focused, HeldOut)


def own_points(name, seed):
    """The points that a sampler has drawn by its density at its first draw."""
    kind, settings, asked = DENSITIES[name]
    n = 4000 if kind is R3 else 100  # the mean of so many residuals is that over the domain
    start = {"start": 1 - NODES["period"]} | settings  # of the adaptive ones: at the end of the cycle none is even
    sampler = made(kind, seed=seed, n=n, **{key: value for key, value in settings.items() if key != "start"})
    sampler.start = start["start"]
    before, after = (batch["pde"] for batch in trained(sampler, Known(), 2))
    if kind is R3:
        kept = int((size(before) > size(before).mean()).sum())
        return after[kept:] if asked is even else after[:kept]
    return after[-100:] if kind in ADDED else after


def fits(found, asked):
    """The p-value of counts; 0 where there are points and none are asked for."""
    return chisquare(found, asked.clamp_min(1e-9)).pvalue


@pytest.mark.parametrize("name", DENSITIES)
def test_points_have_the_density_that_was_asked_for(name):
    """Chi-square over 36 parts of the domain; even points fail it where they are not asked for."""
    kind, _, p = DENSITIES[name]
    points = torch.cat([own_points(name, seed) for seed in range(2 if kind is R3 else 40)])
    asked = expected(p, len(points))
    assert fits(counts(points), asked) > 1e-3
    evenly = torch.rand(len(points), 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2
    assert p is even or fits(counts(evenly - torch.tensor([0.0, 1.0])), asked) < 1e-6


@pytest.mark.parametrize(("kind", "settings"), [
    (Rar, {"every": 2, "pool": 600, "add": 30}), (RarD, {"every": 2, "pool": 600, "add": 30}), (Focused, {"add": 0.1})
])  # fmt: skip
def test_points_that_were_added_stay_where_the_sampler_before_draws_anew(kind, settings):
    sampler, objective = kind(Uniform({"interior": 40, "face": 8}, seed=0, every=1), **settings), Known()
    sampler.begin_stage(Square())
    batches = [batch["pde"] for batch in trained(sampler, objective, 6)]
    assert [len(X) for X in batches] == ([44] * 6 if kind is Focused else [40, 40, 70, 70, 100, 100])
    for before, after in pairwise(batches):
        assert not (before[:40] == after[:40]).any(), "those of the sampler before"
        assert torch.equal(after[40 : len(before)], before[40:]), "its own"


def test_focused_adds_the_same_points_for_the_same_seed_and_stage():
    sampler, objective = made(Focused, seed=3, add=0.5), Known()
    for stage in (1, 2):
        X = trained(sampler, objective, 2)[1]["pde"]
        generator = torch.Generator().manual_seed(seed_for(3, "focused", stage))
        assert torch.equal(X[400:], focused(objective, 200, generator))
        sampler.begin_stage(Square())


@pytest.mark.parametrize(("kind", "asked"), [(Focused, True), (RarD, True), (Rad, False), (R3, False)])
def test_a_guard_before_it_may_go_on_where_its_points_are_still_used(kind, asked):
    sampler, objective = kind(HeldOut(Uniform({"interior": 40, "face": 8}, every=None), ratio=0.1)), Known()
    if kind is not Focused:
        sampler.every = 1
    sampler.begin_stage(Square())
    trained(sampler, objective, 2)
    before = len(sampler.batch["pde"])
    assert sampler.refine(Square(), objective) == asked
    assert (len(sampler.draw(2, Square(), objective)["pde"]) > before) == (asked or kind is RarD)


@pytest.mark.parametrize("kind", SAMPLERS)
def test_a_resumed_run_draws_the_same_points(kind):
    settings = {"every": 2} | ({} if kind is R3 else {"pool": 600})
    whole, objective = made(kind, **settings), Known(falls=False)
    batches = trained(whole, objective, 9)
    first, other = made(kind, **settings), Known(falls=False)
    trained(first, other, 5)
    stream = io.BytesIO()
    torch.save(first.state_dict(), stream)
    stream.seek(0)
    second = made(kind, **settings)
    second.load_state_dict(torch.load(stream, weights_only=True))
    other.batch = second.batch
    assert all(torch.equal(second.batch[name], batches[4][name]) for name in batches[4])
    assert all(torch.equal(f, first.factors()[name]) for name, f in second.factors().items())
    for kept, again in zip(batches[5:], trained(second, other, 4, first=5), strict=True):
        assert all(torch.equal(kept[name], again[name]) for name in kept)
    assert second.factors().keys() == whole.factors().keys() == ({"pde"} if kind is Importance else set())
    assert all(torch.equal(f, whole.factors()[name]) for name, f in second.factors().items())


@pytest.mark.parametrize("kind", SAMPLERS)
def test_points_lie_in_the_domain_and_the_boundary_keeps_its_points(kind):
    sampler, objective = made(kind, every=2, **({} if kind is R3 else {"pool": 600})), Known()
    batches = trained(sampler, objective, 5)
    assert batches[0]["pde"] is batches[1]["pde"]
    assert batches[2]["pde"] is not batches[1]["pde"]
    for batch in batches:
        assert objective.problem.domain.contains(batch["pde"]).all()
        assert batch["wall"] is batches[0]["wall"]
    more = {Rar: 20, RarD: 20}.get(kind, 0)
    assert len(batches[-1]["pde"]) == 400 + more


def test_rar_adds_the_points_of_the_pool_with_the_largest_residuals():
    sampler, objective = made(Rar, every=1, pool=2000, add=5), Known()
    first, second = trained(sampler, objective, 2)
    assert torch.equal(second["pde"][:400], first["pde"])
    assert size(second["pde"][400:]).min() > 3.5  # of at most 4


def test_r3_keeps_the_points_above_the_mean_residual():
    sampler, objective = made(R3), Known()
    first, second = (batch["pde"] for batch in trained(sampler, objective, 2))
    kept = first[size(first) > size(first).mean()]
    assert torch.equal(second[: len(kept)], kept)
    assert not any((second[len(kept) :, None] == first).all(-1).any(1))


def test_no_node_is_drawn_twice():
    """Also where more are wanted than have a density above 0."""
    sampler, objective = made(AdaptiveResidual, n=400, pool=441, every=1, jitter="none"), Known()
    sampler.period = 4
    for batch in trained(sampler, objective, 6)[1:]:
        assert len(batch["pde"].unique(dim=0)) == 400
    few = made(AdaptiveResidual, n=400, pool=4, every=1)
    assert len(trained(few, Known(), 2)[1]["pde"]) == 400  # the lattice has as many nodes as there are points
    p = torch.tensor([0.0, 0.0, 1.0, 0.0])
    assert sorted(drawn(p, 4, torch.Generator().manual_seed(0)).tolist()) == [0, 1, 2, 3]
    assert drawn(p, 1, torch.Generator().manual_seed(0), without=[2]).tolist() != [2]


def test_the_even_share_follows_a_cosine_and_a_stall_begins_it_anew():
    sampler, objective = made(AdaptiveResidual, pool=900, every=6, period=12, patience=4), Known()
    trained(sampler, objective, 7)
    assert sampler.share == pytest.approx((1 + cos(pi * 5 / 12)) / 2)
    assert sampler.stalls == 0
    objective.falls = False
    trained(sampler, objective, 5, first=7)
    assert sampler.stalls == 1
    assert sampler.share == 1.0


def test_an_optimizer_that_cannot_continue_stalls_unless_it_stops_right_after_a_draw():
    """The next draw is even, and begins the cycle anew; a resumed run knows that it is due."""
    sampler, objective = made(AdaptiveResidual, pool=900, every=6, period=12), Known()
    trained(sampler, objective, 8)
    assert sampler.refine(Square(), objective)
    state, points = sampler.state_dict(), sampler.batch["pde"]
    resumed = made(AdaptiveResidual, pool=900, every=6, period=12)
    resumed.begin_stage(Square())
    resumed.load_state_dict(state)
    for each in (sampler, resumed):
        drawn_now = each.draw(8, Square(), objective)["pde"]
        assert not torch.equal(drawn_now, points)
        assert (each.share, each.stalls) == (1.0, 1)
        assert not each.refine(Square(), objective), "no step at the new points was taken before it stopped"


def test_a_stall_is_a_number_of_looks_without_an_improvement():
    stall = Stall(patience=3, absolute=1e-3)
    assert [stall.look(loss) for loss in (1.0, 0.9, 0.8995, 0.8994, 0.8993)] == [False, False, False, False, True]
    relative = Stall(patience=2, absolute=0.0, relative=0.5)
    assert [relative.look(loss) for loss in (1e-8, 4e-9, 3e-9, 2.5e-9)] == [False, False, False, True]
    stall.reset()
    assert not stall.look(5.0)
    with pytest.raises(ValueError, match="patience=0"):
        Stall(patience=0)


def test_momentum_adds_the_proxy_of_the_draw_before_and_an_even_draw_takes_none():
    sampler, objective = made(AdaptiveResidual, pool=2500, every=1, momentum=0.5), Known()
    trained(sampler, objective, 2)
    assert not sampler.before, "all nodes of the first draw are even"
    trained(sampler, objective, 3)
    before = sampler.before["pde"]
    torch.testing.assert_close(before, sizes(objective, ["pde"], Square().domain.sample("interior", _lattice(50))))


def _lattice(n):
    axis = torch.arange(1, n + 1, dtype=torch.float64) / (n + 1)
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)


def test_proxies_are_the_loss_at_a_point_and_its_slopes():
    X = torch.rand(50, 2, dtype=torch.float64)
    torch.testing.assert_close(losses(Known(), ["pde"], X), 4 * size(X) ** 2)
    torch.testing.assert_close(sizes(Known(), ["pde"], X), 2 * size(X))
    torch.testing.assert_close(slopes(Known(), ["pde"], X), 4 * slope(X))


def test_a_residual_that_overflows_counts_as_the_largest_and_one_that_is_no_number_as_zero():
    class Overflows(Known):
        def residual(self, name, X):
            r = super().residual(name, X)
            return torch.where(X[:, 0] > 0.9, r * 1e200, torch.where(X[:, 0] < 0.1, torch.nan, r))

    X = torch.rand(200, 2, dtype=torch.float64)
    found, large, none = losses(Overflows(), ["pde"], X), X[:, 0] > 0.9, X[:, 0] < 0.1
    assert large.any()
    assert none.any()
    assert (found[large] == found[~large].max()).all()
    assert (found[none] == 0).all()
    assert slopes(Overflows(), ["pde"], X).isfinite().all()


@pytest.mark.parametrize(("kind", "settings"), [
    *((AdaptiveResidual, {name: value}) for name, value in
      {"every": 0, "pool": 0, "period": 0, "jitter": "up", "momentum": -1.0}.items()),
    (Rad, {"power": -1.0}), (Rad, {"floor": -1.0}), (Rad, {"pool": 2**24 + 1}), (Rar, {"add": 0}), (RarD, {"add": -5}),
    (RarD, {"floor": -1.0}), (Vrba, {"power": -1.0}), (Vrba, {"floor": -1.0}), (Importance, {"power": -1.0}),
])  # fmt: skip
def test_impossible_settings_are_refused(kind, settings):
    with pytest.raises((ValueError, UsageError), match=f"{next(iter(settings))}=.*expected"):
        made(kind, **settings)


@pytest.mark.parametrize("kind", [Rad, Vrba, Importance, Density])
def test_a_pool_has_four_candidates_for_each_point_at_least(kind):
    """Else all of a pool that is no larger would be drawn: evenly, whatever the density."""
    settings = {Density: {"formula": "x"}, Vrba: {"every": 1, "scale": 0.2}}.get(kind, {"every": 1})
    X = trained(made(kind, pool=5, n=2000, **settings), Known(), 2)[1]["pde"]
    assert len(X) == 2000
    assert X[:, 0].mean() > 1.1, "even points have the mean 1"


def test_rar_adds_as_many_points_as_asked_for_from_a_small_pool():
    for kind in (Rar, RarD):
        assert len(trained(made(kind, every=1, pool=5, n=10, add=30), Known(), 2)[1]["pde"]) == 40


def test_a_density_that_is_not_finite_in_single_precision_is_none():
    """|r|^2 of a small residual is 0 there, and so is its mean."""
    tiny = torch.tensor([1e-30, 3e-30, 0.0])
    torch.testing.assert_close(density(tiny, 2.0, 0.0), torch.tensor([0.3, 2.7, 0.0], dtype=torch.float64))
    assert density(torch.zeros(2), 1.0, 1.0).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_a_large_power_draws_where_the_residual_is_largest(factor):
    assert density(factor * torch.tensor([1.0, 0.5, 0.0]), 200.0, 0.0).tolist() == pytest.approx([3.0, 0.0, 0.0])


def test_vrba_counts_the_draws_of_equations_at_different_points_apart():
    """Each has the temperature of its own draws, and its pool is drawn once."""
    sampler, objective = made(Vrba, pool=10), Known()
    X = torch.rand(2, 2, dtype=torch.float64)
    for _ in range(2):
        for names in (["pde"], ["wall"]):
            sampler.renewed(names, X, objective.problem, objective)
    assert sampler.draws == {"pde": 2, "wall": 2}
    state = sampler.generator.get_state()
    sampler.renewed(["pde"], X, objective.problem, objective)
    alone = torch.Generator()
    alone.set_state(state)
    drawn(torch.ones(10), 2, alone)
    assert torch.equal(sampler.generator.get_state(), alone.get_state()), "nothing but the points was drawn"


def test_a_pool_grows_until_points_can_follow_a_narrow_density():
    formula = "exp(-5000 * ((x - 1)**2 + y**2))"  # deviation 0.01: 20000 candidates have 3 within it
    X = trained(made(Density, formula=formula), Known(), 1)[0]["pde"]
    assert len(X.unique(dim=0)) == 400
    assert (X - torch.tensor([1.0, 0.0])).std(0).tolist() == pytest.approx([0.01, 0.01], rel=0.15)


@pytest.mark.parametrize(("formula", "says"), [
    ("0 * x", "found 0 at all of"), ("0 * x - 2", r"found -2 at x=[\d.]+, y=[-\d.]+; .* not below 0"),
    ("1 / 0", "found inf at x=.* finite"),
    ("exp(-1e9 * (x - 1)**2)", "too narrow"),
])  # fmt: skip
def test_a_density_that_cannot_be_drawn_is_refused(formula, says, monkeypatch):
    monkeypatch.setattr("pinn_cli.methods.samplers.density.MOST", 2**16)
    with pytest.raises(UsageError, match=says):
        trained(made(Density, formula=formula), Known(), 1)
