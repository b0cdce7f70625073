"""The measured tables of README.md and docs/, written from benchmarks/results.

    python benchmarks/tables.py            rewrite every block
    python benchmarks/tables.py --check    exit code 1 if a block is not what its results say

A block lies between `<!-- begin: NAME -->` and `<!-- end: NAME -->`; NAME is a key of BLOCKS. A block without results
says so. The file of a table is the output of `pinn reproduce NAME --show --json`. No measured number is typed by hand.
The tables of docs/what_methods_see.md are written from pinn_cli/methods/contracts.py, and those of docs/results_file.md
from pinn_cli/records/results/layout.py.
"""

import argparse
import ast
import json
import re
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import takewhile
from math import inf, log
from pathlib import Path
from statistics import fmean, median
from typing import Any

from verdicts import CASES, SMALL, UNSEEN, counts

from pinn_cli.records.results import layout
from pinn_cli.reports import tables as typeset
from pinn_cli.studies.published import views

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BLOCK = re.compile(r"(<!-- begin: ([\w-]+) -->\n)(.*?)(<!-- end: \2 -->)", re.DOTALL)
NONE = "–"
REACHED = (1e-2, 1e-3, 1e-4)  # errors of the table of optimizers
FAILURE_MODES = {"convection": "beta", "reaction": "rho", "reaction_diffusion": "nu"}  # and what makes them hard
Rows = Iterable[Sequence[str]]


def accuracy(report: dict[str, Any]) -> str:
    """The default: medians over the seeds, a row per case; a star marks the cells that have a note."""
    head = ["`pinn train ...`", "relative L2 error", report["quantities"]["goal"], "seconds", "steps", "seeds"]
    rows = [
        [f"`{_words(cell, 'stop.seconds', 'threads')}`" + r" \*" * bool(cell["notes"]), _median(cell, "error"),
         *(_whole(_value(cell, name)) for name in ("goal", "seconds", "steps")), _seeds(cell)]
        for cell in _measured(report)
    ]  # fmt: skip
    notes = "\n".join(f"\\* {note}" for note in report["notes"].values())
    return f"{_table(head, rows)}\n\n{notes}\n\n{_machines(report)}"


def by_command(report: dict[str, Any]) -> str:
    """A row per command: medians over the seeds, and seconds of training to each goal."""
    goals = [name for name in report["quantities"] if name.startswith("goal_")]
    head = ["`pinn train ...`", "relative L2 error", "[min, max]", "estimate / error", "seconds of training",
            "of the process", *(report["quantities"][goal].removeprefix("seconds ") for goal in goals), "verdict",
            "seeds"]  # fmt: skip
    rows = [
        [f"`{_words(cell, 'stop.seconds', 'threads', 'figures')}`" + r" \*" * bool(cell["notes"]),
         *_error(cell), _ratio(_value(cell, "estimate")),
         *(_seconds(_value(cell, name)) for name in ("seconds", "process", *goals)), _verdicts(cell), _seeds(cell)]
        for cell in _measured(report)
    ]  # fmt: skip
    notes = "\n".join(f"\\* {note}" for note in report["notes"].values())
    return f"{_table(head, rows, range(1, len(head) - 2))}\n\n{notes}\n\n{_machines(report)}"


def by_command_short(report: dict[str, Any]) -> str:
    """A row per problem: medians over the seeds of the error and of the seconds of the process."""
    head = ["problem", "relative L2 error", "seconds", "seeds"]
    rows = [
        [f"`{' '.join(word for word in _words(cell).split() if word.startswith('problem'))}`", _error(cell)[0],
         _seconds(_value(cell, "process")), _seeds(cell)]
        for cell in _measured(report)
    ]  # fmt: skip
    return f"{_table(head, rows)}\n\n{_machines(report)}"


def runs(report: dict[str, Any]) -> str:
    """Every run of the default."""
    head = ["command", "error", "seconds", "steps", "ended by", "verdict of the guard"]
    rows = [
        [f"`{run['command']}`", _errors(run["errors"]), _whole(run["seconds"]), str(run["steps"]), run["reason"],
         run["verdict"] or NONE]
        for run in _runs(report)
    ]  # fmt: skip
    return _table(head, rows, numbers=(1, 2, 3))


def published(report: dict[str, Any]) -> str:
    """A published table with our numbers: the cells that have runs, and the settings and machines below."""
    return views.markdown(report, empty=False).rstrip()


