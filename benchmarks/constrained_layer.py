"""What the solver of a layer that satisfies equations takes: the solution, and its gradient.

    OMP_NUM_THREADS=1 python benchmarks/constrained_layer.py [--instances 3] [--repeats 15]

A new network of 4 x 100 with 50 outputs gives the basis functions in (0, 1)^2. There are 600 points of the equation,
101 initial values with the multiplier 20, and periodic values and slopes at 101 times, for several initial values.
`heat, one operator` has one diffusivity for all instances, `heat` and `burgers` have one for each. For each, medians of
CPU milliseconds, taken in turns: the jets that give the basis functions; the solution, without and with the graph of
its gradient; the backward passes of the solver and of the jets. `backward / forward` is that of the solver.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from step_time import machine
from torch import Tensor

from pinn_cli.derivatives.engines import Taylor
from pinn_cli.methods.architectures.mlp import MLP
from pinn_cli.methods.nonlinear_least_squares import solve
from pinn_cli.methods.pointwise_equations import PointwiseEquation

EXACT = torch.float64
NAMES = {"u": (0, 0), "u_x": (1, 0), "u_t": (0, 1), "u_xx": (2, 0)}
ENGINE = Taylor(NAMES.values())


def burgers(u: Tensor, u_x: Tensor, u_t: Tensor, u_xx: Tensor, nu: Tensor) -> Tensor:
    """u_t + u u_x - nu u_xx."""
    return u_t + u * u_x - nu * u_xx


def heat(u_t: Tensor, u_xx: Tensor, nu: Tensor) -> Tensor:
    """u_t - nu u_xx."""
    return u_t - nu * u_xx


class Layer:
    """The basis functions of one family at its points, and its equations."""

    def __init__(self, family: str, instances: int):
        torch.manual_seed(0)
        self.network = MLP(2, 50, width=100, depth=4).to(EXACT)
        random = torch.Generator().manual_seed(1)
        inside, line = torch.rand(600, 2, generator=random, dtype=EXACT), torch.linspace(0, 1, 101, dtype=EXACT)
        sides = [torch.stack(pair, 1) for pair in ((line, 0 * line), (0 * line, line), (1 + 0 * line, line))]
        self.points, self.sizes = torch.cat([inside, *sides]), [600, 101, 101, 101]
        waves = torch.stack([f(2 * torch.pi * k * line) / k**3 for k in (1, 2, 3) for f in (torch.sin, torch.cos)])
        self.start = 0.3 * torch.randn(instances, 6, generator=random, dtype=EXACT) @ waves
        nu = 0.01 * (1 + torch.rand(instances, 1, generator=random, dtype=EXACT))
        self.nu = nu[:1] if family == "heat, one operator" else nu
        self.residual, self.inside = (burgers, list(NAMES)) if family == "burgers" else (heat, ["u_t", "u_xx"])
        self.used = {"u", "u_x", *self.inside}

    def bases(self) -> dict[str, Tensor]:
        """The basis functions and their derivatives at all points, one pass of jets."""
        values = ENGINE(self.network, 2 * self.points - 1)
        return {name: values[key] for name, key in NAMES.items()}

    def equations(self, bases: dict[str, Tensor]) -> list[PointwiseEquation]:
        """The equation, the initial value, and the periodic value and slope."""
        parts = {name: B.split(self.sizes) for name, B in bases.items()}
        inside = {name: parts[name][0] for name in self.inside}
        jumps = [parts[name][2] - parts[name][3] for name in ("u", "u_x")]
        return [
            PointwiseEquation(self.residual, inside, {"nu": self.nu}),
            PointwiseEquation(lambda u, start: u - start, {"u": parts["u"][1]}, {"start": self.start}, multiplier=20.0),
            *(PointwiseEquation(lambda jump: jump, {"jump": jump}) for jump in jumps),
        ]


def measure(family: str, instances: int, repeats: int, ridge: float) -> dict[str, object]:
    """Medians of CPU milliseconds, and how the solution was found."""
    layer, times = Layer(family, instances), dict[str, list[float]]()

    def timed(name: str, work: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
        start = time.process_time()
        out = work(*arguments, **settings)
        times.setdefault(name, []).append(1e3 * (time.process_time() - start))
        return out

    for _ in range(repeats + 1):
        bases = timed("jets", layer.bases)
        leaves = {name: B.detach().requires_grad_() for name, B in bases.items()}
        inputs = [B for name, B in leaves.items() if name in layer.used]
        with torch.no_grad():
            timed("solution", solve, layer.equations(leaves), ridge=ridge)
        w, outcome = timed("solution with its graph", solve, layer.equations(leaves), ridge=ridge)
        slopes = timed("backward", torch.autograd.grad, w.square().sum(), inputs)
        w, _ = solve(layer.equations(leaves), ridge=ridge, backward="implicit_gn")
        timed("backward, implicit_gn", torch.autograd.grad, w.square().sum(), inputs)
        used = [B for name, B in bases.items() if name in layer.used]
        timed("backward of the jets", torch.autograd.backward, used, slopes)
    medians = {name: median(values[1:]) for name, values in times.items()}
    ratios = [b / f for b, f in zip(times["backward"][1:], times["solution with its graph"][1:], strict=True)]
    return {
        **medians, "backward / forward": median(ratios), "largest backward / forward": max(ratios),
        "steps": outcome.steps.tolist(), "converged": outcome.converged.tolist(),
        "condition": outcome.condition.tolist(), "residual": outcome.residual.tolist(),
    }  # fmt: skip


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--ridge", type=float, default=1e-10)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "constrained_layer.json")
    arguments = parser.parse_args()
    found = {family: measure(family, arguments.instances, arguments.repeats, arguments.ridge)
             for family in ("heat, one operator", "heat", "burgers")}  # fmt: skip
    found["machine"] = machine() | {"instances": arguments.instances, "ridge": arguments.ridge}
    print(json.dumps(found, indent=1))
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
