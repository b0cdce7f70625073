"""One run on a page: what it is, how far it came, how good it is, where its files lie."""

from argparse import ArgumentParser, Namespace
from math import isfinite
from pathlib import Path
from typing import Any

from pinn_cli.records.status import RESUMABLE


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn show`."""
    parser.add_argument("run", nargs="?", default="latest", help="a run, e.g. SWEEP/17, best (default: latest)")
    parser.add_argument("--config", action="store_true", help="print the whole configuration")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: Namespace) -> int:
    """Print the page (Raises UsageError)."""
    from pinn_cli.basics.text import as_json
    from pinn_cli.records import summary as runs
    from pinn_cli.records.folder import RESULTS
    from pinn_cli.records.results import Results
    from pinn_cli.studies import find as names

    folder = names.find(arguments.run)
    results = Results(folder / RESULTS)
    if arguments.config:
        print(as_json(runs.settings(folder)) if arguments.json else results.read_config().rstrip())
        return 0
    found = facts(results) | {"summary": runs.summary(folder)}
    if arguments.json:
        print(as_json(found | {"settings": runs.settings(folder)}))
    else:
        print(text(found))
    return 0


def facts(results: Any) -> dict[str, Any]:
    """Everything the page says, as plain values."""
    history = results.read_history()
    return {
        "about": results.read_attributes(),
        "last": {name: float(column[-1]) for name, column in history.items() if len(column) and isfinite(column[-1])},
        "error": {name: _numbers(results.read_attributes(f"error/{name}")) for name in results.read("error")},
        "guard": {name: value for name, value in results.read("guard").items() if name != "verdict"},
        "timing": results.read("timing"),
        "unknowns": {name: value for name, value in results.read("unknowns").items() if isinstance(value, float)},
        "stages": results.read("stages").get("", []),
    }


def text(found: dict[str, Any]) -> str:
    """The facts as text."""
    from pinn_cli.basics.text import duration, page, printable, scientific, terminal_width

    summary, about = found["summary"], found["about"]
    reason = f": {about['reason']}" if about.get("reason") else ""
    figures = sorted(Path(summary["folder"]).glob("figures/*"))
    held_out = {n.partition("/")[2]: v for n, v in found["guard"].items() if n.startswith("relative/")}
    lines = [
        ("run", summary["folder"]),
        ("command", about.get("command", "")),
        ("problem", f"{about.get('problem')}  seed {about.get('seed')}  {about.get('dtype')} on {about.get('device')}"),
        ("status", f"{summary['status']}{reason}"),
        ("trained", f"{summary['steps']} steps in {duration(summary['seconds'])}  {', '.join(found['stages'])}"),
        *(("error", _error(name, value, found["error"].get(name, {}))) for name, value in summary["errors"].items()),
        *(("metric", f"{name} {scientific(value)}") for name, value in summary["metrics"].items()),
        *(("unknown", f"{name} = {value:.6g}") for name, value in found["unknowns"].items()),
        ("guard", summary["verdict"]),
        *(("held out", f"{name} {scientific(value)} of the largest term") for name, value in held_out.items()),
        *(("loss", _loss(name, found["last"])) for name in found["last"] if name.startswith("loss/")),
        ("seconds", "  ".join(f"{phase} {seconds:.1f}" for phase, seconds in found["timing"].items())),
        *(("figure", printable(str(path))) for path in figures),
        ("next", f"pinn {_next(summary['status'], bool(figures))} {summary['folder']}"),
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
    from pinn_cli.basics.text import scientific

    parts = [f"{key.replace('_', ' ')} {scientific(number)}" for key, number in more.items()]
    return f"{name} {scientific(value)} (relative L2{''.join(f'; {part}' for part in parts)})"


def _loss(name: str, last: dict[str, float]) -> str:
    from pinn_cli.basics.text import scientific

    weight = last.get(name.replace("loss/", "weight/"))
    return f"{name[5:]} {scientific(last[name])}" + (f"  weight {weight:.4g}" if weight is not None else "")
