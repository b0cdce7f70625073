"""Which equations of flow through two materials smooth functions can satisfy: ``python benchmarks/darcy_forms.py``.

Each form of -div(nu grad u) = f is solved by the layer of `architecture=constrained` for the same waves, 10 along each
axis and field: sines for u, which meet the wall, cosines for fluxes and streamfunctions. No network is trained, so the
table compares equations alone; finite volumes on coarse grids stand beside them. It has the relative L2 error of u on
the first 4 validation instances, at the middles of 84 x 84 cells, and the mean of the factor by which u is too small or
too large.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from pinn_cli.methods.nonlinear_least_squares import solve
from pinn_cli.methods.pointwise_equations import PointwiseEquation
from pinn_cli.physics.family import Family
from pinn_cli.problems.darcy import Darcy
from pinn_cli.problems.darcy_streamfunction import DarcyStreamfunction

CELLS, WAVES, INSTANCES = 84, 10, 4
POWERS = (0.0, 0.5, 0.75, 1.0)


def waves() -> tuple[Tensor, dict[str, Tensor]]:
    """The points (N, 2), and the values and derivatives (N, P) of all waves by symbol."""
    x = (torch.arange(CELLS, dtype=torch.float64) + 0.5) / CELLS
    sines, cosines = torch.pi * torch.arange(1, WAVES + 1), torch.pi * torch.arange(WAVES)

    def of(a: Tensor, b: Tensor) -> Tensor:
        return torch.einsum("ik,jl->ijkl", a, b).reshape(CELLS**2, -1)

    s, ds = torch.sin(x[:, None] * sines), torch.cos(x[:, None] * sines) * sines
    c, dc = torch.cos(x[:, None] * cosines), -torch.sin(x[:, None] * cosines) * cosines
    dds = -s * sines**2
    bases = {"u": of(s, s), "u_x": of(ds, s), "u_y": of(s, ds), "lap_u": of(dds, s) + of(s, dds)}
    for name in ("p", "q", "psi"):
        bases |= {name: of(c, c), f"{name}_x": of(dc, c), f"{name}_y": of(c, dc)}
    return torch.cartesian_prod(x, x), bases


def pressure(problem: Family, X: Tensor, bases: Mapping[str, Tensor]) -> Tensor:
    """u (N,) of the combination that satisfies the equations of the interior best."""
    numbers = {field: k for k, field in enumerate(problem.fields)}
    given = {"x": X[:, 0], "y": X[:, 1], "nu": problem.nu(*X.T), **problem.coefficients}  # type: ignore[attr-defined]
    equations = []
    for c in problem.constraints():
        if c.region == "interior":
            own = {name: bases[name] for name in c.symbols if name in bases}
            fields = {name: numbers[name.partition("_")[0]] for name in own}
            data = {name: given[name] for name in c.symbols if name not in own}
            equations.append(PointwiseEquation(c.residual, own, data, fields))
    w, _ = solve(equations, ridge=1e-12)
    return bases["u"] @ w[0, numbers["u"]]


def without_jumps(problem: Darcy, X: Tensor, bases: Mapping[str, Tensor]) -> Tensor:
    """u (N,) by nu lap u + f = 0, which says nothing about the jumps of nu."""

    def residual(lap_u: Tensor, nu: Tensor, f: Tensor) -> Tensor:
        return nu * lap_u + f

    data = {"nu": problem.nu(*X.T), "f": problem.f}
    w, _ = solve([PointwiseEquation(residual, {"lap_u": bases["lap_u"]}, data)])
    return bases["u"] @ w[0, 0]


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    X, bases = waves()
    mixed = {power: Darcy(power=power).instances("validation", INSTANCES) for power in POWERS}
    stream = {power: DarcyStreamfunction(power=power).instances("validation", INSTANCES) for power in POWERS}
    truths = [one.reference()(X)["u"] for one in mixed[0.0]]

    def show(form: str, found: list[Tensor]) -> None:
        errors = [float((u - v).norm() / v.norm()) for u, v in zip(found, truths, strict=True)]
        factors = [float(u @ v / (v @ v)) for u, v in zip(found, truths, strict=True)]
        mean = sum(errors) / INSTANCES
        print(f"| {form} | {mean:.2%} | {max(errors):.2%} | {sum(factors) / INSTANCES:.3f} |", flush=True)

    print("| equations | error of u, mean | largest | factor |\n| --- | --- | --- | --- |")
    best = [bases["u"] @ torch.linalg.lstsq(bases["u"], v[:, None]).solution[:, 0] for v in truths]
    show("none: the best combination", best)
    show("nu lap u = -f", [without_jumps(one, X, bases) for one in mixed[0.0]])
    for nodes in (22, 43, 85):
        coarse = [replace(one.reference(), nodes=nodes)(X)["u"] for one in mixed[0.0]]
        show(f"finite volumes, {nodes} x {nodes} nodes", coarse)
    for power in POWERS:
        show(f"u, p, q, power {power:g}", [pressure(one, X, bases) for one in mixed[power]])
    for power in POWERS:
        show(f"u, psi, power {power:g}", [pressure(one, X, bases) for one in stream[power]])


if __name__ == "__main__":
    main()
