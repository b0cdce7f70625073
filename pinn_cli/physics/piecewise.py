"""The networks of successive windows in time as one function.

Points are dealt out to the windows before anything is evaluated, so that every derivative is that of one network. At a
seam the later window counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pinn_cli.physics.problem import Problem
from pinn_cli.physics.time_window import Window, is_initial

Values = Mapping[Any, Tensor]  # (N, F) by derivative
Points = dict[str, Tensor]  # (N, D) by constraint


class Marched(nn.Module):
    """u(X): (N, D) -> (N, F) over all windows; where a run ended early, the last network stands for the time left.

    `windows` (K, 2) says where each begins and how far it was trained; `time` is the column of X that is dealt by.
    """

    windows: Tensor

    def __init__(self, pieces: Sequence[nn.Module], windows: Sequence[tuple[float, float]], time: int):
        super().__init__()
        self.pieces, self.time = nn.ModuleList(pieces), time
        self.register_buffer("windows", torch.tensor(windows, dtype=torch.float64, device="cpu"))

    @property
    def unknowns(self) -> Any:
        """The unknown coefficients as the last window has them."""
        return self.pieces[-1].unknowns

    @property
    def imposed(self) -> Sequence[str]:
        """The constraints that the first window makes exact."""
        return getattr(self.pieces[0], "imposed", ())

    def forward(self, X: Tensor) -> Tensor:
        return self.deal(lambda piece, part: {"u": piece(part)}, X)["u"]

    def deal(self, evaluate: Callable[[nn.Module, Tensor], Values], X: Tensor) -> dict[Any, Tensor]:
        """`evaluate(network, its points)` of every window, in the order of the points X (N, D)."""
        begins = self.windows[1:, 0].to(X).contiguous()
        owner = torch.bucketize(X[:, self.time].detach().contiguous(), begins, right=True)
        rows = [(owner == k).nonzero().flatten() for k in range(len(self.pieces))]
        used = [(piece, r) for piece, r in zip(self.pieces, rows, strict=True) if len(r) or not len(X)]
        found = [evaluate(piece, X[r]) for piece, r in used]
        order = torch.cat(rows).argsort()
        return {key: torch.cat([values[key] for values in found])[order] for key in found[0]}


@dataclass(frozen=True)
class Piecewise:
    """A derivatives engine for `Marched`: every network differentiated by `engine` at its own points."""

    engine: Any
    taped: bool = False  # a tape has rows for all points, or for none

    def __call__(self, wanted: Any) -> Callable[..., Values]:
        inner = self.engine(wanted)
        return lambda u, X, tape=None: u.deal(inner, X)


@dataclass(frozen=True)
class Piece:
    """A window, its network, and the sampler that holds the points drawn last."""

    window: Window
    model: nn.Module
    sampler: Any


@dataclass(frozen=True)
class Solution:
    """What a run has found so far of the `problem` on all times: the windows that are done, and the one under way."""

    problem: Problem
    pieces: Sequence[Piece]

    def model(self) -> Marched:
        """One function for all of them."""
        return _marched(self.problem, [(piece.window, piece.model) for piece in self.pieces])

    def points(self) -> Points:
        """The training points of all windows; of initial conditions those of the first."""
        joined: dict[tuple[int, ...], Tensor] = {}  # points that are shared stay shared
        out: Points = {}
        for c in self.problem.constraints():
            pieces = self.pieces[:1] if is_initial(self.problem, c) else self.pieces
            found = [piece.sampler.batch[c.name] for piece in pieces if c.name in piece.sampler.batch]
            if found:
                out[c.name] = joined.setdefault(tuple(map(id, found)), torch.cat(found))
        return out

    def seams(self) -> list[tuple[Piece, Points]]:
        """Every window after the first, and the training points of what ties it to the one before."""
        initial = [c.name for c in self.problem.constraints() if is_initial(self.problem, c)]
        return [(p, {n: p.sampler.batch[n] for n in initial if n in p.sampler.batch}) for p in self.pieces[1:]]


def shaped(problem: Problem, new_model: Callable[[Problem], nn.Module], state: Mapping[str, Tensor]) -> nn.Module:
    """A network, or those of all windows, into which the parameters by name in `state` fit."""
    if "windows" not in state:
        return new_model(problem)
    pieces: list[tuple[Window, nn.Module]] = []
    for start, end in torch.as_tensor(state["windows"]).tolist():
        window = Window(problem, start, end, pieces[-1][1] if pieces else None)
        pieces.append((window, new_model(window)))
    return _marched(problem, pieces)


def _marched(problem: Problem, pieces: Sequence[tuple[Window, nn.Module]]) -> Marched:
    assert problem.domain.time is not None
    time = problem.coordinates.index(problem.domain.time)
    return Marched([model for _, model in pieces], [(w.start, w.end) for w, _ in pieces], time)
