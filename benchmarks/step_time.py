"""How long a training step takes, side by side in one run: compiled jets against nested autograd, LM against its GEMM.

    python benchmarks/step_time.py [--repeats 30] [--out benchmarks/results/step_time.json]

Contestants alternate; medians and ratios are kept, with the machine and the versions. Absolute times of a shared
machine prove nothing; ratios measured in one run do.

1. Loss and gradient for Helmholtz, 4x50, float32, 1,000 interior and 500 boundary points: nested reverse autograd in
   eager mode (sharing its lower derivatives), jets in eager mode, jets compiled (this package's `compile=on`).
2. An accepted Levenberg-Marquardt step (no rejection) in float64 against the Gram matrix by one GEMM plus its Cholesky
   factorization: P = 1,297 parameters (P x P) and P = 7,851 (N x N), N = 2,048 rows.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.methods.architectures.mlp import MLP
from pinn_cli.methods.architectures.modified_mlp import ModifiedMLP
from pinn_cli.methods.optimizers.levenberg_marquardt import LevenbergMarquardt
from pinn_cli.problems.helmholtz import Helmholtz
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective


def objective(network, engine, interior, wall, dtype, compiled=False):
    """Helmholtz with this network, the same points and weights for every contestant."""
    problem = Helmholtz()
    torch.manual_seed(0)
    model = Model(Features(problem.domain), network(2, 1)).to(dtype)
    out = Objective(problem, model, engine, lambda batch, residuals: {}, {"wall": 100.0}, compiled)
    generator = torch.Generator("cpu").manual_seed(1)
    unit = {"pde": torch.rand(interior, 2, generator=generator), "wall": torch.rand(wall, 2, generator=generator)}
    regions = {"pde": "interior", "wall": "boundary"}
    out.begin({name: problem.domain.sample(regions[name], u.to(dtype)) for name, u in unit.items()})
    return out


def alternate(contestants: dict[str, Callable[[], object]], repeats: int, inner: int) -> dict[str, float]:
    """Median seconds of each, taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run(), run()
    for _ in range(repeats):
        for name, run in contestants.items():
            start = time.perf_counter()
            for _ in range(inner):
                run()
            times[name].append((time.perf_counter() - start) / inner)
    return {name: median(values) for name, values in times.items()}


def first_order(network, repeats: int) -> dict[str, float]:
    """Milliseconds of loss and gradient, and how many times faster than nested autograd."""
    engines = {"nested autograd": (Autograd, False), "jets": (Taylor, False), "compiled jets": (Taylor, True)}
    contestants = {}
    for name, (engine, compiled) in engines.items():
        o = objective(network, engine, 1000, 500, torch.float32, compiled)
        contestants[name] = lambda o=o: torch.autograd.grad(o.loss(), o.parameters)
    start = time.perf_counter()
    contestants["compiled jets"]()
    compile_seconds = time.perf_counter() - start
    times = alternate(contestants, repeats, 10)
    slow = times["nested autograd"]
    return {f"{name} (ms)": 1e3 * t for name, t in times.items()} | {
        "ratio jets": slow / times["jets"],
        "ratio compiled": slow / times["compiled jets"],
        "compile (s)": compile_seconds,
    }


def levenberg_marquardt(width: int, depth: int, repeats: int) -> dict[str, float]:
    """Seconds of accepted steps and of GEMM + Cholesky of the same size, in turns."""
    o = objective(lambda i, out: MLP(i, out, width=width, depth=depth), Taylor, 1536, 512, torch.float64)
    optimizer = LevenbergMarquardt()
    for _ in range(5):
        optimizer.step(o), o.begin(o.batch)
    linear = o.linearise()
    J = linear.dense()
    small = linear.parameters <= linear.rows
    shift = torch.eye(min(J.shape), dtype=J.dtype) * J.square().sum()

    def algebra():
        gram = J.T @ J if small else J @ J.T
        return torch.linalg.cholesky_ex(gram + shift)

    steps, gemms = [], []
    while len(steps) < repeats:
        start = time.perf_counter()
        o.begin(o.batch)
        report = optimizer.step(o)
        middle = time.perf_counter()
        algebra()
        if not report.values["rejected"]:
            steps.append(middle - start)
            gemms.append(time.perf_counter() - middle)
        if report.stop:
            break
    return {
        "parameters": linear.parameters, "rows": linear.rows, "steps": len(steps), "step (ms)": 1e3 * median(steps),
        "GEMM + Cholesky (ms)": 1e3 * median(gemms), "ratio": median(steps) / median(gemms),
    }  # fmt: skip


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
    found = {
        "machine": machine(),
        "mlp 4x50": first_order(lambda i, o: MLP(i, o, width=50, depth=4), arguments.repeats),
        "modified_mlp 4x50": first_order(lambda i, o: ModifiedMLP(i, o, width=50, depth=4), arguments.repeats),
        "LM P=1.3k N=2k": levenberg_marquardt(24, 3, arguments.repeats),
        "LM P=8k N=2k": levenberg_marquardt(50, 4, max(5, arguments.repeats // 3)),
    }
    print(json.dumps(found, indent=1))
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
