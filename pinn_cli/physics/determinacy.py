"""Whether the constraints of a problem determine its solution: the rank of their linearisation.

    N = points   D = coordinates   F = fields   K = changes: one for each field and function of a basis

Every constraint is linearised at a smooth trial state u0, for changes c of the fields in the span of smooth functions
(Legendre polynomials of the scaled coordinates, sines and cosines of periodic ones): dr = sum_s dr/ds s[c] over the
symbols s of the fields. A change that alters no residual is one that the constraints leave undetermined. It shows as a
singular value near zero.

The answer must not depend on units or on stiffness: exp(-20 t) alters an initial value by little at t = 1. So every
equation is divided by its largest term at each point, since it may be multiplied by any function of x, and each term
is then scaled to be of order 1 for a gentle function on the domain. It keeps its sign and how it varies.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import product
from math import comb, pi, prod
from typing import Any

import torch
from torch import Tensor

from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.derivatives.keys import Key
from pinn_cli.physics.ansatz import Ansatz, unknowns_in_ansatz, written_ansatz
from pinn_cli.physics.identifiability import trial_coefficients, unseen
from pinn_cli.physics.points import PointSet, point_set, trial_points
from pinn_cli.physics.problem import Constraint, Problem, asked_once
from pinn_cli.physics.scales import field_scales
from pinn_cli.physics.symbols import Derivative, Normal, Place
from pinn_cli.physics.terms import order, order_of, rms, slopes_of, steepness

CHANGES = 300  # at most
DEGREE = 12  # of the basis, at most
POINTS = 600  # of a region
ZERO = 1e-3  # singular values below this count as zero; a level fixed at a corner leaves 5e-3, other problems 0.1
SAME = 2e-2  # the part of a change of an unknown that changes of the fields do not balance; below: undetermined
WEAKEST = 0.5  # the smallest term of a residual relative to its largest one, after scaling
STEP = 1e-6  # of the difference that linearises an ansatz


@dataclass(frozen=True)
class Undetermined:
    """The fields and unknowns that may change while no residual changes.

    `up_to` is the kind of these changes, if all are of one kind: a constant, or a function of time. `unseen` are the
    unknowns that no residual sees where the equations hold. `together`: the names are unknowns of which some function
    is determined, such as a product.
    """

    names: tuple[str, ...]
    up_to: str = ""
    unseen: tuple[str, ...] = ()
    together: bool = False

    def __str__(self) -> str:
        if self.unseen:
            k = ", ".join(self.unseen)
            return (
                f"the constraints do not determine {k}: where the equations hold, no residual changes with {k}, as in "
                f"k * (u_xx - f); divide by it, or write {k} where it counts"
            )
        names = ", ".join(self.names)
        if self.together:
            return (
                f"the constraints determine {names} only together, as in a product or a sum; write one unknown in "
                "their place, give one of them a number, or add data that tell them apart"
            )
        if self.up_to:
            return f"the constraints determine {names} only up to {self.up_to}; add a condition on the level of {names}"
        return f"the constraints do not determine {names}; add a boundary or initial condition, or data, for {names}"


@asked_once
def undetermined(problem: Problem, periodic: tuple[str, ...] = ()) -> Undetermined | None:
    """What the constraints leave undetermined; None if nothing is found.

    `periodic` are the coordinates in which every model of the run is periodic. Only smooth changes of one trial state
    are tried. A residual that is not finite there is no answer: None.
    """
    trial = _Trial(problem, periodic)
    rows = torch.cat([trial.rows(constraint) for constraint in problem.constraints()])
    if not rows.isfinite().all():
        return None
    of_fields, of_unknowns = rows[:, : trial.size], rows[:, trial.size :]
    enough = torch.cat([of_fields, of_fields.new_zeros(max(0, trial.size - len(rows)), trial.size)])
    U, sizes, V = torch.linalg.svd(enough, full_matrices=False)
    U = U[: len(rows)]
    null = V[sizes < ZERO].T
    left = of_unknowns - U @ (U.T @ of_unknowns)
    _, sizes, V = torch.linalg.svd(left, full_matrices=False)
    loose = V[sizes < SAME]
    unknowns = [n for n, row in zip(problem.unknowns, loose.T, strict=True) if row.norm() > 0.1]
    free = trial.named(null, unknowns) if null.shape[1] or unknowns else Undetermined(())
    vanishing = unseen(problem)
    together = not null.shape[1] and len(loose) < len(unknowns)
    names = tuple(dict.fromkeys([*free.names, *vanishing]))
    found = replace(free, names=names, unseen=tuple(vanishing), together=together)
    return found if found.names else None


class _Trial:
    """The trial state, and changes of it that are orthonormal on the domain: K of the network, then those that the
    unknowns in the ansatz (`moving`) make."""

    def __init__(self, problem: Problem, periodic: Collection[str]):
        self.problem, self.ansatz, self.moving = problem, written_ansatz(problem), unknowns_in_ansatz(problem)
        self.scale, self.shift = problem.domain.scaling(1.0)
        self.sizes = [scale.size for scale in field_scales(problem).values()]
        self.periodic = [c in periodic for c in problem.coordinates]
        D = problem.domain.dimension
        degree = max(d for d in range(1, DEGREE + 1) if d == 1 or comb(D + d, d) * len(problem.fields) <= CHANGES)
        self.powers = [p for p in product(range(degree + 1), repeat=D) if sum(p) <= degree]
        orders = [order(key) for c in problem.constraints() for s in c.symbols.values() for key in s.needs]
        highest = max(orders, default=0)
        self.smooth = highest + 1 if highest > 2 else 2  # degree of the trial state: no third derivative is constant
        self.points = trial_points(problem, "interior", POINTS)
        self.affine = self.ansatz is not None and _is_affine(self.ansatz, self.points, len(problem.fields))
        changes = self._split(self._fields(self.points))[1] / POINTS**0.5
        self.changes = changes[:, :, : changes.shape[2] - len(self.moving)]  # (N, F, K)
        self._known: dict[tuple[PointSet, bool], dict[Key, tuple[Tensor, Tensor]]] = {}
        self.normalise = torch.linalg.pinv(torch.linalg.qr(self.changes.flatten(0, 1)).R)

    def rows(self, constraint: Constraint) -> Tensor:
        """d residual / d change (N, K + unknowns) of one constraint, over sqrt(N), scaled to be of order 1."""
        X = trial_points(self.problem, constraint, POINTS)
        if len(X) > 2 * POINTS:  # measurements in the order of a grid: the first ones would cover a part of the domain
            X = X[torch.randperm(len(X), generator=torch.Generator("cpu").manual_seed(0), device="cpu")[: 2 * POINTS]]
        rows = self._one_sided(constraint, X, False)
        if constraint.against is not None:
            rows = rows - self._one_sided(constraint, constraint.against(X), True)
        return rows / len(X) ** 0.5

    @property
    def size(self) -> int:
        """K."""
        return len(self.normalise)

    def named(self, null: Tensor, unknowns: list[str]) -> Undetermined:
        """The fields that the changes `null` (K, count) alter, their kind, and these unknowns."""
        fields = self.changes @ (self.normalise @ null)  # (N, F, count)
        energy = fields.square().sum((0, 2))
        names = [n for n, e in zip(self.problem.fields, energy.tolist(), strict=True) if e > 1e-2 * energy.sum()]
        time = self.problem.domain.time
        kinds: dict[str, list[str | None]] = {"a constant": [], f"a function of {time}": [time]}
        if self.problem.domain.dimension == 1:
            del kinds[f"a function of {time}"]
        known = [kind for kind, free in kinds.items() if names and self._depend_only_on(free, fields.flatten(1))]
        return Undetermined((*names, *unknowns), known[0] if known and not unknowns else "")

    def _depend_only_on(self, coordinates: list[str | None], values: Tensor) -> bool:
        """Whether functions (N, M) on the domain are polynomials of these coordinates alone."""
        free = [c in coordinates for c in self.problem.coordinates]
        own = [i for i, p in enumerate(self.powers) if all(ok or not k for ok, k in zip(free, p, strict=True))]
        basis = torch.stack(self._basis(self.points), 1)[:, own]
        rest = values - basis @ torch.linalg.lstsq(basis, values).solution
        return bool(rest.norm() < 1e-2 * values.norm())

    def _one_sided(self, constraint: Constraint, X: Tensor, opposite: bool) -> Tensor:
        points = X[:, : self.problem.domain.dimension]
        symbols = {n: s for n, s in constraint.symbols.items() if isinstance(s, Derivative | Normal)}
        split = self._values(constraint, opposite, points)
        has_normal = constraint.region != "data" and self.problem.domain.has_normal(constraint.region)
        normals = self.problem.domain.normal(constraint.region, points) if has_normal else None
        coefficients = {k: X.new_full((len(X),), v) for k, v in trial_coefficients(self.problem).items()}
        state = Place({key: u0 for key, (u0, _) in split.items()}, X, normals, coefficients)
        slopes = slopes_of(constraint, {n: s.read(state) for n, s in constraint.symbols.items()}, all_symbols=True)
        half = {n: 2.0 ** order_of(constraint, n) * steepness(self.problem, constraint, n) for n in symbols}
        slopes = self._without_factor(slopes, {n: half[n] * self.sizes[s.field] for n, s in symbols.items()})
        sizes = {n: rms(slopes[n]) * half[n] for n in symbols}
        largest = max(sizes.values())
        natural = {n: sizes[n] * self.sizes[s.field] for n, s in symbols.items()}
        rows = X.new_zeros(len(X), self.size + len(self.moving))
        for name, symbol in symbols.items():
            if not natural[name] <= 1e-12 * max(natural.values()):  # a smaller one is rounding
                change = {key: c[:, symbol.field] for key, (_, c) in split.items()}  # (N, K)
                every: Any = replace(symbol, field=slice(None))  # type: ignore[arg-type]
                s = every.read(Place(change, X, None if normals is None else normals[:, :, None], {}))
                rows += (max(sizes[name] / largest, WEAKEST) / sizes[name] * slopes[name])[:, None] * s
        moved = dict(zip(self.moving, rows[:, self.size :].unbind(1), strict=True))
        nothing = X.new_zeros(len(X))
        named = {n: slopes.get(n, nothing) for n in self.problem.unknowns}
        unknowns = [c / (rms(c) or 1.0) + moved.get(n, nothing) for n, c in named.items()]
        return torch.cat([rows[:, : self.size] @ self.normalise, *(c[:, None] for c in unknowns)], 1)

    @staticmethod
    def _without_factor(slopes: dict[str, Tensor], sizes: dict[str, float]) -> dict[str, Tensor]:
        """The slopes (N,) over the largest term at each point: an equation times a function of x is the same one."""
        largest = torch.stack([size * slopes[n].abs() for n, size in sizes.items()]).amax(0)
        return {n: slope / torch.where(largest > 0, largest, 1.0) for n, slope in slopes.items()}

    def _values(self, constraint: Constraint, opposite: bool, X: Tensor) -> dict[Key, tuple[Tensor, Tensor]]:
        """The trial state and its changes by derivative, for all constraints with the points of this one."""
        own, region = (point_set(self.problem, constraint), opposite), constraint.region
        if own not in self._known:
            needs = [s.needs for c in self.problem.constraints() if c.region == region for s in c.symbols.values()]
            wanted = {(0,) * X.shape[1]}.union(*needs)
            try:
                values = Taylor(wanted)(self._fields, X)
            except (NotImplementedError, AttributeError):  # an ansatz may use an operation without a rule for jets
                values = Autograd(wanted)(self._fields, X)
            self._known[own] = {key: self._split(v.detach()) for key, v in values.items()}
        return self._known[own]

    def _fields(self, X: Any) -> Any:
        """The trial state, its K changes and those of `moving`: (N, F + (K + moving) F), the fields running fastest."""
        F, basis = len(self.problem.fields), list(zip(self._basis(X), self.powers, strict=True))
        own = [[(f, p) for f, p in basis if self._depends(k, p)] for k in range(F)]
        smooth = [[f for f, p in some if 1 <= sum(p) <= self.smooth] for some in own]
        state = [1 + sum(0.3 / len(some) * (-1) ** (i * (k + 1)) * f for i, f in enumerate(some))
                 for k, some in enumerate(smooth)]  # fmt: skip
        pairs = [(k, f) for k, some in enumerate(own) for f, _ in some]
        nothing = 0 * X[:, 0]
        if self.ansatz is None:
            changes = [f if g == k else nothing for k, f in pairs for g in range(F)]
            return torch.stack([*state, *changes], 1)
        u0, moved = self.ansatz(X, torch.stack(state, 1)), self._moved(X, torch.stack(state, 1))
        if self.affine:
            base = self.ansatz(X, torch.stack([nothing] * F, 1))
            slopes = [self.ansatz(X, torch.stack([nothing + 1 if g == k else nothing for g in range(F)], 1)) - base
                      for k in range(F)]  # fmt: skip
            scaled = [torch.stack([slopes[k][:, g] * f for g in range(F)], 1) for k, f in pairs]
            return torch.cat([u0, *scaled, *moved], 1)
        tried = [self.ansatz(X, torch.stack([state[g] + STEP * f if g == k else state[g] for g in range(F)], 1))
                 for k, f in pairs]  # fmt: skip
        return torch.cat([u0, *((u - u0) * (1 / STEP) for u in tried), *moved], 1)

    def _moved(self, X: Any, state: Any) -> list[Any]:
        """d fields / d unknown (N, F) for each unknown in the ansatz, by central differences."""
        assert self.ansatz is not None
        at, slopes = trial_coefficients(self.problem), []
        for name in self.moving:
            step = STEP * (abs(at[name]) or 1.0)
            ends = [torch.full_like(self.scale[0], at[name] + sign * step) for sign in (1.0, -1.0)]
            above, below = (self.ansatz(X, state, **{name: end}) for end in ends)
            slopes.append((above - below) * (0.5 / step))
        return slopes

    def _depends(self, field: int, power: tuple[int, ...]) -> bool:
        """Whether a function of this power is a change of a field: an unknown one may have fewer coordinates."""
        name = self.problem.fields[field]
        seen = self.problem.unknown_fields[name].of if name in self.problem.unknown_fields else self.problem.coordinates
        return all(not k or c in seen for c, k in zip(self.problem.coordinates, power, strict=True))

    def _split(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The trial state (N, F), and its changes (N, F, K)."""
        F = len(self.problem.fields)
        return values[:, :F], values[:, F:].unflatten(1, (-1, F)).transpose(1, 2)

    def _basis(self, X: Any) -> list[Any]:
        """Smooth functions of the points X, each (N,): products of functions of one coordinate."""
        z = [X[:, i] * float(self.scale[i]) + float(self.shift[i]) for i in range(len(self.periodic))]
        degree = max(map(max, self.powers))
        single = [(_waves if turns else _legendre)(c, degree) for c, turns in zip(z, self.periodic, strict=True)]
        return [prod((single[i][k] for i, k in enumerate(p)), start=1.0) for p in self.powers]


