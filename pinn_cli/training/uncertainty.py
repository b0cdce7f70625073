"""How well measurements determine the unknown coefficients and fields of a trained model.

The loss is -2 log of a posterior density, up to a factor S and a constant: the measurements are a normal likelihood,

    S w_d / N_d sum r_d^2 = sum (r_d / sigma)^2        S = N_d / (w_d sigma^2)

and the equations and conditions, with S times their weights, are prior knowledge that holds softly. Network parameters
theta are nuisance parameters. With the rows of J in the order (theta, s), s the free numbers of the unknowns (U,),

    [J_e; J_d] = Q [R11 R12; 0 R22]        covariance of s = (S R22^T R22)^-1

which is the Schur complement of J^T J for s, from a QR factorisation that does not square the condition number (Bjorck
1996, section 2.8). The rows of the equations J_e are taken at fresh points, several for each parameter, so that the
equations hold between the points too, also where a front takes a small part of the domain.

A network resolves solutions for other coefficients to finite precision, and the equations alone then seem to determine
s a little. This part, R22 of J_e alone, is no information and is left out. Along the solutions of the equations, theta
= T ds + eta with T = -R11^-1 R12 of J_e, what the measurements alone add is the same block of

    [R11 0; J_d,theta g]        g = J_d,theta T + J_d,s

which is the difference of both Schur complements without their cancellation.

The statistical floor has the equations hold exactly: no unbiased estimate has a smaller covariance than

    sigma^2 (sum_j g_j g_j^T)^-1        g_j = du/ds at measurement j

(Cramer 1946; Rao 1945). Where sigma is not known, it is estimated: sigma^2 = sum r_d^2 / (N_d - p), where p is the
number of degrees of freedom that the fit takes from the data, the trace of J_d (J^T J)^-1 J_d^T.

The parameters of an unknown field (`field_uncertainty.py`) are unknowns too, with a prior. A residual of unknown fields
alone, such as k_x, is a prior as well: it counts like measurements, as information.

    N = measurements   P = parameters of the network   U = unknowns
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf, isfinite
from typing import Any

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Batch
from pinn_cli.methods.linear_algebra import triangle_of_blocks
from pinn_cli.physics.piecewise import Marched
from pinn_cli.physics.points import fresh_points
from pinn_cli.physics.terms import is_prior, rms
from pinn_cli.physics.unknowns import values_of
from pinn_cli.records.results import Noted
from pinn_cli.training.field_uncertainty import FieldUncertainty, deviations, on_grid, rows_of_field
from pinn_cli.training.neighbours import correlation_of_neighbours, is_pattern
from pinn_cli.training.objective import Objective

LEVEL = 0.95  # of an interval
MOST = 5e11  # operations of the factorisation: about a quarter of a minute
FRESH, LEAST = 8.0, 2.0  # rows of the equations in the interior for each parameter, and at least for a large network
FACES = 256  # points on each part of a face
ROWS = 5e8  # bytes of rows of J at a time
RIDGE = 1e-20  # of the squared length of each column: below, a direction of the parameters is free
WIDE = 0.25  # half an interval over the value: an unknown counts as determined below
CORRELATED = 0.9  # correlation of two unknowns that is told
OWN = 0.5  # share of the information on an unknown that comes from the network alone, above which it is told
MOVING = 0.5  # standard errors by which another step may change an unknown
SOFT = 1.5  # standard error over its floor, above which it is told
OFF = 5.0  # standard deviations of a chi-squared sum: beyond, sigma does not fit the residuals


@dataclass(frozen=True)
class Noise:
    """The noise of the residuals of one constraint: its standard deviation `sigma`, and whether it was known.

    `count` measurements, of which the fit takes `fitted` degrees of freedom; `rms` of the residuals. `alike` is the
    correlation of each residual with that of the nearest other measurement, about 0 for independent noise.
    """

    sigma: float
    known: bool
    count: int
    fitted: float
    rms: float
    alike: float = 0.0

    @property
    def ratio(self) -> float:
        """The residuals over what the known sigma makes one expect."""
        return self.rms / self.sigma / max(1.0 - self.fitted / self.count, 1e-12) ** 0.5


@dataclass(frozen=True)
class Uncertainty:
    """Standard errors, intervals, correlations and floors of the unknowns, or in `why` the reason why there are none.

    `values` and `free` are mu and s, `slopes` dmu/ds, `covariance` (U, U) that of s, `floor` (U,) the smallest standard
    errors of mu. `own` (U,) is the share of the information that comes from the network and is left out. `tolerance`
    has the rms residual of each equation, in its natural unit, that counts as one standard deviation. `ahead` is the
    change of s that another Gauss-Newton step would make, over its standard error.
    """

    names: tuple[str, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)
    free: Mapping[str, float] = field(default_factory=dict)
    slopes: Mapping[str, float] = field(default_factory=dict)
    covariance: Tensor | None = None
    floor: Mapping[str, float] = field(default_factory=dict)
    own: Mapping[str, float] = field(default_factory=dict)
    noise: Mapping[str, Noise] = field(default_factory=dict)
    tolerance: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, Any] = field(default_factory=dict)
    ahead: Mapping[str, float] = field(default_factory=dict)
    fields: Sequence[FieldUncertainty] = ()
    why: str = ""

    @cached_property
    def standard_errors(self) -> dict[str, float]:
        """Of mu; infinite where nothing is known."""
        if self.covariance is None:
            return {}
        variances = dict(zip(self.names, self.covariance.diagonal().tolist(), strict=True))
        return {n: abs(self.slopes[n]) * v**0.5 if v < inf else inf for n, v in variances.items()}

    @cached_property
    def correlation(self) -> Tensor:
        """(U, U); NaN where nothing is known."""
        assert self.covariance is not None
        sizes = self.covariance.diagonal().sqrt()
        return self.covariance / sizes[:, None] / sizes

    @property
    def quantile(self) -> float:
        """Standard errors from the middle of an interval to its ends: of the normal distribution, or Student's t."""
        from scipy.special import ndtri, stdtrit  # a tenth of a second, at the end of an inverse problem only

        estimated = [n.count - n.fitted for n in self.noise.values() if not n.known]
        freedom = max(1.0, min(estimated, default=inf))
        return float(ndtri(0.5 + LEVEL / 2) if freedom == inf else stdtrit(freedom, 0.5 + LEVEL / 2))

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """The ends of the 95 % interval of mu, between its bounds: those of s, mapped."""
        out = {}
        for k, name in enumerate(self.names):
            assert self.covariance is not None
            half = self.quantile * float(self.covariance[k, k]) ** 0.5
            ends = torch.tensor([self.free[name] - half, self.free[name] + half], dtype=torch.float64, device="cpu")
            bound = self.bounds.get(name)
            low, high = sorted((ends if bound is None else bound.value(ends)).tolist())
            out[name] = (low, high)
        return out

    def is_determined(self, name: str) -> bool:
        """Whether the measurements determine an unknown: its interval is narrow against its value."""
        low, high = self.intervals[name]
        return isfinite(high - low) and (high - low) / 2 < WIDE * abs(self.values[name])

    def shown(self, name: str) -> str:
        """An unknown with its uncertainty, in one line."""
        value, error = self.values[name], self.standard_errors.get(name, inf)
        if not isfinite(error):
            return f"{name} {value:.6g}"
        low, high = self.intervals[name]
        relative = f" ({error / abs(value):.1%})" if value else ""
        floor = f"; floor {self.floor[name]:.1e}" if isfinite(self.floor.get(name, inf)) else ""
        return f"{name} {value:.6g} +- {error:.1e}{relative}; 95 % interval {low:.6g} to {high:.6g}{floor}"

    def lines(self) -> list[str]:
        """What else is to be said, a line each; first every unknown field."""
        shown = [each.shown() for each in self.fields]
        if self.why:
            return [*shown, f"no standard errors: {self.why}"]
        told = (self._bounded, self._undetermined, self._moving, self._together, self._softened, self._limited,
                self._noise, self._patterns)  # fmt: skip
        more = [line for each in self.fields for line in each.lines()]
        return shown + more + [line for lines in told for line in lines()]

    def _at_bound(self, name: str) -> float | None:
        """The bound to which the value is nearer than its standard error."""
        bound = self.bounds.get(name)
        ends = () if bound is None else [end for end in (bound.low, bound.high) if isfinite(end)]
        near = [end for end in ends if abs(self.values[name] - end) < self.standard_errors[name] < inf]
        return min(near, key=lambda end: abs(self.values[name] - end), default=None)

    def _bounded(self) -> list[str]:
        ends = {name: end for name in self.names if (end := self._at_bound(name)) is not None}
        return [f"{name} = {self.values[name]:.6g} is at its bound, {end:g}, nearer than its standard error: the data "
                "may want a value beyond, or do not determine it" for name, end in ends.items()]  # fmt: skip

    def _undetermined(self) -> list[str]:
        lines = []
        for name in self.names:
            if self.is_determined(name) or self._at_bound(name) is not None:
                continue
            low, high = self.intervals[name]
            if not isfinite(self.standard_errors[name]):
                reason = "the measurements do not react to it"
            elif low < 0 < high:
                reason = f"its 95 % interval, {low:.3g} to {high:.3g}, contains 0"
            else:
                reason = f"its 95 % interval reaches from {low:.3g} to {high:.3g}"
            lines.append(f"the data do not determine {name}: {reason}; take more data, or data with less noise")
        return lines

    def _moving(self) -> list[str]:
        moving = [f"{n} by {self.ahead[n]:.2g}" for n in self.names if MOVING < self.ahead.get(n, 0.0) < inf]
        told = f"another Gauss-Newton step would change {', '.join(moving)} standard errors"
        return [f"training has not settled: {told}; type a larger stop.steps"] if moving else []

    def _together(self) -> list[str]:
        pairs = [(i, j) for i in range(len(self.names)) for j in range(i) if abs(self.correlation[i, j]) > CORRELATED]
        return [f"{self.names[j]} and {self.names[i]} are known together better than alone: correlation "
                f"{float(self.correlation[i, j]):.3f}" for i, j in pairs]  # fmt: skip

    def _softened(self) -> list[str]:
        """Unknowns that the equations, as weights say them, leave less certain than equations that hold exactly."""
        soft = [n for n in self.names if SOFT * self.floor[n] < self.standard_errors[n] < inf and self.floor[n] > 0]
        if not soft:
            return []
        each = ", ".join(f"{self.standard_errors[n] / self.floor[n]:.2g} times that of {n}" for n in soft)
        return [f"the equations hold softly, which costs accuracy: the standard error is {each} if they held exactly; "
                "type a smaller weights.data, e.g. a hundredth"]  # fmt: skip

    def _limited(self) -> list[str]:
        names = [name for name in self.names if self.own[name] > OWN]
        told = f"the equations alone, in this network, fix {', '.join(names)} more firmly than the measurements do"
        way = "the value is less that of the data; type a larger network or a larger weights.data"
        return [f"{told}: {way}"] if names else []

    def _noise(self) -> list[str]:
        lines = []
        for name, n in self.noise.items():
            spread = OFF * (2 / max(n.count - n.fitted, 1.0)) ** 0.5
            if not n.known:
                lines.append(f"the noise of {name} is estimated at {n.sigma:.2e} (standard deviation), from {n.count} "
                             f"measurements; the fit takes {n.fitted:.3g} degrees of freedom")  # fmt: skip
            elif abs(n.ratio**2 - 1) > spread:
                lines.append(f"the residuals of {name} are {n.ratio:.2g} times as large as sigma says: another sigma, "
                             "outliers, or an equation that the data contradict; the intervals trust it")  # fmt: skip
        return lines

    def _patterns(self) -> list[str]:
        reasons = "another equation or condition, training that has not settled, correlated noise, or hardly any noise"
        return [f"the residuals of {name} are alike at neighbouring points (correlation {n.alike:.2f}), so the "
                f"intervals, which are those of independent noise, may be wrong: {reasons}"
                for name, n in self.noise.items() if is_pattern(n.alike, n.count)]  # fmt: skip

    @property
    def attributes(self) -> dict[str, dict[str, float | bool]]:
        """What the results file says of every unknown."""
        if self.why:
            return {}
        errors, ends = self.standard_errors, self.intervals
        return {n: {"standard_error": errors[n], "low": ends[n][0], "high": ends[n][1], "floor": self.floor[n],
                    "determined": self.is_determined(n)} for n in self.names}  # fmt: skip

    @property
    def groups(self) -> dict[str, Any]:
        """The group `uncertainty` of the results file."""
        if self.why:
            return {"lines": self.lines()}
        noise = {name: Noted(n.sigma, {"known": n.known, "measurements": n.count, "fitted": n.fitted, "rms": n.rms,
                                      "neighbours": n.alike})
                 for name, n in self.noise.items()}  # fmt: skip
        together = {"correlation": Noted(self.correlation, {"names": list(self.names)})} if self.names else {}
        return together | {"noise": noise, "tolerance": dict(self.tolerance), "lines": self.lines()}


