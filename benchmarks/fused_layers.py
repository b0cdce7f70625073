"""A compiled first-order step with its layers one by one and as one operation, side by side in one run.

    python benchmarks/fused_layers.py [--blocks 13] [--only gated] [--out benchmarks/results/fused_layers.json]

Helmholtz, four hidden layers of tanh in float32, with the step of Adam in the graph; the last rows have the gated
network (`architecture=modified_mlp`). The contestants alternate on one thread, a block of calls at a time; medians of
processor seconds and of their ratios are kept, with the machine. The last column is what the matrix products of the
hidden layers alone take in the library of torch.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

import torch
from step_time import machine, objective
from torch import Tensor, nn

from pinn_cli.derivatives import fused_layers
from pinn_cli.derivatives.engines import Taylor
from pinn_cli.methods.architectures.mlp import MLP
from pinn_cli.methods.architectures.modified_mlp import ModifiedMLP
from pinn_cli.methods.optimizers.adam import Adam

DEPTH, STREAMS = 4, 4  # of the Laplacian in two dimensions
ROWS: dict[tuple[type[nn.Module], int, int, int], int] = {  # and calls of a block
    (MLP, 128, 512, 24): 200,
    (MLP, 128, 512, 50): 100,
    (MLP, 1000, 500, 50): 40,
    (MLP, 1000, 500, 128): 10,
    (ModifiedMLP, 128, 512, 50): 60,
    (ModifiedMLP, 1000, 500, 50): 20,
}


def step(kind: type[nn.Module], interior: int, wall: int, width: int, widest: int) -> Callable[[], object]:
    """A call of Adam; layers of at most `widest` features are one operation."""
    there = objective(partial(kind, width=width, depth=DEPTH), Taylor, interior, wall, torch.float32, compiled=True)
    optimizer = Adam(1e-6)  # so that all calls do the same
    there.at.rule = optimizer.rule(there)
    before, fused_layers.WIDEST = fused_layers.WIDEST, widest
    try:
        optimizer.step(there)
    finally:
        fused_layers.WIDEST = before
    return partial(optimizer.step, there)


def products(interior: int, wall: int, width: int) -> Callable[[], None]:
    """The products of the hidden layers, forward and twice for the gradient."""
    A, W = torch.randn(STREAMS * interior + wall, width), torch.randn(width, width)
    pairs: list[tuple[Tensor, Tensor]] = [(A, W), (A, W), (A.T, A)] * (DEPTH - 1)
    outs = [torch.empty(a.shape[0], b.shape[1]) for a, b in pairs]

    def all_of_them() -> None:
        for (a, b), out in zip(pairs, outs, strict=True):
            torch.mm(a, b, out=out)

    return all_of_them


def blocks(run: Callable[[], object], calls: int) -> Iterator[float]:
    """Milliseconds of processor time of one call, a block at a time."""
    while True:
        start = time.process_time()
        for _ in range(calls):
            run()
        yield 1e3 * (time.process_time() - start) / calls


def measured(kind: type[nn.Module], interior: int, wall: int, width: int, calls: int, count: int) -> dict[str, float]:
    """Medians of one row."""
    contestants = {
        "layer by layer (ms)": step(kind, interior, wall, width, 0),
        "one operation (ms)": step(kind, interior, wall, width, fused_layers.WIDEST),
        "products alone (ms)": products(interior, wall, width),
    }
    running = [blocks(run, calls) for run in contestants.values()]
    turns = [[next(own) for own in running] for _ in range(count + 1)][1:]  # the first one is not counted
    each = dict(zip(contestants, zip(*turns, strict=True), strict=True))
    slow, fast = each["layer by layer (ms)"], each["one operation (ms)"]
    ratio = median(b / a for a, b in zip(slow, fast, strict=True))
    return {name: median(values) for name, values in each.items()} | {"ratio": ratio}


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=13)
    parser.add_argument("--only", default="", help="rows whose name has this word; the others stay as they are")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "fused_layers.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    before = json.loads(arguments.out.read_text()) if arguments.only else {}
    found: dict[str, object] = {**before, "machine": machine()}
    for (kind, interior, wall, width), calls in ROWS.items():
        name = f"{interior} points inside, {wall} on the boundary, {'gated ' * (kind is not MLP)}layers of {width}"
        if arguments.only not in name:
            continue
        found[name] = measured(kind, interior, wall, width, calls, arguments.blocks)
        print(name, found[name], flush=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
