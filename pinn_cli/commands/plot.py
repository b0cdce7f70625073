"""Draw the figures of runs, finished or running, from their results files."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from pinn_cli.basics.errors import UsageError, nearest


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn plot`."""
    parser.add_argument("run", nargs="*", default=["latest"], help="runs, e.g. SWEEP/17, best (default: latest)")
    parser.add_argument("--only", metavar="NAMES", default="", help="e.g. losses,hessian_spectrum (default: all)")
    parser.add_argument("--format", choices=("png", "pdf", "svg", "gif"), default="png",
                        help="kind of file (default: png); gif: an animation of the figures that have one")  # fmt: skip
    parser.add_argument("--resolution", type=int, metavar="DPI", help="dots per inch (default: 200; gif: 100)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to (default: figures/ in the run folder)")


def run(arguments: Namespace) -> int:
    """Print the path of each figure drawn (Raises UsageError)."""
    from pinn_cli.reports import figures
    from pinn_cli.studies.find import find

    names, known = arguments.only.split(",") if arguments.only else None, figures.known_of(arguments.format)
    for name in names or ():
        if name not in known:
            what = "animation" if arguments.format == figures.GIF else "figure"
            raise UsageError(f"there is no {what} `{name}`; {nearest(name, known)}")
    folders = [find(word) for word in arguments.run]
    if arguments.out and len(folders) > 1:
        raise UsageError("--out takes one run; found several, whose figures would overwrite each other")
    for folder in folders:
        paths = figures.write(folder, names, arguments.format, arguments.out, arguments.resolution)
        print("\n".join(map(str, paths)) if paths else f"{folder} has nothing to draw yet")
    return 0
