"""What a step costs: passes through the network, memory, linear algebra."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pinn_cli.basics.errors import MachineError
from pinn_cli.basics.memory import Tally, _left_by_groups, measured
from pinn_cli.configuration import cost, plan
from pinn_cli.configuration.assemble import Parts, assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.derivatives.keys import Lap
from pinn_cli.methods.optimizers.levenberg_marquardt import LevenbergMarquardt
from pinn_cli.methods.optimizers.newton import Newton


@pytest.mark.parametrize(
    ("wanted", "D", "F", "passes"),
    [
        ({(0, 0)}, 2, 1, 1),
        ({(0, 1), (1, 0), (2, 0)}, 2, 1, 4),  # Burgers
        ({Lap((0, 1), 2)}, 2, 1, 6),  # Helmholtz
        ({Lap((0, 1, 2), 3)}, 3, 1, 8),  # Poisson in space
        ({(0, 1), (1, 0), (3, 0)}, 2, 1, 8),  # Korteweg-de Vries
        ({(4,)}, 1, 1, 16),
        ({Lap((0, 1), 2)}, 2, 3, 16),  # three fields: 1 + F (1 + 2 D)
    ],
)
def test_passes_of_nested_differentiation(wanted, D, F, passes):
    assert cost.nested_passes(wanted, D, F) == passes


def test_constraints_of_one_region_share_their_streams():
    problem = parts_of("problem=klein_gordon").problem
    streams = {s.region: s for s in cost.streams_of(problem, problem.constraints())}
    assert (streams["interior"].taylor, streams["interior"].constraints) == (5, ["pde"])
    assert streams["initial"].constraints == ["displacement", "velocity"]
    assert streams["initial"].derivatives == ["1", "t"]


def test_the_cost_of_a_factorisation_is_that_of_the_smaller_space():
    assert "100 x 100 matrix of parameters" in str(cost.Factorisation(100, 5000, 1.0))
    assert "100 x 100 matrix of residuals" in str(cost.Factorisation(5000, 100, 1.0))
    assert LevenbergMarquardt().operations(100, 5000) == LevenbergMarquardt().operations(5000, 100)


@pytest.mark.parametrize(("parameters", "rows"), [(30, 50), (50, 30), (30, 30)])
@pytest.mark.parametrize("optimizer", [LevenbergMarquardt, Newton])
def test_every_shape_can_be_factored_for_the_plan(optimizer, parameters, rows):
    optimizer().factorise(torch.rand(rows, parameters, dtype=torch.float64))


def test_newton_is_counted_with_the_output_layer_and_the_unknowns_alone():
    """All 10501 parameters would need 1000 times the memory, and the plan would refuse the run."""
    words = ["optimizer=newton", "architecture.width=100", "architecture.depth=2", "points.interior=256"]
    parts = parts_of("problem=heat_inverse", *words)
    memory = cost.StepCost(plan.first_stage(parts), parts)
    (phase,) = parts.schedule
    assert memory.shape(phase)[0] == 101 + 1
    both = parts_of("problem=heat_inverse", *words, "optimizer=[newton]", "architecture.depth=1")
    assert memory.of(phase) < 4 * cost.StepCost(plan.first_stage(both), both).of(both.schedule[0])


def test_evaluations_are_timed_at_few_points_and_grow_in_proportion(monkeypatch):
    parts = parts_of("problem=helmholtz")
    memory = cost.StepCost(plan.first_stage(parts), parts)
    model, seen = memory.model_of(parts.schedule[0].name), []

    def timed(columns, counts, most):
        seen.append(most)
        return 1.0 + min(most, counts["pde"]) / 100

    monkeypatch.setattr(model, "_evaluations", timed)
    assert model.seconds(LevenbergMarquardt(), {"pde": 300, "wall": 16}) == pytest.approx(4)
    assert model.seconds(LevenbergMarquardt(), {"pde": 10_000, "wall": 16}) == pytest.approx(101)
    assert max(seen) <= 512


@pytest.mark.slow  # it measures time, which a machine that does other work distorts
@pytest.mark.parametrize(
    "words",
    [
        "problem=heat_inverse",
        "problem=poisson_2d optimizer=newton architecture.width=100 points.interior=256",
        "problem=helmholtz recipe=random_features architecture.width=400 points.interior=1200 points.face=100",
    ],
)
def test_the_time_of_a_step_is_known_within_a_factor_of_four(words):
    """The rate of a product of matrices, which was taken before, is wrong by 50 for a small network."""
    parts = parts_of(*words.split())
    objective, (phase,) = plan.preview(parts), parts.schedule
    optimizer, times = phase.optimizer(), []
    for _ in range(3):
        start = time.perf_counter()
        optimizer.step(objective)
        times.append(time.perf_counter() - start)
    assert 0.25 < parts.step_seconds[phase.name]() / min(times) < 4


# --- Memory -----------------------------------------------------------------------------------------------------------


def parts_of(*words: str) -> Parts:
    return assemble(compose(words))


def test_the_bytes_of_a_computation_are_counted_at_their_peak_and_at_its_end():
    def compute() -> torch.Tensor:
        x = torch.ones(1000)
        y = x.view(10, 100) + 1  # the view shares the memory of x
        del x
        return torch.cat([y, y]) + 0

    peak, kept, result = measured(compute)
    assert kept == result.nbytes == 8000
    assert peak == 4000 + 8000 + 8000


def test_the_limit_of_a_container_or_batch_job_counts(tmp_path):
    """The job may use 8 GB and uses 3, of which 1 can be dropped; the group above it has no limit."""
    job = tmp_path / "slurm" / "job"
    job.mkdir(parents=True)
    (tmp_path / "own").write_text("0::/slurm/job\n")
    (tmp_path / "slurm" / "memory.max").write_text("max\n")
    files = {"max": "8000000000", "current": "3000000000", "stat": "anon 1\ninactive_file 1000000000"}
    for name, text in files.items():
        (job / f"memory.{name}").write_text(f"{text}\n")
    assert list(_left_by_groups(tmp_path / "own", tmp_path)) == [6e9]
    assert list(_left_by_groups(tmp_path / "none", tmp_path)) == []


# A step in a process of its own, forked from one that has imported everything: estimated and measured bytes.
SCRIPT = """
import json, os, resource, sys, torch
import torch._dynamo  # torch.optim imports it, and it is no part of a step
from pathlib import Path
from pinn_cli.configuration import cost, plan
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
torch.set_num_threads(1)