def uncertainty(objective: Objective, seed: int = 0) -> Uncertainty:
    """The uncertainty of the unknowns of a trained model, at its last points and weights."""
    data = [name for name in objective.batch if objective.constraints[name].kind == "data"]
    grids = _grids(objective)
    if why := _refused(objective, data):
        return Uncertainty(why=why, fields=[field for field, _, _ in grids])
    view = double(objective)
    names, K = list(view.unknowns), sum(G.shape[1] for _, _, G in grids)
    columns = _columns(view, names)
    U, priors = K + len(names), [n for n, c in view.constraints.items() if is_prior(view.problem, c)]
    fixed = [name for name in view.constraints if name not in (*data, *priors)]
    equations, left = _factor(weighted_rows(view, dense_points(view, fixed, seed), columns))
    measured = {n: _joined(weighted_rows(view, {n: objective.batch[n].double()}, columns)) for n in data}
    r = {name: view.residual(name, objective.batch[name].double()).detach() for name in data}
    weights = {name: float(view.weights[name]) for name in data}
    prior = [_joined(weighted_rows(view, {n: view.batch[n] for n in priors}, columns))] if priors else []
    before = torch.cat([equations, *(rows for rows, _ in prior)])
    noise, S, Ss = _noise_of(view, before, {n: J for n, (J, _) in measured.items()}, r, weights)
    scaled, F = _joined([((Ss[n] / S) ** 0.5 * J, (Ss[n] / S) ** 0.5 * F) for n, (J, F) in measured.items()])
    reactions = measured_reactions(equations, scaled, U)
    own, free_of_it = _lower(equations, U), equations.clone()
    free_of_it[-U:, -U:] = free_of_it[:-U, -U:] = 0.0
    followed = torch.cat([scaled[:, :-U], reactions], 1)
    information = _lower(_factor([(free_of_it, 0.0 * left), (followed, 0.0 * F), *prior])[0], U)
    values = {n: v.detach() for n, v in values_of(view.model).items()}
    free, slopes = _slopes(view)
    known = torch.diag(torch.arange(U, device=F.device) < K).to(F)  # the prior of the parameters of fields
    every = inverse(S * information.T @ information + known)
    reactions = torch.cat([reactions, *(rows[:, -U:] for rows, _ in prior)])
    least = inverse(S * reactions.T @ reactions + known)
    whole, after = _factor([(equations, left), (scaled, F), *prior])
    root = torch.cat([S**0.5 * _lower(whole, U), known])
    step = torch.linalg.lstsq(root, torch.cat([S**0.5 * after[-U:], after.new_zeros(U)])[:, None]).solution[:, 0]
    covariance = every[K:, K:]
    return Uncertainty(
        names=tuple(names),
        values={n: float(values[n]) for n in names},
        free=free,
        slopes=slopes,
        covariance=covariance,
        ahead={n: float(v) for n, v in zip(names, step[K:].abs() / covariance.diagonal().sqrt(), strict=True)},
        floor={n: abs(slopes[n]) * float(v) ** 0.5 for n, v in zip(names, least[K:, K:].diagonal(), strict=True)},
        own={n: float(v) for n, v in zip(names, _share(own, _lower(whole, U))[K:], strict=True)},
        noise=noise,
        tolerance={n: 1 / (S * float(objective.stated[n])) ** 0.5 for n in fixed if objective.stated[n]},
        bounds=dict(getattr(view.model, "bounds", {})),
        fields=_with_errors(grids, every[:K, :K], least[:K, :K], step[:K]),
    )


