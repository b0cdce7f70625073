"""Discovery of the terms of known equations from noisy values of their solutions: benchmarks/results/discovery.json.

    OMP_NUM_THREADS=1 python benchmarks/discovery.py                         run what is missing
    OMP_NUM_THREADS=1 python benchmarks/discovery.py --only kdv --noise 0.1 --seeds 3 4
    python benchmarks/tables.py                                              the table in docs/discovery.md

Every run has measurements at other random points, with other noise, and another initial network. `right` says whether
a run has exactly the terms of the equation, `relative` and `standard_errors` are the errors of its coefficients then,
and `seconds` are processor seconds of one thread.
"""

import argparse
import json
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
    """Run what is missing of all, or of what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS))
    parser.add_argument("--noise", type=float, nargs="+", default=[0.01, 0.1])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for noise, seed, name in product(arguments.noise, arguments.seeds, arguments.only):
        key = f"{name} {noise:g} {seed}"
        if key in runs:
            continue
        runs[key] = one(name, noise, seed)
        RESULTS.write_text(json.dumps(runs, indent=1, sort_keys=True) + "\n")
        print(key, runs[key]["text"], runs[key]["verdict"], f"{runs[key]['seconds']:.0f} s", flush=True)


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


if __name__ == "__main__":
    main()
