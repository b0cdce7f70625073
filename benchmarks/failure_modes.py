"""The failure modes of Krishnapriyan et al. (2021), solved: the default on their problems, and strategies beyond it.

    python benchmarks/failure_modes.py [--only convection_30 reaction_5] [--seeds 0 1 2] [--jobs 2] [--again]

Each run is a `pinn train` on one thread, in a process and a folder of its own. The first group is the default, with
two minutes in place of its 300 steps. The second are the two cases it does not solve, with every strategy that may
help: a thousand steps in at most ten minutes. The third are two that it does solve, without and with the same
strategies, 400 steps each. A run that the file has already is not repeated.
"""

import argparse
from pathlib import Path
from typing import Any

from run import RESULTS, Cell, Kept, carry_out, medians

from pinn_cli.records.results import Results

GOALS = {"convection_30": 2e-5, "convection_50": 5e-5, "reaction_5": 5e-6}
GOALS |= {f"reaction_{rho}": 5e-5 for rho in range(6, 11)} | {f"reaction_diffusion_{nu}": 1e-4 for nu in range(2, 7)}
TWO_MINUTES = ("stop.steps=2000", "stop.seconds=110", "threads=1")
DEFAULT = {
    **{f"convection_{beta}": ("problem=convection", f"problem.beta={beta}") for beta in (30, 50)},
    **{f"reaction_{rho}": ("problem=reaction", f"problem.rho={rho}") for rho in range(5, 11)},
    **{f"reaction_diffusion_{nu}": ("problem=reaction_diffusion", f"problem.nu={nu}") for nu in range(2, 7)},
}
HARD = {
    "convection_100": ("problem=convection", "problem.beta=100"),
    "reaction_20": ("problem=reaction", "problem.rho=20"),
}
TEN_MINUTES = ("stop.steps=2000", "stop.seconds=590", "threads=1")
THOUSAND_STEPS = ("stop.steps=1000", "stop.seconds=590", "threads=1")  # as many as the windows have together
CAUSAL = ("weighting=causal", "weighting.causal.every=1")
CONTINUATION = {
    "convection_100": ("beta", "{start: 20, step: 20}"),
    "reaction_20": ("rho", "{start: 5, step: 2.5}"),
    "convection_50": ("beta", "{start: 10, step: 10}"),
    "reaction_10": ("rho", "{start: 2, step: 2}"),
}
SOLVED = {case: DEFAULT[case] for case in ("convection_50", "reaction_10")}
FOUR_HUNDRED = ("stop.steps=400", "threads=1")


def marching(steps: int) -> tuple[str, ...]:
    """Ten windows of so many steps."""
    return ("strategy=time_marching", "strategy.time_marching.windows=10", f"strategy.time_marching.steps={steps}")


def continuation(case: str, steps: int) -> tuple[str, ...]:
    """The coefficient in so many steps of training each."""
    coefficient, through = CONTINUATION[case]
    words = {"coefficient": coefficient, "through": through, "steps": steps}
    return ("strategy=continuation", *(f"strategy.continuation.{key}={value}" for key, value in words.items()))


CASES: dict[str, tuple[str, ...]] = {
    **{case: (*words, *TWO_MINUTES) for case, words in {**DEFAULT, **HARD}.items()},
    **{f"{case}_marching": (*words, *marching(100), *TEN_MINUTES) for case, words in HARD.items()},
    **{f"{case}_causal": (*words, *CAUSAL, *THOUSAND_STEPS) for case, words in HARD.items()},
    **{f"{case}_continuation": (*words, *continuation(case, 100), *THOUSAND_STEPS) for case, words in HARD.items()},
    **{f"{case}_400": (*words, *FOUR_HUNDRED) for case, words in SOLVED.items()},
    **{f"{case}_400_marching": (*words, *marching(40), *FOUR_HUNDRED) for case, words in SOLVED.items()},
    **{f"{case}_400_causal": (*words, *CAUSAL, *FOUR_HUNDRED) for case, words in SOLVED.items()},
    **{f"{case}_400_continuation": (*words, *continuation(case, 80), *FOUR_HUNDRED) for case, words in SOLVED.items()},
}


def first_below(case: str, folder: Path) -> dict[str, Any]:
    """Seconds after which the error of u was at or below the case's goal for the first time; None if it never was.

    A strategy's rows speak of a window, or of an easier coefficient: of the cases that need one it is not asked.
    """
    if case not in DEFAULT:
        return {"seconds_to_goal": None}
    history = Results(folder / "results.h5").read_history()
    below = [t for t, error in zip(history["time"], history["error/u"], strict=True) if error <= GOALS[case]]
    return {"seconds_to_goal": float(below[0]) if below else None}


def summary(case: str, seeds: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Medians over the seeds, and the verdicts of the guard."""
    verdicts = [seeds[seed]["verdict"] for seed in sorted(seeds, key=int)]
    return medians(CASES[case], seeds) | {"goal": GOALS.get(case, 1e-3), "verdicts": verdicts}


def main() -> None:
    """Run what is missing, keep what comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="CASE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--again", action="store_true", help="also what the file has already")
    parser.add_argument("--out", type=Path, default=RESULTS / "failure_modes.json")
    arguments = parser.parse_args()
    cells = [Cell(case, seed, CASES[case]) for case in arguments.only for seed in arguments.seeds]
    carry_out(cells, Kept(arguments.out, {}, summary), first_below, arguments.again, arguments.jobs)


if __name__ == "__main__":
    main()
