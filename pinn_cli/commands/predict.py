"""Evaluate a trained network on a grid and write the values to a file."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from pinn_cli.basics.errors import UsageError


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn predict`."""
    parser.add_argument("run", nargs="?", default="latest", help="a run, e.g. SWEEP/17, best (default: latest)")
    parser.add_argument("--grid", metavar="200x200", required=True, help="nodes per coordinate, the boundary included")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="a .npz or .h5 file")
    parser.add_argument("--values", metavar="u,u_x", default="", help="also derivatives, observables, residual/NAME")
    parser.add_argument("--changed", action="store_true", help="even if the problem's file has changed since")


def run(arguments: Namespace) -> int:
    """Write the axes and an array (n1, n2, ...) per value (Raises UsageError)."""
    nodes = [int(word) if word.isdigit() else 0 for word in arguments.grid.split("x")]
    if arguments.out.suffix not in (".npz", ".h5"):
        raise UsageError(f"--out {arguments.out}: expected a file that ends in .npz or .h5")
    from pinn_cli import load

    found = load(arguments.run, trust_source=arguments.changed)
    arrays = found.grid(nodes, [name for name in arguments.values.split(",") if name])
    _write(arguments.out, arrays)
    print(f"{arguments.out}  {'  '.join(f'{name} {array.shape}' for name, array in arrays.items())}")
    return 0


def _write(path: Path, arrays: dict) -> None:
    if path.suffix == ".h5":
        from pinn_cli.records.results import export

        return export(path, arrays)
    import numpy as np

    try:
        return np.savez(path, **arrays)
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror}); type another --out") from error
