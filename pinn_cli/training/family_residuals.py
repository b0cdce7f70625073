"""Residuals of several instances of a family at once, for a model that combines basis functions for each of them.

    u_s = B_s w_i + c_s        B_s = s(f) (N, P), the symbol s (u, u_x, lap_u ...) of the basis functions of a field

B_s are computed once, in one pass, for all instances; only coefficients and coefficient fields differ between them.

I = instances   N = points of one constraint   F = fields   P = basis functions of a field
"""

import dis
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from types import CodeType
from typing import Any

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Batch
from pinn_cli.methods.pointwise_equations import PointwiseEquation
from pinn_cli.physics.family import SETS, Family
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.symbols import Place
from pinn_cli.physics.terms import Scales
from pinn_cli.training.family_model import FamilyModel
from pinn_cli.training.model import Model
from pinn_cli.training.residuals import AT_ONCE, Engine, Group, Residuals

THERE = "'"  # behind the names of symbols at the other end of a periodic pair
NUMBER = "#"  # the datum that says which instance a row belongs to


class FamilyResiduals(Residuals):
    """r (I N,) of every constraint for the instances of a step, one instance after the other.

    Where one function (N,) is asked for, `at` gives the root of the mean square over these instances; what belongs to
    one solution (`evaluate`, `terms`, `symbols`) is that of the instance `problem`.
    """

    of_one_problem = False
    model: FamilyModel

    def __init__(self, problem: Problem, model: FamilyModel, engine: Engine) -> None:
        super().__init__(problem, model, engine)
        self.step = -1
        self.instances: list[Problem] = []
        self._known: _Known | None = None  # the last coefficients without a gradient
        self.begin(0)

    def begin(self, step: int) -> bool:
        if step == self.step:
            return False
        before, self.step = self.instances, step
        self.instances = [self.model.instance(seed) for seed in self.model.step_seeds(step)]
        return before != self.instances

    def spread(self, values: Batch) -> Batch:
        return {name: v.repeat(len(self.instances), *[1] * (v.ndim - 1)) for name, v in values.items()}

    def values(self) -> Mapping[str, float]:
        return self.model.network.values()  # type: ignore[operator]

    def held_out(self, which: str) -> list[Problem]:
        if not isinstance(self.problem, Family):
            return []
        count = {"validation": self.model.network.validation, "test": self.model.network.test}[which]
        return [self.model.instance(seed) for seed in SETS[which][: int(count)]]  # type: ignore[arg-type]

    @torch.no_grad()
    def unsolved(self, instances: Sequence[Problem]) -> dict[int, str]:
        self.coefficients(instances)
        assert self._known is not None
        failures = dict(zip(map(id, self._known.instances), self._known.failures, strict=False))
        found = {getattr(instance, "seed", 0): failures.get(id(instance), "") for instance in instances}
        return {seed: failure for seed, failure in found.items() if failure}

    @torch.no_grad()
    def time_of(self, instance: Problem) -> tuple[float, float]:
        """Seconds to find the coefficients of one instance, and the steps of the solver; 0 if nothing is solved."""
        self._known = None
        start = perf_counter()
        self.coefficients([instance]).sum().item()  # a GPU ends before the clock is read
        return perf_counter() - start, float(self.values().get("solver/steps", 0))

    def solution(self, problem: Problem) -> Model:
        return self.model.solution(self.coefficients([problem])[0])

    # --- residuals ------------------------------------------------------------------------------------------------

    def __call__(self, batch: Batch) -> Batch:
        w = self.coefficients(self.instances)
        return {e.name: e.residuals(w).flatten() for e in self.equations(batch, self.instances)}

    def at(self, names: Group, X: Tensor, tapes: Sequence[Any] = ()) -> Batch:
        w = self.coefficients(self.instances)
        some = self.equations(dict.fromkeys(names, X), self.instances)
        return {e.name: e.residuals(w).square().mean(0).sqrt() for e in some}

    def coefficients(self, instances: Sequence[Problem]) -> Tensor:
        """w (I, F, P) of some instances. Without a gradient, from those of the last solve if nothing has changed."""
        solve = self.model.network.coefficients
        if torch.is_grad_enabled():
            return solve(instances, lambda: self._solved(instances))  # type: ignore[operator]
        state = [(id(p), p._version) for p in (*self.model.parameters(), *self.model.buffers())]
        key = (state, dict(self.base))
        rows = None if self._known is None else self._known.rows(instances, key)
        if self._known is None or rows is None:
            w = solve(instances, lambda: self._solved(instances))  # type: ignore[operator]
            self._known = _Known(list(instances), key, w, list(self.model.network.failures()))  # type: ignore[operator]
            return w
        return self._known.w if rows == list(range(len(self._known.w))) else self._known.w[rows]

    def _solved(self, instances: Sequence[Problem]) -> list[PointwiseEquation]:
        """The equations at the points of the model, each times sqrt(weight / points)."""
        like = self.model.features.scale
        moved = {id(X): X.to(like) for X in self.model.points.values()}
        batch = {n: moved[id(X)] for n, X in self.model.points.items() if n in self.constraints and self.base.get(n, 1)}
        multipliers = {name: (self.base.get(name, 1.0) / len(X)) ** 0.5 for name, X in batch.items()}
        return self.equations(batch, instances, multipliers)

    def equations(
        self, batch: Batch, instances: Sequence[Problem], multipliers: Mapping[str, float] | None = None
    ) -> list[PointwiseEquation]:
        """The equations of some instances at the points of a batch, in the order of the problem."""
        own = [{c.name: c for c in instance.constraints()} for instance in instances]
        made = {}
        for names in self.groups(batch):
            X, against = batch[names[0]], self.constraints[names[0]].against
            ends = {"": self._functions(names, X)}
            if against is not None:
                ends[THERE] = self._functions(names, against(X))
            for name in names:
                multiplier = (multipliers or {}).get(name, 1.0)
                made[name] = self._equation([each[name] for each in own], instances, ends, multiplier)
        return [made[name] for name in self.constraints if name in made]

    def _functions(self, names: Group, X: Tensor) -> Place:
        """Where symbols are read of all basis functions: derivatives (N, F, P), normals (N, D, 1)."""
        at = self.place(names, X)
        values = {key: self.model.functions(value) for key, value in at.values.items()}
        return Place(values, X, None if at.normals is None else at.normals[..., None], {})

    def _equation(
        self, constraints: Sequence[Constraint], instances: Sequence[Problem], ends: Mapping[str, Place],
        multiplier: float,
    ) -> PointwiseEquation:  # fmt: skip
        bases: dict[str, Tensor] = {}
        data: dict[str, Tensor] = {}
        fields: dict[str, int] = {}
        offsets: dict[str, Tensor] = {}
        for end, at in ends.items():
            rest = self._offset(at)
            for symbol, known in constraints[0].symbols.items():
                if known.needs:
                    fields[symbol + end] = known.field  # type: ignore[attr-defined]
                    bases[symbol + end] = known.read(at)
                    if rest is not None:
                        offsets[symbol + end] = known.read(rest)
                    continue
                rows = [
                    c.symbols[symbol].read(Place({}, at.points, None, _numbers(instance, at.points)))
                    for c, instance in zip(constraints, instances, strict=True)
                ]
                data[symbol + end] = torch.stack(rows)
        if any(map(_reads_itself, constraints)):
            data[NUMBER] = torch.arange(len(instances), device=self.model.features.scale.device)[:, None]
        residual = _Residual(constraints, offsets, len(ends) == 2)
        return PointwiseEquation(residual, bases, data, fields, multiplier, constraints[0].name)

    def _offset(self, at: Place) -> Place | None:
        """The constant part (1, F) of the fields and of their derivatives, which is 0, as a place; None without one."""
        offset = self.model.offset
        if offset is None or not bool(offset.any()):
            return None
        constant = {key: offset[None] if isinstance(key, tuple) and not any(key) else 0 * offset[None]
                    for key in at.values}  # fmt: skip
        return Place(constant, at.points, None if at.normals is None else 0 * at.normals[:1, :, 0], {})

    # --- one solution ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def fields_of(self, instances: Sequence[Problem], X: Tensor) -> dict[str, Tensor]:
        """Every field (I, N) of some instances at points X (N, D)."""
        w, parts = self.coefficients(instances), []
        for some in X.split(AT_ONCE):
            f = self.model.functions(self.model(some)).to(w)
            parts.append(torch.einsum("ifp,nfp->ifn", w, f))
        u = torch.cat(parts, -1)
        if self.model.offset is not None:
            u = u + self.model.offset.to(u)[:, None]
        return dict(zip(self.problem.fields, u.unbind(1), strict=True))

    def alone(self, problem: Problem) -> Residuals:
        """The residuals of one instance, for its solution."""
        with torch.no_grad():
            return Residuals(problem, self.solution(problem), self.engine)

    def terms(self, name: str, X: Tensor, scales: Scales) -> dict[str, float]:
        return self.alone(self.problem).terms(name, X, scales)

    def scales(self, like: Tensor) -> Scales:
        return self.alone(self.problem).scales(like)

    def symbols(self, name: str, X: Tensor) -> dict[str, Tensor]:
        return self.alone(self.problem).symbols(name, X)

    def evaluate(self, symbols: Sequence[str], X: Tensor) -> dict[str, Tensor]:
        return self.alone(self.problem).evaluate(symbols, X)


