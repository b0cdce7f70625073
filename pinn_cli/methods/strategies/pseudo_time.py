"""Steady equations by implicit steps in a pseudo-time: each network is kept near the one before it.

    r(w) + (w - w_before) / tau = 0        implicit Euler; tau grows until the steady equation remains

This is a trust region in the space of functions, for steady problems whose first Newton-like steps diverge (high
Reynolds numbers). The growth of tau is the simplest form of switched evolution relaxation (Mulder & Van Leer, 1985).
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from pinn_cli.derivatives.engines import Taylor
from pinn_cli.methods.contracts import NewModel, Stage, Strategy
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.symbols import Place, Symbol
from pinn_cli.physics.wrapped import Wrapped


@dataclass
class PseudoTime(Strategy):
    """Train `inner` with tau, `growth` tau, ... for `rounds` rounds, then on the steady problem itself.

    `evolves` names the field or observable that changes in time in each momentum-like equation:
    ``{"momentum_x": "u", "momentum_y": "v"}``. Each round has at most `steps` steps. Raises ValueError, before the
    first stage, for names that the problem does not have, and for a tau or growth that is not above 0.
    """

    inner: Strategy
    evolves: Mapping[str, str]
    tau: float = 0.5
    growth: float = 2.0
    rounds: int = 3
    steps: int | None = 30

    def __call__(self, problem: Problem, new_model: NewModel) -> Iterator[Stage]:
        self._check(problem)
        model = new_model(problem)

        def same(_: Problem) -> nn.Module:
            return model

        for k in range(self.rounds):
            tau = self.tau * self.growth**k
            step = Step(problem, model, self.evolves, tau)
            for stage in self.inner(step, same):
                steps = self.steps if stage.steps is None else stage.steps
                yield replace(stage, name=f"tau={tau:g}: {stage.name}", steps=steps, underway=True)
        yield from self.inner(problem, same)

    def _check(self, problem: Problem) -> None:
        if not (self.tau > 0 and self.growth > 0):
            found = f"tau={self.tau:g}, growth={self.growth:g}"
            raise ValueError(f"strategy.pseudo_time: found {found}; expected numbers above 0")
        equations = [c.name for c in problem.constraints() if c.region == "interior"]
        values = [*problem.fields, *problem.observables()]
        for known, names in ((equations, self.evolves.keys()), (values, self.evolves.values())):
            for name in names:
                if name not in known:
                    raise ValueError(f"strategy.pseudo_time.evolves: found `{name}`; expected of {', '.join(known)}")


class Step(Wrapped):
    """A problem with (w - w_before) / tau added to some of its equations; all else is the problem's own."""

    def __init__(self, problem: Problem, before: nn.Module, evolves: Mapping[str, str], tau: float):
        super().__init__(problem)
        self.evolves, self.tau = dict(evolves), tau
        self.model = copy.deepcopy(before)

    def with_(self, **changes: Any) -> "Step":
        """The same step of a changed problem."""
        return Step(self.problem.with_(**changes), self.model, self.evolves, self.tau)

    def constraints(self) -> list[Constraint]:
        """The constraints of the problem, with (w - w_before) / tau added to those that `evolves` names."""
        return [self._held(c) if c.name in self.evolves else c for c in self.problem.constraints()]

    def _held(self, c: Constraint) -> Constraint:
        name, coordinates = self.evolves[c.name], self._parsed(c, self.problem.coordinates)
        plain = (lambda **symbols: symbols[name]), self._parsed(c, [name] if name in self.problem.fields else [])
        value, needs = self.problem.observables().get(name, plain)
        engine = Taylor(set().union(*(s.needs for s in needs.values())))
        like = next(self.model.parameters()).detach()

        def residual(**symbols: Tensor) -> Tensor:
            X = torch.stack([symbols[x] for x in coordinates], 1)
            with torch.no_grad():
                values = {key: value.to(X) for key, value in engine(self.model, X.to(like)).items()}
                then = Place(values, X, None, {s: symbols[s] for s in needs})
            change = value(**{s: symbols[s] for s in needs}) - value(**{s: needs[s].read(then) for s in needs})
            return c.residual(**{s: symbols[s] for s in c.symbols}) + change / self.tau

        return replace(c, residual=residual, symbols={**c.symbols, **needs, **coordinates})

    def _parsed(self, c: Constraint, names: Iterable[str]) -> dict[str, Symbol]:
        return {name: self.problem.grammar.parse(name, c.name, c.region) for name in names}
