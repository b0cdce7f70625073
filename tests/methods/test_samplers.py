"""Samplers: counts and sharing, points on their regions, same seed same bits, rates of integration."""

import io
import math
from dataclasses import dataclass
from itertools import pairwise
from math import pi
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.grading import towards_the_ends
from pinn_cli.methods.samplers.adapted import Adapted
from pinn_cli.methods.samplers.counts import plan
from pinn_cli.methods.samplers.graded import Graded
from pinn_cli.methods.samplers.grid import Grid
from pinn_cli.methods.samplers.quasi_random import Halton, Hammersley, LatinHypercube
from pinn_cli.methods.samplers.sobol import Sobol
from pinn_cli.methods.samplers.uniform import Uniform
from pinn_cli.methods.seeds import seed_for
from pinn_cli.physics.domains import Box, Interval
from pinn_cli.physics.problem import Problem, on
from tests.conftest import refused

POINTS = {"interior": 256, "face": 32, "data": "all"}
SAMPLERS = [Uniform, Sobol, Graded, Grid, LatinHypercube, Halton, Hammersley]


@dataclass
class Waves(Problem):
    """Every kind of region in two space dimensions and time."""

    coordinates = ("x", "y", "t")
    fields = ("u",)

    def __post_init__(self):
        self.domain = Box(x=(-1, 1), y=(2, 5), t=(0, 3), names={"lid": ["y=5"]})

    @on("interior")
    def pde(self, u_tt, lap_u):
        return u_tt - lap_u

    @on("interior")
    def energy(self, u_t):
        return u_t

    @on("boundary")
    def wall(self, u):
        return u

    @on("lid")
    def lid(self, u_n):
        return u_n

    @on("initial")
    def start(self, u):
        return u

    @on("initial")
    def velocity(self, u_t):
        return u_t

    @on("data")
    def seen(self, u, u_data):
        return u - u_data

    def measurements(self):
        return {"x": torch.zeros(7), "y": torch.linspace(2, 5, 7), "t": torch.ones(7), "u_data": torch.arange(7.0)}


@dataclass
class Rod(Problem):
    """One dimension."""

    coordinates = ("x",)
    fields = ("u",)

    def __post_init__(self):
        self.domain = Interval(x=(0, 2))

    @on("interior")
    def pde(self, u_xx):
        return u_xx

    @on("boundary")
    def ends(self, u):
        return u


def objective(problem, dtype=torch.float64, imposed=()):
    constraints = {c.name: c for c in problem.constraints() if c.name not in imposed}
    return SimpleNamespace(problem=problem, constraints=constraints, dtype=dtype, device=torch.device("cpu"))


def draw(sampler, problem=None, step=0, **options):
    problem = problem or Waves()
    return sampler.draw(step, problem, objective(problem, **options))


