"""Apply diagnostics to the network that a run has kept: print them, and write them into its results file.

With --profile, the profile likelihood of unknown coefficients instead.
"""

from argparse import ArgumentParser, Namespace
from typing import Any

from pinn_cli.records.folder import RESULTS


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn diagnose`."""
    parser.add_argument("run", help="a run, e.g. SWEEP/17, latest, best")
    parser.add_argument("words", nargs="*", metavar="NAME | NAME.key=value",
                        help="diagnostics (default: all; see pinn list diagnostics) and settings of them")  # fmt: skip
    parser.add_argument("--profile", nargs="+", metavar="UNKNOWN",
                        help="95 %% intervals of these by profile likelihood")  # fmt: skip
    parser.add_argument("--changed", action="store_true", help="with your files as they are now")
    parser.add_argument("--trust", action="store_true", help="run the recorded code, though it comes from elsewhere")


def run(arguments: Namespace) -> int:
    """Print a table for each diagnostic, or the interval of each profile; 1 where one has none (Raises UsageError)."""
    return _profile(arguments) if arguments.profile else _diagnose(arguments)


def _profile(arguments: Namespace) -> int:
    from pinn_cli.basics.errors import UsageError
    from pinn_cli.basics.text import in_shell
    from pinn_cli.runs.profile import profiles
    from pinn_cli.studies.find import find

    if arguments.words:
        raise UsageError(f"--profile takes unknowns and no diagnostics; leave out {' '.join(arguments.words)}")
    folder, without = find(arguments.run), []
    for found in profiles(folder, arguments.profile, arguments.trust, arguments.changed):
        print("\n          ".join(found.lines()), flush=True)
        without.append(bool(found.why))
    print(f"results   {folder / RESULTS}")
    if not all(without):
        print(f"next      pinn plot {in_shell(folder)} --only profiles")
    return int(any(without))


def _diagnose(arguments: Namespace) -> int:
    from pinn_cli.basics.text import in_shell
    from pinn_cli.runs.diagnose import diagnose
    from pinn_cli.studies.find import find

    folder, names = find(arguments.run), []
    for name, step, record in diagnose(folder, arguments.words, arguments.trust, arguments.changed):
        names.append(name)
        print(f"{name}, step {step}\n{_table(record)}\n")
    print(f"results   {folder / RESULTS}\nnext      pinn plot {in_shell(folder)} --only {','.join(names)}")
    return 0


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
