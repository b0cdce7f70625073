"""The trained model: input features, network, ansatz, and the unknown coefficients."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pinn_cli.methods.corrections import fitted_to
from pinn_cli.physics.ansatz import Ansatz
from pinn_cli.physics.domains.base import Domain
from pinn_cli.physics.scales import Scale
from pinn_cli.physics.unknowns import Field, Unknown, at_points
from pinn_cli.training.kept_features import KeptFeatures


class Features(nn.Module):
    """Points (N, D) -> inputs of the network: scaled coordinates, and (cos, sin) of the periodic ones.

    scaling `none`: x;  `unit`: onto [-1, 1];  `standard`: (x - mean) / deviation of uniform points, which is unit
    scaling times sqrt(3) (Wang, Teng & Perdikaris 2021 estimate both by sampling). Jets apply the chain rule. With
    `only` some coordinates, the network sees no others.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self, domain: Domain, scaling: str = "unit", periodic: Sequence[str] = (), only: Sequence[str] | None = None
    ):
        super().__init__()
        size = {"none": None, "unit": 1.0, "standard": math.sqrt(3)}[scaling]
        identity = torch.ones(domain.dimension, dtype=torch.float64, device="cpu")
        scale, shift = (identity, 0 * identity) if size is None else domain.scaling(size)
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)
        self.columns = [i for i, c in enumerate(domain.coordinates) if only is None or c in only]
        turns = {domain.coordinates.index(c): 2 * math.pi / _period(domain, c) for c in periodic}
        self.turns = {i: turn for i, turn in turns.items() if i in self.columns}
        self.outputs = len(self.columns) + len(self.turns)

    def forward(self, X: Tensor) -> Tensor:
        scaled = X * self.scale + self.shift
        if not self.turns and len(self.columns) == X.shape[1]:
            return scaled
        columns = []
        for i in self.columns:
            angle = X[:, i : i + 1] * self.turns[i] if i in self.turns else None
            columns += [scaled[:, i : i + 1]] if angle is None else [torch.cos(angle), torch.sin(angle)]
        return torch.cat(columns, -1)


def _period(domain: Domain, coordinate: str) -> float:
    low, high = domain.extent(coordinate)
    return high - low


class FieldNetwork(nn.Module):
    """An unknown field k(X): (N, D) -> (N, 1), which depends on the coordinates that its features take.

    k is the bounded value (`physics/unknowns.py`) of s = s_0 + size * network, which starts at s_0, because its last
    layer, `network.output_layer`, starts at 0.
    """

    def __init__(self, features: Features, network: nn.Module, field: Field):
        super().__init__()
        self.features, self.network, self.field, self.bound = features, network, field, field.bound
        last: Any = network.output_layer
        for parameter in last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, X: Tensor) -> Tensor:
        s = self.network(self.features(X)) * (1.0 if self.bound.bounded else self.field.size) + self.bound.free
        return self.bound.value(s)


class Model(nn.Module):
    """u(X): (N, D) -> (N, F), and the unknown coefficients. `imposed` names the constraints the ansatz makes exact.

    `unknowns` are the free numbers of the coefficients; `bounds` say how their values follow (`physics/unknowns.py`).

    With `scales` by field, u = offset + size * network; an ansatz gets size * network. Without, u is the network. The
    last fields are those of `unknown_fields`, each with a network of its own.
    """

    size: Tensor | None
    offset: Tensor | None

    def __init__(
        self,
        features: Features,
        network: nn.Module,
        unknowns: Mapping[str, float] | None = None,
        ansatz: Ansatz | None = None,
        imposed: Sequence[str] = (),
        scales: Mapping[str, Scale] | None = None,
        unknown_fields: Mapping[str, FieldNetwork] | None = None,
    ):
        super().__init__()
        for name in ("size", "offset"):
            numbers = [getattr(scale, name) for scale in (scales or {}).values()]
            column = torch.tensor(numbers, dtype=torch.float64, device="cpu") if numbers else None
            self.register_buffer(name, column)
        self.features, self.network, self.ansatz, self.imposed = features, network, ansatz, tuple(imposed)
        self.bounds = {k: v for k, v in (unknowns or {}).items() if isinstance(v, Unknown)}
        free = {k: self.bounds[k].free if k in self.bounds else float(v) for k, v in (unknowns or {}).items()}
        values = {k: torch.tensor(s, dtype=torch.float64, device="cpu") for k, s in free.items()}
        self.unknowns = nn.ParameterDict({k: nn.Parameter(v) for k, v in values.items()})
        self.unknown_fields = nn.ModuleDict(unknown_fields or {})
        self.register_load_state_dict_pre_hook(_with_corrections)

    @property
    def output_layer(self) -> list[nn.Parameter]:
        """The parameters of the last layer, in which the fields are linear; none if the network does not name it."""
        layer = getattr(self.network, "output_layer", None)
        return list(layer.parameters()) if isinstance(layer, nn.Module) else []

    @property
    def frozen(self) -> bool:
        """Whether the network is `output_layer(hidden(z))` and nothing of `hidden` is trained."""
        last = {id(p) for p in self.output_layer}
        others = any(p.requires_grad and id(p) not in last for p in self.network.parameters())
        return bool(last) and hasattr(self.network, "hidden") and not others

    def outputs(self, X: Tensor, kept: KeptFeatures | None = None) -> Tensor:
        """size * network, which an ansatz gets (N, F)."""
        network: Any = self.network
        if kept is not None and self.frozen:
            u = network.output_layer(kept(lambda X: network.hidden(self.features(X)), X))
        else:
            u = network(self.features(X))
        return u if self.size is None else u * self.size

    def forward(self, X: Tensor, kept: KeptFeatures | None = None) -> Tensor:
        """The fields (N, F); features that are not trained are `kept`."""
        u = self.outputs(X, kept)
        if self.ansatz is not None:
            u = self.ansatz(X, u, **at_points(self, len(X), getattr(X, "tape", None)))
        elif self.offset is not None:
            u = u + self.offset
        if not self.unknown_fields:
            return u
        return torch.cat([u, *(self.unknown_fields[name](X) for name in self.unknown_fields)], -1)


def _with_corrections(model: Model, state: Mapping[str, Tensor], prefix: str, *_: Any) -> None:
    """Before parameters are loaded, make room for the corrections that they have."""
    model.network = fitted_to(model.network, state, f"{prefix}network.")
