"""The networks of successive windows in time as one function.

The points are split by window before anything is evaluated, so that every derivative is that of a single network. A
point on a seam belongs to the later window.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pinn_cli.physics.problem import Problem
from pinn_cli.physics.time_window import Window, is_initial
from pinn_cli.physics.unknowns import values_of

Values = Mapping[Any, Tensor]  # (N, F) by derivative
Points = dict[str, Tensor]  # (N, D) by constraint


class Marched(nn.Module):
    """u(X): (N, D) -> (N, F) over all windows. After the last trained window its network is extrapolated.

    `windows` (K, 2): the time where each begins, and up to which it was trained. `time`: the column of time in X.
    """

    windows: Tensor

    def __init__(self, pieces: Sequence[nn.Module], windows: Sequence[tuple[float, float]], time: int):
        super().__init__()
        self.pieces, self.time = nn.ModuleList(pieces), time
        self.register_buffer("windows", torch.tensor(windows, dtype=torch.float64, device="cpu"))

    @property
    def unknowns(self) -> dict[str, Tensor]:
        """One value of each unknown coefficient: the mean of its values in all windows, weighted by their lengths.

        The values of the windows should agree. If they do not, the equation with the mean is not satisfied anywhere.
        """
        begins = self.windows[:, 0]
        lengths = torch.diff(begins, append=self.windows[-1:, 1])
        return {k: ((v * lengths).sum() / lengths.sum()).to(v) for k, v in self.window_unknowns.items()}

    @property
    def window_unknowns(self) -> dict[str, Tensor]:
        """The values (K,) of each unknown coefficient in the windows."""
        each = [values_of(piece) for piece in self.pieces]
        return {name: torch.stack([values[name].detach() for values in each]) for name in each[0]}

    @property
    def imposed(self) -> Sequence[str]:
        """The constraints that the first window imposes exactly."""
        return getattr(self.pieces[0], "imposed", ())

    def forward(self, X: Tensor) -> Tensor:
        return self.deal(lambda piece, part: {"u": piece(part)}, X)["u"]

    def deal(self, evaluate: Callable[[nn.Module, Tensor], Values], X: Tensor) -> dict[Any, Tensor]:
        """Call `evaluate(network, points)` for every window; the values are in the order of the points X (N, D)."""
        begins = self.windows[1:, 0].to(X).contiguous()
        owner = torch.bucketize(X[:, self.time].detach().contiguous(), begins, right=True)
        rows = [(owner == k).nonzero().flatten() for k in range(len(self.pieces))]
        used = [(piece, r) for piece, r in zip(self.pieces, rows, strict=True) if len(r) or not len(X)]
        values = [evaluate(piece, X[r]) for piece, r in used]
        order = torch.cat(rows).argsort()
        return {key: torch.cat([part[key] for part in values])[order] for key in values[0]}


@dataclass(frozen=True)
class Piecewise:
    """A derivatives engine for `Marched`: `engine` differentiates every network at its own points."""

    engine: Any
    taped: bool = False  # a tape would need rows for all points, and each network has only its own

    def __call__(self, wanted: Any) -> Callable[..., Values]:
        inner = self.engine(wanted)
        return lambda u, X, tape=None: u.deal(inner, X)


@dataclass(frozen=True)
class Piece:
    """A window, its network, and the sampler with the points drawn last."""

    window: Window
    model: nn.Module
    sampler: Any


@dataclass(frozen=True)
class Solution:
    """The solution of a `problem` so far: the windows that are trained, and the one in training."""

    problem: Problem
    pieces: Sequence[Piece]

    def model(self) -> Marched:
        """The networks as one function."""
        return _marched(self.problem, [(piece.window, piece.model) for piece in self.pieces])

    def points(self) -> Points:
        """The training points of all windows; for initial conditions those of the first window."""
        joined: dict[tuple[int, ...], Tensor] = {}  # constraints that share their points share the joined tensor too
        out: Points = {}
        for c in self.problem.constraints():
            pieces = self.pieces[:1] if is_initial(self.problem, c) else self.pieces
            batches = [piece.sampler.batch[c.name] for piece in pieces if c.name in piece.sampler.batch]
            if batches:
                out[c.name] = joined.setdefault(tuple(map(id, batches)), torch.cat(batches))
        return out


def shaped(problem: Problem, new_model: Callable[[Problem], nn.Module], state: Mapping[str, Tensor]) -> nn.Module:
    """A model that the parameters in `state` fit into: one network, or the networks of all windows."""
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