def published_short(report: dict[str, Any], quantities: Sequence[str] = ()) -> str:
    """The numbers of a published table alone: of all quantities, or of these."""
    kept = {name: title for name, title in report["quantities"].items() if name in (quantities or report["quantities"])}
    return views.tables(report | {"quantities": kept}, empty=False)


def published_runs(report: dict[str, Any]) -> str:
    """Every run of a published table."""
    head = ["command", *report["quantities"].values(), "seconds", "steps", "commit"]
    rows = [
        [f"`{run['command']}`", *map(_number, run["values"].values()), _whole(run["seconds"]), str(run["steps"]),
         run["commit"] or NONE]
        for cell in report["cells"].values() for run in cell["runs"].values()
    ]  # fmt: skip
    return _table(head, rows)


def crossed(report: dict[str, Any], quantities: Sequence[str]) -> str:
    """Rows by columns: in each cell the medians of these quantities over the seeds, one behind the other."""
    rows = []
    for name in report["rows"]:
        cells = [report["cells"].get(f"{name}_{column}") for column in report["columns"]]
        if any(cell and cell["runs"] for cell in cells):
            rows.append([re.sub(r"_(\d+)$", r", \1", name).replace("_", " "), *(
                " / ".join(_short(_value(cell, one)) for one in quantities) if cell and cell["runs"] else NONE
                for cell in cells
            )])  # fmt: skip
    seeds = " ".join(dict.fromkeys(seed for cell in _measured(report) for seed in cell["runs"]))
    return f"{_table(['', *report['columns']], rows)}\n\nSeeds {seeds}. {_machines(report)}"


def by_quantity(report: dict[str, Any]) -> str:
    """A table of one row, turned: a row per quantity, a column per cell, medians over the seeds and their range."""
    cells = _measured(report)
    head = ["", *(" ".join([cell["column"].replace("_", " "), *cell["notes"]]) for cell in cells)]
    rows = [
        [title, *(f"{_short(own['median'])} {_extent(own)}".rstrip() for cell in cells
                  for own in (cell["results"][name],))]
        for name, title in report["quantities"].items()
    ]  # fmt: skip
    shown = {letter for cell in cells for letter in cell["notes"]}
    notes = "\n".join(f"* {letter}: {note}" for letter, note in report["notes"].items() if letter in shown)
    seeds = [" ".join(seed for seed, run in cell["runs"].items() if run["status"] == "finished") for cell in cells]
    return f"{_table(head, [*rows, ['seeds', *seeds]])}\n\n{notes}\n\n{_machines(report)}"


def _extent(result: dict[str, Any]) -> str:
    """The least and the largest over the seeds, where there are several and they differ."""
    low, high = _short(result["low"]), _short(result["high"])
    return f"[{low}, {high}]" if result["count"] > 1 and low != high else ""


def coefficients(report: dict[str, Any]) -> str:
    """A row for each unknown of each case: means over the seeds by the noise of the measurements, and the coverage."""
    head, noises = ["case", "unknown"], report["columns"]
    for noise in noises:
        shown = f"{100 * float(noise):g} %"
        head += [f"noise {shown}: error / floor", "ratio", "inside"] if float(noise) else ["no noise: error"]
    rows, held = [], Counter[str]()
    for name in report["rows"]:
        cells = [_finished(report["cells"].get(f"{name}_{noise}")) for noise in noises]
        for unknown in dict.fromkeys(u for some in cells for run in some for u in run["unknowns"]):
            row = [name.replace("_", " "), f"`{unknown}`"]
            for noise, some in zip(noises, cells, strict=True):
                own = [run["unknowns"][unknown] for run in some]
                row += _estimated_coefficient(own, bool(float(noise)))
                if float(noise):
                    held["intervals"] += len(own)
                    held["inside"] += sum(one["inside"] == 1.0 for one in own)
            rows.append(row)
    seeds = " ".join(sorted({seed for cell in _measured(report) for seed in cell["runs"]}, key=int))
    counts = f"{held['inside']} of {held['intervals']} intervals of 95 % hold the truth (with noise)."
    return f"{_table(head, rows, range(2, len(head)))}\n\n{counts} Seeds {seeds}. {_machines(report)}"


def _finished(cell: dict[str, Any] | None) -> list[dict[str, Any]]:
    return [run for run in (cell or {"runs": {}})["runs"].values() if run["status"] == "finished"]