@pytest.mark.parametrize("make", SAMPLERS)
def test_points_lie_on_their_regions(make):
    batch = draw(make(POINTS))
    low, high = torch.tensor([[-1, 2, 0], [1, 5, 3.0]])
    for X in batch.values():
        assert ((X[:, :3] >= low) & (X[:, :3] <= high)).all()
    inside, wall = batch["pde"], batch["wall"]
    assert ((inside > low) & (inside < high)).all()
    assert (batch["start"][:, 2] == 0).all()
    assert (batch["lid"][:, 1] == 5).all()
    faces = torch.stack([wall[:, 0] == -1, wall[:, 0] == 1, wall[:, 1] == 2, wall[:, 1] == 5])
    assert (faces.sum(1) >= len(wall) // 4).all()


@pytest.mark.parametrize("make", [Uniform, Sobol])
def test_numbers_count_points_on_each_face_and_measurements_come_with_their_columns(make):
    sizes = {name: tuple(X.shape) for name, X in draw(make(POINTS)).items()}
    assert sizes == {"pde": (256, 3), "energy": (256, 3), "wall": (128, 3), "lid": (32, 3), "start": (32, 3),
                     "velocity": (32, 3), "seen": (7, 4)}


@pytest.mark.parametrize("every", [1, 3, None])
@pytest.mark.parametrize("make", [Uniform, Sobol])
def test_points_ahead_are_those_of_one_draw_after_the_other(make, every):
    one, many = make(POINTS, every=every), make(POINTS, every=every)
    single = [draw(one, step=step) for step in range(150)]
    found = []
    while len(found) < 150:
        found.append(draw(many, step=len(found)))
        found += many.ahead(len(found) - 1, min(40, 150 - len(found)))
        assert all(found[-1][name] is X for name, X in many.batch.items())
    assert all(torch.equal(a[name], b[name]) for a, b in zip(single, found, strict=True) for name in a)
    assert one.state_dict().keys() == many.state_dict().keys()
    assert (one.round, one.since) == (many.round, many.since)
    if every != 1:  # points that stay are the same tensors
        assert all(a["pde"] is b["pde"] for a, b in pairwise(found) if torch.equal(a["pde"], b["pde"]))


@pytest.mark.parametrize("make", SAMPLERS)
def test_the_ends_of_an_interval_are_two_points(make):
    batch = draw(make(POINTS), Rod())
    assert batch["pde"].shape == (256, 1)
    assert batch["ends"].flatten().tolist() == [0, 2]


def test_constraints_of_one_region_and_number_share_their_points():
    batch = draw(Sobol(POINTS))
    assert batch["pde"] is batch["energy"]
    assert batch["start"] is batch["velocity"]
    own = draw(Sobol(POINTS | {"energy": 64, "start": 32, "boundary": 8, "lid": 5}))
    assert own["energy"].shape == (64, 3)
    assert own["pde"].shape == (256, 3)
    assert own["start"] is own["velocity"]  # asked for by name, but the same number
    assert (len(own["wall"]), len(own["lid"])) == (32, 5)


@given(interior=st.integers(1, 5000), face=st.integers(1, 500), wall=st.integers(1, 99))
def test_the_plan_covers_every_constraint_once(interior, face, wall):
    draws = plan(Waves(), {"interior": interior, "face": face, "wall": wall})
    rows = {name: d.rows for d in draws for name in d.names}
    assert rows == {"pde": interior, "energy": interior, "wall": 4 * wall, "lid": face, "start": face,
                    "velocity": face, "seen": None}
    assert sum(len(d.names) for d in draws) == 7


@pytest.mark.parametrize("make", SAMPLERS)
def test_conditions_imposed_exactly_need_no_points(make):
    assert set(draw(make(POINTS), imposed=("wall", "lid", "start"))) == {"pde", "energy", "velocity", "seen"}


@pytest.mark.parametrize(("points", "message"), [
    ({"interior": 0}, "points.interior=0: expected a positive whole number"),
    ({"face": -3}, "points.face=-3"),
    ({"face": 2.5}, "points.face=2.5"),
    ({"face": True}, "points.face=True"),
    ({"wal": 10}, "points.wal: no such constraint or region; did you mean `wall`"),
    ({"data": 3}, "points.data=3: measurements are taken all at once, type points.data=all"),
])
def test_impossible_numbers_are_refused_in_one_line(points, message):
    with refused(message):
        draw(Uniform(POINTS | points))


def test_a_missing_number_of_points_is_refused_with_what_to_type():
    with pytest.raises(UsageError, match=r"no number of points for `pde`: type points\.interior=128"):
        draw(Sobol({"face": 4}))


@pytest.mark.parametrize("every", [0, -1])
def test_an_impossible_period_is_refused(every):
    with pytest.raises(ValueError, match=rf"every={every}"):
        Sobol(POINTS, every=every)


@pytest.mark.parametrize("make", SAMPLERS)
def test_equal_seeds_give_equal_points_and_other_seeds_other_points(make):
    one, two, other = (draw(make(POINTS, seed=seed))["pde"] for seed in (3, 3, 4))
    assert torch.equal(one, two)
    assert torch.equal(one, other) == (make is Grid)


@pytest.mark.parametrize("make", [Uniform, Sobol])
def test_regions_and_faces_have_points_of_their_own(make):
    batch = draw(make(POINTS | {"energy": 255}))
    wall = batch["wall"].reshape(32, 4, 3)  # faces in turn: x=-1, x=1, y=2, y=5
    assert not torch.equal(wall[:, 0, 1:], wall[:, 1, 1:])
    assert not torch.equal(batch["lid"][:, 0], wall[:, 3, 0])
    assert not torch.equal(batch["pde"][:255], batch["energy"])


@pytest.mark.parametrize("every", [1, 3, None])
@pytest.mark.parametrize("make", [Uniform, Sobol])
def test_points_are_kept_for_the_steps_asked_as_the_same_tensors(make, every):
    sampler, problem = make(POINTS, every=every), Waves()
    at = objective(problem)
    batches = [sampler.draw(step, problem, at) for step in range(5, 15)]
    new = [i for i in range(1, 10) if batches[i]["pde"] is not batches[i - 1]["pde"]]
    assert new == {1: [*range(1, 10)], 3: [3, 6, 9], None: []}[every]
    assert all(torch.equal(b["pde"], batches[0]["pde"]) for b in batches) == (not new)
    assert all(b["seen"] is batches[0]["seen"] for b in batches)


@pytest.mark.parametrize("make", SAMPLERS)
def test_a_new_stage_has_new_points(make):
    sampler = make(POINTS)
    first = draw(sampler)["pde"]
    sampler.begin_stage(Waves())
    assert torch.equal(first, draw(sampler)["pde"]) == (make is Grid)


@pytest.mark.parametrize("stop", [1, 4, 6])
@pytest.mark.parametrize("every", [1, 3, None])
@pytest.mark.parametrize("make", [Uniform, Sobol])
def test_a_resumed_run_has_the_same_points(make, every, stop):
    def run(sampler, steps):
        return [draw(sampler, step=step)["wall"] for step in steps]

    whole = make(POINTS, every=every)
    whole.begin_stage(Waves())
    expected = run(whole, range(10))
    first, second = make(POINTS, every=every), make(POINTS, every=every)
    first.begin_stage(Waves())
    run(first, range(stop))
    second.begin_stage(Waves())
    saved = io.BytesIO()
    torch.save(first.state_dict(), saved)
    saved.seek(0)
    second.load_state_dict(torch.load(saved, weights_only=True))
    at_once = second.batch
    assert at_once["pde"] is at_once["energy"]
    found = [at_once["wall"], *run(second, range(stop, 10))]
    assert all(torch.equal(a, b) for a, b in zip(found, expected[stop - 1 :], strict=True))
    same = [i for i in range(1, len(found)) if found[i] is found[i - 1]]
    assert same == [i for i in range(1, len(found)) if expected[stop - 1 + i] is expected[stop - 2 + i]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", SAMPLERS)
def test_points_have_the_precision_of_the_run_and_never_the_default_device(make, dtype):
    with torch.device("meta"):
        batch = draw(make({"interior": 8, "face": 4}), Rod(), dtype=dtype)
    assert {(X.dtype, X.device.type) for X in batch.values()} == {(dtype, "cpu")}


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 3000))
def test_a_grid_has_as_many_nodes_as_fit(count):
    batch = draw(Grid({"interior": count, "face": count}))
    side, edge = round(len(batch["pde"]) ** (1 / 3)), round(len(batch["lid"]) ** 0.5)
    assert side**3 == len(batch["pde"]) <= count < (side + 1) ** 3
    assert edge**2 == len(batch["lid"]) <= count < (edge + 1) ** 2


