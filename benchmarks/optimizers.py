"""Error against processor seconds of several optimizers on the same network: benchmarks/results/optimizers.json.

    OMP_NUM_THREADS=1 python benchmarks/optimizers.py                          run what is missing, draw every figure
    OMP_NUM_THREADS=1 python benchmarks/optimizers.py --only burgers soap      run these again: problems and optimizers
    OMP_NUM_THREADS=1 python benchmarks/optimizers.py --seconds 60 --seeds 0 1 2
    python benchmarks/optimizers.py --figures                                  only draw

Every run has the default network, 3 x 24 in float64, and an equal budget of processor seconds of its process, so the
load of the machine does not count. Seconds of drawing points, of weights and of steps count; imports, set-up and the
measurement of the error do not. The error is the largest relative L2 error of a field. A run that stops early keeps its
error. Figures are written to docs/figures/optimizers_<problem>.png: the median error over the seeds.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.methods.contracts import Stage
from pinn_cli.physics.references import reference_of
from pinn_cli.reports.figures.style import PALETTE, logarithmic, style
from pinn_cli.training.metrics import Comparison, points_of_comparison
from pinn_cli.training.objective import Objective, units_of

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "optimizers.json"
FIGURES = ROOT / "docs" / "figures"

PROBLEMS = {
    "helmholtz": "problem=helmholtz",
    "klein_gordon": "problem=klein_gordon",
    "burgers": "problem=burgers",
    "convection": "problem=convection problem.beta=30",
}
MANY = "points.interior=2048 points.face=128"  # four times as many as the default starts with
FRESH = "sampler=uniform points.interior=256 points.face=32"  # for steps that cost one gradient
OPTIMIZERS = {
    "levenberg_marquardt, many points": MANY,
    "levenberg_marquardt": "",
    "energy_natural_gradient": f"optimizer=energy_natural_gradient {MANY}",
    "spring": "optimizer=spring",
    "ssbroyden": f"optimizer=ssbroyden {MANY}",
    "adam, lbfgs": f"optimizer=[adam,lbfgs] optimizer.adam.steps=200 stop.steps=null {MANY}",
    "soap": f"optimizer=soap {FRESH}",
    "adam": f"optimizer=adam {FRESH} optimizer.adam.lr=5e-3",
    "muon": f"optimizer=muon {FRESH} optimizer.muon.lr=5e-3",
    "schedule_free": f"optimizer=schedule_free {FRESH}",
}
NAMES = ("seconds", "steps", "error")  # of the columns of a run


def main() -> None:
    """Run what is missing or asked for, and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], help="run these problems and optimizers again")
    parser.add_argument("--seconds", type=float, default=20.0, help="processor seconds of a run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--figures", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    runs: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    wanted = [] if arguments.figures else asked(arguments.seeds, arguments.only)
    for name, words in wanted:
        if arguments.only or name not in runs or runs[name]["budget"] != arguments.seconds:
            runs[name] = {"command": words, "budget": arguments.seconds, **measured(words, arguments.seconds)}
            print(f"{name}: {runs[name]['error'][-1]:.1e} after {runs[name]['seconds'][-1]:.1f} s", flush=True)
            RESULTS.write_text(written(runs))
    for problem in PROBLEMS:
        draw(problem, {name: run for name, run in runs.items() if name.startswith(f"{problem}/")})


def asked(seeds: Sequence[int], only: Sequence[str]) -> list[tuple[str, str]]:
    """The name of each run, problem/optimizer/seed, and its words."""
    problems = [name for name in PROBLEMS if name in only] or list(PROBLEMS)
    optimizers = [name for name in OPTIMIZERS if name in only] or list(OPTIMIZERS)
    return [(f"{p}/{o}/{seed}", " ".join(f"{PROBLEMS[p]} {OPTIMIZERS[o]} seed={seed}".split()))
            for seed in seeds for p in problems for o in optimizers]


def measured(words: str, budget: float) -> dict[str, Any]:
    """One run: seconds, steps and error as three columns, and the optimizer's word if it stopped early."""
    torch.set_num_threads(1)
    parts = assemble(compose(words.split()))
    reference = reference_of(parts.problem)
    assert reference is not None
    comparison = Comparison(reference, points_of_comparison(parts.problem.domain, reference))
    seconds, steps, rows, stop = 0.0, 0, [], None
    for stage in parts.strategy(parts.problem, parts.new_models()):
        units = units_of(stage.problem, parts.scales, stage.model)
        objective = Objective(stage.problem, stage.model, parts.engine, parts.weighting, parts.weights, units)
        for spent, stop in training(stage, objective, parts.weighting, budget - seconds):
            steps += 1
            at = seconds + spent
            if not rows or at > 1.15 * rows[-1][0] or at >= budget or stop:
                error = max(e.relative_l2 for e in comparison.errors(objective.evaluate).values())
                rows.append((round(at, 3), steps, float(f"{error:.4g}")))
        seconds = at
        stage.reason = stop or "steps"
        if seconds >= budget:
            break
    return {**dict(zip(NAMES, map(list, zip(*rows, strict=True)), strict=True)), "stop": stop}


def training(
    stage: Stage, objective: Objective, weighting: Any, budget: float
) -> Iterator[tuple[float, str | None]]:
    """Train a stage: after each step the processor seconds since its beginning, and the optimizer's stop."""
    weighting.begin_stage(stage.problem)
    stage.sampler.begin_stage(stage.problem)
    spent, step = 0.0, 0
    while spent < budget and (stage.steps is None or step < stage.steps):
        start = time.process_time()
        points = stage.sampler.draw(step, stage.problem, objective)
        objective.begin(points, stage.sampler.factors())
        weighting.update(step, objective)
        stop = stage.optimizer.step(objective).stop
        spent, step = spent + time.process_time() - start, step + 1
        yield spent, stop
        if stop:
            break


def written(runs: dict[str, Any]) -> str:
    """The results as JSON, a run's columns on one line each."""
    body = ",\n".join(
        f" {json.dumps(name)}: {{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in run.items()) + "}"
        for name, run in runs.items()
    )
    return "{\n" + body + "\n}\n"


def draw(problem: str, runs: dict[str, Any]) -> None:
    """The figure of one problem, a curve for each optimizer."""
    if not runs:
        return
    with style():
        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        axes, medians = figure.add_subplot(), []
        for colour, optimizer in zip([*PALETTE, "black", "silver"], OPTIMIZERS, strict=True):
            curves = [run for name, run in runs.items() if name.split("/")[1] == optimizer]
            if curves:
                seconds = np.geomspace(0.5, max(run["budget"] for run in curves), 200)
                medians.append(np.median([held(run, seconds) for run in curves], axis=0))
                axes.plot(seconds, medians[-1], color=colour, label=optimizer.replace("_", " "))
        logarithmic(axes, medians)
        axes.set_title(problem.replace("_", " "), loc="left")
        axes.set_xlabel("processor seconds")
        axes.set_ylabel("relative $L^2$ error")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.03), borderaxespad=0.0, handlelength=1.6)
        figure.savefig(FIGURES / f"optimizers_{problem}.png", dpi=160)


def held(run: dict[str, Any], seconds: np.ndarray) -> np.ndarray:
    """The error of a run at these seconds: interpolated, and held after its end."""
    return np.exp(np.interp(seconds, run["seconds"], np.log(run["error"])))


if __name__ == "__main__":
    main()