def _estimated_coefficient(own: Sequence[dict[str, float]], is_noisy: bool) -> list[str]:
    """Mean error, floor, their ratio, and how many intervals hold the truth; without noise the error alone."""
    if not own:
        return [NONE] * (3 if is_noisy else 1)
    error, floor, ratio = (fmean(one[key] for one in own) for key in ("relative_error", "relative_floor", "floors"))
    inside = f"{sum(one['inside'] == 1.0 for one in own)} of {len(own)}"
    return [f"{error:.1e} / {floor:.1e}", f"{ratio:.2g}", inside] if is_noisy else [f"{error:.1e}"]


def lid_driven_cavity(report: dict[str, Any]) -> str:
    """The default on the cavity: medians over the seeds, a row per case."""
    goal = report["quantities"]["goal"]
    head = ["`pinn train ...`", "centre lines", "whole field", goal, "seconds", "steps", "seeds"]
    rows = [
        [f"`{_words(cell)}`", _median(cell, "centreline"), _median(cell, "field"),
         *(_whole(_value(cell, name)) for name in ("goal", "seconds", "steps")), _seeds(cell)]
        for cell in _measured(report)
    ]  # fmt: skip
    return f"{_table(head, rows)}\n\n{_machines(report)}"


def scale(report: dict[str, Any]) -> str:
    """Raw against natural units: medians over the seeds at equal seconds, a row per problem."""
    cells = {(cell["row"], cell["column"]): cell for cell in _measured(report)}
    rows = []
    for name in report["rows"]:
        both = [cells.get((name, column)) for column in ("raw", "natural")]
        if all(both):
            raw, natural = (_value(cell, "error") for cell in both if cell)
            times = f"{raw / natural:.2g}" if raw and natural else NONE
            steps = [_whole(_value(cell, "steps")) for cell in both if cell]
            rows.append([name.replace("_", " "), _number(raw), _number(natural), times, *steps])
    head = ["problem", "raw units", "natural units", "times better", "steps, raw", "steps, natural"]
    return f"{_table(head, rows)}\n\n{_machines(report)}"


def step_time(report: dict[str, Any]) -> str:
    """Times of the loss and its gradient."""
    first = {name: m for name, m in report.items() if "ratio compiled" in m}
    head = ["loss and gradient", "nested autograd (ms)", "jets (ms)", "compiled jets (ms)", "times faster"]
    columns = ("nested autograd (ms)", "jets (ms)", "compiled jets (ms)", "ratio compiled")
    table = _table(head, [[name, *(f"{m[c]:.3g}" for c in columns)] for name, m in first.items()])
    return f"{table}\n\n{_machine(report['machine'])}"


def fused_layers(report: dict[str, Any]) -> str:
    """A step with its layers one by one and as one operation."""
    columns = ("layer by layer (ms)", "one operation (ms)", "ratio", "products alone (ms)")
    rows = [[name, *(f"{m[c]:.3g}" for c in columns)] for name, m in report.items() if "ratio" in m]
    return f"{_table(['Helmholtz, four hidden layers', *columns], rows)}\n\n{_machine(report['machine'])}"


def least_squares_time(report: dict[str, Any]) -> str:
    """The whole loop of a least-squares run beside its linear algebra."""
    columns = ("parameters", "rows", "loop (ms)", "GEMM + Cholesky (ms)", "ratio", "half (ms)", "ratio to the half")
    rows = [[name, *(f"{m[c]:.4g}" for c in columns)] for name, m in report.items() if "ratio" in m]
    return f"{_table(['run', *columns], rows)}\n\n{_machine(report['machine'])}"


def growth(report: dict[str, Any]) -> str:
    """As which power of the points, rows or width a step grows: k of y ~ x^k over the last three numbers."""
    titles = {
        "points": "time of loss and gradient, by points", "rows": "time of Levenberg-Marquardt, by rows",
        "memory": "memory of loss and gradient, by points", "width": "time of loss and gradient, by width",
    }  # fmt: skip
    rows = []
    for name, title in titles.items():
        x, curves = report[name]
        foreseen = curves.pop("foreseen")
        for curve, y in curves.items():
            each = (log(each[-1] / each[-3]) / log(x[-1] / x[-3]) for each in (y, foreseen))
            shown = title if curve == "measured" else f"{title}, {curve}"
            rows.append([shown, f"{x[-3]} to {x[-1]}", *(f"{k:.2f}" for k in each), f"{y[-1] / foreseen[-1]:.2f}"])
    head = ["grows as the power of the number", "between", "measured", "foreseen", "measured / foreseen at the end"]
    return f"{_table(head, rows, numbers=(2, 3, 4))}\n\n{_machine(report['machine'])}"


