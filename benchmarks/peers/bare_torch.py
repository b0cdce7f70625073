"""The loop that one writes by hand in torch: nested autograd, new uniform points for each step, Adam."""

from collections.abc import Callable
from itertools import pairwise

import torch
from cases import Case, Face
from torch import Tensor, nn


class Derivatives:
    """d(field, *axes) of a network at points X (N, D), by nested reverse mode; each derivative is computed once."""

    def __init__(self, network: nn.Module, X: Tensor) -> None:
        self.x = [column.requires_grad_() for column in X.split(1, 1)]
        u = network(torch.cat(self.x, 1))
        self.known: dict[tuple[int, ...], Tensor] = {(i,): u[:, i : i + 1] for i in range(u.shape[1])}

    def __call__(self, *key: int) -> Tensor:
        if key not in self.known:
            before = self(*key[:-1])
            (self.known[key],) = torch.autograd.grad(before.sum(), self.x[key[-1]], create_graph=True)
        return self.known[key]


def mlp(width: int, depth: int, fields: int, dtype: torch.dtype) -> nn.Module:
    sizes = [2] + [width] * depth
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.Tanh()]
    network = nn.Sequential(*layers, nn.Linear(width, fields)).to(dtype)
    for layer in network:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return network


def loop(case: Case, points: int, face: int, width: int, depth: int, dtype: str) -> Callable[[int], None]:
    """Takes a number of whole training steps."""
    kind = getattr(torch, dtype)
    torch.manual_seed(0)
    network = mlp(width, depth, case.fields, kind)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    low, high = torch.tensor(case.low, dtype=kind), torch.tensor(case.high, dtype=kind)
    corner = low[None]

    def uniform(n: int) -> Tensor:
        return low + (high - low) * torch.rand(n, 2, dtype=kind)

    def on(where: Face) -> Tensor:
        X = uniform(face * len(where.sides))
        for k, (axis, end) in enumerate(where.sides):
            X[k * face : (k + 1) * face, axis] = end
        return X

    def loss() -> Tensor:
        d = Derivatives(network, uniform(points))
        total = sum(equation(torch, d.x, d).square().mean() for equation in case.equations)
        for where in case.faces:
            d = Derivatives(network, on(where))
            for c in where.conditions:
                total = total + (d(c.field, *c.axes) - c.target(torch, d.x)).square().mean()
        if case.pin is not None:
            total = total + network(corner)[:, case.pin].square().mean()
        return total

    def steps(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()

    return steps
