"""Print one run on a page: what it is, how far it has come, its errors, its times and its files."""

from argparse import ArgumentParser, Namespace


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn show`."""
    parser.add_argument("run", nargs="?", default="latest", help="a run, e.g. SWEEP/17, best (default: latest)")
    parser.add_argument("--config", action="store_true", help="print the whole configuration")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: Namespace) -> int:
    """Print the page (Raises UsageError)."""
    from pinn_cli.basics.text import as_json
    from pinn_cli.records.folder import RESULTS
    from pinn_cli.records.results import Results
    from pinn_cli.records.summary import settings
    from pinn_cli.reports import run_page
    from pinn_cli.studies.find import find

    folder = find(arguments.run)
    if arguments.config:
        print(as_json(settings(folder)) if arguments.json else Results(folder / RESULTS).read_config().rstrip())
        return 0
    facts = run_page.facts(folder)
    print(as_json(facts | {"settings": settings(folder)}) if arguments.json else run_page.text(facts))
    return 0
