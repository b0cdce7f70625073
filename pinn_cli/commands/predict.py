"""Evaluate a trained network on a grid and write the values into a file."""

import re
import sys
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from pathlib import Path
from typing import Any

from pinn_cli.basics.errors import UsageError


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn predict`."""
    parser.add_argument("run", nargs="?", default="latest", help="a run, e.g. SWEEP/17, best (default: latest)")
    parser.add_argument("parameters", nargs="*", metavar="problem.key=value",
                        help="of a family that was trained as a whole: a number, or a CSV, NPZ or HDF5 file of a field")
    parser.add_argument("--grid", metavar="200x200", required=True, help="nodes per coordinate, ends included")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="a .npz or .h5 file")
    parser.add_argument("--values", metavar="u,u_x", default="", help="also derivatives, observables, residual/NAME")
    parser.add_argument("--instance", metavar="SEED", type=int, help="of a family that was trained as a whole")
    parser.add_argument("--changed", action="store_true", help="with your files as they are now")
    parser.add_argument("--trust", action="store_true", help="run the recorded code, though it comes from elsewhere")


def run(arguments: Namespace) -> int:
    """Write the axes and an array (n1, n2, ...) per value (Raises UsageError)."""
    nodes = _nodes(arguments.grid)
    if arguments.out.suffix not in (".npz", ".h5"):
        raise UsageError(f"--out {arguments.out}: expected a file that ends in .npz or .h5")
    from pinn_cli.basics.text import scientific
    from pinn_cli.runs.load import load, unsatisfied
    from pinn_cli.studies.find import find

    words = [arguments.run, *arguments.parameters]
    named = "=" not in words[0] or Path(words[0]).exists()
    parameters = dict(_parameter(word) for word in (words[1:] if named else words))
    folder = find(words[0] if named else "latest")
    solution = load(folder, trust_source=arguments.trust, changed=arguments.changed, instance=arguments.instance)
    if parameters:
        solution = solution.with_(**parameters)
    arrays = solution.grid(nodes, [name for name in arguments.values.split(",") if name])
    held_out = {} if solution.family is None else solution.held_out()
    for note in [*solution.notes, *unsatisfied(held_out)]:
        print(f"pinn: {note}", file=sys.stderr)
    _write(arguments.out, arrays)
    print(f"{arguments.out}  {'  '.join(f'{name} {array.shape}' for name, array in arrays.items())}")
    if held_out:
        sizes = "  ".join(f"{name} {scientific(size)}" for name, size in held_out.items())
        print(f"held out  {sizes} of the largest term")
    return 0


def _parameter(word: str) -> tuple[str, Any]:
    """``problem.beta=37`` -> beta, 37; a text that is no number is the name of a file (Raises UsageError)."""
    key, _, value = word.partition("=")
    group, _, name = key.partition(".")
    if group != "problem" or not name.isidentifier() or not value:
        raise UsageError(f"`{word}`: expected a parameter of the problem, e.g. problem.beta=37 or problem.nu=nu.csv")
    if name == "seed":
        raise UsageError(f"`{word}`: type --instance {value}")
    for number in (int, float):
        with suppress(ValueError):
            return name, number(value)
    return name, value


def _nodes(text: str) -> list[int]:
    """``200x100`` -> ``[200, 100]`` (Raises UsageError)."""
    words = text.split("x")
    if not all(word.isdecimal() for word in words):
        numbers = re.findall(r"\d+", text)
        example = "x".join(numbers) if numbers and "-" not in text else "200x200"
        raise UsageError(f"--grid {text}: expected whole numbers with an x between them; type --grid {example}")
    return [int(word) for word in words]


def _write(path: Path, arrays: dict) -> None:
    if path.suffix == ".h5":
        from pinn_cli.records.results import export

        return export(path, arrays)
    import numpy as np

    try:
        return np.savez(path, **arrays)
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror}); type another --out") from error
