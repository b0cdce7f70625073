"""Discover the equation of measured data: build the parts, choose the terms, and write the equation as a problem."""

import ast
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml

from pinn_cli.basics import safe_yaml
from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.text import in_shell
from pinn_cli.configuration.assemble import Parts, assemble
from pinn_cli.configuration.catalogue import CONF
from pinn_cli.configuration.catalogue import read as read_text
from pinn_cli.configuration.compose import read
from pinn_cli.configuration.sources import Sources
from pinn_cli.physics.domains.box import Box
from pinn_cli.physics.formulas import CONSTANTS, FUNCTIONS
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.term_library import Library
from pinn_cli.runs.job import surroundings
from pinn_cli.runs.problem_files import ProblemFiles, write_new
from pinn_cli.training.discovery import Discovered, Discovery, Equation

STANDARD = CONF / "library.yaml"
RECIPE = "recipe=discovery"
INTERVAL = 1.96  # standard errors on each side: 95 % of a normal distribution
SHOWN = 5  # other equations
NAMES = ("left", "terms")


def discover(
    words: Sequence[str],
    terms: str | None = None,
    left: str | None = None,
    choose: str = "bic",
    say: Callable[[str], None] = print,
) -> tuple[Problem, Library, Discovered]:
    """Find the equation of the measurements of the problem that these words of `pinn train` describe.

    `terms` are a YAML file with `left` and `terms`, or the terms themselves with commas between them. Raises UsageError
    for words, terms or measurements that cannot serve.
    """
    request = read([RECIPE, *words] if not any(word.startswith("recipe=") for word in words) else words)
    if request.config.processes > 1:
        raise UsageError(f"processes={request.config.processes}: discovery runs in one; type threads=2 instead")
    with surroundings(request.config), Sources().active():
        parts = assemble(request.config, request.typed, request.notes)
        written = library_of(terms)
        library = Library(left or written["left"], written["terms"], parts.problem)
        torch.manual_seed(request.config.seed)
        return parts.problem, library, _discovery(parts, library, choose, say).run()


def library_of(terms: str | None) -> dict[str, Any]:
    """The left-hand side and the terms: of a YAML file, or as typed; None: the standard library (Raises UsageError)."""
    if terms is not None and not terms.endswith((".yaml", ".yml")):
        return {"left": "u_t", "terms": [term.strip() for term in terms.split(",") if term.strip()]}
    file = STANDARD if terms is None else Path(terms)
    table = yaml.safe_load(safe_yaml.check(read_text(file), file))
    if not isinstance(table, dict) or not isinstance(table.get("terms"), list):
        raise UsageError(f"{file}: expected a table such as {{left: u_t, terms: [u*u_x, u_xx]}}")
    if odd := [name for name in table if name not in NAMES]:
        raise UsageError(f"{file}: unknown name `{odd[0]}`; expected {', '.join(NAMES)}")
    return {"left": str(table.get("left", "u_t")), "terms": [str(term) for term in table["terms"]]}


def _discovery(parts: Parts, library: Library, choose: str, say: Callable[[str], None]) -> Discovery:
    phase, *others = parts.schedule
    if others or not phase.optimizer().least_squares or phase.optimizer().output_layer_alone:
        names = ",".join(phase.name for phase in parts.schedule)
        raise UsageError(f"optimizer=[{names}]: discovery trains network and coefficients by least squares; type "
                         "optimizer=levenberg_marquardt")  # fmt: skip
    model, sampler = parts.new_models(), phase.sampler()
    return Discovery(
        parts.problem, library, model, parts.engine, phase.optimizer, sampler, choose=choose, say=say
    )


# --- the result as text -----------------------------------------------------------------------------------------------


def page(found: Discovered) -> str:
    """The equation with error bars, what else explains the data, and what may be claimed."""
    lines = [f"equation   {written(found.left, found.equation)}", ""]
    if found.equation.coefficients:
        width = max(len(text) for text in (*found.equation.coefficients, "term"))
        lines.append(f"  {'term':<{width}}  coefficient  standard error  95 % interval")
        for text, value in found.equation.coefficients.items():
            error = found.equation.errors[text]
            interval = f"{value - INTERVAL * error:.5g} to {value + INTERVAL * error:.5g}"
            lines.append(f"  {text:<{width}}  {value:>11.5g}  {error:>14.2g}  {interval}")
        lines.append("")
    lines += [
        f"left out   deviates by {found.noise:.3g} from the solution, by {found.free:.3g} from a free network",
        f"residual   {found.unexplained:.1%} of {found.left} (rms at the points of the training)",
        *(f"also       {written(found.left, other)}" for other in found.others[:SHOWN]),
        *([f"also       and {len(found.others) - SHOWN} more"] if len(found.others) > SHOWN else []),
        f"verdict    {verdict(found)}",
    ]
    return "\n".join(lines)


def verdict(found: Discovered) -> str:
    """What may be claimed, in a sentence."""
    if found.reasons:
        return f"no equation is claimed: {'; '.join(found.reasons)}"
    if len(found.others) > SHOWN:
        each = [set(e.coefficients) for e in (found.equation, *found.others)]
        common = [text for text in found.equation.coefficients if all(text in one for one in each)]
        sure = f"; {', '.join(common)} in all of them" if common else "; no term is in all of them"
        return f"the noise is too large to decide between {len(each)} equations{sure}"
    if found.others:
        return f"not decided: {len(found.others) + 1} equations explain the data equally well"
    if not found.settled:
        return "not settled: the choice of terms or a coefficient still changes as the equation counts more"
    return "these terms, and no others of the library"


