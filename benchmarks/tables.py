"""The measured tables of README.md and docs/, written from benchmarks/results.

    python benchmarks/tables.py            rewrite every block
    python benchmarks/tables.py --check    exit code 1 if a block is not what its results say

A block lies between `<!-- begin: NAME -->` and `<!-- end: NAME -->`; NAME is a key of BLOCKS. One whose results are
not there says so. A published table's file is what `pinn reproduce NAME --show --json` prints. No measured number is
typed by hand. The tables of docs/what_methods_see.md are written from pinn_cli/methods/contracts.py.
"""

import argparse
import ast
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pinn_cli.reports import tables as typeset
from pinn_cli.studies.published import views

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BLOCK = re.compile(r"(<!-- begin: ([\w-]+) -->\n)(.*?)(<!-- end: \2 -->)", re.DOTALL)
NONE = "–"
FAILURE_MODES = {"convection": "beta", "reaction": "rho", "reaction_diffusion": "nu"}  # and what makes them hard
Rows = Iterable[Sequence[str]]


def accuracy(found: dict[str, Any]) -> str:
    """Medians over the seeds, a row per case."""
    rows = [
        [f"`{m['words']}`" + r" \*" * (case in found["untuned"]), _errors(m["errors"]), _whole(m["seconds_to_goal"]),
         _whole(m["seconds"]), _whole(m["steps"]), _seeds(m["seeds"])]
        for case, m in found["medians"].items()
    ]  # fmt: skip
    head = ["`pinn train ...`", "relative L2 error", f"seconds to {found['goal']:.0e}", "seconds", "steps", "seeds"]
    return f"{_table(head, rows)}\n\n\\* no setting was chosen by looking at this problem\n\n{_machines(found)}"


def accuracy_runs(found: dict[str, Any]) -> str:
    """Every run."""
    head = ["command", "error", "seconds", "steps", "ended by", "verdict of the guard"]
    rows = [
        [f"`{run['command']}`", _errors(run["errors"]), _whole(run["seconds"]), str(run["steps"]), run["reason"],
         run["verdict"] or NONE]
        for run in _runs(found)
    ]  # fmt: skip
    return _table(head, rows, numbers=(1, 2, 3))


def published(found: dict[str, Any]) -> str:
    """A published table beside ours: what has been run, and what it is to be stated with."""
    return views.markdown(found, empty=False).rstrip()


def published_short(found: dict[str, Any]) -> str:
    """The numbers alone."""
    return views.tables(found, empty=False)


def published_runs(found: dict[str, Any]) -> str:
    """Every run of a published table."""
    head = ["command", *found["quantities"].values(), "seconds", "steps", "commit"]
    rows = [
        [f"`{run['command']}`", *map(_number, run["values"].values()), _whole(run["seconds"]), str(run["steps"]),
         run["commit"] or NONE]
        for cell in found["cells"].values() for run in cell["runs"].values()
    ]  # fmt: skip
    return _table(head, rows)


def lid_driven_cavity(found: dict[str, Any]) -> str:
    """Medians over the seeds, a row per case."""
    rows = [
        [f"`{m['words']}`", _number(m["metrics"]["centreline"]), _number(m["metrics"]["field_masked"]),
         _whole(m["seconds_to_goal"]), _whole(m["seconds"]), _whole(m["steps"]), _seeds(m["seeds"])]
        for m in found["medians"].values()
    ]  # fmt: skip
    goal = f"seconds to {found['goal']:.0e} on the lines"
    head = ["`pinn train ...`", "centre lines", "whole field", goal, "seconds", "steps", "seeds"]
    return f"{_table(head, rows)}\n\n{_machines(found)}"


def step_time(found: dict[str, Any]) -> str:
    """Times of a first-order step, and of a least-squares step beside its linear algebra."""
    first = {name: m for name, m in found.items() if "ratio compiled" in m}
    least = {name: m for name, m in found.items() if "GEMM + Cholesky (ms)" in m}
    head = ["loss and gradient", "nested autograd (ms)", "jets (ms)", "compiled jets (ms)", "times faster"]
    columns = ("nested autograd (ms)", "jets (ms)", "compiled jets (ms)", "ratio compiled")
    upper = _table(head, [[name, *(f"{m[c]:.3g}" for c in columns)] for name, m in first.items()])
    head = ["accepted step", "parameters", "rows", "step (ms)", "GEMM + Cholesky (ms)", "ratio"]
    columns = ("parameters", "rows", "step (ms)", "GEMM + Cholesky (ms)", "ratio")
    lower = _table(head, [[name, *(f"{m[c]:.4g}" for c in columns)] for name, m in least.items()])
    return f"{upper}\n\n{lower}\n\n{_machine(found['machine'])}"