def test_a_grid_is_regular():
    batch = draw(Grid({"interior": 27, "face": 9}))
    assert batch["pde"][:, 0].unique().tolist() == [-0.5, 0, 0.5]
    assert batch["start"][:, 1].unique().tolist() == [2, 3.5, 5]
    assert len(batch["wall"].unique(dim=0)) < len(batch["wall"]) == 36  # faces meet in edges


def errors(make, counts, seeds=48) -> torch.Tensor:
    """Root mean square errors of the mean of a smooth function over the box, one for each number of points."""
    exact = (pi / 2) ** -1 * (pi / 2) ** -1  # of cos(pi x / 2) sin(pi t / 3), the y-average being 1

    def error(n, seed):
        X = draw(make({"interior": n, "face": 1}, seed=seed))["pde"]
        values = torch.cos(pi * X[:, 0] / 2) * torch.sin(pi * X[:, 2] / 3) * (1 + torch.cos(2 * pi * (X[:, 1] - 2) / 3))
        return values.mean().item() - exact

    return torch.tensor([[error(n, seed) for seed in range(seeds)] for n in counts]).square().mean(1).sqrt()


@pytest.mark.slow
def test_sobol_points_beat_uniform_ones_at_their_rate():
    counts = [2**k for k in range(6, 13)]
    rates, last = {}, {}
    for make in (Uniform, Sobol):
        e = errors(make, counts)
        slope = torch.linalg.lstsq(torch.stack([torch.tensor(counts).log(), torch.ones(7)], 1), e.log()[:, None])
        rates[make], last[make] = slope.solution[0].item(), e[-1].item()
    assert rates[Uniform] == pytest.approx(-0.5, abs=0.12)
    assert rates[Sobol] < -1
    assert last[Sobol] < last[Uniform] / 50


