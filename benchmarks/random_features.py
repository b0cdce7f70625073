"""Errors and CPU seconds of the recipes of random and adapted features, a row of a Markdown table for each run.

    OMP_NUM_THREADS=1 python benchmarks/random_features.py            every run
    OMP_NUM_THREADS=1 python benchmarks/random_features.py kdv wave   those whose command contains one of these words
    OMP_NUM_THREADS=1 python benchmarks/random_features.py in_time seed=0 seed=1 seed=2    medians over these seeds

Every run is trained by the loop of `pinn train`, without a folder. The seconds are CPU time of the process from the
first Newton step to the last, without imports, set-up and verdict.
"""

import shlex
import sys
import time
from statistics import median

from pinn_cli.basics.lockstep import to_the_end
from pinn_cli.basics.signals import Interruption
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.methods.contracts import Batch, Stage
from pinn_cli.physics.references import reference_of
from pinn_cli.training.loop import Run, training
from pinn_cli.training.metrics import Comparison, points_of_comparison
from pinn_cli.training.objective import Objective
from pinn_cli.training.stopping import StopRules

WIDE = "architecture.width=2500 points.interior=5120 points.face=640"
WIDEST = "architecture.width=3000 points.interior=6144 points.face=512"
FEATURES = "recipe=random_features"
RIDGES = f"{FEATURES} architecture=random_features"
GAUSSIANS = f"{FEATURES} architecture=random_gaussians sampler=[graded,held_out]"
TIME = "recipe=random_features_in_time"
GAUSSIAN = "architecture.activation=gaussian architecture.scale=[12,1]"
ADAPTED = "recipe=adapted_features_in_time"
SOLITONS = "architecture.narrower=1 architecture.finest=0.03"
LOSS = "strategy.time_marching.loss"
WINDOWS = "strategy.time_marching.windows"
MARCHING = f"{FEATURES} strategy=[time_marching] {WINDOWS}"
GROWING = f"{WINDOWS}=null strategy.time_marching.length"
RUNS = [
    f"problem=helmholtz {RIDGES}",
    f"problem=helmholtz {RIDGES} {WIDE}",
    f"problem=klein_gordon {RIDGES}",
    f"problem=klein_gordon {RIDGES} {WIDE}",
    f"problem=wave {RIDGES}",
    f"problem=plate {RIDGES}",
    f"problem=plane_elasticity {RIDGES} architecture.width=1000 points.interior=2048 points.face=256",
    f"problem=kovasznay {RIDGES} architecture.width=800 points.interior=1664 points.face=256",
    f"problem=convection problem.beta=30 {RIDGES}",
    f"problem=poisson_2d {RIDGES}",
    f"problem=heat_2d {RIDGES}",
    f"problem=reaction {RIDGES}",
    f"problem=convection problem.beta=30 {RIDGES} {WIDE}",
    f"problem=helmholtz {FEATURES}",
    f"problem=helmholtz problem.a1=10 problem.a2=10 {FEATURES} architecture.frequency=55 {WIDEST}",
    f"problem=klein_gordon {FEATURES}",
    f"problem=wave {FEATURES}",
    f"problem=wave problem.overtone=0.5 {FEATURES}",
    f"problem=plate {FEATURES}",
    f"problem=plane_elasticity {FEATURES} architecture.width=1000 points.interior=2048 points.face=256",
    f"problem=convection problem.beta=30 {FEATURES}",
    f"problem=poisson_2d {FEATURES}",
    f"problem=heat_2d {FEATURES}",
    f"problem=kovasznay {FEATURES} architecture.width=800 points.interior=1664 points.face=256",
    f"problem=convection problem.beta=50 {FEATURES} {WIDE}",
    f"problem=convection problem.beta=80 {FEATURES} {WIDE}",
    f"problem=poisson_1d problem.C=6.283185307179586 problem.ripple=0.1 {FEATURES}",
    f"problem=taylor_green {FEATURES} architecture.width=500 points.interior=1280 points.face=160",
    f"problem=taylor_green {FEATURES} architecture.frequency=[9,9,0.9] architecture.width=1200 points.interior=2048",
    f"problem=beltrami {MARCHING}=4 architecture.width=400 points.interior=520 points.face=128 "
    "architecture.frequency=[2,2,2,0.2]",
    f"problem=beltrami {MARCHING}=4 architecture.width=800 points.interior=1024 points.face=256 "
    "architecture.frequency=[2,2,2,0.2]",
    f"problem=beltrami {MARCHING}=10 architecture.width=900 points.interior=1100 points.face=384 "
    "architecture.frequency=[2.5,2.5,2.5,0.1]",
    f"problem=beltrami {MARCHING}=8 architecture.width=1150 points.interior=1150 points.face=384 "
    "architecture.frequency=[2.5,2.5,2.5,0.1]",
    f"problem=boundary_layer problem.eps=1e-2 {GAUSSIANS}",
    f"problem=boundary_layer problem.eps=1e-4 {GAUSSIANS}",
    f"problem=reaction {TIME}",
    f"problem=reaction {TIME} architecture.scale=12",
    f"problem=reaction problem.rho=10 {TIME}",
    f"problem=reaction_diffusion {TIME} architecture.scale=[12,2]",
    f"problem=convection problem.beta=30 {TIME} {GAUSSIAN}",
    f"problem=convection problem.beta=50 {TIME} {GAUSSIAN}",
    f"problem=convection problem.beta=80 {TIME} {GAUSSIAN}",
    f"problem=burgers {TIME} architecture.scale=[60,1]",
    f"problem=allen_cahn {TIME} {WINDOWS}=20 architecture.scale=[80,0.5] architecture.width=700 points.interior=1536",
    f"problem=allen_cahn {TIME} {WINDOWS}=40 architecture.scale=[120,0.3] architecture.width=800 points.interior=1664",
    f"problem=kuramoto_sivashinsky {TIME} periodic=[x] architecture.width=900 points.interior=2048 "
    "architecture.activation=gaussian architecture.scale=[16,16,1]",
    f"problem=reaction {TIME} architecture.width=1000 points.interior=2048",
    f"problem=reaction problem.rho=10 {TIME} {WINDOWS}=20 architecture.width=1000 points.interior=2048",
    f"problem=kdv problem.second=9 {TIME} {WINDOWS}=40 architecture.scale=[30,0.5] architecture.width=700 "
    "points.interior=1536",
    f"problem=burgers {ADAPTED} {WINDOWS}=20",
    f"problem=burgers {ADAPTED} {WINDOWS}=20 {LOSS}=1e-14 architecture.width=160 architecture.degree=7 "
    "points.interior=2560",
    f"problem=allen_cahn {ADAPTED} {WINDOWS}=20 architecture.width=150 architecture.degree=4 architecture.narrower=1 "
    "architecture.finest=0.02",
    f"problem=allen_cahn {ADAPTED} {GROWING}=1e-4 {LOSS}=4e-9 architecture.width=220 architecture.degree=4 "
    "architecture.narrower=0.8 architecture.finest=5e-4 points.interior=2560 points.face=512",
    f"problem=reaction_diffusion {ADAPTED} {GROWING}=1e-7 {LOSS}=1e-12 architecture.width=100 architecture.degree=8 "
    "architecture.finest=5e-4 points.interior=2000 points.face=512",
    f"problem=kdv problem.second=9 {ADAPTED} {WINDOWS}=20 {SOLITONS} architecture.width=100 architecture.degree=8 "
    "points.interior=1536",
    f"problem=kdv problem.second=9 {ADAPTED} {WINDOWS}=30 {SOLITONS} architecture.width=130 architecture.degree=9 "
    "points.interior=2048",
    f"problem=reaction {ADAPTED}",
    f"problem=reaction problem.rho=10 {ADAPTED}",
]


