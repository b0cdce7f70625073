"""Train one window in time after the other; each network continues the solution of the window before.

Sequence-to-sequence learning of Krishnapriyan, Gholami, Zhe, Kirby & Mahoney (2021, arXiv:2109.01050).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil

from torch import nn

from pinn_cli.methods.contracts import NewModel, Stage, Strategy
from pinn_cli.methods.strategies.continuation import with_parameters
from pinn_cli.methods.strategies.pseudo_time import Step
from pinn_cli.physics.piecewise import Piece, Solution
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.time_window import Window, refuse_unsliceable

SHARE = "share"
STARTS, POINTS = ("warm", "fresh"), ("each", "total")
Span = tuple[float, float]


@dataclass
class TimeMarching(Strategy):
    """Train `inner` on each of `windows` equal slices of time, or on slices of this `length`.

    start     `warm`: a network starts from the parameters of the window before; `fresh`: from new initial values.
              Unknown coefficients always keep their values
    overlap   each window is trained for this much time beyond its end; the next one begins at the end
    points    `each`: every window has the points of the whole problem; `total`: the windows share them by length,
              except those of initial conditions and seams
    steps     `share`: an equal share of the steps and seconds of the run for every window, twice that for the first,
              which has no network to start from; a number: at most so many; None: until its optimizer stops

    `stop.loss` and `stop.error` end a window, and the run only in the last window. Raises ValueError, before the first
    stage, for a problem or settings that cannot be divided into windows.
    """

    inner: Strategy
    windows: int | None = None
    length: float | None = None
    start: str = "warm"
    overlap: float = 0.0
    points: str = "each"
    steps: int | str | None = SHARE

    def __call__(self, problem: Problem, new_model: NewModel) -> Iterator[Stage]:
        spans = self._spans(problem)
        done: list[Piece] = []
        for start, end in spans:
            before = done[-1].model if done else None
            window = Window(problem, start, end, before, self._part(problem, start, end))
            last, own = len(done) + 1 == len(spans), 0
            for stage in self.inner(window, self._continued(new_model, before)):
                piece = Piece(window, stage.model, stage.sampler)
                own += stage.steps or 0
                yield replace(
                    stage,
                    name=f"{window}: {stage.name}",
                    steps=self._steps if stage.steps is None else stage.steps,
                    share=self._share(len(done), len(spans)),
                    reserved=own * (len(spans) - len(done) - 1),
                    underway=stage.underway or not last,
                    solution=Solution(problem, [*done, piece]),
                )
            done.append(piece)

    def _continued(self, new_model: NewModel, before: nn.Module | None) -> NewModel:
        def make(window: Problem) -> nn.Module:
            model = new_model(window)
            _refuse_imposed_beginning(window, model)
            return model if before is None else with_parameters(model, before, network=self.start == "warm")

        return make

    @property
    def _steps(self) -> int | None:
        return None if isinstance(self.steps, str) else self.steps

    def _share(self, window: int, windows: int) -> float:
        """The share of this window in what it and those after it have left."""
        if self.steps != SHARE:
            return 1.0
        return 1 / (windows - window) if window else 2 / (windows + 1)

    def _part(self, problem: Problem, start: float, end: float) -> float:
        low, high = _axis(problem)
        return 1.0 if self.points == "each" else (end - start) / (high - low)

    def _spans(self, problem: Problem) -> list[Span]:
        """Where each window begins, and how far it is trained. Raises ValueError if there are no such windows."""
        self._check(problem)
        low, high = _axis(problem)
        count = self.windows or max(1, ceil((high - low) / self.length - 1e-9))  # type: ignore[operator]
        length = self.length or (high - low) / count
        starts = [low + k * length for k in range(count)]
        spans = [(a, min(b + self.overlap, high)) for a, b in zip(starts, [*starts[1:], high], strict=True)]
        _refuse_unmeasured(problem, spans)
        return spans

    def _check(self, problem: Problem) -> None:
        if isinstance(problem, Step):
            raise ValueError("strategy=[pseudo_time,time_marching]: type strategy=[time_marching,pseudo_time]")
        refuse_unsliceable(problem)
        if (self.windows is None) == (self.length is None):
            found = f"windows={self.windows}, length={self.length}"
            raise ValueError(f"strategy.time_marching: found {found}; type one of them, e.g. windows=10")
        known = {"start": STARTS, "points": POINTS}
        for name, choices in known.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{_typed(self, name)}: expected one of {', '.join(choices)}")
        if self.steps not in (SHARE, None) and not (isinstance(self.steps, int) and self.steps > 0):
            raise ValueError(f"{_typed(self, 'steps')}: expected {SHARE}, a whole number above 0, or null")
        low, high = _axis(problem)
        if self.windows is not None and (not isinstance(self.windows, int) or self.windows < 1):
            raise ValueError(f"{_typed(self, 'windows')}: expected a whole number above 0")
        if self.length is not None and not 0 < self.length <= high - low:
            raise ValueError(f"{_typed(self, 'length')}: expected more than 0 and at most {high - low:g}, all the time")
        if not 0 <= self.overlap < high - low:
            raise ValueError(f"{_typed(self, 'overlap')}: expected at least 0 and less than {high - low:g}")


def _axis(problem: Problem) -> Span:
    assert problem.domain.time is not None  # `refuse_unsliceable`
    return problem.domain.extent(problem.domain.time)


def _typed(part: TimeMarching, name: str) -> str:
    return f"strategy.time_marching.{name}={getattr(part, name)}"


def _refuse_unmeasured(problem: Problem, spans: list[Span]) -> None:
    """Refuse a window without measurements (ValueError), because each window sees only its own."""
    names = [c.name for c in problem.constraints() if c.region == "data"]
    for window in [Window(problem, start, end) for start, end in spans if names]:
        if not len(window.data):
            raise ValueError(
                f"strategy.time_marching: no measurement of `{names[0]}` in {window}; expected some in every window: "
                "type fewer of them"
            )


def _refuse_imposed_beginning(window: Problem, model: nn.Module) -> None:
    """Refuse an `impose` of the problem with initial values (ValueError): they hold in the first window only."""
    own = set(window.imposes) if hasattr(window, "impose") else set()
    initial = [c.name for c in window.constraints() if c.region == "initial"]
    for name in own.intersection(initial, getattr(model, "imposed", ())):
        raise ValueError(f"constraints=exact: `{name}` would hold in the first window alone; type constraints=soft")
