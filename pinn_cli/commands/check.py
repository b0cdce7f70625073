"""Look at a problem before training it: symbols, derivatives, and whether its own solution satisfies it."""

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pinn_cli.configuration.check import Finding, Report

OK, WARN = "\033[32mOK\033[0m", "\033[33mWARN\033[0m"  # green and yellow, on a terminal


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn check`."""
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for pinn train, e.g. problem=helmholtz")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: Namespace) -> int:
    """Print what there is to know of the problem; 1 if it warns. A residual that cannot be trained is a UsageError."""
    from pinn_cli.configuration import project
    from pinn_cli.configuration.assemble import assemble
    from pinn_cli.configuration.check import check
    from pinn_cli.configuration.compose import read
    from pinn_cli.configuration.plan import preview

    project.enter()
    request = read(arguments.overrides)
    parts = assemble(request.config, request.typed, request.notes)
    report = check(parts.problem)
    points = {name: len(X) for name, X in preview(parts).batch.items()}
    if arguments.json:
        print(json.dumps(asdict(report) | {"points": points, "ok": report.ok}, indent=2))
    else:
        print(page(report, points, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
    return 0 if report.ok else 1


def page(report: "Report", points: dict[str, int], colour: bool = False) -> str:
    """The report as text; `colour` marks OK and WARN for a terminal."""
    sides = [f"{c} in [{low:g}, {high:g}]" for c, (low, high) in report.coordinates.items()]
    lines = [
        f"{report.problem}: {report.equation}",
        f"  coordinates   {', '.join(sides)}",
        f"  fields        {', '.join(report.fields)}",
        f"  coefficients  {_pairs(report.coefficients)}",
        f"  unknowns      {_pairs(report.unknowns)}{' (where the search starts)' if report.unknowns else ''}",
        f"  reference     {_reference(report)}",
        "",
        *(line for finding in report.findings for line in _finding(finding, points.get(finding.name))),
        "OK    one number per point, no point looks at another, a field changes every residual",
        "",
        *_cost(report, points),
    ]
    text = "\n".join(lines)
    return text.replace("\nOK ", f"\n{OK} ").replace("\nWARN ", f"\n{WARN} ") if colour else text


def _finding(finding: "Finding", points: int | None) -> list[str]:
    """One line on what a constraint is, one on each thing found."""
    at = f"{points} points" if points is not None else "imposed exactly"
    head = f"{finding.name} on {finding.region}, {at}: {', '.join(finding.symbols)}"
    lines = [f"{'WARN' if finding.warnings else 'OK':<6}{head}"]
    if finding.residual is not None:
        what = "the measurements differ by" if finding.region == "data" else "the solution leaves"
        terms = ", ".join(f"{name} {size:.3g}" for name, size in finding.terms.items() if size)
        lines.append(f"        {what} {finding.residual:.1e} of the largest term; terms: {terms}")
    return lines + [f"        {warning}" for warning in finding.warnings]


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
    known = f"relative error {report.reference_error:.0e}" if report.reference_error is not None else "of unknown error"
    engines = {finding.engine for finding in report.findings}
    how = {None: "; it cannot be differentiated, so residuals are not checked", "taylor": ""}
    worst = "autograd" if "autograd" in engines else engines.pop()
    by_autograd = ", differentiated by autograd (an operation in it has no Taylor rule)"
    return f"{report.reference}, {known}{how.get(worst, by_autograd)}"


def _pairs(values: dict[str, float]) -> str:
    return ", ".join(f"{name} = {value:.6g}" for name, value in values.items()) or "none"