class Silent:
    """An observer of the training loop that keeps and shows nothing."""

    def say(self, text: str) -> None: ...
    def before_draw(self, run: Run, objective: Objective, points: Batch) -> None: ...
    def after_step(self, run: Run, stage: Stage, objective: Objective, last: bool) -> None: ...
    def after_stage(self, run: Run, stage: Stage, objective: Objective) -> None: ...
    def save(self, run: Run, stage: Stage) -> None: ...


def main(words: list[str]) -> None:
    print("| run | steps | relative L2 | CPU seconds |\n| --- | --- | --- | --- |")
    seeds = [word for word in words if word.startswith("seed=")] or [""]
    words = [word for word in words if word not in seeds]
    for run in RUNS:
        if not words or any(word in run for word in words):
            print(row(run, seeds), flush=True)


def row(run: str, seeds: list[str]) -> str:
    """One row of the table: the median error of each field, and the medians of steps and seconds."""
    found = [trained(f"{run} {seed}") for seed in seeds]
    steps, seconds = median(steps for steps, _, _ in found), median(seconds for _, _, seconds in found)
    sizes = ", ".join(f"{name} {median(errors[name] for _, errors, _ in found):.1e}" for name in found[0][1])
    return f"| `{shlex.join(run.split())}` | {steps:.0f} | {sizes} | {seconds:.1f} |"


def trained(words: str) -> tuple[int, dict[str, float], float]:
    """The steps of a run, the relative error of each field over the whole domain, and the seconds."""
    config = compose(words.split())
    parts = assemble(config)
    run = Run(
        problem=parts.problem,
        strategy=parts.strategy,
        new_model=parts.new_models(),
        weighting=parts.weighting,
        engine=parts.engine,
        weights=parts.weights,
        scales=parts.scales,
        stop=StopRules(**config.stop),
        interruption=Interruption(),
    )
    start = time.process_time()
    stage, objective, _ = to_the_end(training(run, Silent()))
    seconds, reference = time.process_time() - start, reference_of(parts.problem)
    assert reference is not None
    whole = run.whole(stage, objective)[0]
    compared = Comparison(reference, points_of_comparison(parts.problem.domain, reference))
    found = compared.errors(whole.evaluate)
    return run.progress.step, {name: error.relative_l2 for name, error in found.items()}, seconds


if __name__ == "__main__":
    main(sys.argv[1:])
