"""What one round of strategy=correction gains on trained networks: errors before and after it, and processor seconds.

    pinn train problem=kdv problem.second=9 stop.steps=150 folder=outputs/kdv
    OMP_NUM_THREADS=1 python benchmarks/corrections.py outputs/kdv ...

One line for each run folder. The runs themselves stay as they are. The round has the features and points of
recipe=corrected.
"""

import sys
import time
from itertools import islice
from pathlib import Path

from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.methods.contracts import Stage
from pinn_cli.physics.references import reference_of
from pinn_cli.runs.load import load
from pinn_cli.training.metrics import Comparison, points_of_comparison
from pinn_cli.training.objective import Objective


def main(folders: list[str]) -> None:
    print("| run | error before | after one round | residual unexplained | columns | processor seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    for folder in folders:
        print(row(Path(folder)), flush=True)


def row(folder: Path) -> str:
    trained = load(folder).objective
    before, start = _errors(trained), time.process_time()
    stage = _round(trained)
    of = (trained.problem, stage.model, trained.engine, trained.weighting, trained.stated, trained.units)
    objective = Objective(*of)
    stage.sampler.begin_stage(trained.problem)
    while not stage.report.stop:
        objective.begin(stage.sampler.draw(0, trained.problem, objective))
        stage.report.become(stage.optimizer.step(objective))
    seconds, left = time.process_time() - start, float(stage.report.values["unexplained"])
    columns = int(objective.output_layer.sum())
    return f"| {folder.name} | {before} | {_errors(objective)} | {left:.1e} | {columns} | {seconds:.0f} |"


def _round(trained: Objective) -> Stage:
    """The first stage of a correction of this network."""
    parts = assemble(compose(["problem=helmholtz", "recipe=corrected"]))
    return next(islice(parts.strategy(trained.problem, lambda _: trained.model), 1, None))


def _errors(objective: Objective) -> str:
    reference = reference_of(objective.problem)
    X = points_of_comparison(objective.problem.domain, reference)
    found = Comparison(reference, X).errors(objective.evaluate)
    named = len(found) > 1
    return ", ".join(f"{name} {e.relative_l2:.1e}" if named else f"{e.relative_l2:.1e}" for name, e in found.items())


if __name__ == "__main__":
    main(sys.argv[1:])