def written(left: str, equation: Equation, digits: int = 5) -> str:
    """``u_t = -1.0002 u*u_x + 0.0031857 u_xx``."""
    terms = [f"{'-' if c < 0 else '+'} {abs(c):.{digits}g} {text}" for text, c in equation.coefficients.items()]
    right = " ".join(terms).removeprefix("+ ")
    return f"{left} = {('-' + right[2:]) if right.startswith('- ') else right}" if right else f"{left} = 0"


def as_table(found: Discovered) -> dict[str, Any]:
    """Plain values, for JSON."""
    return {**asdict(found), "text": written(found.left, found.equation), "verdict": verdict(found),
            "decided": found.decided}  # fmt: skip


# --- the result as a problem ------------------------------------------------------------------------------------------

PYTHON = '''"""{equation}, found by `pinn discover` in {source}."""

from dataclasses import dataclass
{imports}
from pinn_cli import Box, Problem, on


@dataclass
class {name}(Problem):
    """{equation} on {sides}.

    The measurements are its only conditions: with boundary or initial values of your own, add residuals for them.
    """

    coordinates = {coordinates}
    fields = {fields}
{coefficients}

    def __post_init__(self) -> None:
        self.domain = {domain}

    @on("interior")
    def pde(self, {symbols}):
        return {left} - ({right})
'''
YAML = """# {equation}
_target_: {target}
{coefficients}
data: {data}  # the measurements in which the equation was found
"""


def write_problem(files: ProblemFiles, problem: Problem, library: Library, found: Discovered) -> list[Path]:
    """Write the equation as a problem that can be trained, with its measurements; the paths of the files.

    Raises UsageError for an equation that is not decided, and for a domain or a coefficient that has no short form.
    """
    if not found.decided:
        raise UsageError(f"{files.python} was not written: {verdict(found)}")
    domain = problem.domain
    if type(domain) is not Box:
        raise UsageError(f"{files.python} was not written: the domain is a {type(domain).__name__}; expected a Box")
    texts = {term.text: term for term in library.terms}
    terms = [texts[text] for text in found.equation.coefficients]
    names = sorted({library.left, *(name for term in terms for name in term.names)})
    if varying := [name for name in names if name.partition("_")[0] in problem.coefficient_fields]:
        raise UsageError(f"{files.python} was not written: {varying[0]} is a coefficient field; write it yourself")
    own = {name: problem.coefficients[name] for name in names if name in problem.coefficients}
    values = {f"c{k}": c for k, c in enumerate(found.equation.coefficients.values(), 1)} | own
    sides = dict(zip(problem.coordinates, domain.extents, strict=True))
    right = " + ".join(f"c{k} * ({term.text.replace('^', '**')})" for k, term in enumerate(terms, 1))
    data, paths = _data(files, problem)
    equation = written(found.left, found.equation)
    files.write(
        PYTHON.format(
            equation=equation,
            source=data,
            imports=_imports(right),
            name=files.class_name,
            sides=" x ".join(f"[{low:.6g}, {high:.6g}]" for low, high in sides.values()),
            coordinates=_tuple(problem.coordinates),
            fields=_tuple(problem.fields),
            coefficients="\n".join(f"    {name}: float = {value!r}" for name, value in values.items()),
            domain=_box(sides, domain.time),
            symbols=", ".join([*names, *(name for name in values if name not in own)]),
            left=library.left,
            right=right,
        ),
        YAML.format(
            equation=equation,
            target=files.target,
            coefficients="\n".join(f"{name}: {value!r}" for name, value in values.items()),
            data=data,
        ),
    )
    return [files.python, files.yaml, *paths]


def _data(files: ProblemFiles, problem: Problem) -> tuple[str, list[Path]]:
    """The file with the measurements, which is written if they come from none."""
    path = getattr(getattr(problem.data_set, "columns", None), "path", "")
    if Path(str(path)).is_file():
        return str(path), []
    made, columns = Path(f"{files.name}.csv"), problem.data_columns
    rows = zip(*(torch.as_tensor(column).tolist() for column in columns.values()), strict=True)
    write_new(made, "\n".join([",".join(columns), *(",".join(map(repr, row)) for row in rows)]) + "\n")
    return str(made), [made]


def _imports(right: str) -> str:
    """The imports of the functions and constants that a formula has."""
    used = {node.id for node in ast.walk(ast.parse(right)) if isinstance(node, ast.Name)}
    rooms = {"math": sorted(used & CONSTANTS.keys()), "torch": sorted(used & FUNCTIONS.keys())}
    return "".join(f"\nfrom {room} import {', '.join(names)}\n" for room, names in rooms.items() if names)


def _tuple(names: Sequence[str]) -> str:
    quoted = [f'"{name}"' for name in names]
    return f"({', '.join(quoted)})" if len(quoted) > 1 else f"({quoted[0]},)"


def _box(sides: dict[str, tuple[float, float]], time: str | None) -> str:
    ends = ", ".join(f"{name}=({low!r}, {high!r})" for name, (low, high) in sides.items())
    return f"Box({ends})" if time == "t" else f'Box({ends}, time="{time}")'


def next_step(files: ProblemFiles) -> str:
    """What to type with the written problem."""
    return f"pinn train problem={in_shell(files.name)}"
