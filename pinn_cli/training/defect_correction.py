"""Defect correction: what has to be added to a frozen model so that its equations hold, by linear least squares.

    minimise  sum_k mean_n ((r_k + J_k c)_n / s_k)^2        du = sum_j c_j phi_j

phi_j are random features, s_k is the response of constraint k to the gentlest of them. It is no natural unit
(`physics/scales.py`): it is taken in the space of the correction, which an ansatz may bend, and with the deviations
that the fields of the frozen model have, not with those that the problem lets expect. `error_estimate.py` says what
this is good for.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor

from pinn_cli.derivatives.algebra import unit
from pinn_cli.methods.contracts import Batch
from pinn_cli.methods.linear_algebra import Triangle, triangle
from pinn_cli.methods.random_features import RandomFeatures, isotropic
from pinn_cli.physics.domains.base import Domain
from pinn_cli.physics.points import PointSet, measured_points, point_set
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.terms import rms
from pinn_cli.training.correction import Basis, Correction, Equations
from pinn_cli.training.model import Features
from pinn_cli.training.random_features import FeaturesOfPoints, along
from pinn_cli.training.residuals import Residuals

SHARES = {1.0: 0.1, 2.0: 0.1, 4.0: 0.15, 8.0: 0.15}  # of the features by scale; the rest follows the fronts
ROWS = 4.0  # residuals in the interior for each column
UNSEEN = 1000  # points in the interior at which a correction is judged
FACE = {0: 1, 1: 200, 2: 300, 3: 500}  # points on each part of the boundary, by its dimension
RIDGE = 1e-20  # relative to the squared length of a column
STEPS = 2  # of Newton's method at most
BENT = 0.3  # another step is taken if the residual differs by this share from what the linearised equations predict
MEASURED = 1e-3  # least weight of measurements: they choose among solutions of the equations, their noise bends none
PEAKS = 0.02  # of the residuals in the interior: the largest ones
NOISE = 16  # samples of the noise of measurements


class DefectCorrection:
    """The `correction` of a model that a number of columns gives, by one or two steps of Newton's method.

    `before` and `after` are |F(u)| and |F(u + du)|, F = (r_k / s_k), at points that the solve has not seen. Of the
    misfit to measurements only the part that du removes counts: the rest is noise, and no error of the model.
    `at_solve` is |F(u)| at the points of the solve, which may hit what the others miss.
    `peaks_before` and `peaks_after` are the same of the few residuals in the interior that are largest before: those of
    a singular solution stay, while the many small ones around them vanish. `noise` has samples of the change of du that
    the noise of measurements causes. `product` is the scalar product of the residuals before and after in the interior,
    and `lengths` are their norms.
    """

    rows, ridge, steps = ROWS, RIDGE, STEPS

    def __init__(self, residuals: Residuals, columns: int, seed: int, before: Correction | None):
        self.residuals, self.problem = residuals, residuals.problem
        self.size = self._sizes()
        features = self._features(max(20, columns // len(self.size)), seed)
        self.basis = Basis(residuals, features, features.count)
        self.equations = [n for n, c in residuals.constraints.items() if c.kind != "data"]
        self.noise: list[Correction] = []
        inside = sum(c.kind == "interior" for c in residuals.constraints.values())
        rows = math.ceil(self.rows * self.basis.columns / max(1, inside))
        counts = (rows, min(UNSEEN, 4 * self.basis.columns))
        solved, unseen = (Sample(self.basis, *self._draw(n, seed + k), before) for k, n in enumerate(counts))
        self._solve(solved, unseen, MEASURED)
        if self.misfit and (ratio := self.after / self.misfit) > 2 * MEASURED:
            self._solve(solved, unseen, min(1.0, ratio))  # else what stays of the equations would move the unknowns

    def _features(self, K: int, seed: int) -> FeaturesOfPoints:
        """Isotropic features of every scale, and features along the fronts of the fields where residuals are large."""
        turns = getattr(getattr(self.residuals.model, "features", None), "turns", {})
        inputs = Features(self.problem.domain, "unit", [self.problem.coordinates[i] for i in turns])
        generator = torch.Generator("cpu").manual_seed(seed)
        scales = [scale for scale, share in SHARES.items() for _ in range(round(share * K))]
        w = isotropic(torch.tensor(scales, dtype=torch.float64, device="cpu"), inputs.outputs, generator)
        anywhere = sobol(self.problem.domain, "interior", len(w), seed)
        X = focused(self.residuals, max(2, K - len(w)), seed)[0]
        D, G = self.residuals.dimension, len(self.size)
        first = [unit(i, D) for i in range(D)]
        table = self.residuals.engine(first)(self.residuals.model, X)
        slopes = torch.stack([table[key].detach() for key in first], 2)
        follows = torch.arange(len(X)) % G  # which field each feature follows
        fronts = along(inputs, X, slopes[range(len(X)), follows] / self.size[follows, None], generator)
        self.gentle = slice(1, 1 + round(SHARES[min(SHARES)] * K))
        ridges = RandomFeatures(torch.cat([w, fronts]), inputs(torch.cat([anywhere, X])))
        return FeaturesOfPoints(inputs, ridges, len(ridges.weight))

    def _draw(self, n: int, seed: int) -> tuple[Batch, dict[str, Tensor]]:
        """Points of every constraint and their shares."""
        return draw(self.residuals, n, self.basis.columns, seed)

    def _solve(self, solved: "Sample", unseen: "Sample", measured_weight: float) -> None:
        zero = torch.zeros(self.basis.columns, dtype=torch.float64, device="cpu")
        self.correction = Correction(self.basis, zero)
        J, F = solved.equations.rows(self.correction), solved.equations.values(self.correction)
        responses = self._responses(J)
        factor = {n: (1.0 if n in self.equations else measured_weight) / responses[n] for n in F}
        scale = torch.cat([self.size.repeat_interleave(self.basis.count), self._unknown_sizes()])

        def squares(sample: Sample, r: Mapping[str, Tensor], names: Collection[str]) -> float:
            return sum(float((r[n] * sample.weights[n]).norm() / responses[n]) ** 2 for n in names)

        w = {n: solved.weights[n] * factor[n] for n in F}

        def stacked(blocks: Mapping[str, Tensor]) -> Tensor:
            return torch.cat([b.mul_(w[n] if b.ndim == 1 else w[n][:, None]) for n, b in blocks.items()])

        measured = F.keys() - set(self.equations)
        r0 = unseen.equations.values()
        before, misfit = squares(unseen, r0, self.equations), squares(unseen, r0, measured)
        self.at_solve = math.sqrt(squares(solved, F, self.equations))
        self.before, self.after = math.sqrt(before), math.inf
        at = self.correction
        for step in range(self.steps):
            if step:
                J, F = solved.equations.rows(at), solved.equations.values(at)
            A, b = stacked(J) * scale, stacked(F)
            solution = triangle(A, -b).with_ridge(self.ridge)
            c = solution.solve(tolerance=0.0)[:, 0]  # the ridge makes the columns independent
            at, predicted = Correction(self.basis, at.c + c * scale), b + A @ c
            r = unseen.equations.values(at)
            after = math.sqrt(squares(unseen, r, self.equations))
            if step and not after < self.after:
                break
            self.correction, self.after = at, after
            rest = squares(unseen, r, measured)
            self.before, self.misfit = math.sqrt(before + max(0.0, misfit - rest)), math.sqrt(rest)
            self._compare(self._inside(unseen, r0, responses), self._inside(unseen, r, responses))
            F = solved.equations.values(at)
            self.noise = self._noise(solution, A.split([len(r) for r in F.values()]), F, w, scale)
            if (stacked(F) - predicted).norm() < BENT * predicted.norm():
                break

    def _inside(self, sample: "Sample", r: Mapping[str, Tensor], responses: Mapping[str, float]) -> Tensor:
        """The residuals F (M,) in the interior."""
        names = [n for n in self.equations if self.residuals.constraints[n].kind == "interior"] or self.equations
        return torch.cat([r[n] * sample.weights[n] / responses[n] for n in names])

    def _compare(self, before: Tensor, after: Tensor) -> None:
        """The size of the largest residuals (M,) before the correction and after it, and the correlation of all."""
        largest = before.abs().topk(math.ceil(PEAKS * len(before))).indices
        self.peaks_before, self.peaks_after = float(before[largest].norm()), float(after[largest].norm())
        self.product, self.lengths = float(before @ after), (float(before.norm()), float(after.norm()))

    def _noise(
        self, solution: Triangle, A: Sequence[Tensor], F: Mapping[str, Tensor], w: Mapping[str, Tensor], scale: Tensor
    ) -> list[Correction]:
        """Changes of the correction by noise of the measurements, whose size is that of their residuals."""
        generator = torch.Generator("cpu").manual_seed(0)
        right = torch.zeros(self.basis.columns, NOISE, dtype=torch.float64, device="cpu")
        measured = [(rows, n) for rows, n in zip(A, F, strict=True) if n not in self.equations]
        for rows, n in measured:
            normal = torch.randn(len(rows), NOISE, generator=generator, dtype=torch.float64, device="cpu")
            right += rows.T @ (rms(F[n]) * w[n][:, None] * normal)
        if not measured:
            return []
        return [Correction(self.basis, c * scale) for c in solution.covariance_times(right).unbind(1)]

    def _responses(self, J: Mapping[str, Tensor]) -> dict[str, float]:
        """The rms response of every constraint to a gentle feature of rms 1 in every field, times the field's size."""
        G, K = len(self.size), self.basis.count
        feature = rms(self.basis.features(self._grid())[:, self.gentle])
        responses = {}
        for name, rows in J.items():
            fields = rows[:, : G * K].view(len(rows), G, K)[:, :, self.gentle]
            responses[name] = rms(fields * self.size[:, None]) * math.sqrt(G) / feature or 1.0
        return responses

    def _sizes(self) -> Tensor:
        """The deviation (G,) of every field from its mean; what the verdict allows a field that is constant."""
        size = self.residuals.scales(self._grid()).deviation
        known = size > 1e-10 * size.max()
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


