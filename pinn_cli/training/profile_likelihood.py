"""The profile likelihood of an unknown coefficient: the best fit for each value at which it is held.

    D(mu) = min over theta of Q(theta, mu) - min over theta and mu of Q        Q = -2 log of the posterior density

where theta are all other unknowns and the parameters of the network. The 95 % interval are the values with D below
1.96^2 = 3.84, or below the square of Student's t where the noise is estimated (Venzon & Moolgavkar 1988). It needs no
linearisation: where the posterior is not normal, its ends lie at other distances from the estimate than those of the
Gauss-Newton interval, and where the data do not determine the coefficient on one side, there is no end.

Q is that of `uncertainty.py`: the measurements with the noise found there, and the equations at fresh points, several
for each parameter. Each refit starts at the one before, moved along the tangent,

    d theta = -R11^-1 (y1 + R12 ds)        [J_theta, J_s] = Q R,  y = Q^T F

damped by what lowers Q most, and Levenberg-Marquardt takes steps with s held until Q falls by little. The values are
spaced by half of half the Gauss-Newton interval in s. An end is interpolated in the root of D, which is
linear for a normal posterior (Bates & Watts 1988, section 6.1), and once more after a refit there.

The first refit, of all parameters, has to settle: D is measured from there. Where it does not, the profile ends with
it. Where it changes the residuals of the measurements, a noise that is not known is estimated anew, and all parameters
once more. A later refit that does not settle leaves D too large, so the interval may be too narrow, but not too wide.

Unlike the standard error it counts what the network alone seems to know of the coefficient.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite, nan
from typing import Any

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError, nearest
from pinn_cli.methods.contracts import Optimizer
from pinn_cli.methods.linear_algebra import Triangle, triangle_of_blocks
from pinn_cli.physics.terms import rms
from pinn_cli.records.results import Noted
from pinn_cli.training.objective import Objective
from pinn_cli.training.uncertainty import Uncertainty, dense_points, double, uncertainty, unweighted, weighted_rows

SPACING = 0.5  # between values, in halves of the Gauss-Newton interval
MOST = 10  # values on one side: as far as five halves of the interval
STEPS = 60  # of a refit
FIRST = 200  # of the first one, of all parameters
SETTLED = 0.02  # the fall of Q in a step, below which over `PAUSE` steps a refit has settled
PAUSE = 5
ROUNDS = 3  # in which the profile may begin anew, at a better fit that a refit has found, or with another noise
OTHER = 0.05  # relative change of the residuals of measurements, above which their noise is estimated anew
RIDGES = (1e-12, 1e-10, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-2)  # dampings, relative to the squared lengths of the columns
WIDEST = 0.5  # the half interval, over |s| or 1, where Gauss-Newton has none or a wider one
MOVED = 0.5  # distances from the best value to an end, by which the run may have ended elsewhere
APART = 0.25  # halves of the Gauss-Newton interval between two ends that count as different


NewOptimizer = Callable[[], Optimizer]


@dataclass(frozen=True)
class Profile:
    """D (K,) at the values (K,) of one unknown, in rising order, and whether each refit `settled` (K,).

    `interval` is where D is below `threshold`; an end is infinite where D was below it at all values on that side.
    `stated` is the Gauss-Newton interval of the run, around its `estimate`; `best` is the value of the least D. Where
    the first refit did not settle, it is the only value, the interval is NaN, and `why` says so. `other_noise`: it was
    estimated anew, at the best fit.
    """

    name: str
    estimate: float
    best: float
    values: Tensor
    deviance: Tensor
    settled: Tensor
    threshold: float
    interval: tuple[float, float]
    stated: tuple[float, float]
    why: str = ""
    other_noise: bool = False

    def lines(self) -> list[str]:
        """The interval beside the Gauss-Newton one, then what is to be said of it, a line each."""
        if self.why:
            return [f"{self.name}: no interval by profile likelihood: {self.why}"]
        low, high = self.interval
        least = "at least " if self._unsettled() else ""
        words = f"{least}{_end(low)} to {_end(high)}, Gauss-Newton {self.stated[0]:.6g} to {self.stated[1]:.6g}"
        head = f"{self.name}: 95 % interval by profile likelihood {words}"
        return [head, *(self._moved() or self._differing()), *self._open(), *self._unsettled()]

    def _moved(self) -> list[str]:
        ends = [end for end in self.interval if isfinite(end)]
        half = min((abs(end - self.best) for end in ends), default=inf)
        if abs(self.best - self.estimate) > max(MOVED * half, float(self.values.diff().max())):
            told = f"has {self.name} = {self.best:.6g}, and the run ended at {self.estimate:.6g}"
            return [f"training has not settled: the best fit {told}; type a larger stop.steps"]
        if self.other_noise:
            return ["training has not settled: the best fit has other residuals of the measurements, so their noise "
                    "was estimated anew; type a larger stop.steps"]  # fmt: skip
        return []

    def _open(self) -> list[str]:
        ends = {"lower": (self.interval[0], self.values[0], self.deviance[0]),
                "upper": (self.interval[1], self.values[-1], self.deviance[-1])}  # fmt: skip
        return [f"{self.name} has no {side} end: -2 log L rises by {float(D):.2g} up to {float(value):.4g}, and "
                f"{self.threshold:.2f} is an end; the data do not determine it on that side"
                for side, (end, value, D) in ends.items() if not isfinite(end)]  # fmt: skip

    def _differing(self) -> list[str]:
        half = (self.stated[1] - self.stated[0]) / 2
        if not isfinite(half):
            return []
        pairs = zip(("lower", "upper"), self.interval, self.stated, strict=True)
        off = [side for side, own, stated in pairs if isfinite(own) and abs(own - stated) > APART * half
               and (self._is_settled(side) or not self.stated[0] <= own <= self.stated[1])]  # fmt: skip
        if not off:
            return []
        ends = f"both ends of {self.name} differ" if len(off) > 1 else f"the {off[0]} end of {self.name} differs"
        return [f"{ends} from Gauss-Newton: the posterior is not normal, or the network alone fixes a part of it"]

    def _refits(self, side: str) -> Tensor:
        """Which refits (K,) this end depends on: those from the best one to the first above the threshold."""
        beside = self.values < self.best if side == "lower" else self.values > self.best
        above = (self.values[beside & (self.deviance > self.threshold)] - self.best).abs()
        return beside & ((self.values - self.best).abs() <= min(above.tolist(), default=inf))

    def _is_settled(self, side: str) -> bool:
        return bool(self.settled[self._refits(side)].all())

    def _unsettled(self) -> list[str]:
        used = self._refits("lower") | self._refits("upper")
        count = int((used & ~self.settled).sum())
        if not count:
            return []
        return [f"{count} of {int(used.sum())} refits had not settled, so the interval may be wider; train the run "
                "longer, or take a smaller network"]  # fmt: skip

    @property
    def group(self) -> dict[str, Any]:
        """Its group in the results file."""
        ends = {"low": self.interval[0], "high": self.interval[1]}
        stated = {"gauss_newton_low": self.stated[0], "gauss_newton_high": self.stated[1]}
        numbers = ends | stated | {"threshold": self.threshold, "estimate": self.estimate}
        return {"value": Noted(self.values, numbers), "deviance": self.deviance,
                "settled": self.settled.double(), "lines": self.lines()}  # fmt: skip


def profiles(
    objective: Objective, known: Uncertainty, names: Sequence[str], new_optimizer: NewOptimizer, seed: int = 0
) -> Iterator[Profile]:
    """The profile of each of these unknowns of a trained model, from its last points, weights and `uncertainty`.

    They share the first refit, of all parameters. Raises UsageError for a name that is no unknown, and for a run
    without standard errors.
    """
    for name in names:
        if known.why:
            raise UsageError(f"no profile of {name}: {known.why}")
        if name not in known.names:
            raise UsageError(f"no unknown `{name}`; {nearest(name, known.names)}")
        if known.fields:
            field = known.fields[0].name
            raise UsageError(f"no profile of {name}: {field} is an unknown field, whose prior it would need")
    posterior, known_there, why = _best_fit(double(objective), known, new_optimizer, seed)
    for name in names:
        fit = _Refit(posterior, name, new_optimizer)
        found = None if why else _profile(fit, known, known_there.quantile**2)
        why = why or fit.why
        yield replace(found, other_noise=known_there is not known) if found else _without(fit, known, why)


def _best_fit(
    view: Objective, known: Uncertainty, new_optimizer: NewOptimizer, seed: int
) -> tuple[Objective, Uncertainty, str]:
    """The posterior at its best fit, the uncertainty with the noise there, and why this fit has not settled, or ""."""
    for _ in range(ROUNDS):
        posterior = _posterior(view, known, seed)
        why = _refit_all(posterior, new_optimizer)
        if why or not any(abs(_rms(view, name) / n.rms - 1) > OTHER for name, n in known.noise.items() if not n.known):
            break
        known = uncertainty(view, seed)
    return posterior, known, why


def _rms(view: Objective, name: str) -> float:
    return rms(view.residual(name, view.batch[name]).detach())


def _profile(fit: "_Refit", known: Uncertainty, threshold: float) -> Profile | None:
    """The profile of one unknown; None where the best of all refits has not settled. `fit` ends at the best one."""
    fits = _fits(fit, threshold)
    if fit.why:
        return None
    fit.place(min(fits, key=lambda one: one.squares).theta)
    s, Q = (torch.tensor([getattr(one, key) for one in fits], dtype=torch.float64, device="cpu")
            for key in ("s", "squares"))  # fmt: skip
    D = Q - Q.min()
    values, settled = fit.value(s), torch.tensor([one.settled for one in fits], device="cpu")
    crossings = [fit.value(torch.tensor(end, dtype=s.dtype, device="cpu")) for end in _crossings(s, D, threshold)]
    if values[0] > values[-1]:  # mu falls with s
        values, D, settled, crossings = values.flip(0), D.flip(0), settled.flip(0), crossings[::-1]
    ends = [open_end if end.isnan() else float(end) for end, open_end in zip(crossings, (-inf, inf), strict=True)]
    return Profile(fit.name, known.values[fit.name], float(values[D.argmin()]), values, D, settled, threshold,
                   (ends[0], ends[1]), known.intervals[fit.name])  # fmt: skip


def _without(fit: "_Refit", known: Uncertainty, why: str) -> Profile:
    """That of a best fit that has not settled: the value that it reached, and no interval."""
    value = fit.value(torch.tensor([fit.s], dtype=torch.float64, device="cpu"))
    return Profile(fit.name, known.values[fit.name], float(value), value, torch.zeros_like(value),
                   torch.tensor([False], device="cpu"), known.quantile**2, (nan, nan), known.intervals[fit.name],
                   why)  # fmt: skip


@dataclass(frozen=True)
class _Fit:
    """The best fit for one s: Q there, whether the refit settled, and all parameters."""

    s: float
    squares: float
    settled: bool
    theta: Tensor


class _Refit:
    """The posterior as a least-squares problem, |F|^2 = Q, in which one unknown can be held."""

    def __init__(self, posterior: Objective, name: str, new_optimizer: NewOptimizer) -> None:
        self.objective, last = posterior, posterior.layout[f"unknowns.{name}"]
        self.name, self.new_optimizer, self.held, self.why = name, new_optimizer, _holding(posterior, name), ""
        columns = [columns for columns in posterior.layout.values() if columns != last]
        self.columns = [*columns, last]
        self.order = torch.cat([torch.arange(c.start, c.stop, device=posterior.device) for c in self.columns])
        self.last, self.bound = last, getattr(posterior.model, "bounds", {}).get(name)

    def value(self, s: Tensor) -> Tensor:
        """mu of s."""
        return s if self.bound is None else self.bound.value(s)

    @property
    def theta(self) -> Tensor:
        return self.objective.flat([p.detach() for p in self.objective.parameters]).clone()

    @property
    def s(self) -> float:
        return float(self.theta[self.last])

    @property
    def squares(self) -> float:
        """Q."""
        return _squares(self.objective)

    def beside(self, start: _Fit, ds: float) -> _Fit:
        """The best fit at a distance ds from another one; Q is infinite where it is not finite."""
        self.place(start.theta)
        self._step(ds)
        settled, squares = self.settle(), self.squares
        sound = isfinite(squares)
        return _Fit(start.s + ds, squares if sound else inf, settled and sound, self.theta)

    def settle(self) -> bool:
        """Refit with s held; whether Q has come to fall by little."""
        return _settles(_falls(self.held, self.new_optimizer(), STEPS))

    def settle_all(self) -> bool:
        """Refit all parameters; where Q has not come to fall by little, `why` says so."""
        self.why = _refit_all(self.objective, self.new_optimizer)
        return not self.why

    def half(self, threshold: float) -> float:
        """The half interval in s of the linearised posterior here, or what may take its place."""
        triangle = self._triangle()
        information = abs(float(triangle.R[-1, -1] * triangle.D[-1]))
        return min(threshold**0.5 / max(information, 1e-300), WIDEST * max(1.0, abs(self.s)))

    def place(self, theta: Tensor) -> None:
        """Take these parameters."""
        self.objective.place(theta)
        self.objective.begin(self.objective.batch)

    def _triangle(self) -> Triangle:
        return triangle_of_blocks(weighted_rows(self.objective, self.objective.batch, self.columns))

    def _step(self, ds: float) -> None:
        """Move the unknown by ds and the others to what is best then, with the ridge after which Q is least.

        Along directions in which the network hardly changes, an undamped step is far too long.
        """
        triangle, theta, found = self._triangle(), self.theta, []
        for ridge in RIDGES:
            self._shift(triangle, ridge, ds)
            squares = self.squares
            found.append((squares if isfinite(squares) else inf, ridge))
            self.place(theta)
        self._shift(triangle, min(found)[1], ds)

    def _shift(self, triangle: Triangle, ridge: float, ds: float) -> None:
        damped = triangle.with_ridge(ridge)
        R, y = damped.R * damped.D, damped.y[:, 0]
        right = -(y[:-1] + R[:-1, -1] * ds)
        first = torch.linalg.solve_triangular(R[:-1, :-1], right[:, None], upper=True)[:, 0]
        whole = torch.zeros_like(y)
        whole[self.order] = torch.cat([first, first.new_tensor([ds])])
        self.objective.shift(whole)
        self.objective.begin(self.objective.batch)


def _posterior(view: Objective, known: Uncertainty, seed: int) -> Objective:
    """The objective of which |F|^2 is Q: the same model, fresh points, and weights by the noise of the measurements."""
    data = [name for name in view.batch if view.constraints[name].kind == "data"]
    fixed = [name for name in view.constraints if name not in data]
    noise, weights = known.noise, {name: float(view.weights[name]) for name in data}
    S = sum(noise[n].count for n in data) / sum(weights[n] * noise[n].sigma ** 2 for n in data)
    base = {n: S * float(view.base[n]) for n in fixed if view.base[n]}
    base |= {n: noise[n].count / noise[n].sigma ** 2 for n in data}
    batch = dense_points(view, fixed, seed) | {name: view.batch[name] for name in data}
    posterior = Objective(view.problem, view.model, view.engine, unweighted, base)
    posterior.begin({name: X for name, X in batch.items() if name in base})
    return posterior


def _fits(fit: _Refit, threshold: float) -> list[_Fit]:
    """The best fit of all, and those on both sides of it, by rising s."""
    for _ in range(ROUNDS):
        middle = _Fit(fit.s, fit.squares, True, fit.theta)
        half = fit.half(threshold)
        sides = [_side(fit, middle, sign * SPACING * half, threshold) for sign in (-1.0, 1.0)]
        fits = [*reversed(sides[0]), middle, *sides[1]]
        best = min(fits, key=lambda one: one.squares)
        if middle.squares - best.squares < SETTLED:
            break
        fit.place(best.theta)
        if not fit.settle_all():
            break
    return fits


def _squares(objective: Objective) -> float:
    """Q."""
    with torch.no_grad():
        return float(objective.vector().square().sum())


def _refit_all(posterior: Objective, new_optimizer: NewOptimizer) -> str:
    """Refit all parameters; why Q has not come to fall by little, or ""."""
    before, falls = _squares(posterior), _falls(posterior, new_optimizer(), FIRST)
    if _settles(falls):
        return ""
    fell = f"{before:.5g} to {_squares(posterior):.5g} in {len(falls)} steps, by {falls[-1]:.2g} in the last"
    return (f"the first refit has not settled (-2 log L fell from {fell}); train the run longer, or type a larger "
            "weights.data")  # fmt: skip


def _falls(objective: Objective, optimizer: Optimizer, steps: int) -> list[float]:
    """By how much Q falls in each step, until it has settled; 0 where no step lowers it."""
    falls = list[float]()
    while len(falls) < steps and not _settles(falls):
        before = _squares(objective)
        objective.begin(objective.batch)
        stop = optimizer.step(objective).stop
        falls.append(before - _squares(objective) if stop is None else 0.0)
    return falls


def _settles(falls: Sequence[float]) -> bool:
    """Whether Q falls by little, or no more at all."""
    return bool(falls) and (falls[-1] == 0 or (len(falls) >= PAUSE and sum(falls[-PAUSE:]) < PAUSE * SETTLED))


def _holding(posterior: Objective, name: str) -> Objective:
    """The same objective as a function of all parameters but this unknown."""
    unknown = posterior.model.get_parameter(f"unknowns.{name}")
    unknown.requires_grad_(False)
    held = Objective(posterior.problem, posterior.model, posterior.engine, unweighted, posterior.base)
    held.begin(posterior.batch)
    unknown.requires_grad_(True)
    return held


def _side(fit: _Refit, middle: _Fit, ds: float, threshold: float) -> Sequence[_Fit]:
    """Refits from the middle on until D is above the threshold, at most `MOST`, and one near the end."""
    found = [middle]
    while len(found) <= MOST and found[-1].squares - middle.squares <= threshold:
        found.append(fit.beside(found[-1], ds))
    D = torch.tensor([one.squares - middle.squares for one in found], dtype=torch.float64, device="cpu")
    s = torch.tensor([one.s for one in found], dtype=torch.float64, device="cpu")
    end = _crossing(s, D.clamp_min(0.0), threshold)
    if isfinite(end) and isfinite(found[-1].squares):
        found.insert(-1, fit.beside(found[-2], end - found[-2].s))
    return found[1:]


def _crossings(s: Tensor, D: Tensor, threshold: float) -> list[float]:
    """The s below and above the best one at which D reaches the threshold; NaN where it does not."""
    best = int(D.argmin())
    return [_crossing(s[: best + 1].flip(0), D[: best + 1].flip(0), threshold),
            _crossing(s[best:], D[best:], threshold)]  # fmt: skip


def _crossing(s: Tensor, D: Tensor, threshold: float) -> float:
    """That of values (K,) from the best one on."""
    for k in range(1, len(s)):
        if D[k] > threshold:
            inner, outer = float(D[k - 1]) ** 0.5, float(D[k]) ** 0.5
            return float(s[k - 1] + (s[k] - s[k - 1]) * (threshold**0.5 - inner) / (outer - inner))
    return nan


def _end(value: float) -> str:
    return f"{value:.6g}" if isfinite(value) else "open"