def _is_affine(ansatz: Ansatz, X: Tensor, fields: int) -> bool:
    """Whether the fields are A(X) u + b(X) for outputs u (N, fields) of the network, tried at two of opposite sign."""
    one, other = torch.ones_like(X[:, :1]).expand(-1, fields), -2 - X[:, :1] * torch.arange(1, fields + 1).to(X)
    both, zero = ansatz(X, one + other), ansatz(X, 0 * one)
    rest = both - ansatz(X, one) - ansatz(X, other) + zero
    return bool((rest.abs() <= 1e-9 * (both.abs() + zero.abs() + 1)).all())


def _legendre(z: Any, degree: int) -> list[Any]:
    """Legendre polynomials of z in [-1, 1], of mean square 1."""
    P = [1 + 0 * z, z]
    for k in range(1, degree):
        P.append(((2 * k + 1) * z * P[k] - k * P[k - 1]) * (1 / (k + 1)))
    return [(2 * k + 1) ** 0.5 * p for k, p in enumerate(P)]


def _waves(z: Any, degree: int) -> list[Any]:
    """1, cos(pi z), sin(pi z), cos(2 pi z), ... of mean square 1; z in [-1, 1] is one period."""
    waves = [(torch.cos, torch.sin)[(k + 1) % 2](z * (pi * ((k + 1) // 2))) * 2**0.5 for k in range(1, degree + 1)]
    return [1 + 0 * z, *waves]