def draw(
    residuals: Residuals, n: int, most: int, seed: int, gathered: Callable[[Tensor], Tensor] | None = None
) -> tuple[Batch, dict[str, Tensor]]:
    """Points of every constraint and their shares (N,) of its region: n inside, at most `most` on a part of a face.

    On `data` they are all measurements. `gathered` moves even points (N, D) of the unit cube to where features gather;
    without it, those of the interior are `focused`.
    """
    problem, shared = residuals.problem, dict[PointSet, tuple[Tensor, Tensor]]()
    sets = {name: point_set(problem, c) for name, c in residuals.constraints.items()}
    for name, c in residuals.constraints.items():
        if sets[name] in shared:
            continue
        if c.kind == "interior" and gathered is None:
            shared[sets[name]] = focused(residuals, n, seed)
        elif c.kind == "data":
            X = measured_points(problem, c)
            shared[sets[name]] = X, torch.ones_like(X[:, 0])
        else:
            count = n if c.kind == "interior" else _on_face(problem, c, most)
            X = sobol(problem.domain, c.region, count, seed, gathered)
            shared[sets[name]] = X, torch.ones_like(X[:, 0])
    names = {name: shared[own] for name, own in sets.items()}
    return {name: X for name, (X, _) in names.items()}, {name: share for name, (_, share) in names.items()}


def _on_face(problem: Problem, c: Constraint, most: int) -> int:
    return min(most, FACE.get(len(problem.domain.parts(c.region)[0]), UNSEEN))


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
    if not density.isfinite().all():
        raise ArithmeticError("a residual is not finite at some points of the domain")
    even, generator = n // 2, torch.Generator("cpu").manual_seed(seed)
    chosen = even + torch.multinomial(density[even:], n - even, generator=generator)
    rows = torch.cat([torch.arange(even), chosen])
    return X[rows], 2 / (1 + density[rows])


def sobol(domain: Domain, region: str, n: int, seed: int, gathered: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """n scrambled Sobol points (Owen 1998) on each part of a region, moved by `gathered` in the unit cube."""
    D, parts = domain.dimension, len(domain.parts(region))
    engines = [torch.quasirandom.SobolEngine(D, scramble=True, seed=seed + 10 * k) for k in range(parts)]
    even = torch.stack([e.draw(n, dtype=torch.float64) for e in engines], 1).flatten(0, 1)
    return domain.sample(region, even if gathered is None else gathered(even))
