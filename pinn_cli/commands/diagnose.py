"""Look into the network that a run has kept: diagnostics at its last points, printed, and written into its file."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from pinn_cli.basics.errors import UsageError
from pinn_cli.records.folder import RESULTS
from pinn_cli.records.status import Status


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn diagnose`."""
    parser.add_argument("run", help="a run, e.g. SWEEP/17, latest, best")
    parser.add_argument("words", nargs="*", metavar="NAME | NAME.key=value",
                        help="diagnostics (default: all; see pinn list diagnostics) and settings of them")  # fmt: skip
    parser.add_argument("--changed", action="store_true", help="even if the problem's file has changed since")


def run(arguments: Namespace) -> int:
    """Print a table per diagnostic; the record takes the place of one at the same step (Raises UsageError)."""
    from pinn_cli import load
    from pinn_cli.configuration.catalogue import find_own_modules
    from pinn_cli.records.lock import Lock
    from pinn_cli.records.results import Results
    from pinn_cli.studies import find as names
    from pinn_cli.training.diagnostic_records import Diagnosis, still

    find_own_modules()
    folder = names.find(arguments.run)
    results = Results(folder / RESULTS)
    if results.read_attributes()["status"] == Status.RUNNING:
        raise UsageError(f"{folder} has not ended; expected a run at rest (wait for it, or pinn resume {folder})")
    parts = _parts(arguments.words, results)
    with Lock(folder):
        found = load(folder, trust_source=arguments.changed)
        objective, diagnosis = _objective(found.objective, folder, results), Diagnosis(parts, results)
        step = int(results.read_history()["step"][-1])
        for name, part in parts.items():
            record = part(still(objective))
            diagnosis.keep(name, step, record)
            print(f"{name}, step {step}\n{_table(record)}\n")
        diagnosis.flush()
    print(f"results   {folder / RESULTS}\nnext      pinn plot {folder} --only {','.join(parts)}")
    return 0


def _parts(words: list[str], results: Any) -> dict[str, Any]:
    """The diagnostics named, with the settings that the run had, and then those that were typed."""
    from pinn_cli.configuration.assemble import diagnostics
    from pinn_cli.configuration.build import Builder
    from pinn_cli.configuration.catalogue import options
    from pinn_cli.configuration.compose import compose
    from pinn_cli.configuration.settings import read_back

    names = [word for word in words if "=" not in word] or options("diagnostics")
    typed = [f"diagnostics.{word.removeprefix('diagnostics.')}" for word in words if "=" in word]
    then = read_back(results.read_config(), results.path).get("diagnostics") or {}
    settings = [f"diagnostics.{n}.{k}={v}" for n in names for k, v in then.get(n, {}).items() if not k.startswith("_")]
    problem = f"problem={results.read_attributes()['problem']}"
    config = compose([problem, f"diagnostics=[{','.join(names)}]", *settings, *typed])
    return diagnostics(config, Builder([word.partition("=")[0] for word in typed]))


def _objective(objective: Any, folder: Path, results: Any) -> Any:
    """The residuals at the run's last points, with the weights of its last row (of weights per point, their means)."""
    import torch

    from pinn_cli.training.objective import Objective

    points = results.read("collocation")
    if not points:
        raise UsageError(f"{folder} has kept no points: it ended before its first step, or failed")
    weights = {n: float(results.read_history()[f"weight/{n}"][-1]) for n in points}
    kept = Objective(objective.problem, objective.model, objective.engine, lambda batch, residuals: {}, weights)
    kept.begin({name: torch.as_tensor(X).to(kept.device, kept.dtype) for name, X in points.items()})
    return kept


def _table(record: dict[str, Any]) -> str:
    """The single numbers of a record: a row per quantity, a column per term."""
    from pinn_cli.basics.text import scientific, terminal_width
    from pinn_cli.reports import tables as typeset

    rows: dict[str, dict[str, str]] = {}
    for name, value in record.items():
        if getattr(value, "ndim", 0) == 0:
            quantity, _, term = name.rpartition("/")
            rows.setdefault(quantity, {})[term] = scientific(float(value))
    terms = list(dict.fromkeys(term for row in rows.values() for term in row))
    lines = [[quantity, *(row.get(term, "") for term in terms)] for quantity, row in rows.items()]
    return typeset.text([["", *terms], *lines], range(1, len(terms) + 1), width=terminal_width())
