"""Write a sweep into one HDF5 file: settings, configurations, histories, errors, networks."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from pinn_cli.basics.errors import UsageError, nearest

USUAL = (
    "config", "stages", "history", "error", "error_estimate", "metrics", "guard", "timing", "unknowns",
    "unknown_fields", "seams", "network",
)  # fmt: skip
LARGE = ("fields", "residuals", "collocation", "diagnostics", "source")  # only with --with


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn collect`."""
    parser.add_argument("sweep", nargs="?", default="latest", help="a sweep's folder or name (default: latest)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to (default: collected.h5 in its folder)")
    parser.add_argument("--with", metavar="GROUPS", default="", help=f"also some of {','.join(LARGE)}")
    parser.add_argument("--without", metavar="GROUPS", default="", help=f"leave out some of {','.join(USUAL)}")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def run(arguments: Namespace) -> int:
    """Write the file and print a summary (Raises UsageError, TrainingError)."""
    from pinn_cli.basics.text import as_json
    from pinn_cli.studies import collect
    from pinn_cli.studies.find import find_sweep

    less, more = _groups(arguments.without, USUAL), _groups(getattr(arguments, "with"), LARGE)
    groups = [name for name in USUAL if name not in less] + more
    sweep = find_sweep(arguments.sweep)
    written = collect.write(sweep, arguments.out or sweep.folder / "collected.h5", groups)
    print(as_json(written) if arguments.json else _page(written))
    return 0


def _groups(words: str, known: tuple[str, ...]) -> list[str]:
    names = [name for name in words.split(",") if name]
    for name in names:
        if name not in known:
            raise UsageError(f"`{name}` cannot be chosen here; {nearest(name, known)}")
    return names


def _page(written: dict[str, Any]) -> str:
    states = ", ".join(f"{number} {state}" for state, number in written["states"].items())
    lines = [f"{written['file']}  {written['runs']} runs, {written['bytes'] / 1e6:.1f} MB  (the sweep: {states})"]
    return "\n".join([*lines, *(f"without run {number}: {why}" for number, why in written["left_out"].items())])