def _grids(objective: Objective) -> list[tuple[FieldUncertainty, Tensor, Tensor]]:
    """Every unknown field on a grid, the points (M, D) there, and dk/dphi (M, P), in double precision."""
    networks = dict(getattr(objective.model, "unknown_fields", {}))
    found = []
    for name, network in networks.items():
        network = copy.deepcopy(network).double()
        field, X = on_grid(objective.problem, name, network)
        found.append((field, X, rows_of_field(network, X.to(objective.device))))
    return found


def _with_errors(
    grids: Sequence[tuple[FieldUncertainty, Tensor, Tensor]], covariance: Tensor, least: Tensor, step: Tensor
) -> list[FieldUncertainty]:
    """The fields with standard errors, from the covariance of all their parameters and the least one."""
    found, start = [], 0
    for each, _, G in grids:
        own = slice(start, start := start + G.shape[1])
        errors, floor = deviations(G, covariance[own, own]), deviations(G, least[own, own])
        ahead = inf if errors is None else rms(G @ step[own]) / max(rms(errors), 1e-300)
        found.append(replace(each, standard_errors=errors, floor=floor, ahead=ahead))
    return found


def _refused(objective: Objective, data: Sequence[str]) -> str:
    """Why there is no uncertainty; "" if there is one."""
    if not objective.unknowns and not objective.problem.unknown_fields:
        return "there are no unknowns"
    if not all(p.isfinite().all() for p in objective.parameters):
        return "the network is not finite"
    if not data or not objective.at.of_one_problem:
        return "there are no measurements"
    if isinstance(objective.model, Marched):
        return "each window in time has coefficients of its own"
    count = sum(p.numel() for p in objective.parameters)
    operations = 2 * (LEAST * count + sum(len(objective.batch[name]) for name in data)) * count**2
    if operations > MOST:
        return f"{count} parameters are too many to factorise; type a smaller network"
    return ""


