"""An estimate of the error of a trained network, without a reference solution.

The network is frozen. Random features phi_j (`random_features.py`) are added to its fields, and all equations of the
problem, linearised about the network, are solved for their coefficients at fresh points, in float64:

    minimise  sum_k mean_n ((r_k + J_k c)_n / s_k)^2        du = sum_j c_j phi_j, an estimate of solution - network

s_k is the rms response of constraint k to the gentlest features at the size of the fields: the unit of its residual.
This is one step of Newton's method in a space of smooth functions (defect correction: Stetter 1978, Numer. Math. 29);
a second one follows where the equations are nonlinear. The estimated error of a field is |du| / |u + du|, the relative
L2 error with u + du in the place of the reference.

How much of the residual F = (r_k / s_k) the correction removes is measured with the equations themselves, not with
their linearisation, and at points that the solve has not seen:

    explained = 1 - |F(u + du)| / |F(u)|

What remains belongs to errors that the features cannot express; where it is most of the residual, the estimate is a
lower bound. It does not see another solution of the same equations far away (a wrong branch), and if the equations do
not hold for u + du better than for u, there is no estimate: the linearisation is not valid over the distance |du|.
"""

import copy
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pinn_cli.derivatives.algebra import unit
from pinn_cli.methods.contracts import Batch
from pinn_cli.methods.linear_algebra import triangle
from pinn_cli.physics.domains.base import Domain
from pinn_cli.physics.piecewise import Marched
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.symbols import Place
from pinn_cli.physics.time_window import Window
from pinn_cli.training.correction import Basis, Correction, Equations
from pinn_cli.training.model import Features
from pinn_cli.training.objective import Objective
from pinn_cli.training.random_features import RandomFeatures, along, isotropic
from pinn_cli.training.residuals import Residuals

GOOD, POOR = 0.6, 0.4  # explained: from GOOD on the estimate is right within a factor of 3, below POOR a lower bound
ENOUGH = 0.75  # explained: more columns are not tried
COLUMNS = (400, 800)  # of the first attempt and of the second
SHARES = {1.0: 0.1, 2.0: 0.1, 4.0: 0.15, 8.0: 0.15}  # of the features by scale; the rest follows the fronts
ROWS = 4.0  # residuals in the interior for each column
UNSEEN = 1000  # points in the interior at which the correction is judged
FACE = {0: 1, 1: 200, 2: 300, 3: 500}  # points on each part of the boundary, by its dimension
RIDGE = 1e-20  # relative to the squared length of a column
STEPS = 2  # of Newton's method at most
BENT = 0.1  # another step is taken if the residual differs by this share from what the linearised equations predict
AT_ONCE = 2000  # points that are evaluated together


@dataclass(frozen=True)
class Estimate:
    """Estimated errors |du| / |u + du| by field, and how far they can be trusted.

    `centred` has |du| over the deviation of u + du from its mean, `unknowns` |change| / |value| of each trained
    coefficient, `correction` du (N,) at the points asked for. `why` tells why there is no estimate; "" if there is one.
    """

    error: Mapping[str, float] = field(default_factory=dict)
    explained: float = math.nan
    centred: Mapping[str, float] = field(default_factory=dict)
    unknowns: Mapping[str, float] = field(default_factory=dict)
    correction: Mapping[str, Tensor] = field(default_factory=dict)
    why: str = ""

    @property
    def is_bound(self) -> bool:
        """Whether so little of the residual is explained that the errors are lower bounds."""
        return not self.explained >= POOR

    def lines(self) -> list[str]:
        """One line for each field, or the reason why there is none."""
        if self.why:
            return [f"none: {self.why}"]
        share = f"{100 * self.explained:.0f} % of the residual explained"
        bound = f"a lower bound: only {share}" if self.is_bound else share
        return [f"{name} {e:.0e} (relative L2; {bound})" for name, e in self.error.items()]


