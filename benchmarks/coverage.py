"""How often the 95 % interval of an unknown coefficient holds the truth, over many draws of the noise.

    python benchmarks/coverage.py problem=heat_inverse 'problem.data={points: 100, noise: 0.01}' --draws 20 [--out FILE]

One network is trained by the optimizer of the run (the words are those of `pinn train`) at the first draw. For every
further draw only the measured values change, and training goes on from there until the loss has stopped falling. So the
draws share the network's start, the points of the equations and those of the measurements. Printed are, for every
unknown: the mean error relative to the statistical floor (0.8 for an efficient estimate, since the mean of |x| is
0.8 standard deviations), the standard deviation of the estimates over the mean standard error (1 if it is right), and
how many intervals hold the truth.

For an unknown field the truth must be a coefficient of the problem. Printed are, over the draws and the points of a
grid: the relative L2 error, the rms of error / standard error and of error / floor (1 if they are right and there is no
bias), the rms of the mean error of all draws / standard error (the bias; about 1 / sqrt(draws) where there is none),
and the share of points and draws at which the truth is within two standard errors.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.plan import preview
from pinn_cli.methods.contracts import Optimizer
from pinn_cli.physics.points import measured_points
from pinn_cli.training.field_uncertainty import FieldUncertainty
from pinn_cli.training.objective import Objective
from pinn_cli.training.uncertainty import uncertainty

FALLS = 1e-4  # the share of the loss by which a step must lower it, or it counts as idle
IDLE = 3  # idle steps in a row after which training stops


def train(objective: Objective, optimizer: Optimizer, most: int, patience: float = IDLE) -> int:
    """Steps until the loss has stopped falling, or `most`."""
    before, idle, taken = float("inf"), 0, 0
    while taken < most and idle < patience:
        report, taken = optimizer.step(objective), taken + 1
        objective.begin(objective.batch)  # the next step is at the same points
        loss = float(report.values["loss/total"])
        idle = most if report.stop else idle + 1 if loss > (1 - FALLS) * before else 0
        before = loss
    return taken


def draw(words: list[str], number: int) -> dict[str, torch.Tensor]:
    """The measurements of one draw of the noise, by constraint."""
    problem = assemble(compose([*words, f"problem.data.noise_seed={number}"])).problem
    return {c.name: measured_points(problem, c) for c in problem.constraints() if c.kind == "data"}


def measure(words: list[str], draws: int, steps: int, further: int) -> list[dict[str, Any]]:
    """Estimates, standard errors, intervals and floors of every draw."""
    parts = assemble(compose([*words, "problem.data.noise_seed=0"]))
    objective, optimizer, found = preview(parts), parts.schedule[0].optimizer(), []
    for number in range(draws):
        objective.begin(objective.batch | draw(words, number))
        taken = train(objective, optimizer, further) if number else train(objective, optimizer, steps, steps)
        known = uncertainty(objective)
        fields = {f.name: field_scores(f) for f in known.fields}
        found.append({"draw": number, "steps": taken, "values": dict(known.values), **known.attributes, **fields})
        shown = [*map(known.shown, known.names), *(f.shown() for f in known.fields)]
        print(number, taken, "; ".join(shown), flush=True)
    return found


def field_scores(field: FieldUncertainty) -> dict[str, Any]:
    """The relative L2 error of one draw, and the error over the standard error and over the floor at every point."""
    if field.truth is None or field.standard_errors is None or field.floor is None:
        raise SystemExit(f"{field.name}: no truth or no standard error to compare with")
    error = field.values - field.truth
    return {"relative_error": field.relative_error, "scores": (error / field.standard_errors).tolist(),
            "floors": (error / field.floor).tolist()}  # fmt: skip


def field_table(found: list[dict[str, Any]], names: Iterable[str]) -> list[str]:
    """A line for every unknown field."""
    lines = []
    for name in names:
        own = [one[name] for one in found]
        z, floors = (torch.tensor([one[key] for one in own]) for key in ("scores", "floors"))
        errors = [one["relative_error"] for one in own]
        size = [float(v.square().mean().sqrt()) for v in (z, floors, z.mean(0))]
        lines.append(f"{name:>10} relative error {fmean(errors):.2%} (at most {max(errors):.2%}); error/standard error "
                     f"{size[0]:.2f}, error/floor {size[1]:.2f}, bias/standard error {size[2]:.2f}; within two "
                     f"standard errors {float((z.abs() <= 2).double().mean()):.0%}")  # fmt: skip
    return lines


def table(found: list[dict[str, Any]], truths: dict[str, float]) -> list[str]:
    """A line for every unknown."""
    lines = [f"{'':>10} {'truth':>10} {'mean':>10} {'error/floor':>12} {'spread/error':>13} {'covered':>9}"]
    for name, truth in truths.items():
        values, own = [one["values"][name] for one in found], [one[name] for one in found]
        errors = fmean(abs(v - truth) for v in values) / fmean(one["floor"] for one in own)
        spread = stdev(values) / fmean(one["standard_error"] for one in own)
        covered = sum(one["low"] < truth < one["high"] for one in own)
        lines.append(f"{name:>10} {truth:>10.5g} {fmean(values):>10.5g} {errors:>12.2f} {spread:>13.2f} "
                     f"{covered:>4} of {len(found)}")  # fmt: skip
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", metavar="key=value")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--steps", type=int, default=300, help="at the first draw")
    parser.add_argument("--further", type=int, default=60, help="at most, at every further draw")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    problem = assemble(compose(arguments.words)).problem
    truths = {name: float(getattr(problem, name)) for name in problem.unknowns}
    found = measure(arguments.words, arguments.draws, arguments.steps, arguments.further)
    seconds = time.process_time() - start
    lines = [*(table(found, truths) if truths else ()), *field_table(found, problem.unknown_fields)]
    print(*lines, f"{seconds:.0f} s", sep="\n")
    if arguments.out:
        machine = {"processor": platform.processor(), "cores": os.cpu_count(), "torch": torch.__version__}
        about = {"words": arguments.words, "truths": truths, "seconds": seconds, "machine": machine}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({**about, "draws": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
