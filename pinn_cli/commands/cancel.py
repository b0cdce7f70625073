"""Stop a sweep: its runs save and can go on later; no other run starts."""

from argparse import ArgumentParser, Namespace


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn cancel`."""
    parser.add_argument("sweep", help="a sweep's folder or name, or latest")


def run(arguments: Namespace) -> int:
    """Cancel the sweep and return once its processes have ended (Raises UsageError, TrainingError)."""
    from pinn_cli.basics.text import in_shell
    from pinn_cli.studies.find import find_sweep
    from pinn_cli.studies.stop import cancel

    named = find_sweep(arguments.sweep)
    if not cancel(named):
        print(f"nothing of {named.folder} is running")
        return 0
    jobs = f" (jobs {' '.join(named.jobs)})" if named.jobs else ""
    print(f"{named.folder}{jobs} is cancelled; pinn resume {in_shell(named.folder)} goes on")
    return 0