def peers(report: dict[str, Any]) -> str:
    """Whole training loops side by side: milliseconds of a step, and in brackets how many times those of ours."""
    others = [name for name in report["rows"][0]["milliseconds"] if name != "pinn"]
    head = ["problem, points + a face, width", "pinn (ms)", *(n.replace("limit", "products alone") for n in others)]
    rows = [
        [f"{row['problem'].replace('_', ' ')}, {row['points']} + {row['face']}, {row['width']}, {row['dtype']}",
         f"{row['milliseconds']['pinn']:.2f}",
         *(f"{row['milliseconds'][name]:.2f} ({row['ratios'][name]:.2f})" for name in others)]
        for row in report["rows"]
    ]  # fmt: skip
    machine = report["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    place = f"{machine['cpu']}, 1 thread, {versions}, Python {machine['python']}, {machine['date']}"
    return f"{_table(head, rows)}\n\n{place}; load {machine['load']:.1f}"


def results_file() -> str:
    """The layout of the results file: a table each for attributes, datasets, and the datasets of a collection."""
    head = ["kind", "axes", "unit", "meaning"]
    attributes = [[f"`{name}`", kind, meaning] for name, (kind, meaning) in layout.ATTRIBUTES.items()]
    tables = [[["attribute of the file", "kind", "meaning"], *attributes]]
    for what, entries in (("dataset", layout.DATASETS), ("dataset of a collection", layout.COLLECTION)):
        axes = [f"({', '.join(entry.axes)})" if entry.axes else "" for entry in entries]
        rows = [[f"`/{e.name}`", e.kind, a, e.unit, e.sentence] for e, a in zip(entries, axes, strict=True)]
        tables.append([[what, *head], *rows])
    return "\n\n".join(typeset.markdown(table, ()) for table in tables)


def failure_modes(ours: dict[str, Any], *published: dict[str, Any]) -> str:
    """Plain training, curriculum and windows in time, theirs and ours, beside the default: a row per coefficient."""
    ways = ("plain", "curriculum", "windows")
    head = ["", *(f"{way}, {whose}" for way in ways for whose in ("paper", "ours")), "the default", "seconds"]
    default = {cell["row"]: cell for cell in _measured(ours) if cell["column"] == "default"}
    rows = []
    for (problem, coefficient), table in zip(FAILURE_MODES.items(), published, strict=True):
        printed = [row.removeprefix(coefficient) for row in table["rows"]]
        measured = [row.removeprefix(f"{problem}_") for row in default]
        for value in sorted({*filter(str.isdecimal, [*measured, *printed])}, key=int):
            cells = [table["cells"].get(f"{coefficient}{value}_{way}") for way in ways]
            cell = default.get(f"{problem}_{value}")
            name = f"{problem.replace('_', '-')}, {coefficient} = {value}"
            own = (_median(cell, "u"), _whole(_value(cell, "seconds"))) if cell else (NONE, NONE)
            rows.append([name, *(number for one in cells for number in _both(one)), *own])
    return f"{_table(head, rows)}\n\n{_machines(ours)}"


def _both(cell: dict[str, Any] | None) -> list[str]:
    """The paper's number and ours."""
    return [_number(cell["results"]["u"][key]) if cell else NONE for key in ("paper", "median")]


def strategies(ours: dict[str, Any]) -> str:
    """Cases that the default solves in two minutes and cases that it does not, without and with each strategy."""
    several = {cell["row"] for cell in ours["cells"].values() if cell["column"] != "default"}
    cells = [cell for cell in _measured(ours) if cell["row"] in several]
    rows = [
        [f"`{_words(cell)}`", _median(cell, "u"), _range(cell["results"]["u"]), _whole(_value(cell, "seconds")),
         _seeds(cell)]
        for cell in sorted(cells, key=lambda cell: (cell["row"].split("_")[:2], _value(cell, "u")))
    ]  # fmt: skip
    return _table(["`pinn train ...`", "relative L2 error", "[min, max]", "seconds", "seeds"], rows)


def contract(kind: str) -> str:
    """What a class of `methods/contracts.py` declares: a row per member, with its comment or its docstring."""
    given = {"Objective": "objective", "Linearisation": "linear"}.get(kind)  # methods use it and write none of it
    head = ["", "meaning", "used by"] if given else ["", "must or may", "meaning"]
    rows = []
    for node in CONTRACTS[kind].body:
        if isinstance(node, ast.AnnAssign):
            default = f" = {ast.unparse(node.value)}" if node.value else ""
            name = f"{ast.unparse(node.target)}: {ast.unparse(node.annotation)}{default}"
            needed, text = "may" if default else "must", _comment(node.lineno - 1)
        elif isinstance(node, ast.FunctionDef) and node.name != "__init_subclass__":
            marks = {ast.unparse(mark) for mark in node.decorator_list}
            words = ", ".join(argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)[1:])
            name = node.name if "property" in marks else f"{node.name}({words})"
            needed, text = "must" if "abstractmethod" in marks else "may", ast.get_docstring(node) or ""
        else:
            continue
        text = " ".join(text.split()).replace("``", "`").replace("|F|^2", "F . F")
        rows.append([f"`{name}`", text, _users(given, name)] if given else [f"`{name}`", needed, text])
    return _table(head, rows, numbers=())


