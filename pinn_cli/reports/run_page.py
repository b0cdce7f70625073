"""One run on a page: what it is, how far it has come, its errors, its times and its files."""

from math import inf, isfinite
from pathlib import Path
from typing import Any

from pinn_cli.basics.text import duration, in_shell, page, printable, scientific, terminal_width
from pinn_cli.records.folder import RESULTS
from pinn_cli.records.results import Results
from pinn_cli.records.status import RESUMABLE
from pinn_cli.records.summary import summary


def facts(folder: Path) -> dict[str, Any]:
    """Everything on the page, as plain values. Raises UsageError if there is no readable results file."""
    results = Results(folder / RESULTS)
    history = results.read_history()
    return {
        "about": results.read_attributes(),
        "last": {name: float(column[-1]) for name, column in history.items() if len(column) and isfinite(column[-1])},
        "error": {name: _numbers(results.read_attributes(f"error/{name}")) for name in results.read("error")},
        "error_estimate": {n: v for n, v in results.read("error_estimate").items() if not n.startswith("correction/")},
        "guard": {name: value for name, value in results.read("guard").items() if name != "verdict"},
        "timing": results.read("timing"),
        "unknowns": {name: value for name, value in results.read("unknowns").items() if isinstance(value, float)},
        "uncertainty": {n: _numbers(results.read_attributes(f"unknowns/{n}")) for n in results.read("unknowns")},
        "uncertainty_lines": results.read("uncertainty/lines").get("", []),
        "windows": {name: list(map(float, values)) for name, values in results.read("windows").items()},
        "stages": results.read("stages").get("", []),
        "summary": summary(folder),
    }


def text(facts: dict[str, Any]) -> str:
    """The page as text, for the width of the terminal."""
    run, about = facts["summary"], facts["about"]
    reason = f": {about['reason']}" if about.get("reason") else ""
    figures = sorted(Path(run["folder"]).glob("figures/*"))
    held_out = {n.partition("/")[2]: v for n, v in facts["guard"].items() if n.startswith("relative/")}
    lines = [
        ("run", run["folder"]),
        ("command", about.get("command", "")),
        ("problem", f"{about.get('problem')}  seed {about.get('seed')}  {about.get('dtype')} on {about.get('device')}"),
        ("status", f"{run['status']}{reason}"),
        ("trained", f"{run['steps']} steps in {duration(run['seconds'])}  {', '.join(facts['stages'])}"),
        *(("error", _error(name, value, facts["error"].get(name, {}))) for name, value in run["errors"].items()),
        *(("", line) for line in facts["error_estimate"].get("lines", [])),
        *(("metric", f"{name} {scientific(value)}") for name, value in run["metrics"].items()),
        *(("unknown", _unknown(name, value, facts["uncertainty"][name])) for name, value in facts["unknowns"].items()),
        *(("", line) for line in facts["uncertainty_lines"]),
        *(("windows", f"{n} = {', '.join(f'{v:.6g}' for v in values)}") for n, values in facts["windows"].items()),
        ("guard", run["verdict"]),
        *(("held out", f"{name} {scientific(value)} of the largest term") for name, value in held_out.items()),
        *(("loss", _loss(name, facts["last"])) for name in facts["last"] if name.startswith("loss/")),
        ("seconds", "  ".join(f"{phase} {seconds:.1f}" for phase, seconds in facts["timing"].items())),
        *(("figure", printable(str(path))) for path in figures),
        ("next", f"pinn {_next(run['status'], bool(figures))} {in_shell(run['folder'])}"),
    ]
    return page([line for line in lines if line[1]], terminal_width())


def _next(status: str, drawn: bool) -> str:
    """The command that most likely comes next."""
    if status in RESUMABLE:
        return "resume"
    return "compare" if drawn else "plot"


def _numbers(attributes: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in attributes.items() if isinstance(value, float)}


def _error(name: str, value: float, more: dict[str, Any]) -> str:
    parts = [f"{key.replace('_', ' ')} {scientific(number)}" for key, number in more.items()]
    return f"{name} {scientific(value)} (relative L2{''.join(f'; {part}' for part in parts)})"


def _unknown(name: str, value: float, known: dict[str, float]) -> str:
    if not isfinite(known.get("standard_error", inf)):
        return f"{name} = {value:.6g}"
    floor = f"; floor {known['floor']:.1e}" if isfinite(known["floor"]) else ""
    relative = f" ({known['standard_error'] / abs(value):.1%})" if value else ""
    interval = f"95 % interval {known['low']:.6g} to {known['high']:.6g}"
    return f"{name} = {value:.6g} +- {known['standard_error']:.1e}{relative}; {interval}{floor}"


def _loss(name: str, last: dict[str, float]) -> str:
    weight = last.get(name.replace("loss/", "weight/"))
    return f"{name[5:]} {scientific(last[name])}" + (f"  weight {weight:.4g}" if weight is not None else "")
