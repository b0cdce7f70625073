"""What a least-squares step costs in memory and time, known before the first one is made."""

import time
from dataclasses import dataclass

import torch

from pinn_cli.basics.errors import MachineError
from pinn_cli.basics.memory import free_memory

PROBE = 512  # side of the product that is timed
SLOW = 10.0  # seconds a step above which another way is offered


@dataclass(frozen=True)
class Cost:
    """A step that forms and factors an n x n matrix, n the smaller of parameters and residuals."""

    parameters: int
    rows: int
    memory: float  # bytes of the matrix and its factor
    seconds: float

    def __str__(self) -> str:
        side = min(self.parameters, self.rows)
        space = "parameters" if self.parameters <= self.rows else "residuals"
        return f"{side} x {side} matrix of {space}, {self.memory / 1e9:.2g} GB, about {self.seconds:.2g} s a step"


def cost(parameters: int, rows: int, dtype: torch.dtype, device: torch.device) -> Cost:
    """The matrix takes P M n operations (one triangle), its Cholesky factor n^3 / 3; at the rate measured here."""
    n = min(parameters, rows)
    operations = parameters * rows * n + n**3 / 3
    return Cost(parameters, rows, 2 * n * n * dtype.itemsize, operations / _rate(dtype, device))


def refuse_too_large(found: Cost, device: torch.device) -> None:
    """Refuse a matrix that does not fit the memory that is free (MachineError)."""
    free = free_memory(device)
    if free is not None and found.memory > 0.9 * free:
        raise MachineError(
            f"the least-squares step needs a {found}, and {free / 1e9:.2g} GB are free; type a smaller "
            "architecture.width, fewer points.interior, or optimizer=lbfgs"
        )


def _rate(dtype: torch.dtype, device: torch.device) -> float:
    """Operations per second of a matrix product, the better of two."""
    A = torch.ones(PROBE, PROBE, dtype=dtype, device=device)
    times = []
    for _ in range(2):
        start = time.perf_counter()
        float((A @ A)[0, 0])
        times.append(time.perf_counter() - start)
    return 2 * PROBE**3 / min(times)
