"""Train one window in time after the other; each network continues the solution of the window before.

Sequence-to-sequence learning of Krishnapriyan, Gholami, Zhe, Kirby & Mahoney (2021, arXiv:2109.01050). With a `loss`,
the lengths of the windows adapt to the solution, as the steps of an integrator do.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf

from torch import nn

from pinn_cli.methods.contracts import NewModel, Stage, Strategy
from pinn_cli.methods.strategies.continuation import with_parameters
from pinn_cli.methods.strategies.pseudo_time import Step
from pinn_cli.physics.piecewise import Piece, Solution
from pinn_cli.physics.points import measured_points
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.time_window import Window, refuse_unsliceable

SHARE = "share"
STARTS, POINTS = ("warm", "fresh"), ("each", "total")
LEAST = 1 / 64  # of the first window: shorter ones are not tried
EASY = 1e-2  # of `loss`: below it, a window of twice the length is tried next
Span = tuple[float, float]


@dataclass
class TimeMarching(Strategy):
    """Train `inner` on each of `windows` equal slices of time, or on slices of this `length`.

    loss      adapt the lengths, from that of the first window on: a window whose loss ends above `loss` is trained anew
              with half the length, and after one that ends at or below 1e-2 of `loss` the length is doubled. Windows
              are never halved below 1/64 of the first, nor because their share of the run was used: a shorter one
              would have a smaller share
    start     `warm`: a network starts from the parameters of the window before; `fresh`: from new initial values.
              Unknown coefficients always keep their values
    overlap   each window is trained for this much time beyond its end; the next one begins at the end
    points    `each`: every window has the points of the whole problem; `total`: the windows share them by length,
              except those of initial conditions and seams
    steps     `share`: an equal share of the steps and seconds of the run for every window, twice that for the first,
              which has no network to start from; a number: at most so many; None: until its optimizer stops. With
              adapted lengths the share is that of windows of the present length

    `stop.loss` and `stop.error` end a window, and the run only in the last window. Raises ValueError, before the first
    stage, for a problem or settings that cannot be divided into windows.
    """

    inner: Strategy
    windows: int | None = None
    length: float | None = None
    loss: float | None = None
    start: str = "warm"
    overlap: float = 0.0
    points: str = "each"
    steps: int | str | None = SHARE

    def __call__(self, problem: Problem, new_model: NewModel) -> Iterator[Stage]:
        self._check(problem)
        high = _axis(problem)[1]
        done: list[Piece] = []
        tried: list[Stage] = []  # the stages of the present window
        for start, end in self._spans(problem, lambda: self._found(tried)):
            tried.clear()
            done = [piece for piece in done if piece.window.start < start]  # without a window that is tried again
            before = done[-1].model if done else None
            until = min(end + self.overlap, high)
            window = Window(problem, start, until, before, self._part(problem, start, until))
            left, own = ceil((high - start) / (end - start) - 1e-9), 0
            for stage in self.inner(window, self._continued(new_model, before)):
                piece = Piece(window, stage.model, stage.sampler)
                own += 0 if stage.continues else stage.steps or 0
                tried.append(
                    replace(
                        stage,
                        name=f"{window}: {stage.name}",
                        steps=self._steps if stage.steps is None else stage.steps,
                        share=self._share(not done, left),
                        reserved=own * (left - 1),
                        underway=stage.underway or left > 1,
                        solution=Solution(problem, [*done, piece]),
                    )
                )
                yield tried[-1]
            done.append(piece)

    def _continued(self, new_model: NewModel, before: nn.Module | None) -> NewModel:
        def make(window: Problem) -> nn.Module:
            model = new_model(window)
            _refuse_imposed_beginning(window, model)
            if self.start == "warm" and hasattr(getattr(model, "network", None), "begin"):
                raise ValueError(
                    "strategy.time_marching.start=warm: the features of this network follow the beginning of their own "
                    "window; type strategy.time_marching.start=fresh"
                )
            return model if before is None else with_parameters(model, before, network=self.start == "warm")

        return make

    def _found(self, tried: Sequence[Stage]) -> float:
        """The loss at the end of a window. One that was cut short counts as one that has just reached `loss`."""
        found = float(tried[-1].report.values.get("loss/total", inf))
        wanted = inf if self.loss is None else self.loss
        return wanted if any(stage.cut_short for stage in tried) and not found <= wanted else found

    @property
    def _steps(self) -> int | None:
        return None if isinstance(self.steps, str) else self.steps

    def _share(self, first: bool, left: int) -> float:
        """The share of a window in what the run has left, for it and those after it, `left` in all."""
        if self.steps != SHARE:
            return 1.0
        return 2 / (left + 1) if first else 1 / left

    def _part(self, problem: Problem, start: float, end: float) -> float:
        low, high = _axis(problem)
        return 1.0 if self.points == "each" else (end - start) / (high - low)

    def _spans(self, problem: Problem, loss: Callable[[], float]) -> Iterator[Span]:
        """Where each window begins and ends, without overlap; `loss` tells that of the last one."""
        low, high = _axis(problem)
        length = self._length(problem)
        if self.loss is not None:
            yield from adapted(low, high, length, self.loss, loss)
            return
        starts = [low + k * length for k in range(self._count(problem))]
        yield from zip(starts, [*starts[1:], high], strict=True)

    def _count(self, problem: Problem) -> int:
        low, high = _axis(problem)
        return self.windows or max(1, ceil((high - low) / self.length - 1e-9))  # type: ignore[operator]

    def _length(self, problem: Problem) -> float:
        low, high = _axis(problem)
        return self.length or (high - low) / self._count(problem)

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
        if self.loss is None:
            spans = self._spans(problem, lambda: 0.0)
            _refuse_unmeasured(problem, [(start, min(end + self.overlap, high)) for start, end in spans])
        else:
            self._check_adapted(problem)

    def _check_adapted(self, problem: Problem) -> None:
        if not 0 < self.loss < inf:  # type: ignore[operator]
            raise ValueError(f"{_typed(self, 'loss')}: expected a number above 0, e.g. 1e-10, or null")
        names = [c.name for c in problem.constraints() if c.region == "data"]
        if names:
            found = f"{_typed(self, 'loss')}: a window of adapted length may hold no measurement of `{names[0]}`"
            raise ValueError(f"{found}; type strategy.time_marching.loss=null")


def adapted(low: float, high: float, length: float, most: float, loss: Callable[[], float]) -> Iterator[Span]:
    """Spans of time that are tried one after the other, the first of this length.

    `loss()` is asked after each. A span whose loss is above `most` is tried again with half the length. After a loss of
    at most `EASY` times `most` the length is doubled. What is left is divided into equal parts of at most this length.
    """
    at, step = low, length
    while at < high:
        parts = max(1, ceil((high - at) / step - 1e-9))
        end = high if parts == 1 else at + (high - at) / parts
        yield at, end
        found = loss()
        if found <= most or end - at < 2 * LEAST * length:
            at, step = end, 2 * step if found <= EASY * most else step
        else:
            step = (end - at) / 2


def _axis(problem: Problem) -> Span:
    assert problem.domain.time is not None  # `refuse_unsliceable`
    return problem.domain.extent(problem.domain.time)


def _typed(part: TimeMarching, name: str) -> str:
    return f"strategy.time_marching.{name}={getattr(part, name)}"


def _refuse_unmeasured(problem: Problem, spans: list[Span]) -> None:
    """Refuse a window without measurements (ValueError), because each window sees only its own."""
    on_data = [c for c in problem.constraints() if c.region == "data"]
    for window in [Window(problem, start, end) for start, end in spans if on_data]:
        if empty := [c.name for c in on_data if not len(measured_points(window, c))]:
            raise ValueError(
                f"strategy.time_marching: no measurement of `{empty[0]}` in {window}; expected some in every window: "
                "type fewer of them"
            )


def _refuse_imposed_beginning(window: Problem, model: nn.Module) -> None:
    """Refuse an `impose` of the problem with initial values (ValueError): they hold in the first window only."""
    own = set(window.imposes) if hasattr(window, "impose") else set()
    initial = [c.name for c in window.constraints() if c.region == "initial"]
    for name in own.intersection(initial, getattr(model, "imposed", ())):
        raise ValueError(f"constraints=exact: `{name}` would hold in the first window alone; type constraints=soft")