def _comment(line: int) -> str:
    """The comment behind a line of contracts.py, or the one above it."""
    lines = SOURCE.splitlines()
    above = [*takewhile(lambda text: text.startswith("    # "), reversed(lines[:line]))]
    return lines[line].partition("  # ")[2] or " ".join(text.removeprefix("    # ") for text in reversed(above))


def _users(variable: str, member: str) -> str:
    """The methods that use a member of the objective or of its linearisation, as `kind/file`."""
    use = re.compile(rf"\b{variable}\.{re.match('[a-zA-Z_]+', member)[0]}\b")  # type: ignore[index]
    files = sorted((ROOT / "pinn_cli" / "methods").glob("*/*.py"))
    return ", ".join(f"{f.parent.name}/{f.stem}" for f in files if use.search(f.read_text(encoding="utf-8")))


# name of a block: the files its numbers come from, what it prints, and the command that measures
Source = tuple[tuple[str, ...], Callable[..., str], str]


def verdicts(kept: dict[str, dict[str, Any]]) -> str:
    """Right and wrong runs, the most accurate first: error against verdict, and the counts."""
    runs = sorted((kept[n] for n in CASES if n in kept), key=lambda run: run["error"])
    rows = [[_of(run), _scientific(run["error"]), _scientific(max(_estimated(run), default=None)), _kind(run)]
            for run in runs]  # fmt: skip
    lines = "\n".join(f"* {line}" for line in counts({n: kept[n] for n in CASES if n in kept}))
    return f"{lines}\n\n{_table(['`pinn train ...`', 'error', 'estimated', 'verdict'], rows)}"


def unseen(kept: dict[str, dict[str, Any]]) -> str:
    """The runs whose error the verdict cannot see."""
    rows = [[_of(kept[n]), _scientific(kept[n]["error"]), _kind(kept[n])] for n in UNSEEN if n in kept]
    return _table(["`pinn train ...`", "error", "verdict"], rows)


def _of(run: dict[str, Any]) -> str:
    return _typed(run["command"].replace(SMALL, "..."))


def _typed(command: str) -> str:
    """A command as code, its words in quotes where a shell needs them."""
    return f"`{shlex.join(command.split())}`"


def _kind(run: dict[str, Any]) -> str:
    return f"`{run['verdict'].partition(':')[0]}`"


def _estimated(run: dict[str, Any]) -> list[float]:
    return [value for name, value in run["guard"].items() if name.startswith("estimated/")]


def _scientific(value: float | None) -> str:
    return NONE if value is None else f"{value:.1e}"


def error_estimates(report: list[dict[str, Any]]) -> str:
    """True and estimated errors, a row for each run, by how much of the residual is explained."""
    head = ["`pinn train ...`", "error", "estimated", "ratio", "explained", "words"]
    rows = []
    for one in sorted(report, key=lambda one: -one["explained"]):
        ratios = [one["estimated"][name] / true for name, true in one["error"].items()]
        numbers = [_errors(one["error"]), _errors(one["estimated"]), ", ".join(f"{q:.2g}" for q in ratios)]
        trust = "" if "%" in one["trust"].partition(":")[0] else one["trust"].partition(":")[0]
        rows.append([_typed(one["command"]), *numbers, f"{one['explained']:.2f}", trust])
    return _table(head, rows)