def failure_modes(ours: dict[str, Any], *published: dict[str, Any]) -> str:
    """Plain training, curriculum and windows in time, theirs and ours, beside the default: a row per coefficient."""
    ways = ("plain", "curriculum", "windows")
    head = ["", *(f"{way}, {whose}" for way in ways for whose in ("paper", "ours")), "the default", "seconds"]
    rows = []
    for (problem, coefficient), table in zip(FAILURE_MODES.items(), published, strict=True):
        split = [(*case.rpartition("_")[::2], m) for case, m in ours["medians"].items()]
        cases = {value: m for name, value, m in split if name == problem}
        printed = [row.removeprefix(coefficient) for row in table["rows"]]
        for value in sorted({*cases, *filter(str.isdecimal, printed)}, key=int):
            cells = [table["cells"].get(f"{coefficient}{value}_{way}") for way in ways]
            m = cases.get(value, {"errors": {}, "seconds": None})
            name = f"{problem.replace('_', '-')}, {coefficient} = {value}"
            rows.append([name, *(number for cell in cells for number in _both(cell)), _errors(m["errors"]),
                         _whole(m["seconds"])])  # fmt: skip
    return f"{_table(head, rows)}\n\n{_machines(ours)}"


def _both(cell: dict[str, Any] | None) -> list[str]:
    """The paper's number and ours."""
    return [_number(cell["results"]["u"][key]) if cell else NONE for key in ("paper", "median")]


def strategies(ours: dict[str, Any]) -> str:
    """What the default does not solve in two minutes and what it does, without and with each strategy."""
    cases = {case: m for case, m in ours["medians"].items() if re.search("convection_100|reaction_20|_400", case)}
    rows = [
        [f"`{m['words']}`", _errors(m["errors"]), _spread(ours["runs"][case]), _whole(m["seconds"]), _seeds(m["seeds"])]
        for case, m in sorted(cases.items(), key=lambda entry: (entry[0].split("_")[:2], entry[1]["errors"]["u"]))
    ]
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
            needed, text = "may" if default else "must", SOURCE.splitlines()[node.lineno - 1].partition("  # ")[2]
        elif isinstance(node, ast.FunctionDef):
            marks = {ast.unparse(mark) for mark in node.decorator_list}
            words = ", ".join(argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)[1:])
            name = node.name if "property" in marks else f"{node.name}({words})"
            needed, text = "must" if "abstractmethod" in marks else "may", ast.get_docstring(node) or ""
        else:
            continue
        text = " ".join(text.split()).replace("``", "`").replace("|F|^2", "F . F")
        rows.append([f"`{name}`", text, _users(given, name)] if given else [f"`{name}`", needed, text])
    return _table(head, rows, numbers=())


def _users(variable: str, member: str) -> str:
    """The methods that use a member of the objective or of its linearisation, as `kind/file`."""
    use = re.compile(rf"\b{variable}\.{re.match('[a-zA-Z_]+', member)[0]}\b")  # type: ignore[index]
    files = sorted((ROOT / "pinn_cli" / "methods").glob("*/*.py"))
    return ", ".join(f"{f.parent.name}/{f.stem}" for f in files if use.search(f.read_text(encoding="utf-8")))


# name of a block: the files its numbers come from, what it prints, and the command that measures
Source = tuple[tuple[str, ...], Callable[..., str], str]
BLOCKS: dict[str, Source] = {
    "accuracy": (("accuracy.json",), accuracy, "python benchmarks/accuracy.py"),
    "accuracy-runs": (("accuracy.json",), accuracy_runs, "python benchmarks/accuracy.py"),
    "lid-driven-cavity": (("cavity.json",), lid_driven_cavity, "python benchmarks/cavity.py"),
    "step-time": (("step_time.json",), step_time, "python benchmarks/step_time.py"),
    "failure-modes": (
        ("failure_modes.json", *(f"failure_modes/{name}.json" for name in FAILURE_MODES)),
        failure_modes,
        "python benchmarks/failure_modes.py, pinn reproduce failure_modes/convection, and so on",
    ),
    "failure-modes-strategies": (("failure_modes.json",), strategies, "python benchmarks/failure_modes.py"),
    "failure-modes-runs": (("failure_modes.json",), accuracy_runs, "python benchmarks/failure_modes.py"),
}
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


def _runs(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [seeds[seed] for seeds in found["runs"].values() for seed in sorted(seeds, key=int)]


def _machines(found: dict[str, Any]) -> str:
    return "; ".join(dict.fromkeys(_machine(run["machine"]) for run in _runs(found)))


def _machine(about: dict[str, Any]) -> str:
    threads = f"{about['threads']} thread{'s' if about['threads'] > 1 else ''} on {about['cores']} cores"
    return f"{about['processor']}, {threads}, torch {about['torch']}, Python {about['python']}, {about['date']}"


def _errors(errors: dict[str, float | None]) -> str:
    values = {name: _number(value) for name, value in errors.items()}
    return next(iter(values.values()), NONE) if len(values) < 2 else _pairs(values)


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.2e}"


def _spread(seeds: dict[str, dict[str, Any]]) -> str:
    values = [value for run in seeds.values() for value in run["errors"].values()]
    return f"[{min(values):.1e}, {max(values):.1e}]" if len(values) > 1 else NONE


def _whole(value: float | None) -> str:
    return NONE if value is None else f"{value:.0f}"


def _pairs(table: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in table.items())


def _seeds(seeds: Sequence[int]) -> str:
    return " ".join(map(str, seeds))


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
