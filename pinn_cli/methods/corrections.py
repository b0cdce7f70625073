"""A frozen network with local features added to it, of which only a linear output layer is trained.

    u(z) = network(z) + a + C phi(z)        phi_j(z) = exp(-|A_j (z - z_j)|^2 / 2)

Each phi_j is a Gaussian about a centre z_j; 1 / A_j are its widths. What is left of the residual r of a trained network
oscillates, on short scales at a front and on long ones elsewhere. For a field that oscillates alike in all of a
neighbourhood, the gradients divided by the size have the second moments of its wave vectors k,

    mean of (grad r)(grad r)^T / mean of r^2  =  mean of k k^T  =  S

(Rice 1944, for one dimension), so that A_j = f S^1/2 about z_j makes a feature as narrow, in every direction, as the
residual is there; f is a random number between NARROWEST and WIDEST. Centres have the density of the residual's size.
The output layer is found by least squares, as that of random features is (Dong & Li 2021, arXiv:2012.02895).

    N = points   I = entries of z   K = features   D = coordinates
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pinn_cli.methods.contracts import Objective
from pinn_cli.methods.proxies import sizes
from pinn_cli.physics.points import fresh_points

WIDEST, NARROWEST = 0.1, 0.6  # A_j / S^1/2
EVENLY = 0.5  # share of the centres, and of the points about which S is measured, that lie evenly
CANDIDATES = 8192  # points at which the residual is measured
NEIGHBOURS = 24  # of a centre: the points from which its S is found
AT_ONCE = 256  # features that are computed together, and centres whose neighbours are found together


class LocalFeatures(nn.Module):
    """phi(z): (N, I) -> (N, K). Before `lead` every feature is the constant 1."""

    weight: Tensor
    bias: Tensor

    def __init__(self, count: int, inputs: int, device: torch.device | None = None, dtype: torch.dtype | None = None):
        super().__init__()
        place: Any = {"device": device, "dtype": dtype}
        self.register_buffer("weight", torch.zeros(inputs, count, inputs, **place))  # row i of every A_j
        self.register_buffer("bias", torch.zeros(inputs, count, **place))  # -A_j z_j

    def lead(self, A: Tensor, centres: Tensor) -> None:
        """Take these A (K, I, I) and centres (K, I)."""
        self.weight.copy_(A.transpose(0, 1))
        self.bias.copy_(-(A @ centres[:, :, None])[:, :, 0].T)

    def forward(self, z: Tensor) -> Tensor:
        count = self.weight.shape[1]
        parts = [slice(k, min(k + AT_ONCE, count)) for k in range(0, count, AT_ONCE)]
        return torch.cat([torch.exp(-0.5 * self._squares(z, part)) for part in parts], -1)

    def _squares(self, z: Tensor, part: slice) -> Tensor:
        """|A_j (z - z_j)|^2 (N, k) of some features."""
        turned = [nn.functional.linear(z, w[part], b[part]) for w, b in zip(self.weight, self.bias, strict=True)]
        return sum((t * t for t in turned[1:]), turned[0] * turned[0])


class Corrected(nn.Module):
    """network(z) + a + C phi(z): (N, I) -> (N, outputs). Only a and C are trained, from 0 on, beside the network."""

    def __init__(self, frozen: nn.Module, outputs: int, inputs: int, count: int):
        super().__init__()
        self.frozen = frozen.requires_grad_(False)
        like = next(frozen.parameters())
        self.features = LocalFeatures(count, inputs, device=like.device, dtype=like.dtype)
        self.output_layer = nn.Linear(count, outputs, device=like.device, dtype=like.dtype)
        nn.init.zeros_(self.output_layer.weight)
        nn.init.zeros_(self.output_layer.bias)

    def forward(self, z: Tensor) -> Tensor:
        return self.frozen(z) + self.output_layer(self.features(z))


def uncorrected(network: nn.Module) -> nn.Module:
    """The trained network below all its corrections."""
    while isinstance(network, Corrected):
        network = network.frozen
    return network


def fitted_to(network: nn.Module, state: Mapping[str, Tensor], prefix: str = "") -> nn.Module:
    """The network with the corrections that `state` has parameters of, under names that begin with `prefix`."""
    if _corrections(network.state_dict()) == _corrections(state, prefix):
        return network
    network = uncorrected(network)
    for inputs, count, outputs in reversed(_corrections(state, prefix)):
        network = Corrected(network, outputs, inputs, count)
    return network


def _corrections(state: Mapping[str, Tensor], prefix: str = "") -> list[tuple[int, int, int]]:
    """Inputs, features and outputs of every correction, the outermost first."""
    shape = getattr(state.get(f"{prefix}features.weight"), "shape", ())
    if len(shape) != 3 or not any(name.startswith(f"{prefix}frozen.") for name in state):
        return []
    return [(*shape[:2], len(state[f"{prefix}output_layer.bias"])), *_corrections(state, f"{prefix}frozen.")]


def lead_to_defect(network: Corrected, objective: Objective, generator: torch.Generator) -> None:
    """Place the features of the outermost correction where the residual of the objective is, as narrow as it is."""
    inputs: Any = objective.model.features
    centres = focused(objective, network.features.weight.shape[1], generator)
    X = focused(objective, CANDIDATES // 2, generator)
    density, second = _moments(objective, inputs, X)
    z, at = inputs(X).detach(), inputs(centres).detach()
    least = 2 / float((z.max(0).values - z.min(0).values).max())  # no feature is wider than half the domain
    S = torch.cat([_mean(density, second, torch.cdist(some, z)) for some in at.split(AT_ONCE)])
    values, vectors = torch.linalg.eigh(S)
    root = vectors @ torch.diag_embed(values.clamp_min(least**2).sqrt()) @ vectors.transpose(1, 2)
    share = torch.rand(len(root), generator=generator, dtype=torch.float64, device="cpu").to(root)
    network.features.lead((WIDEST * (NARROWEST / WIDEST) ** share)[:, None, None] * root, at)


def focused(objective: Objective, n: int, generator: torch.Generator) -> Tensor:
    """n random points (n, D) of the interior, a share of them even, the others with the density of the residual."""
    like, region = objective.parameters[0].detach(), "interior"
    X = fresh_points(objective.problem, region, max(n, CANDIDATES), generator, like)
    size = sizes(objective, _inside(objective), X).double().cpu()
    even = n if not size.any() else round(EVENLY * n)
    chosen = torch.multinomial(size, n - even, replacement=True, generator=generator) if even < n else X.new_zeros(0)
    return torch.cat([X[:even], X[chosen.long().to(X.device)]])


def _inside(objective: Objective) -> list[str]:
    return [name for name, c in objective.constraints.items() if c.region == "interior"]


@torch.enable_grad()
def _moments(objective: Objective, inputs: Callable[[Tensor], Tensor], X: Tensor) -> tuple[Tensor, Tensor]:
    """sum of w r^2 (N,) and sum of w (dr/dz)(dr/dz)^T (N, I, I) over the equations, w their base weights.

    z(X) may have more entries than X, (cos, sin) of a periodic coordinate: dr/dz lies along z's own tangents.
    """
    sums = []
    for some in X.split(AT_ONCE):
        x = some.detach().clone().requires_grad_()
        z = inputs(x)
        J = torch.stack([torch.autograd.grad(column.sum(), x, retain_graph=True)[0] for column in z.unbind(1)], 1)
        slopes = torch.linalg.pinv(J).transpose(1, 2)  # (n, I, D)
        density, second = torch.zeros_like(x[:, 0]), torch.zeros_like(J @ J.transpose(1, 2))
        for name in _inside(objective):
            r = objective.residual(name, x)
            gradient = torch.autograd.grad(r.sum(), x, allow_unused=True, materialize_grads=True)[0]
            along = (slopes @ gradient[:, :, None]).detach()
            density += (objective.base[name] * r.detach().square()).nan_to_num(0.0, 0.0)  # at a singular point
            second += (objective.base[name] * along @ along.transpose(1, 2)).nan_to_num(0.0, 0.0, 0.0)
        sums.append((density.detach(), second.detach()))
    return torch.cat([density for density, _ in sums]), torch.cat([second for _, second in sums])


def _mean(density: Tensor, second: Tensor, distance: Tensor) -> Tensor:
    """S (n, I, I) from the nearest of the points, for their distances (n, N)."""
    near = distance.topk(min(NEIGHBOURS, len(density)), largest=False).indices
    return second[near].mean(1) / density[near].mean(1).clamp_min(1e-300)[:, None, None]