def optimizers(runs: dict[str, Any]) -> str:
    """A row for each problem and optimizer: the median error at the end of the budget, and seconds to an error."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for name, run in runs.items():
        problem, optimizer, _ = name.split("/")
        groups.setdefault((problem, optimizer), []).append(run)
    rows = []
    for (problem, optimizer), some in groups.items():
        steps = _whole(median(run["steps"][-1] for run in some))
        reached = [_seconds(median(_reached(run, goal) for run in some)) for goal in REACHED]
        error = f"{median(run['error'][-1] for run in some):.1e}"
        rows.append([problem.replace("_", " "), optimizer, error, *reached, steps, str(len(some))])
    head = ["problem", "optimizer", "relative L2", *(f"seconds to {goal:g}" for goal in REACHED), "steps", "seeds"]
    budgets = " or ".join(f"{budget:g}" for budget in sorted({run["budget"] for run in runs.values()}))
    return f"{_table(head, rows, numbers=range(2, 7))}\n\nProcessor seconds of one thread, at most {budgets} a run."


def points(runs: dict[str, Any]) -> str:
    """A row for each problem: the median error of each number of points at the start, and the points at the end."""
    problems, starts = ({name.split("/")[i]: None for name in runs} for i in (0, 1))
    rows = []
    for problem in problems:
        row = [_typed(_without(next(run for name, run in runs.items() if name.startswith(f"{problem}/"))["command"]))]
        for start in sorted(starts, key=int):
            some = [run for name, run in runs.items() if name.startswith(f"{problem}/{start}/")]
            words = ", ".join(dict.fromkeys(f"`{run['residuals']}`" for run in some if run["residuals"] != "ok"))
            error = _number(median(run["error"] for run in some) if some else None)
            ends = " to ".join(dict.fromkeys(str(f([run["points"] for run in some])) for f in (min, max) if some))
            row.append(f"{error} ({ends}){words and ' ' + words}" if some else NONE)
        rows.append(row)
    head = ["`pinn train ...`", *(f"from {start} (to)" for start in sorted(starts, key=int))]
    return _table(head, rows)


def discovery(runs: dict[str, Any]) -> str:
    """A row for each problem and noise: what was claimed, and the errors of the coefficients of the right equations."""
    head = ["problem", "noise", "seeds", "right terms", "claimed and wrong", "undecided or none", "error, median",
            "worst", "within 1.96 standard errors", "seconds"]  # fmt: skip
    groups: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for name, run in runs.items():
        problem, noise, seed = name.split()
        groups.setdefault((problem, noise), {})[seed] = run
    rows = []
    for (problem, noise), some in groups.items():
        right = [run for run in some.values() if run["right"] and run["decided"]]
        wrong = sum(run["decided"] and not run["right"] for run in some.values())
        errors = [max(run["relative"].values()) for run in right]
        inside = [abs(z) < 1.96 for run in right for z in run["standard_errors"].values()]
        errors_shown = [f"{f(errors):.2%}" if right else NONE for f in (median, max)]
        counted = [str(len(right)), str(wrong), str(len(some) - len(right) - wrong)]
        rows.append([problem.replace("_", " "), f"{float(noise):.0%}", " ".join(sorted(some, key=int)), *counted,
                     *errors_shown, f"{sum(inside)} of {len(inside)}" if right else NONE,
                     _whole(median(run["seconds"] for run in some.values()))])  # fmt: skip
    return _table(head, rows)


def _without(command: str) -> str:
    """The words of a command but its points and its seed."""
    return " ".join(word for word in command.split() if not word.startswith(("points.", "seed=")))


def _reached(run: dict[str, Any], goal: float) -> float:
    """Seconds of a run until its error was at most `goal` for the first time; infinity if it never was."""
    return next((s for s, e in zip(run["seconds"], run["error"], strict=True) if e <= goal), inf)


def _seconds(seconds: float | None) -> str:
    return NONE if seconds in (None, inf) else f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1f}"


BLOCKS: dict[str, Source] = {
    "verdicts": (("verdicts.json",), verdicts, "python benchmarks/verdicts.py"),
    "verdicts-unseen": (("verdicts.json",), unseen, "python benchmarks/verdicts.py"),
    "error-estimates": (("error_estimates.json",), error_estimates, "python benchmarks/error_estimates.py"),
    "optimizers": (("optimizers.json",), optimizers, "python benchmarks/optimizers.py"),
    "points": (("points.json",), points, "python benchmarks/points.py"),
    "discovery": (("discovery.json",), discovery, "python benchmarks/discovery.py"),
    "discovery-one-network": (("discovery_one_network.json",), discovery, "python benchmarks/discovery.py"),
    "accuracy": (("default/accuracy.json",), accuracy, "pinn reproduce default/accuracy"),
    "accuracy-runs": (("default/accuracy.json",), runs, "pinn reproduce default/accuracy"),
    "one-minute": (("accuracy/one_minute.json",), by_command, "pinn reproduce accuracy/one_minute"),
    "one-minute-short": (("accuracy/one_minute.json",), by_command_short, "pinn reproduce accuracy/one_minute"),
    "five-minutes": (("accuracy/five_minutes.json",), by_command, "pinn reproduce accuracy/five_minutes"),
    "accuracy-methods": (
        ("accuracy/methods.json",),
        partial(crossed, quantities=("error", "goal_4", "goal_8", "estimate")),
        "pinn reproduce accuracy/methods",
    ),
    "pinnacle": (
        ("pinnacle.json",),
        partial(published_short, quantities=("error", "estimated")),
        "pinn reproduce pinnacle",
    ),
    "coefficients": (("inverse/coefficients.json",), coefficients, "pinn reproduce inverse/coefficients"),
    "scale": (("default/scale.json",), scale, "pinn reproduce default/scale"),
    "lid-driven-cavity": (("default/cavity.json",), lid_driven_cavity, "pinn reproduce default/cavity"),
    "step-time": (("step_time.json",), step_time, "python benchmarks/step_time.py"),
    "fused-layers": (("fused_layers.json",), fused_layers, "python benchmarks/fused_layers.py"),
    "growth": (("growth.json",), growth, "python benchmarks/growth.py"),
    "peers": (("peers.json",), peers, "make bench"),
    "least-squares-time": (("least_squares_time.json",), least_squares_time, "python benchmarks/least_squares_time.py"),
    "failure-modes": (
        ("default/failure_modes.json", *(f"failure_modes/{name}.json" for name in FAILURE_MODES)),
        failure_modes,
        "pinn reproduce default/failure_modes, pinn reproduce failure_modes/convection, and so on",
    ),
    "failure-modes-strategies": (("default/failure_modes.json",), strategies, "pinn reproduce default/failure_modes"),
    "failure-modes-runs": (("default/failure_modes.json",), runs, "pinn reproduce default/failure_modes"),
}
ADAPTIVE = {
    "poisson": ("plain", "centred"),
    "advection_diffusion": ("plain", "centred"),
    "default": ("error", "seconds"),
    "fronts": ("error", "seconds"),
}
for _name, _quantities in ADAPTIVE.items():
    _files, _command = (f"adaptive/{_name}.json",), f"pinn reproduce adaptive/{_name}"
    _block_name = f"adaptive-{_name.replace('_', '-')}"
    BLOCKS[_block_name] = (_files, partial(crossed, quantities=_quantities), _command)
    BLOCKS[f"{_block_name}-sampling"] = (_files, partial(crossed, quantities=("sampling",)), _command)
for _name in ("darcy", "burgers", "convection", "helmholtz"):
    _files, _command = (f"hard_constraints/{_name}.json",), f"pinn reproduce hard_constraints/{_name}"
    BLOCKS[f"hard-constraints-{_name}"] = (_files, by_quantity, _command)
PUBLISHED = {
    "gradient_pathologies": ("helmholtz", "klein_gordon", "cavity", "poisson_stiffness"),
    "failure_modes": (*FAILURE_MODES, "expressivity", "landscape"),
}
for _group, _name in ((group, name) for group, names in PUBLISHED.items() for name in names):
    _files, _command = (f"{_group}/{_name}.json",), f"pinn reproduce {_group}/{_name}"
    BLOCKS |= {
        _name.replace("_", "-"): (_files, published_short, _command),
        f"{_name.replace('_', '-')}-whole": (_files, published, _command),
        f"{_name.replace('_', '-')}-runs": (_files, published_runs, _command),
    }
# The classes of contracts.py as tables of docs/what_methods_see.md: they have no results.
SOURCE = (ROOT / "pinn_cli" / "methods" / "contracts.py").read_text(encoding="utf-8")
CONTRACTS = {node.name: node for node in ast.parse(SOURCE).body if isinstance(node, ast.ClassDef)}
BLOCKS["layout"] = ((), results_file, "")
BLOCKS |= {f"contract-{kind.lower()}": ((), partial(contract, kind), "") for kind in CONTRACTS}


def pages() -> list[Path]:
    """The pages that may hold blocks."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def rewritten(text: str, results: Path = RESULTS) -> str:
    """A page with every block as its results have it. KeyError for a block without a source."""
    return BLOCK.sub(lambda match: f"{match[1]}{_block(match[2], results)}\n{match[4]}", text)


