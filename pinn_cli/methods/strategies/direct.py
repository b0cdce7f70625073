"""One stage per optimizer of the schedule, on the whole problem: the innermost strategy of every run."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from pinn_cli.methods.contracts import NewModel, Optimizer, Sampler, Stage, Strategy
from pinn_cli.physics.problem import Problem


@dataclass
class Phase:
    """One entry of an optimizer schedule: what makes its optimizer and its sampler, and its number of steps."""

    name: str
    optimizer: Callable[[], Optimizer]
    sampler: Callable[[], Sampler]
    steps: int | None = None
    points: Mapping[str, int | str] = field(default_factory=dict)  # by constraint, region or kind


@dataclass
class Direct(Strategy):
    """Train one model through the schedule; each phase continues from the parameters of the phase before."""

    schedule: list[Phase]

    def __call__(self, problem: Problem, new_model: NewModel) -> Iterator[Stage]:
        model = new_model(problem)
        for phase in self.schedule:
            yield Stage(phase.name, problem, model, phase.optimizer(), phase.sampler(), phase.steps)
