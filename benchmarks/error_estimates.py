"""The estimated error against the true one, a run for each row.

    python benchmarks/error_estimates.py            run what is missing; write benchmarks/results/error_estimates.json
    python benchmarks/error_estimates.py --only kdv run again every row whose command contains one of these words

Runs have equal steps, so the table does not depend on the load of the machine. Some are stopped early, have too few
points or end on a wrong branch.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pinn_cli.records.results import Results

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "benchmarks" / "results" / "error_estimates.json"
POINTS = ["points.interior=2048", "points.face=128"]  # of the default, unless a row types others
RIDGES = "recipe=random_features architecture=random_features"

CASES = [
    "problem=outflow_layer stop.steps=40",
    "problem=burgers stop.steps=200",
    "problem=burgers stop.steps=60",
    "problem=lid_driven_cavity stop.steps=40",
    "problem=lid_driven_cavity_streamfunction stop.steps=25",
    "problem=convection_diffusion stop.steps=60",
    "problem=convection stop.steps=200",
    "problem=convection stop.steps=60",
    "problem=convection periodic=[x] stop.steps=60",
    "problem=diffusion stop.steps=40",
    "problem=heat_2d stop.steps=100",
    "problem=heat_2d stop.steps=40",
    "problem=helmholtz stop.steps=12",
    "problem=helmholtz stop.steps=200",
    "problem=helmholtz dtype=float32 optimizer=adam stop.steps=1500",
    "problem=helmholtz stop.steps=60",
    "problem=helmholtz points.interior=200 points.face=20 sampler=[sobol] stop.steps=60",
    "problem=heat_inverse stop.steps=40",
    "problem=kdv stop.steps=15",
    "problem=kdv stop.steps=50",
    "problem=kdv problem.second=9 stop.steps=120",
    "problem=klein_gordon stop.steps=200",
    "problem=klein_gordon stop.steps=60",
    "problem=poisson_1d stop.steps=40",
    "problem=reaction_diffusion stop.steps=60",
    "problem=reaction_diffusion constraints=exact stop.steps=40",
    "problem=reaction problem.rho=10 stop.steps=80",
    "problem=reaction problem.rho=20 seed=2 stop.steps=80",
    "problem=reaction problem.rho=20 seed=0 stop.steps=80",
    "problem=reaction stop.steps=60",
    "problem=burgers strategy=time_marching strategy.time_marching.windows=4 strategy.time_marching.steps=20",
    "problem=plate stop.steps=60",
    "problem=plane_elasticity stop.steps=60",
    "problem=taylor_green stop.steps=40",
    "problem=nls stop.steps=60",
    "problem=allen_cahn stop.steps=100",
    f"problem=helmholtz {RIDGES} architecture.width=800",
    f"problem=klein_gordon {RIDGES} architecture.width=800",
    f"problem=helmholtz {RIDGES}",
    f"problem=klein_gordon {RIDGES}",
    f"problem=wave {RIDGES}",
    f"problem=plate {RIDGES}",
    f"problem=plane_elasticity {RIDGES} architecture.width=600 points.interior=1280 points.face=160",
    f"problem=kovasznay {RIDGES} architecture.width=400 points.interior=832 points.face=128",
    f"problem=convection {RIDGES} problem.beta=30",
    f"problem=convection {RIDGES} problem.beta=50 architecture.scale=12",
    f"problem=convection {RIDGES} problem.beta=80 architecture.width=800",
    f"problem=convection {RIDGES} problem.beta=80 architecture.scale=16",
    f"problem=taylor_green {RIDGES} architecture.width=500 points.interior=1280 points.face=160",
    f"problem=boundary_layer {RIDGES} architecture.width=300",
    f"problem=boundary_layer {RIDGES} problem.eps=1e-3 architecture.width=300",
    f"problem=burgers {RIDGES} architecture.width=600 architecture.scale=10",
    f"problem=reaction {RIDGES} architecture.width=600 architecture.scale=12",
    "problem=wave stop.steps=15",
    "problem=wave stop.steps=40",
]  # fmt: skip


def main() -> None:
    """Run what is missing or asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", help="run again the rows whose commands contain one of these words")
    only = parser.parse_args().only
    kept = {one["command"]: one for one in json.loads(KEPT.read_text())} if KEPT.exists() else {}
    for words in CASES:
        if any(word in words for word in only) if only else words not in kept:
            kept[words] = run(words)
            print(json.dumps(kept[words]), flush=True)
            KEPT.write_text(json.dumps([kept[one] for one in CASES if one in kept], indent=1) + "\n")


def run(words: str) -> dict:
    """One run in a folder of its own: its command, true and estimated errors, and how much is explained and trusted."""
    with tempfile.TemporaryDirectory() as home:
        points = [] if "recipe=" in words else POINTS
        command = [*points, *words.split(), "threads=1", "device=cpu", "compile=off", "figures=off", "folder=run"]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-m", "pinn_cli.cli", "train", *command], cwd=home, env=environment, check=True)
        results = Results(Path(home) / "run" / "results.h5")
        estimate, errors = results.read("error_estimate"), results.read("error")
    estimated = {name: estimate[f"error/{name}"] for name in errors if f"error/{name}" in estimate}
    return {
        "command": words,
        "error": {name: float(f"{e:.3g}") for name, e in errors.items()},
        "estimated": {name: float(f"{e:.3g}") for name, e in estimated.items()},
        "explained": float(f"{estimate.get('explained', float('nan')):.3g}"),
        "trust": str(estimate.get("trust", "")),
    }


if __name__ == "__main__":
    main()
