"""What differs between two runs: settings, source text, data files, device, threads and versions."""

from argparse import ArgumentParser, Namespace


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn diff`."""
    parser.add_argument("run", nargs=2, help="a run, e.g. SWEEP/17, latest, best")
    parser.add_argument("--json", action="store_true", help="print JSON; `equal` says whether nothing differs")


def run(arguments: Namespace) -> int:
    """Print the differences. The exit code is 0 whether there are some or not: 1 is for a run that failed."""
    from pinn_cli.basics.text import as_json, terminal_width
    from pinn_cli.studies.diff import diff, text
    from pinn_cli.studies.find import find

    found = diff(*map(find, arguments.run))
    print(as_json(found) if arguments.json else text(found, terminal_width()))
    return 0
