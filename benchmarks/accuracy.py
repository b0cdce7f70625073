"""How accurate the default is, and how soon: the same command for every problem, seed after seed.

    python benchmarks/accuracy.py [--only wave burgers] [--seeds 0 1 2] [--seconds 60] [--again]

Each run is `pinn train problem=P seed=S stop.seconds=60` in a process and a folder of its own, one after another.
A run that the file has already is not repeated. Nothing is set per problem; what a case adds is part of its command.
"""

import argparse
from pathlib import Path
from typing import Any

from run import RESULTS, Cell, Kept, carry_out, medians

from pinn_cli.records.results import Results

GOAL = 1e-5
RHO_10 = ("problem=reaction", "problem.rho=10")
CASES: dict[str, tuple[str, ...]] = {
    "helmholtz": ("problem=helmholtz",),
    "helmholtz_exact": ("problem=helmholtz", "constraints=exact"),
    "klein_gordon": ("problem=klein_gordon",),
    "poisson_1d": ("problem=poisson_1d",),
    "burgers": ("problem=burgers",),
    "wave": ("problem=wave",),
    "advection_diffusion": ("problem=advection_diffusion",),
    "kdv": ("problem=kdv",),
    "heat_2d": ("problem=heat_2d",),
    "reaction_10": RHO_10,
    "reaction_10_unguarded": (*RHO_10, "sampler=[sobol]"),
}
UNTUNED = ("advection_diffusion", "kdv", "heat_2d")  # no setting of the default was chosen by looking at these


def first_below(case: str, folder: Path) -> dict[str, Any]:
    """Seconds after which every field's error was below the goal for the first time; None if it never was."""
    history = Results(folder / "results.h5").read_history()
    errors = [column for name, column in history.items() if name.startswith("error/")]
    below = [t for t, *row in zip(history["time"], *errors, strict=True) if max(row) < GOAL]
    return {"seconds_to_goal": float(below[0]) if below else None}


def summary(case: str, seeds: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Medians over the seeds."""
    return medians(CASES[case], seeds)


def main() -> None:
    """Run what is missing, keep what comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="CASE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--again", action="store_true", help="also what the file has already")
    parser.add_argument("--out", type=Path, default=RESULTS / "accuracy.json")
    arguments = parser.parse_args()
    stop = f"stop.seconds={arguments.seconds:g}"
    cells = [Cell(case, seed, (*CASES[case], stop)) for case in arguments.only for seed in arguments.seeds]
    kept = Kept(arguments.out, {"goal": GOAL, "untuned": UNTUNED}, summary)
    carry_out(cells, kept, first_below, arguments.again)


if __name__ == "__main__":
    main()
