"""The lid-driven cavity against the spectral solution: both forms, the ablation of what treats the corners, higher Re.

    python benchmarks/cavity.py [--only velocity lift] [--seeds 0 1 2] [--again]

Each run is a `pinn train` on one thread, in a process and a folder of its own, one after another. A run that the file
has already is not repeated. `centreline` is the relative L2 error of both centre lines at the stations
of Ghia et al. (1982).
"""

import argparse
from pathlib import Path
from typing import Any

from run import RESULTS, Cell, Kept, by_name, carry_out, medians

from pinn_cli.records.results import Results

GOAL = 7e-3  # of the centre lines at Re = 100
VELOCITY, STREAMFUNCTION = "problem=lid_driven_cavity", "problem=lid_driven_cavity_streamfunction"
LONG = ("threads=1", "stop.seconds=900")
CONTINUED = ("strategy=continuation", "strategy.continuation.coefficient=re")
RE_400 = ("problem.re=400", *CONTINUED, "strategy.continuation.through=[100]", "stop.steps=400", *LONG)
RE_1000 = ("problem.re=1000", *CONTINUED, "strategy.continuation.through=[100,400]", "stop.steps=600", *LONG)
LIMIT = ("threads=1", "stop.seconds=300")
CASES: dict[str, tuple[str, ...]] = {
    "velocity": (VELOCITY, *LIMIT),
    "streamfunction": (STREAMFUNCTION, *LIMIT),
    "velocity_without_corner_weights": (VELOCITY, "problem.corner=0", *LIMIT),
    "streamfunction_without_corner_weights": (STREAMFUNCTION, "problem.corner=0", *LIMIT),
    "velocity_without_guard": (VELOCITY, "sampler=[sobol]", *LIMIT),
    "lift": (STREAMFUNCTION, "constraints=exact", *LIMIT),
    "lift_without_corner_weights": (STREAMFUNCTION, "constraints=exact", "problem.corner=0", *LIMIT),
    "velocity_regularised": (VELOCITY, "problem.lid=regularised", *LIMIT),
    "streamfunction_regularised": (STREAMFUNCTION, "problem.lid=regularised", *LIMIT),
    "velocity_re400": (VELOCITY, *RE_400),
    "velocity_re1000": (VELOCITY, *RE_1000),
    "streamfunction_re400": (STREAMFUNCTION, *RE_400),
    "streamfunction_re1000": (STREAMFUNCTION, *RE_1000),
}  # fmt: skip


def measured(case: str, folder: Path) -> dict[str, Any]:
    """The problem's own metrics at the end, and after how many seconds its centre lines first met the goal.

    Rows of stages on the way (`re=100: ...`) are measured against the flow of their own Re, and do not count.
    """
    results = Results(folder / "results.h5")
    history, stages = results.read_history(), results.read("stages")[""]
    rows = zip(history["stage"], history["time"], history["metric/centreline"], strict=True)
    below = [t for stage, t, c in rows if not str(stages[int(stage)]).startswith("re=") and c <= GOAL]
    return {"metrics": results.read("metrics"), "seconds_to_goal": float(below[0]) if below else None}


def summary(case: str, seeds: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Medians over the seeds, the problem's own metrics among them."""
    return medians(CASES[case], seeds) | {"metrics": by_name(list(seeds.values()), "metrics")}


def main() -> None:
    """Run what is missing, keep what comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="CASE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--again", action="store_true", help="also what the file has already")
    parser.add_argument("--out", type=Path, default=RESULTS / "cavity.json")
    arguments = parser.parse_args()
    cells = [Cell(case, seed, CASES[case]) for case in arguments.only for seed in arguments.seeds]
    carry_out(cells, Kept(arguments.out, {"goal": GOAL}, summary), measured, arguments.again)


if __name__ == "__main__":
    main()
