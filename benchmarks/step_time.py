"""How long the loss and its gradient take, side by side in one run: compiled jets against nested autograd.

    python benchmarks/step_time.py [--repeats 30] [--out benchmarks/results/step_time.json]

Contestants alternate on one thread; medians of processor seconds and ratios are kept, with the machine and the
versions. Absolute times of a shared machine prove nothing; ratios measured in one run do.

Helmholtz, 4x50, float32, 1,000 interior and 500 boundary points: nested reverse autograd in eager mode (sharing its
lower derivatives), jets in eager mode, jets compiled (this package's `compile=on`).
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median

import torch

from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.methods.architectures.mlp import MLP
from pinn_cli.methods.architectures.modified_mlp import ModifiedMLP
from pinn_cli.problems.helmholtz import Helmholtz
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective


def objective(network, engine, interior, wall, dtype, compiled=False):
    """Helmholtz with this network, the same points and weights for every contestant."""
    problem = Helmholtz()
    torch.manual_seed(0)
    model = Model(Features(problem.domain), network(2, 1)).to(dtype)
    out = Objective(problem, model, engine, lambda batch, residuals: {}, {"wall": 100.0})
    out.at.compiling = nullcontext if compiled else None
    generator = torch.Generator("cpu").manual_seed(1)
    unit = {"pde": torch.rand(interior, 2, generator=generator), "wall": torch.rand(wall, 2, generator=generator)}
    regions = {"pde": "interior", "wall": "boundary"}
    out.begin({name: problem.domain.sample(regions[name], u.to(dtype)) for name, u in unit.items()})
    return out


def alternate(contestants: dict[str, Callable[[], object]], repeats: int, inner: int) -> dict[str, float]:
    """Median processor seconds of each, taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run(), run()
    for _ in range(repeats):
        for name, run in contestants.items():
            start = time.process_time()
            for _ in range(inner):
                run()
            times[name].append((time.process_time() - start) / inner)
    return {name: median(values) for name, values in times.items()}


def first_order(network, repeats: int) -> dict[str, float]:
    """Milliseconds of loss and gradient, and how many times faster than nested autograd."""
    engines = {"nested autograd": (Autograd, False), "jets": (Taylor, False), "compiled jets": (Taylor, True)}
    contestants = {}
    for name, (engine, compiled) in engines.items():
        contestants[name] = objective(network, engine, 1000, 500, torch.float32, compiled).differentiated
    start = time.process_time()
    contestants["compiled jets"]()
    compile_seconds = time.process_time() - start
    times = alternate(contestants, repeats, 10)
    slow = times["nested autograd"]
    return {f"{name} (ms)": 1e3 * t for name, t in times.items()} | {
        "ratio jets": slow / times["jets"],
        "ratio compiled": slow / times["compiled jets"],
        "compile (s)": compile_seconds,
    }


def machine() -> dict[str, object]:
    """What the figures were taken on."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "",
    )
    return {
        "processor": model, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__,
        "python": platform.python_version(), "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "step_time.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = {
        "machine": machine(),
        "mlp 4x50": first_order(lambda i, o: MLP(i, o, width=50, depth=4), arguments.repeats),
        "modified_mlp 4x50": first_order(lambda i, o: ModifiedMLP(i, o, width=50, depth=4), arguments.repeats),
    }
    print(json.dumps(found, indent=1))
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