def test_sobol_points_fill_every_face_evenly():
    """2^k points put one into each of 2^k equal strips, on each face by itself."""
    batch = draw(Sobol({"interior": 64, "face": 16}))
    wall = batch["wall"].reshape(16, 4, 3)
    for face, axis in ((0, 1), (1, 1), (2, 0), (3, 0)):
        low, length = {0: (-1, 2), 1: (2, 3)}[axis]
        strips = ((wall[:, face, axis] - low) / length * 16).long().sort().values
        assert strips.tolist() == list(range(16))


def test_seeds_depend_on_every_word_of_the_purpose():
    purposes = [(0, "points", "wall", 0), (1, "points", "wall", 0), (0, "points", "lid", 0), (0, "points", "wall", 1)]
    seeds = {seed_for(*purpose) for purpose in purposes}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**56 for seed in seeds)


def test_graded_points_have_as_many_in_every_decade_of_the_distance():
    """Half of 4096 coordinates are log-uniform over 1e-5 ... 0.5, both ends together; the others are uniform."""
    X = draw(Graded({"interior": 4096, "face": 1}, finest=1e-5), Rod(), dtype=torch.float64)["pde"][:, 0] / 2
    distance = torch.minimum(X, 1 - X)
    decade = 2048 * math.log(10) / math.log(0.5 / 1e-5)
    for low in (1e-5, 1e-4, 1e-3):
        inside = int(((distance >= low) & (distance < 10 * low)).sum())
        assert inside == pytest.approx(decade + 2048 * 18 * low, rel=0.02)
    assert int((X < 0.5).sum()) == pytest.approx(2048, abs=20)


def test_graded_points_without_a_share_are_uniform():
    u = torch.linspace(0, 1, 11, dtype=torch.float64)
    torch.testing.assert_close(towards_the_ends(u, 1e-3, share=0.0), u)


@pytest.mark.parametrize("finest", [0, 0.1, -1])
def test_an_impossible_smallest_distance_is_refused(finest):
    with refused(f"sampler.graded.finest={finest}: expected a number between 0 and 0.1"):
        Graded(POINTS, finest=finest)


def test_adapted_points_are_sobol_points_moved_to_where_the_features_gather():
    class Gathering(torch.nn.Linear):
        def gathered(self, unit):
            return unit**3

    def points(sampler, network):
        objective = SimpleNamespace(problem=Rod(), model=SimpleNamespace(network=network))
        return sampler.unit(64, (0,), 5, objective)

    even = points(Sobol(POINTS), Gathering(1, 1))
    assert torch.equal(points(Adapted(POINTS), Gathering(1, 1)), even**3)
    with refused("sampler=adapted: Linear does not say where its features gather; type "
                 "architecture=random_fourier_features, architecture=adapted_features for windows in time, or"):
        points(Adapted(POINTS), torch.nn.Linear(1, 1))
