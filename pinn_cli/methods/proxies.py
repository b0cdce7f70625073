"""How badly the equations are satisfied at points of the interior, and random draws with the density of that.

    l(X) = sum_k w_k r_k(X)^2        w_k the base weights of the constraints there: the loss at a point

    N = points   D = coordinates
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Batch, Objective

AT_ONCE = 8192  # points at which residuals are evaluated together
IN_CACHE = 2048  # on a CPU, whose cache then holds them
Proxy = Callable[[Objective, Sequence[str], Tensor], Tensor]  # of the objective, its constraints, X (N, D) -> (N,)


@torch.no_grad()
def losses(objective: Objective, names: Sequence[str], X: Tensor) -> Tensor:
    """l (N,) over these constraints; 0 where it is not a number, and without a constraint."""
    return _ranked(torch.cat([_loss(objective, names, some) for some in _parts(X)]))


def sizes(objective: Objective, names: Sequence[str], X: Tensor) -> Tensor:
    """sqrt(l) (N,): |r| for one equation, up to a factor."""
    return losses(objective, names, X).sqrt()


@torch.enable_grad()
def slopes(objective: Objective, names: Sequence[str], X: Tensor) -> Tensor:
    """|dl/dx_1| + ... + |dl/dx_D| (N,) over these constraints; 0 where it is not a number."""

    def parts() -> Iterator[Tensor]:
        for some in _parts(X):
            x = some.detach().clone().requires_grad_()
            total = _loss(objective, names, x).sum()
            gradient = torch.autograd.grad(total, x, allow_unused=True, materialize_grads=True)[0]
            yield gradient.abs().sum(1)

    return _ranked(torch.cat(list(parts())))


def in_interior(batch: Batch, objective: Objective) -> list[list[str]]:
    """Names of the constraints in the interior, by the points of the batch that they share."""
    groups: dict[int, list[str]] = {}
    for name, X in batch.items():
        if objective.constraints[name].region == "interior":
            groups.setdefault(id(X), []).append(name)
    return list(groups.values())


def drawn(density: Tensor, n: int, generator: torch.Generator, without: Sequence[int] | Tensor = ()) -> Tensor:
    """n different indices (n,), on the CPU, drawn one after the other with probabilities in proportion to `density`.

    `density` (N,) is not below 0. Indices `without` are left out. Where fewer than n have a density above 0, the rest
    is drawn evenly from the others.
    """
    left = torch.ones(len(density), dtype=torch.float64, device="cpu")
    left[torch.as_tensor(without, dtype=torch.long, device="cpu")] = 0.0
    p = density.detach().cpu().double() * left
    p = p / p.max().clamp_min(1e-300)
    some = min(n, int((p > 0).sum()))
    chosen = torch.multinomial(p, some, generator=generator) if some else left.new_zeros(0).long()
    if n > some:
        left[chosen] = 0.0
        chosen = torch.cat([chosen, torch.multinomial(left, n - some, generator=generator)])
    return chosen


def _parts(X: Tensor) -> tuple[Tensor, ...]:
    return X.split(IN_CACHE if X.device.type == "cpu" else AT_ONCE)


def _ranked(values: Tensor) -> Tensor:
    """`values` (N,) with the largest finite one where they have overflowed, and 0 where they are not numbers."""
    largest = float(values.nan_to_num(0.0, 0.0).max()) if len(values) else 0.0
    return values.nan_to_num(0.0, largest or 1.0)


def _loss(objective: Objective, names: Sequence[str], X: Tensor) -> Tensor:
    parts = [objective.base[name] * objective.residual(name, X).square() for name in names]
    return sum(parts[1:], parts[0]) if parts else X.new_zeros(len(X))
