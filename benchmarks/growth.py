"""How the cost of a step grows with points, rows, width and the order of derivatives, beside what is foreseen.

    taskset -c 0 python benchmarks/growth.py            measure, keep, and draw docs/figures/growth.png
    python benchmarks/growth.py --draw                  draw what was kept

A step is the loss with its gradient for Helmholtz with 4 x 50 tanh in float32, or a step of Levenberg-Marquardt, 3 x 24
in float64, that was accepted at the first trial. Times are processor seconds on one thread, medians. What is foreseen:

    first order            the products of the hidden layers alone, for each stream: forward, and twice back
    Levenberg-Marquardt    M P^2 + P^3 / 3 operations, M rows and P parameters
    memory                 what the plan of a run says: the bytes at 16 points, in proportion

Operations become seconds by the rate of one product of 1,500 x 1,500 matrices in the same precision.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from step_time import machine, objective

from pinn_cli.basics.memory import measured
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.methods.architectures.mlp import MLP
from pinn_cli.methods.optimizers.levenberg_marquardt import LevenbergMarquardt
from pinn_cli.reports.figures.style import PALETTE, style

ROOT = Path(__file__).resolve().parents[1]
RESULTS, FIGURE = ROOT / "benchmarks" / "results" / "growth.json", ROOT / "docs" / "figures" / "growth.png"
POINTS = (100, 300, 1000, 3000, 10_000, 30_000, 100_000)
ROWS = (300, 1000, 3000, 10_000, 30_000)
WIDTHS = (16, 32, 64, 128, 256, 512)
ORDERS = range(1, 5)  # of derivatives: jets go to 4
STREAMS = 4  # of Helmholtz: u, u_x, u_y, lap_u
DEPTH, WIDTH = 4, 50
PROBE = 16  # points at which the plan measures the memory
JETS, COMPILED, NESTING, FORESEEN, MEASURED = "jets", "jets, compiled", "nested autograd", "foreseen", "measured"
LOOKS: dict[str, dict[str, Any]] = {
    **{name: {"color": colour, "marker": "o", "ms": 3}
       for name, colour in zip((JETS, COMPILED, NESTING, MEASURED), PALETTE, strict=False)},
    FORESEEN: {"color": "black", "lw": 0.8, "ls": "--"},
}  # fmt: skip
PANELS = {  # what a panel shows, and its unit
    "points": ("ms, loss and gradient", 1e3), "rows": ("ms, Levenberg-Marquardt", 1e3),
    "memory": ("MB, loss and gradient", 1e-6), "width": ("ms, 1,000 points", 1e3),
    "order": ("ms, 1,000 points, one dimension", 1e3),
}  # fmt: skip
Panel = tuple[list[int], dict[str, list[float]]]  # abscissas, and the curves by name


def seconds(work: Callable[[], object], least: float = 1.0) -> float:
    """Processor seconds of a call: the median over at least five calls, and over a second."""
    work()
    times: list[float] = []
    while len(times) < 5 or sum(times) < least:
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return median(times)


def rate(dtype: torch.dtype) -> float:
    """Operations per second of one product of large square matrices."""
    A = torch.randn(1500, 1500, dtype=dtype, generator=torch.Generator().manual_seed(0))
    return 2 * 1500**3 / seconds(lambda: A @ A)


def products(points: int, streams: int, width: int = WIDTH) -> float:
    """Operations of the products of the hidden layers, forward and twice back, for this many streams."""
    return 3 * 2 * points * streams * (DEPTH - 1) * width**2


def step(points: int, width: int = WIDTH, compiled: bool = False) -> Callable[[], object]:
    """The loss of Helmholtz with its gradient."""
    network = partial(MLP, width=width, depth=DEPTH)
    return objective(network, Taylor, points, 4, torch.float32, compiled).differentiated


def of_points(peak: float) -> Panel:
    """Seconds by points, eager and compiled."""
    return list(POINTS), {
        JETS: [seconds(step(n)) for n in POINTS],
        COMPILED: [seconds(step(n, compiled=True)) for n in POINTS],
        FORESEEN: [products(n, STREAMS) / peak for n in POINTS],
    }


def of_memory() -> Panel:
    """Bytes of a step by points, and in proportion to those at a few."""
    few, *peaks = [measured(step(n))[0] for n in (PROBE, *POINTS)]
    return list(POINTS), {MEASURED: list(map(float, peaks)), FORESEEN: [few / PROBE * n for n in POINTS]}


def of_width(peak: float) -> Panel:
    """Seconds by width."""
    return list(WIDTHS), {
        JETS: [seconds(step(1000, width)) for width in WIDTHS],
        FORESEEN: [products(1000, STREAMS, width) / peak for width in WIDTHS],
    }


def of_rows(peak: float) -> Panel:
    """Seconds of an accepted step of Levenberg-Marquardt by rows."""
    sizes, times = zip(*map(least_squares, ROWS), strict=True)
    operations = [M * P**2 + P**3 / 3 for M, P in ((max(size), min(size)) for size in sizes)]
    return [rows for rows, _ in sizes], {MEASURED: list(times), FORESEEN: [n / peak for n in operations]}


def least_squares(points: int) -> tuple[tuple[int, int], float]:
    """Rows and parameters, and the seconds of a step that was accepted at the first trial."""
    o = objective(partial(MLP, width=24, depth=3), Taylor, points, 64, torch.float64)
    optimizer, times = LevenbergMarquardt(), []
    while len(times) < 5:
        start = time.process_time()
        report = optimizer.step(o)
        if not report.values["rejected"]:
            times.append(time.process_time() - start)
    return (sum(map(len, o.batch.values())), o.columns[-1].stop), median(times)


def of_order(peak: float) -> Panel:
    """Seconds of the mean square of the m-th derivative with its gradient: jets and nested autograd."""
    torch.manual_seed(0)
    network = MLP(1, 1, width=WIDTH, depth=DEPTH)
    X = torch.rand(1000, 1, generator=torch.Generator().manual_seed(1))

    def squares(engine: Any, m: int) -> Callable[[], object]:
        at, parameters = engine([(m,)]), list(network.parameters())
        return lambda: torch.autograd.grad(at(network, X)[m,].square().mean(), parameters, allow_unused=True)

    return list(ORDERS), {
        JETS: [seconds(squares(Taylor, m)) for m in ORDERS],
        NESTING: [seconds(squares(Autograd, m)) for m in ORDERS],
        FORESEEN: [products(1000, m + 1) / peak for m in ORDERS],
    }


def draw(found: dict[str, Any]) -> None:
    """A panel for each; what is foreseen is the dashed line."""
    with style():
        figure = Figure(figsize=(9.0, 5.2), layout="constrained")
        for place, (name, (title, unit)) in enumerate(PANELS.items(), 1):
            axes, (x, curves) = figure.add_subplot(2, 3, place), found[name]
            for curve, numbers in curves.items():
                axes.plot(x[: len(numbers)], [unit * y for y in numbers], label=curve, **LOOKS[curve])
            axes.set_yscale("log")
            if name != "order":
                axes.set_xscale("log")
                axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_xlabel({"memory": "points", "order": "order of the derivative"}.get(name, name))
            axes.set_title(title, loc="left")
            axes.legend(handlelength=1.6)
        figure.savefig(FIGURE, dpi=160)


def main() -> None:
    """Measure, print, keep, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", action="store_true", help="only draw what was kept")
    if not parser.parse_args().draw:
        torch.set_num_threads(1)
        single, double = rate(torch.float32), rate(torch.float64)
        found = {
            "points": of_points(single), "rows": of_rows(double), "memory": of_memory(), "width": of_width(single),
            "order": of_order(single), "machine": machine(),
        }  # fmt: skip
        RESULTS.write_text(json.dumps(found) + "\n")
    draw(json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    main()