def double(objective: Objective) -> Objective:
    """The objective in double precision, at its own points, with the mean weights in force."""
    weights = {n: float(torch.as_tensor(w).mean()) for n, w in objective.weights.items()}
    view = Objective(objective.problem, copy.deepcopy(objective.model).double(), objective.engine, unweighted, weights)
    view.begin({name: X.double() for name, X in objective.batch.items()})
    return view


def unweighted(batch: Batch, residuals: Batch) -> Mapping[str, float]:
    """No factors beside the base weights."""
    return {}


unweighted.of_residuals = False  # type: ignore[attr-defined]


def _columns(objective: Objective, names: Sequence[str]) -> list[slice]:
    """The columns of J: those of the network first, then those of unknown fields, then those of the unknowns."""
    last = [f"unknowns.{name}" for name in names]
    fields = [name for name in objective.layout if name.startswith("unknown_fields.")]
    first = [c for n, c in objective.layout.items() if n not in (*fields, *last)]
    return first + [objective.layout[n] for n in (*fields, *last)]


def dense_points(objective: Objective, names: Sequence[str], seed: int) -> Batch:
    """Fresh points of every equation and condition, with a weight."""
    generator = torch.Generator("cpu").manual_seed(seed * 7919 + 5)
    count = sum(p.numel() for p in objective.parameters)
    shared: dict[tuple[str, int], Tensor] = {}
    batch = {}
    for name in (n for n in names if objective.base[n]):
        region, X = objective.constraints[name].region, objective.batch[name]
        inside = objective.constraints[name].kind == "interior"
        fresh = round(max(LEAST * count, min(FRESH * count, MOST / 2 / count**2)))
        least = fresh if inside else FACES * len(objective.problem.domain.parts(region))
        key = (region, n := max(len(X), least))
        if key not in shared:
            shared[key] = fresh_points(objective.problem, region, n, generator, X)
        batch[name] = shared[key]
    return batch


