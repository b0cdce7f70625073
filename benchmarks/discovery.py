"""Discovery of the terms of known equations from noisy values of their solutions: benchmarks/results/discovery.json.

    OMP_NUM_THREADS=1 python benchmarks/discovery.py                         run what is missing, and print the table
    OMP_NUM_THREADS=1 python benchmarks/discovery.py --only kdv --noise 0.1 --seeds 3 4
    python benchmarks/discovery.py --show                                    the table of what was run

Every run has measurements at other random points, with other noise, and another initial network. `right` counts the
runs that claim exactly the terms of the equation, `undecided` those that name several equations or none. The error is
that of the worst coefficient, over the runs with the right terms; `seconds` are processor seconds of one thread.
"""

import argparse
import json
import statistics
from itertools import product
from pathlib import Path
from time import process_time
from typing import Any

import torch

from pinn_cli.runs.discover import as_table, discover

RESULTS = Path(__file__).resolve().parent / "results" / "discovery.json"

PROBLEMS: dict[str, tuple[list[str], dict[str, float]]] = {  # words, and the true equation
    "burgers": (["problem=burgers"], {"u*u_x": -1.0, "u_xx": 0.003183098861837907}),
    "kdv": (["problem=kdv", "problem.second=9"], {"u*u_x": -6.0, "u_xxx": -1.0}),
    "reaction_diffusion": (["problem=reaction_diffusion"], {"u": 5.0, "u^2": -5.0, "u_xx": 3.0}),
}
POINTS = 2000  # measurements


def main() -> None:
    """Run what is missing or asked for, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS))
    parser.add_argument("--noise", type=float, nargs="+", default=[0.01, 0.1])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--show", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for noise, seed, name in product(arguments.noise, arguments.seeds, arguments.only):
        key = f"{name} {noise:g} {seed}"
        if key in runs or arguments.show:
            continue
        runs[key] = one(name, noise, seed)
        RESULTS.write_text(json.dumps(runs, indent=1, sort_keys=True) + "\n")
        print(key, runs[key]["text"], runs[key]["verdict"], f"{runs[key]['seconds']:.0f} s", flush=True)
    print(table(runs))


def one(name: str, noise: float, seed: int) -> dict[str, Any]:
    """The equation that one run finds, and its processor seconds."""
    words, truth = PROBLEMS[name]
    data = f"problem.data={{points: {POINTS}, noise: {noise:g}, seed: {seed}}}"
    start = process_time()
    _, _, found = discover([*words, data, f"seed={seed}", "threads=1"], say=lambda line: None)
    seconds, c = process_time() - start, found.equation.coefficients
    right = set(c) == set(truth)
    errors = {text: abs(c[text] / truth[text] - 1) for text in truth} if right else {}
    apart = {text: (c[text] - truth[text]) / found.equation.errors[text] for text in truth} if right else {}
    return {**as_table(found), "seconds": seconds, "right": right, "relative": errors, "standard_errors": apart}


def table(runs: dict[str, Any]) -> str:
    """Rows of problems and noise, in Markdown."""
    lines = ["| problem | noise | runs | right terms | claimed and wrong | undecided or none | error, median | worst "
             "| within 1.96 standard errors | seconds |", "| --- " * 10 + "|"]  # fmt: skip
    for name, noise in product(PROBLEMS, sorted({key.split()[1] for key in runs}, key=float)):
        some = [run for key, run in runs.items() if key.split()[:2] == [name, noise]]
        right = [run for run in some if run["right"] and run["decided"]]
        errors = [max(run["relative"].values()) for run in right]
        inside = [abs(z) < 1.96 for run in right for z in run["standard_errors"].values()]
        wrong = sum(run["decided"] and not run["right"] for run in some)
        open_ = sum(not run["decided"] for run in some)
        found = [f"{statistics.median(errors):.2%}", f"{max(errors):.2%}", f"{sum(inside)} of {len(inside)}"]
        seconds = f"{statistics.median(run['seconds'] for run in some):.0f}" if some else ""
        row = [name, f"{float(noise):.0%}", len(some), len(right), wrong, open_, *(found if right else "---"), seconds]
        lines += ["| " + " | ".join(map(str, row)) + " |"] if some else []
    return "\n".join(lines)


if __name__ == "__main__":
    main()