def _block(name: str, results: Path) -> str:
    files, write, command = BLOCKS[name]
    if not all((results / file).exists() for file in files):
        return f"not measured yet: `{command}`"
    return write(*(json.loads((results / file).read_text(encoding="utf-8")) for file in files))


def _table(head: Sequence[str], rows: Rows, numbers: Iterable[int] | None = None) -> str:
    right = range(1, len(head)) if numbers is None else set(numbers)
    return typeset.markdown([head, *rows], right)


def _measured(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells that have runs."""
    return [cell for cell in report["cells"].values() if cell["runs"]]


def _runs(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [run for cell in _measured(report) for run in cell["runs"].values()]


def _words(cell: dict[str, Any], *without: str) -> str:
    """The overrides of a cell, as they were typed."""
    command = next(iter(cell["runs"].values()))["command"]
    return shlex.join(word for word in shlex.split(command)[2:] if word.partition("=")[0] not in ("seed", *without))


def _value(cell: dict[str, Any], quantity: str) -> float | None:
    """The median over the seeds."""
    value: float | None = cell["results"][quantity]["median"]
    return value


def _median(cell: dict[str, Any], quantity: str) -> str:
    return _number(_value(cell, quantity))


def _range(result: dict[str, Any]) -> str:
    return f"[{result['low']:.1e}, {result['high']:.1e}]" if result["count"] > 1 else NONE


def _error(cell: dict[str, Any]) -> tuple[str, str]:
    """The median and range of the error; for a cavity, of that on the centre lines."""
    lines = "centreline" in cell["results"]
    error = "centreline" if lines else "error"
    return _median(cell, error) + " on the centre lines" * lines, _range(cell["results"][error])


def _verdicts(cell: dict[str, Any]) -> str:
    """The first words of the verdicts of a cell's runs."""
    words = dict.fromkeys((run["verdict"] or NONE).partition(":")[0] for run in cell["runs"].values())
    return ", ".join(f"`{word}`" for word in words)


def _ratio(value: float | None) -> str:
    return NONE if value is None else f"{value:.2g}"


def _seeds(cell: dict[str, Any]) -> str:
    return " ".join(cell["runs"])


def _machines(report: dict[str, Any]) -> str:
    return "; ".join(dict.fromkeys(f"{run['machine']}, {run['started'][:10]}" for run in _runs(report)))


def _machine(about: dict[str, Any]) -> str:
    threads = f"{about['threads']} thread{'s' if about['threads'] > 1 else ''} on {about['cores']} cores"
    return f"{about['processor']}, {threads}, torch {about['torch']}, Python {about['python']}, {about['date']}"


def _errors(errors: dict[str, float | None]) -> str:
    values = {name: _number(value) for name, value in errors.items()}
    return next(iter(values.values()), NONE) if len(values) < 2 else _pairs(values)


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.2e}"


def _short(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:.1e}" if 0 < abs(value) < 0.01 else f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"


def _whole(value: float | None) -> str:
    return NONE if value is None else f"{value:.0f}"


def _pairs(table: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in table.items())


def main() -> int:
    """Rewrite, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if a block differs")
    check, differ = parser.parse_args().check, []
    for page in pages():
        before = page.read_text(encoding="utf-8")
        after = rewritten(before)
        if after != before:
            differ.append(str(page.relative_to(ROOT)))
            if not check:
                page.write_text(after, encoding="utf-8")
    what = "differs" if check else "rewritten"
    print("\n".join(f"{what}: {page}" for page in differ) or "all blocks are as measured")
    return 1 if check and differ else 0


if __name__ == "__main__":
    sys.exit(main())