def weighted_rows(objective: Objective, batch: Batch, columns: Sequence[slice]) -> Iterator[tuple[Tensor, Tensor]]:
    """The weighted rows of J at other points, some at a time, the columns in this order, and F there."""
    others = Objective(objective.problem, objective.model, objective.engine, unweighted, objective.base)
    others.begin(batch)
    linear = others.linearise(at_once=2048)  # at once, since its rows may be asked for where gradients are off
    return _with_values(linear.chunks(ROWS, columns), linear.F)


def _with_values(rows: Iterable[Tensor], F: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    start = 0
    for J in rows:
        yield J, F[start : start + len(J)]
        start += len(J)


def _joined(rows: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """J and F of all these rows."""
    J, F = zip(*rows, strict=True)
    return torch.cat(J), torch.cat(F)


def _factor(rows: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """R (P + U, P + U) and Q^T F of J = Q R; a ridge of rounding errors keeps free directions finite."""
    found = triangle_of_blocks(rows).with_ridge(RIDGE)
    return found.R * found.D, found.y[:, 0]


def _lower(R: Tensor, U: int) -> Tensor:
    """R22 (U, U): the root of the information on the unknowns, whatever the network does."""
    return R[-U:, -U:]


def measured_reactions(equations: Tensor, J: Tensor, U: int) -> Tensor:
    """Rows (N, U): how the measured values react to the unknowns if the equations go on to hold."""
    followed = torch.linalg.solve_triangular(equations[:-U, :-U], equations[:-U, -U:], upper=True)
    return J[:, -U:] - J[:, :-U] @ followed


def inverse(information: Tensor) -> Tensor:
    """The covariance (U, U) of an information matrix; infinite on the diagonal for what it does not determine."""
    sizes = information.diagonal().clamp_min(0.0).sqrt()
    known = sizes > 0
    scale = torch.where(known, sizes, 1.0)
    energies, V = torch.linalg.eigh(information / scale[:, None] / scale)
    sound = energies > 1e-12
    loose = (V[:, ~sound].abs() > 1e-3).any(1) | ~known
    covariance = (V[:, sound] / energies[sound]) @ V[:, sound].T / scale[:, None] / scale
    covariance[loose] = covariance[:, loose] = torch.nan
    covariance.diagonal()[loose] = inf
    return covariance


def _share(own: Tensor, whole: Tensor) -> Tensor:
    """The share of the information on each unknown that does not come from the measurements."""
    return own.square().sum(0) / whole.square().sum(0).clamp_min(1e-300)


def _slopes(objective: Objective) -> tuple[dict[str, float], dict[str, float]]:
    """s and dmu/ds of every unknown."""
    free = {n: s.detach().clone().requires_grad_() for n, s in objective.model.unknowns.items()}  # type: ignore[operator, union-attr]
    bounds: Mapping[str, Any] = getattr(objective.model, "bounds", {})
    if not free:
        return {}, {}
    with torch.enable_grad():
        total = sum(bounds[n].value(s) if n in bounds else s for n, s in free.items())
        slopes = torch.autograd.grad(total, list(free.values()))
    return {n: float(s.detach()) for n, s in free.items()}, dict(zip(free, map(float, slopes), strict=True))


def _noise_of(
    objective: Objective,
    equations: Tensor,
    measured: Mapping[str, Tensor],
    r: Mapping[str, Tensor],
    weights: Mapping[str, float],
) -> tuple[dict[str, Noise], float, dict[str, float]]:
    """The noise of every constraint on data, the factor S of the equations, and that of each of these constraints."""
    stacked = torch.cat([equations, *measured.values()])
    whole, _ = _factor([(stacked, stacked.new_zeros(len(stacked)))])
    noise = {}
    for name, rows in measured.items():
        leverage = torch.linalg.solve_triangular(whole.T, rows.T, upper=False)
        count, fitted = len(rows), min(float(leverage.square().sum()), len(rows) - 1.0)
        known = objective.constraints[name].noise
        squares = float(r[name].square().sum())
        sigma = (squares / (count - fitted)) ** 0.5 if known is None else known
        alike = correlation_of_neighbours(objective.problem, objective.batch[name], r[name])
        noise[name] = Noise(max(sigma, 1e-300), known is not None, count, fitted, (squares / count) ** 0.5, alike)
    factors = {n: noise[n].count / (weights[n] * noise[n].sigma ** 2) for n in measured}
    total = sum(n.count for n in noise.values())
    return noise, total / sum(weights[n] * noise[n].sigma ** 2 for n in measured), factors