def steps(stage, parts):
    objective = plan.Objective(stage.problem, stage.model, parts.engine, parts.weighting, parts.weights)
    for step in (0, 8):  # at step 8 the guard looks at fresh points
        objective.begin(stage.sampler.draw(step, stage.problem, objective))
        stage.optimizer.step(objective)

for words in json.load(sys.stdin):
    parts = assemble(compose(words))
    stage = plan.first_stage(parts)
    parts.weighting.begin_stage(stage.problem)
    stage.sampler.begin_stage(stage.problem)
    estimate = cost.StepCost(stage, parts).of(parts.schedule[0])
    reader, writer = os.pipe()
    if not (child := os.fork()):
        before = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        steps(stage, parts)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        os.write(writer, str(peak - before).encode())
        os._exit(0)
    os.waitpid(child, 0)
    print(json.dumps([estimate, int(os.read(reader, 100))]), flush=True)
"""
STEPS = {
    "residuals": "problem=helmholtz sampler=sobol points.interior=700 architecture.width=40",
    "held_out": "problem=helmholtz optimizer=lbfgs points.interior=4000",
}
LARGER_STEPS = {
    "adam": "problem=helmholtz recipe=adam points.interior=30000",
    "lbfgs": "problem=burgers sampler=sobol optimizer=lbfgs points.interior=12000",
    "parameters": "problem=helmholtz sampler=sobol points.interior=12000",
    "gates": "problem=klein_gordon recipe=adam architecture=modified_mlp dtype=float64 points.interior=8000",
    "autograd": "problem=helmholtz recipe=adam derivatives=autograd points.interior=20000",
}


def test_counting_memory_does_not_import_the_compiler_of_torch():
    """It takes longer than a small run."""
    code = "import sys, torch; from pinn_cli.basics.memory import measured; print(measured(lambda: torch.ones(3))[0])"
    code += "; assert 'torch._dynamo' not in sys.modules"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "12\n"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux says what a process holds")
@pytest.mark.slow
@pytest.mark.parametrize("steps", [STEPS, LARGER_STEPS], ids=["small", "large"])
def test_the_memory_of_a_step_is_known_within_a_factor_of_two(steps):
    """What is freed goes back to the system at once (the two variables), so that the peak is what was alive."""
    freed = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=json.dumps([words.split() for words in steps.values()]),
        env=os.environ | freed, capture_output=True, text=True, check=True,
    )  # fmt: skip
    sizes = dict(zip(steps, map(json.loads, done.stdout.splitlines()), strict=True))
    assert not {name: pair for name, pair in sizes.items() if not 0.5 < pair[0] / pair[1] < 2}
    assert min(peak for _, peak in sizes.values()) > 4e7  # far more than a process needs by itself


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        ("points.interior=10000000", "points.interior="),
        ("points.face=10000000 points.interior=64 optimizer=lbfgs", "points.face="),
        ("recipe=adam points.interior=100000000", "points.interior="),
        ("'optimizer=[adam,lbfgs]' optimizer.adam.steps=1 +optimizer.lbfgs.points={interior: 10000000}",
         "optimizer.lbfgs.points.interior="),
    ],
)  # fmt: skip
def test_points_that_cannot_fit_are_refused_before_they_are_drawn(words, fits, monkeypatch):
    parts = parts_of("problem=helmholtz", *words.replace("'", "").replace(": ", ":").split())
    monkeypatch.setattr(cost, "free_memory", lambda device: 4e9)
    with Tally() as tally, pytest.raises(MachineError) as refusal:
        plan.preview(parts)
    line = str(refusal.value)
    assert tally.peak < 1e8
    assert "GB, 4.0 GB are free; type" in line
    assert "\n" not in line
    most = line.partition(f"type {fits}")[2].partition(" or ")[0]
    monkeypatch.setattr(cost, "free_memory", lambda device: None)
    phase = parts.schedule[-1]
    memory = cost.StepCost(plan.first_stage(parts), parts)
    key = fits.split(".")[-1].rstrip("=")
    assert 0.7 * 4e9 < memory.of(phase, {**phase.points, key: int(most)}) <= 0.8 * 4e9


def test_a_network_too_large_for_any_number_of_points_is_refused_with_what_to_type(monkeypatch):
    parts = parts_of("problem=helmholtz", "architecture.width=200")
    monkeypatch.setattr(cost, "free_memory", lambda device: 1e5)
    with pytest.raises(MachineError, match=r"parameters: .*type a smaller architecture.width or optimizer=lbfgs"):
        plan.preview(parts)
