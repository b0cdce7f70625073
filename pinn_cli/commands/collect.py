"""Gather a sweep in one HDF5 file that needs nothing else: settings, configurations, histories, errors, networks."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from pinn_cli.basics.errors import UsageError, nearest

USUAL = ("config", "stages", "history", "error", "metrics", "guard", "timing", "unknowns", "seams", "network")
LARGE = ("fields", "residuals", "collocation", "diagnostics", "source")  # taken along when they are asked for


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn collect`."""
    parser.add_argument("sweep", nargs="?", default="latest", help="a sweep's folder or name (default: latest)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to (default: collected.h5 in its folder)")
    parser.add_argument("--with", metavar="GROUPS", default="", help=f"also {','.join(LARGE)}: any of them")
    parser.add_argument("--without", metavar="GROUPS", default="", help=f"leave out of {','.join(USUAL)}")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def run(arguments: Namespace) -> int:
    """Write the file and say what is in it (Raises UsageError, TrainingError)."""
    from pinn_cli.basics.text import as_json
    from pinn_cli.studies import collect as collection
    from pinn_cli.studies.find import find_sweep

    less, more = _groups(arguments.without, USUAL), _groups(getattr(arguments, "with"), LARGE)
    groups = [name for name in USUAL if name not in less] + more
    found = find_sweep(arguments.sweep)
    written = collection.write(found, arguments.out or found.folder / "collected.h5", groups)
    print(as_json(written) if arguments.json else _page(written))
    return 0


def _groups(words: str, known: tuple[str, ...]) -> list[str]:
    names = [name for name in words.split(",") if name]
    for name in names:
        if name not in known:
            raise UsageError(f"`{name}` is no group to choose here; {nearest(name, known)}")
    return names


def _page(written: dict[str, Any]) -> str:
    states = ", ".join(f"{number} {state}" for state, number in written["states"].items())
    lines = [f"{written['file']}  {written['runs']} runs, {written['bytes'] / 1e6:.1f} MB  (the sweep: {states})"]
    return "\n".join([*lines, *(f"without run {number}: {why}" for number, why in written["left_out"].items())])
