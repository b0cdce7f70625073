"""Error after equal processor seconds with more and fewer training points: benchmarks/results/points.json.

    OMP_NUM_THREADS=1 python benchmarks/points.py                      run what is missing, seed 0
    OMP_NUM_THREADS=1 python benchmarks/points.py --only kdv 512 --seeds 1 2

Every run is the default recipe with another number of points at the start, to which the held-out guard adds. The error
is the largest relative L2 error of a field, `points` those in the domain at the end, and `residuals` the verdict on the
residuals alone, without an estimate of the error.
"""

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import torch
from optimizers import training  # its neighbour in this folder

from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.physics.references import reference_of
from pinn_cli.training.metrics import Comparison, points_of_comparison
from pinn_cli.training.objective import Objective, units_of
from pinn_cli.training.verdict import examine

RESULTS = Path(__file__).resolve().parent / "results" / "points.json"

STARTS = {512: 32, 1024: 64, 2048: 128}  # points in the domain and on each face
PROBLEMS = {
    "reaction": "problem=reaction problem.rho=10",
    "reaction_20": "problem=reaction problem.rho=20",
    "helmholtz": "problem=helmholtz",
    "convection": "problem=convection problem.beta=30",
    "burgers": "problem=burgers",
    "kdv": "problem=kdv",
    "heat_2d": "problem=heat_2d",
    "lid_driven_cavity": "problem=lid_driven_cavity",
    "plane_elasticity": "problem=plane_elasticity",
    "allen_cahn": "problem=allen_cahn",
    "klein_gordon": "problem=klein_gordon",
    "wave": "problem=wave",
    "heat_inverse": "problem=heat_inverse",
    "plate": "problem=plate",
    "reaction_diffusion": "problem=reaction_diffusion",
    "poisson_2d": "problem=poisson_2d",
    "taylor_green": "problem=taylor_green",
}


def main() -> None:
    """Run what is missing or asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], help="these problems and numbers of points")
    parser.add_argument("--seconds", type=float, default=20.0, help="processor seconds of a run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    runs: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    problems = [name for name in PROBLEMS if name in arguments.only] or list(PROBLEMS)
    starts = [n for n in STARTS if str(n) in arguments.only] or list(STARTS)
    for seed, problem, n in product(arguments.seeds, problems, starts):
        name = f"{problem}/{n}/{seed}"
        if name not in runs or runs[name]["budget"] != arguments.seconds:
            words = f"{PROBLEMS[problem]} points.interior={n} points.face={STARTS[n]} seed={seed}"
            runs[name] = {"command": words, "budget": arguments.seconds, **measured(words, arguments.seconds)}
            print(name, {key: runs[name][key] for key in ("error", "steps", "points", "residuals")}, flush=True)
            lines = (f" {json.dumps(key)}: {json.dumps(run)}" for key, run in runs.items())
            RESULTS.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def measured(words: str, budget: float) -> dict[str, Any]:
    """One run: its error, steps, points and verdict on the residuals when the seconds are over, or it has stopped."""
    torch.set_num_threads(1)
    parts = assemble(compose([*words.split(), "stop.steps=null"]))
    reference = reference_of(parts.problem)
    assert reference is not None
    (stage,) = parts.strategy(parts.problem, parts.new_models())
    units = units_of(stage.problem, parts.scales, stage.model)
    objective = Objective(stage.problem, stage.model, parts.engine, parts.weighting, parts.weights, units)
    steps = list(training(stage, objective, parts.weighting, budget))
    X = points_of_comparison(parts.problem.domain, reference)
    error = max(e.relative_l2 for e in Comparison(reference, X).errors(objective.evaluate).values())
    return {"seconds": round(steps[-1][0], 1), "steps": len(steps), "stop": steps[-1][1],
            "points": max(map(len, objective.batch.values())), "error": float(f"{error:.3g}"),
            "residuals": str(examine(parts.problem, objective)).partition(":")[0]}


if __name__ == "__main__":
    main()
