"""Look at a problem before training it: symbols, derivatives, and whether its own solution satisfies it."""

import json
import os
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from pinn_cli.basics.text import terminal_width, wrap

if TYPE_CHECKING:
    from pinn_cli.configuration.check import Finding, Report
    from pinn_cli.configuration.instances import Instance

OK, WARN = "\033[32mOK\033[0m", "\033[33mWARN\033[0m"  # green and yellow, on a terminal


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn check`."""
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for pinn train, e.g. problem=helmholtz")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: Namespace) -> int:
    """Print what is known of the problem before training; the exit code.

    It is 1 if something is wrong, and 0 if nothing is wrong, even where a residual could not be checked. Raises
    UsageError for a residual that cannot be trained.
    """
    from pinn_cli.configuration import project
    from pinn_cli.configuration.assemble import assemble
    from pinn_cli.configuration.check import check
    from pinn_cli.configuration.compose import read
    from pinn_cli.configuration.contradictions import refuse_contradictions
    from pinn_cli.configuration.plan import described, preview
    from pinn_cli.configuration.sources import Sources
    from pinn_cli.physics.references import reference_of

    project.enter()
    request = read(arguments.overrides)
    with Sources().active():
        parts = assemble(request.config, request.typed, request.notes)
        objective = preview(parts)
        refuse_contradictions(request.config, parts, objective, reference_of(parts.problem))
        points = {name: len(X) for name, X in objective.batch.items()}
        report = check(parts.problem, request.config.periodic)
    units = {} if parts.scales is None else objective.units
    if arguments.json:
        scales = {field: asdict(scale) for field, scale in (parts.scales or {}).items()}
        more = {"points": points, "units": units, "scales": scales, "ok": report.ok}
        print(json.dumps(asdict(report) | more, indent=2))
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        print(page(report, points, colour, terminal_width(), units, described(parts.scales or {})))
    return 0 if report.ok else 1


def page(
    report: "Report",
    points: dict[str, int],
    colour: bool = False,
    width: int | None = None,
    units: Mapping[str, float] | None = None,
    fields: Sequence[str] = (),
) -> str:
    """The report as text of this width; `colour` marks OK and WARN for a terminal.

    `units` are the natural units by constraint, `fields` describe the scale of each field.
    """
    units = units or {}
    sides = [f"{c} in [{low:g}, {high:g}]" for c, (low, high) in report.coordinates.items()]
    lines = [
        f"{report.problem}: {report.equation}",
        f"  coordinates   {', '.join(sides)}",
        f"  fields        {', '.join(fields or report.fields)}",
        f"  coefficients  {_pairs(report.coefficients)}",
        *(f"  {name:<12}  {text}" for name, text in report.coefficient_fields.items()),
        f"  unknowns      {_pairs(report.unknowns)}{' (where the search starts)' if report.unknowns else ''}",
        f"  reference     {_reference(report)}",
        *(f"                {note.partition(': ')[2]}" for note in report.coverage),
        *_family(report),
        "",
        *(row for f in report.findings for row in _finding(f, points.get(f.name), units.get(f.name))),
        *(f"WARN  {doubt}" for doubt in report.doubts),
        "OK    one number per point, no point looks at another, a field changes every residual",
        "",
        *_cost(report, points),
    ]
    text = "\n".join(row for line in lines for row in _wrapped(line, width))
    return text.replace("\nOK ", f"\n{OK} ").replace("\nWARN ", f"\n{WARN} ") if colour else text


def _wrapped(line: str, width: int | None) -> list[str]:
    """A line that is too long continues below its text, which is what follows a label and two spaces."""
    label = re.match(r" *(?:\S+(?: \S+)* {2,})?", line)
    start = len(label[0]) if label else 0
    first, *rest = wrap(line[start:], width and max(1, width - start - 2))
    return [line[:start] + first, *(" " * (start + 2) + row for row in rest)]


def _finding(finding: "Finding", points: int | None, unit: float | None) -> list[str]:
    """A line for the constraint, one for its residual, one for each warning, and one for its natural unit."""
    at = f"{points} points" if points is not None else "imposed exactly"
    head = f"{finding.name} on {finding.region}, {at}: {', '.join(finding.symbols)}"
    lines = [f"{'WARN' if finding.warnings or finding.unchecked else 'OK':<6}{head}"]
    if finding.unchecked is not None:
        lines.append(f"        not checked against the reference: {finding.unchecked}")
    if finding.residual is not None:
        what = "the measurements differ by" if finding.region == "data" else "the solution leaves"
        terms = ", ".join(f"{name} {size:.3g}" for name, size in finding.terms.items() if size)
        lines.append(f"        {what} {finding.residual:.1e} of the largest term; terms: {terms}")
    unit_line = [f"        natural unit {unit:.3g}"] if unit is not None else []
    return lines + [f"        {warning}" for warning in finding.warnings] + unit_line


def _family(report: "Report") -> list[str]:
    """The distributions of a family, the instance that is checked here, and the first ones of its sets."""
    if report.instance is None:
        return []
    rows = {
        "family": [f"{name}: {law}" for name, law in report.parameters.items()],
        "instance": [_instance(report.instance)],
        "drawn too": [_instance(one) for one in report.instances],
    }
    return [f"  {'' if k else label:<12}  {text}" for label, texts in rows.items() for k, text in enumerate(texts)]


def _instance(one: "Instance") -> str:
    return f"seed {one.seed} ({one.set}): {'; '.join(f'{name} {text}' for name, text in one.parameters.items())}"


def _cost(report: "Report", points: dict[str, int]) -> list[str]:
    """Streams by region and what a step costs, in passes of one point through the network."""
    lines = [
        f"  {s.region:<12}  {' '.join(s.derivatives):<14}  streams {s.taylor:<3} nested autograd {s.nested}"
        for s in report.streams
    ]
    rows = [(max(points.get(name, 0) for name in s.constraints), s) for s in report.streams]
    taylor, nested = sum(n * s.taylor for n, s in rows), sum(n * s.nested for n, s in rows)
    head = "derivatives (1: the value, lap: the Laplacian) and their cost in passes through the network"
    times = f"{nested / max(taylor, 1):.1f} times"
    return [head, *lines, f"  a step        {taylor} passes of one point; nested autograd {nested} ({times})"]


def _reference(report: "Report") -> str:
    if report.reference is None:
        return "none: the run will report held-out residuals instead"
    table = f" of {report.reference_points} points" if report.reference_points is not None else ""
    known = f"relative error {report.reference_error:.0e}" if report.reference_error is not None else "of unknown error"
    by_autograd = any(finding.engine == "autograd" for finding in report.findings)
    how = ", differentiated by autograd (an operation in it has no Taylor rule)" if by_autograd else ""
    return f"{report.reference}{table}, {known}{how}"


def _pairs(values: dict[str, float]) -> str:
    return ", ".join(f"{name} = {value:.6g}" for name, value in values.items()) or "none"