@dataclass(frozen=True)
class _Known:
    """Coefficients w (I, F, P) of some instances, what is wrong with each, and the `key` of what else they depend on.

    It holds the instances, so that no other one has their identity.
    """

    instances: list[Problem]
    key: Any
    w: Tensor
    failures: list[str]

    def rows(self, instances: Sequence[Problem], key: Any) -> list[int] | None:
        """Where the coefficients of these instances stand; None if something has changed, or one is not among them."""
        places = {id(instance): row for row, instance in enumerate(self.instances)}
        found = [places.get(id(instance), -1) for instance in instances]
        return None if key != self.key or -1 in found else found


class _Residual:
    """r of one constraint for rows (n, N) of instances: r(here), or for a periodic pair r(here) - r(there).

    A method that does not use `self` is the same function for all instances, and is called once with all numbers in a
    row. Otherwise every row has its own: `NUMBER` (n, 1) says whose it is.
    """

    def __init__(self, constraints: Sequence[Constraint], offsets: Mapping[str, Tensor], paired: bool) -> None:
        self.constraints, self.offsets, self.paired = constraints, offsets, paired

    def __call__(self, **values: Tensor) -> Tensor:
        number = values.pop(NUMBER, None)
        values = {n: v + self.offsets[n] if n in self.offsets else v for n, v in values.items()}
        shape = torch.broadcast_shapes(*(v.shape for v in values.values()))
        values = {n: v.expand(shape) for n, v in values.items()}
        if number is None:
            return self._one(self.constraints[0], {n: v.reshape(-1) for n, v in values.items()}).reshape(shape)
        rows = [
            self._one(self.constraints[int(k)], {n: v[i] for n, v in values.items()})
            for i, k in enumerate(number[:, 0].tolist())
        ]
        return torch.stack(rows)

    def _one(self, c: Constraint, values: Mapping[str, Tensor]) -> Tensor:
        r = c.residual(**{n: values[n] for n in c.symbols})
        return r - c.residual(**{n: values[n + THERE] for n in c.symbols}) if self.paired else r


def _numbers(instance: Problem, X: Tensor) -> dict[str, Tensor]:
    return {name: X.new_full((len(X),), value) for name, value in instance.coefficients.items()}


def _reads_itself(c: Constraint) -> bool:
    """Whether a residual uses the instance that it belongs to in any other way than by its symbols."""
    method = getattr(c.residual, "__func__", None)
    code = getattr(method, "__code__", None)
    if not isinstance(code, CodeType) or getattr(method, "__closure__", None):
        return True
    first = code.co_varnames[0]
    if first in code.co_cellvars:
        return True
    used = (i.argval for i in dis.get_instructions(code) if i.opname.startswith("LOAD_"))
    return any(first in name if isinstance(name, tuple) else name == first for name in used)