@torch.no_grad()
def estimate(
    objective: Objective, X: Tensor, seed: int = 0, problem: Problem | None = None, observables: Collection[str] = ()
) -> Estimate:
    """The estimate for the model of an objective, from its fields and `observables` at points X (N, D) of the domain.

    `problem` is the problem of the run, if its last stage trained another one. No ordinary error is raised: where there
    is no estimate, `Estimate.why` has the reason.
    """
    problem = problem or objective.problem
    try:
        pieces = _pieces(problem, objective)
        share = len(pieces) ** -0.5  # more windows in time, fewer columns for each
        corrections: list[Attempt] = []
        for piece in pieces:
            corrections.append(_best(piece, share, seed, corrections[-1].correction if corrections else None))
        before, after = (math.hypot(*sizes) for sizes in zip(*((a.before, a.after) for a in corrections), strict=True))
        if not after < before:
            return Estimate(why="the linearised equations have no correction that lowers the residual")
        u, du = _changes(corrections, problem, X.cpu().double(), [*problem.fields, *observables])
        return Estimate(
            error={name: _ratio(du[name], u[name] + du[name]) for name in u},
            explained=1 - after / before,
            centred={name: _ratio(du[name], _centred(u[name] + du[name])) for name in u},
            unknowns={n: _ratio(d, d + v) for n, d, v in corrections[-1].unknowns()},
            correction=du,
        )
    except Exception as error:  # residuals and networks of the user may raise anything, and the run must end well
        return Estimate(why=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")


def _pieces(problem: Problem, objective: Objective) -> list[Residuals]:
    """The residuals of the frozen model in float64 on the CPU; after time marching those of every window."""
    model: Any = copy.deepcopy(objective.model).requires_grad_(False).cpu().double()
    engine: Any = objective.engine
    if not isinstance(model, Marched):
        return [Residuals(problem, model, engine)]
    assert problem.domain.time is not None
    starts, end = model.windows[:, 0].tolist(), problem.domain.extent(problem.domain.time)[1]
    pieces: list[Residuals] = []
    for start, stop, network in zip(starts, [*starts[1:], end], model.pieces, strict=True):
        window = Window(problem, start, stop, pieces[-1].model if pieces else None)
        pieces.append(Residuals(window, network, engine.engine))
    return pieces


def _best(piece: Residuals, share: float, seed: int, before: Correction | None) -> "Attempt":
    """The attempt that explains most of the residual."""
    attempts: list[Attempt] = []
    for columns in COLUMNS:
        attempts.append(Attempt(piece, int(share * columns), seed, before))
        if attempts[-1].after <= (1 - ENOUGH) * attempts[-1].before:
            break
    return min(attempts, key=lambda attempt: attempt.after)


class Attempt:
    """The least-squares problem of one piece with a number of columns, and its solution.

    `before` and `after` are |F(u)| and |F(u + du)| at unseen points.
    """

    def __init__(self, residuals: Residuals, columns: int, seed: int, before: Correction | None):
        self.residuals, self.problem = residuals, residuals.problem
        self.size = self._sizes()
        features = self._features(max(20, columns // len(self.size)), seed)
        self.basis = Basis(residuals, features, len(features.bias))
        self.correction = Correction(self.basis, torch.zeros(self.basis.columns, dtype=torch.float64, device="cpu"))
        inside = sum(c.kind == "interior" for c in residuals.constraints.values())
        rows = math.ceil(ROWS * self.basis.columns / max(1, inside))
        self._solve(*(Sample(self.basis, *draw(residuals, n, seed + k), before) for k, n in enumerate((rows, UNSEEN))))

    def unknowns(self) -> list[tuple[str, Tensor, Tensor]]:
        """Name, change and value of each trained coefficient."""
        return [(n, d, self.residuals.unknowns[n]) for n, d in self.correction.unknowns.items()]

    def _features(self, K: int, seed: int) -> RandomFeatures:
        """Isotropic features of every scale, and features along the fronts of the fields where residuals are large."""
        turns = getattr(getattr(self.residuals.model, "features", None), "turns", {})
        inputs = Features(self.problem.domain, "unit", [self.problem.coordinates[i] for i in turns])
        generator = torch.Generator("cpu").manual_seed(seed)
        w = isotropic(inputs, {scale: round(share * K) for scale, share in SHARES.items()}, generator)
        anywhere = sobol(self.problem.domain, "interior", len(w), seed)
        X = focused(self.residuals, max(2, K - len(w)), seed)[0]
        D, G = self.residuals.dimension, len(self.size)
        first = [unit(i, D) for i in range(D)]
        table = self.residuals.engine(first)(self.residuals.model, X)
        slopes = torch.stack([table[key].detach() for key in first], 2)
        follows = torch.arange(len(X)) % G  # which field each feature follows
        fronts = along(inputs, X, slopes[range(len(X)), follows] / self.size[follows, None], generator)
        self.gentle = slice(1, 1 + round(SHARES[min(SHARES)] * K))
        return RandomFeatures(inputs, torch.cat([w, fronts]), torch.cat([anywhere, X]))

    def _solve(self, solved: "Sample", unseen: "Sample") -> None:
        J, F = solved.equations.rows(self.correction), solved.equations.values(self.correction)
        self.units = self._units(J)
        equations = [n for n in F if self.residuals.constraints[n].kind != "data"]
        sizes = {n: float((r * solved.weights[n]).norm()) / self.units[n] for n, r in F.items()}
        balance = math.hypot(*(sizes[n] for n in equations))  # of measurements: noise counts no more than the equations
        factor = {n: (1.0 if n in equations else min(1.0, balance / max(sizes[n], 1e-300))) / self.units[n] for n in F}
        scale = torch.cat([self.size.repeat_interleave(self.basis.count), self._unknown_sizes()])

        def norm(sample: Sample, at: Correction | None) -> float:
            r = sample.equations.values(at)
            return math.hypot(*(float((r[n] * sample.weights[n]).norm()) / self.units[n] for n in equations))

        w = {n: solved.weights[n] * factor[n] for n in F}

        def stacked(blocks: Mapping[str, Tensor]) -> Tensor:
            return torch.cat([b.mul_(w[n] if b.ndim == 1 else w[n][:, None]) for n, b in blocks.items()])

        self.before, self.after, self.history = norm(unseen, None), math.inf, []
        at = self.correction
        for step in range(STEPS):
            if step:
                J, F = solved.equations.rows(at), solved.equations.values(at)
            A, b = stacked(J) * scale, stacked(F)
            c = triangle(A, -b).solve(RIDGE)[:, 0]
            at, predicted = Correction(self.basis, at.c + c * scale), b + A @ c
            after = norm(unseen, at)
            self.history.append(1 - after / self.before)
            if not after < self.after:
                break
            self.correction, self.after = at, after
            if (stacked(solved.equations.values(at)) - predicted).norm() < BENT * predicted.norm():
                break

    def _units(self, J: Mapping[str, Tensor]) -> dict[str, float]:
        """The rms response of every constraint to a gentle feature of rms 1 in every field, times the field's size."""
        G, K = len(self.size), self.basis.count
        feature = rms(self.basis.features(self._grid())[:, self.gentle])
        units = {}
        for name, rows in J.items():
            fields = rows[:, : G * K].view(len(rows), G, K)[:, :, self.gentle]
            units[name] = rms(fields * self.size[:, None]) * math.sqrt(G) / feature or 1.0
        return units

    def _sizes(self) -> Tensor:
        """The deviation (G,) of every field from its mean; that of the others for a field that is constant."""
        u = self.residuals.model(self._grid())
        size = (u - u.mean(0)).square().mean(0).sqrt()
        known = size > 1e-10 * u.abs().max()
        return torch.where(known, size, size[known].mean() if known.any() else torch.ones_like(size))

    def _unknown_sizes(self) -> Tensor:
        sizes = [abs(float(value)) or 1.0 for value in self.residuals.unknowns.values()]
        return torch.tensor(sizes, dtype=torch.float64, device="cpu")

    def _grid(self) -> Tensor:
        return self.problem.domain.grid(max(2, round(1000 ** (1 / self.residuals.dimension))))


class Sample:
    """The equations at points, and the weights w (N,) of each constraint: |w r|^2 is the mean of r^2 on its region."""

    def __init__(self, basis: Basis, batch: Batch, shares: Mapping[str, Tensor], before: Correction | None):
        self.equations = Equations(basis, batch, before)
        self.weights = {name: (share / max(1, len(share))).sqrt() for name, share in shares.items()}


def draw(residuals: Residuals, n: int, seed: int) -> tuple[Batch, dict[str, Tensor]]:
    """Points of every constraint, n of them inside, and their shares (N,) of the region; on `data` all measurements."""
    problem, shared = residuals.problem, dict[str, tuple[Tensor, Tensor]]()
    for c in residuals.constraints.values():
        if c.kind == "interior":
            shared.setdefault(c.region, focused(residuals, n, seed))
        else:
            of_face = FACE.get(len(problem.domain.parts(c.region)[0]), UNSEEN) if c.kind == "face" else 0
            X = sobol(problem.domain, c.region, of_face, seed) if c.kind == "face" else problem.data
            shared.setdefault(c.region, (X, torch.ones_like(X[:, 0])))
    names = {name: shared[c.region] for name, c in residuals.constraints.items()}
    return {name: X for name, (X, _) in names.items()}, {name: share for name, (_, share) in names.items()}


def focused(residuals: Residuals, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """n points of the interior and their shares (n,), on average about 1.

    Half of them lie evenly, half with a density like the size of the residuals, so that thin layers are seen.
    """
    X = sobol(residuals.problem.domain, "interior", 3 * n, seed)
    names = tuple(name for name, c in residuals.constraints.items() if c.kind == "interior")
    if not names:
        return X[:n], torch.ones_like(X[:n, 0])
    sizes = [r.abs() / r.abs().mean().clamp_min(1e-300) for r in residuals.at(names, X).values()]
    density = (torch.stack(sizes).mean(0) + 1e-9).detach()
    even, generator = n // 2, torch.Generator("cpu").manual_seed(seed)
    chosen = even + torch.multinomial(density[even:], n - even, generator=generator)
    rows = torch.cat([torch.arange(even), chosen])
    return X[rows], 2 / (1 + density[rows])


def sobol(domain: Domain, region: str, n: int, seed: int) -> Tensor:
    """n scrambled Sobol points (Owen 1998) on each part of a region."""
    D, parts = domain.dimension, len(domain.parts(region))
    engines = [torch.quasirandom.SobolEngine(D, scramble=True, seed=seed + 10 * k) for k in range(parts)]
    return domain.sample(region, torch.stack([e.draw(n, dtype=torch.float64) for e in engines], 1).flatten(0, 1))


def _changes(
    attempts: Sequence[Attempt], problem: Problem, X: Tensor, names: Sequence[str]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Fields and observables (N,) at X, and their changes by the corrections."""
    owner = torch.zeros(len(X), dtype=torch.long)
    if len(attempts) > 1:
        time = problem.coordinates.index(problem.domain.time or "")
        begins = [attempt.problem.start for attempt in attempts[1:]]  # type: ignore[attr-defined]
        owner = torch.bucketize(X[:, time].contiguous(), X.new_tensor(begins), right=True)
    u, moved = ({name: X.new_zeros(len(X)) for name in names} for _ in range(2))
    for k, attempt in enumerate(attempts):
        for rows in (owner == k).nonzero().flatten().split(AT_ONCE):
            for into, values in zip((u, moved), _values(attempt, X[rows], names), strict=True):
                for name, value in values.items():
                    into[name][rows] = value
    return u, {name: moved[name] - u[name] for name in names}


def _values(attempt: Attempt, X: Tensor, names: Sequence[str]) -> list[dict[str, Tensor]]:
    """Fields and observables (N,) of the frozen model, and of the corrected one."""
    problem = attempt.problem
    derived = {name: of for name, of in problem.observables().items() if name in names}
    fields = {name: problem.grammar.parse(name, "error estimate", "interior") for name in names if name not in derived}
    at = attempt.residuals.inside([*fields.values(), *(s for _, of in derived.values() for s in of.values())], X)
    change = attempt.correction.changes(at)
    values = {key: value + change.values[key] for key, value in at.values.items()}
    coefficients = {n: v + change.coefficients.get(n, 0.0) for n, v in at.coefficients.items()}
    return [
        {name: s.read(place) for name, s in fields.items()}
        | {name: method(**{s: p.read(place) for s, p in of.items()}) for name, (method, of) in derived.items()}
        for place in (at, Place(values, at.points, at.normals, coefficients))
    ]


def _ratio(a: Tensor, b: Tensor) -> float:
    size = float(b.norm())
    return float(a.norm()) / size if size else math.nan


def _centred(u: Tensor) -> Tensor:
    return u - u.mean()


def rms(x: Tensor) -> float:
    """The root mean square; 0 of nothing."""
    return float(x.square().mean().sqrt()) if x.numel() else 0.0
