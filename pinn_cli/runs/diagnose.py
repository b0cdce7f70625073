"""Apply diagnostics to the network that a run has kept, at its last points."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.text import in_shell
from pinn_cli.configuration import project
from pinn_cli.configuration.assemble import diagnostics
from pinn_cli.configuration.build import Builder
from pinn_cli.configuration.catalogue import options
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.settings import read_back
from pinn_cli.records.folder import RESULTS
from pinn_cli.records.lock import Lock
from pinn_cli.records.results import Results
from pinn_cli.records.status import Status
from pinn_cli.runs.load import load
from pinn_cli.training.diagnostic_records import DiagnosticRecords, snapshot
from pinn_cli.training.objective import Objective


def diagnose(
    folder: Path, words: Sequence[str], trust_source: bool = False, changed: bool = False
) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Name, step and record of each diagnostic among `words` (default: all); the others are settings of them.

    A record replaces one of the same step in the results file. Raises UsageError, also for a running run and for
    one over the instances of a family.
    """
    results = Results(folder / RESULTS)
    refuse_running(folder, results)
    parts = _parts(words, folder, results)
    with Lock(folder):
        solution = load(folder, trust_source, changed=changed)
        if solution.family is not None:
            raise UsageError(f"{folder}: a diagnostic looks at one solution, and this run has trained several "
                             f"instances; type pinn plot {in_shell(folder)} --only instances,test_instances")
        objective = at_last_points(solution.objective, folder, results)
        records, step = DiagnosticRecords(parts, results), int(results.read_history()["step"][-1])
        for name, part in parts.items():
            record = part(snapshot(objective))
            records.add(name, step, record)
            yield name, step, record
        records.flush()


def refuse_running(folder: Path, results: Results) -> None:
    """Raise UsageError for a run that has not ended."""
    if results.read_attributes()["status"] == Status.RUNNING:
        way = f"wait for it, or pinn resume {in_shell(folder)}"
        raise UsageError(f"{folder} has not ended; expected a run at rest ({way})")


def _parts(words: Sequence[str], folder: Path, results: Results) -> dict[str, Any]:
    """The diagnostics by name, with the settings of the run, and over them those that were typed."""
    for word in words:
        key, _, parts = word.partition("=")
        if key == "diagnostics":
            right = f"pinn diagnose {in_shell(folder)} {' '.join(parts.strip('[]').split(','))}"
            raise UsageError(f"`{word}`: expected the names of diagnostics; type {right}")
    names = [word for word in words if "=" not in word] or options("diagnostics")
    typed = [f"diagnostics.{word.removeprefix('diagnostics.')}" for word in words if "=" in word]
    about, config = results.read_attributes(), read_back(results.read_config(), results.path)
    kept = config.get("diagnostics") or {}
    settings = [f"diagnostics.{n}.{k}={v}" for n in names for k, v in kept.get(n, {}).items() if not k.startswith("_")]
    with project.working_in(project.of_run(about, config, folder)):
        chosen = compose([f"problem={about['problem']}", f"diagnostics=[{','.join(names)}]", *settings, *typed])
        return diagnostics(chosen, Builder([word.partition("=")[0] for word in typed]))


def at_last_points(objective: Objective, folder: Path, results: Results) -> Objective:
    """The residuals at the run's last points, with the weights of its last row (of weights per point, their means)."""
    points = results.read("collocation")
    if not points:
        raise UsageError(f"{folder} has kept no points: it ended before its first step, or failed")
    weights = {n: float(results.read_history()[f"weight/{n}"][-1]) for n in points}
    kept = Objective(objective.problem, objective.model, objective.engine, lambda batch, residuals: {}, weights)
    kept.begin({name: torch.as_tensor(X).to(kept.device, kept.dtype) for name, X in points.items()})
    return kept
