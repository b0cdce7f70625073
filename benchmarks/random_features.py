"""Errors and CPU seconds of recipe=random_features, a row of a Markdown table for each run.

    OMP_NUM_THREADS=1 python benchmarks/random_features.py            every run
    OMP_NUM_THREADS=1 python benchmarks/random_features.py kdv wave   those whose command contains one of these words

The seconds are CPU time of the process from the first Newton step to the last, without imports, set-up and verdict.
"""

import sys
import time

from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.plan import preview
from pinn_cli.physics.references import reference_of
from pinn_cli.training.metrics import errors, points_of_comparison

WIDE = "architecture.width=2500 points.interior=5120 points.face=640"
WIDEST = "architecture.width=3000 points.interior=6144 points.face=512"
WAVES = "architecture=random_waves"
BUMPS = "architecture=random_bumps sampler=[graded,held_out]"
RUNS = [
    "problem=helmholtz",
    f"problem=helmholtz {WIDE}",
    "problem=klein_gordon",
    f"problem=klein_gordon {WIDE}",
    "problem=wave",
    "problem=plate",
    "problem=plane_elasticity architecture.width=1000 points.interior=2048 points.face=256",
    "problem=kovasznay architecture.width=800 points.interior=1664 points.face=256",
    "problem=convection problem.beta=30",
    f"problem=convection problem.beta=30 {WIDE}",
    f"problem=convection problem.beta=50 architecture.scale=12 {WIDE}",
    f"problem=convection problem.beta=80 architecture.scale=16 {WIDE}",
    f"problem=helmholtz {WAVES}",
    f"problem=helmholtz problem.a1=10 problem.a2=10 {WAVES} architecture.frequency=55 {WIDEST}",
    f"problem=klein_gordon {WAVES}",
    f"problem=wave {WAVES}",
    f"problem=wave problem.overtone=0.5 {WAVES}",
    f"problem=plate {WAVES}",
    f"problem=plane_elasticity {WAVES} architecture.width=1000 points.interior=2048 points.face=256",
    f"problem=convection problem.beta=30 {WAVES}",
    f"problem=convection problem.beta=50 {WAVES} {WIDE}",
    f"problem=convection problem.beta=80 {WAVES} {WIDE}",
    f"problem=poisson_1d problem.C=6.283185307179586 problem.ripple=0.1 {WAVES}",
    f"problem=boundary_layer problem.eps=1e-2 {BUMPS}",
    f"problem=boundary_layer problem.eps=1e-4 {BUMPS}",
    "problem=reaction architecture.scale=12",
    "problem=reaction_diffusion architecture.scale=10",
    "problem=kdv architecture.scale=16",
    "problem=burgers architecture.scale=30",
]
STEPS = 40


def main(words: list[str]) -> None:
    print("| run | steps | relative L2 | CPU seconds |\n| --- | --- | --- | --- |")
    for run in RUNS:
        if not words or any(word in run for word in words):
            print(row(run), flush=True)


def row(run: str) -> str:
    """One row of the table."""
    parts = assemble(compose(["recipe=random_features", *run.split()]))
    objective, optimizer = preview(parts), parts.schedule[0].optimizer()
    start, steps = time.process_time(), 0
    for steps in range(1, STEPS + 1):  # noqa: B007  the number of steps is a result
        if optimizer.step(objective).stop:
            break
    seconds, reference = time.process_time() - start, reference_of(parts.problem)
    assert reference is not None
    found = errors(reference, objective.evaluate, points_of_comparison(parts.problem.domain, reference))
    sizes = ", ".join(f"{name} {error.relative_l2:.1e}" for name, error in found.items())
    return f"| `{run}` | {steps} | {sizes} | {seconds:.1f} |"


if __name__ == "__main__":
    main(sys.argv[1:])
