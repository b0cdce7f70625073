"""The runs of Wang, Teng and Perdikaris (2021, arXiv:2001.04536) beside their numbers: 40,000 steps of Adam each.

    python benchmarks/gradient_pathologies.py [--only helmholtz_m4] [--seeds 0 1 2] [--jobs 2] [--again]

Each run is `pinn train recipe=gradient_pathologies/helmholtz_m1 seed=0 compile=on` with one thread, `--jobs` at a time.
A run that the file has already is not repeated.
"""

import argparse
from pathlib import Path
from typing import Any

from run import RESULTS, Cell, Kept, carry_out, middle

from pinn_cli import runs

# Relative L2 errors as printed: Helmholtz (a1=1, a2=4) 3x50, the mean of 10 initialisations; Klein-Gordon 5x50.
PAPER = {
    "helmholtz_m1": 1.06e-1, "helmholtz_m2": 1.12e-2, "helmholtz_m3": 2.46e-2, "helmholtz_m4": 3.87e-3,
    "klein_gordon_m1": 1.79e-1, "klein_gordon_m2": 1.06e-2, "klein_gordon_m3": 1.97e-2, "klein_gordon_m4": 2.81e-3,
}  # fmt: skip


def settings(folder: Path) -> dict[str, Any]:
    """What a result is to be stated with: gate, annealing, points and network, as they were in force."""
    found = runs.settings(folder)
    weighting = [key.split(".")[1] for key in found if key.startswith("weighting.") and key.endswith("._target_")]
    return {
        "gate": found.get("architecture.gate"),
        "weighting": weighting,
        "network": f"{found['architecture.depth']}x{found['architecture.width']}",
        "points": {key.partition(".")[2]: n for key, n in found.items() if key.startswith("points.")},
        "weights": {key.partition(".")[2]: w for key, w in found.items() if key.startswith("weights.")},
        "scaling": found["scaling"],
    }


def summary(case: str, seeds: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The median error over the seeds and its ratio to the paper's."""
    error = middle(run["errors"].get("u") for run in seeds.values())
    return {
        "error": error,
        "paper": PAPER[case],
        "ratio": None if error is None else error / PAPER[case],
        "seconds": middle(run["seconds"] for run in seeds.values()),
        "seeds": sorted(map(int, seeds)),
    }


def main() -> None:
    """Run what is missing, keep what comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PAPER, default=list(PAPER), metavar="CASE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    parser.add_argument("--again", action="store_true", help="also what the file has already")
    parser.add_argument("--out", type=Path, default=RESULTS / "gradient_pathologies.json")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for a trial, with an --out of its own")
    arguments = parser.parse_args()
    words = ("compile=on", "threads=1", "figures=off", *arguments.overrides)
    cells = [
        Cell(case, seed, (f"recipe=gradient_pathologies/{case}", *words))
        for seed in arguments.seeds
        for case in arguments.only
    ]
    kept = Kept(arguments.out, {"paper": PAPER}, summary)
    carry_out(cells, kept, settings, arguments.again, arguments.jobs, threads=1)


if __name__ == "__main__":
    main()
