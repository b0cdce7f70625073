"""Find the equation behind noisy measurements: which terms of a library it has, with error bars."""

import json
import sys
from argparse import ArgumentParser, Namespace
from functools import partial


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn discover`."""
    parser.add_argument("overrides", nargs="*", metavar="key=value",
                        help="as for pinn train, e.g. problem=burgers problem.data=probe.csv")  # fmt: skip
    parser.add_argument("--terms", metavar="FILE.yaml | u*u_x,u_xx", help="the library (default: conf/library.yaml)")
    parser.add_argument("--left", metavar="u_t", help="the left-hand side, a derivative in time")
    parser.add_argument("--choose", choices=["bic", "cross_validation"], default="bic", help="how terms are chosen")
    parser.add_argument("--write", metavar="NAME", help="write the equation as a problem, problem=NAME")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: Namespace) -> int:
    """Print the equation; the exit code, 0 if one equation is claimed and else 1 (Raises UsageError)."""
    from pinn_cli.configuration import project
    from pinn_cli.runs.discover import as_table, discover, next_step, page, write_problem
    from pinn_cli.runs.problem_files import ProblemFiles

    project.enter()
    files = ProblemFiles(arguments.write) if arguments.write else None
    tell = partial(print, file=sys.stderr)
    problem, library, found = discover(
        arguments.overrides, arguments.terms, arguments.left, arguments.choose, tell
    )
    print(json.dumps(as_table(found), indent=2) if arguments.json else page(found))
    if files is not None:
        paths = write_problem(files, problem, library, found)
        if not arguments.json:
            print(f"written    {', '.join(map(str, paths))}\nnext       {next_step(files)}")
    return 0 if found.decided else 1
