"""Equations at points for fields that are combinations of basis functions: residuals, Jacobian, curvature.

    u_s = B_s w_f                                   for each symbol s (u, u_x, lap_u, ...) of a field f
    R = m r(u_1, u_2, ...; data)                    one number per point; m is the multiplier
    J = dR/dw = sum_s diag(m r_s) B_s               r_s = dr/du_s
    S = sum_i R_i d2R_i/dw2 = sum_st B_s^T diag(m^2 r r_st) B_t

R at a point depends on the symbols at that point only. So r_s and r_st are one number per point too, and automatic
differentiation of the sum of r over all points gives them for all points at once.

    I = instances   N = points of one equation   M = points of all   F = fields   P = basis functions   Q = F P
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError, user_method
from pinn_cli.methods.linear_algebra import Triangle, triangle

ALONE = 1e-6  # relative difference up to which a residual that is computed alone is the same


class PointwiseEquation:
    """One equation or condition at N points, for I instances.

    `residual(**symbols, **data)` gives r, one number per instance and point, from arrays that broadcast to (I, N).
    `bases` has the values of the basis functions by symbol, (N, P), or (I, N, P) if points differ between instances.
    `data` differ between points, (N,), instances, (I, 1), or both, (I, N). `fields` has the number of the field by
    symbol; 0 where it is missing. The `multiplier` weights the residual, not its square. All is computed in float64.

    Raises UsageError for shapes that do not fit.
    """

    def __init__(
        self,
        residual: Callable[..., Tensor],
        bases: Mapping[str, Tensor],
        data: Mapping[str, Tensor | float] | None = None,
        fields: Mapping[str, int] | None = None,
        multiplier: Tensor | float = 1.0,
        name: str = "residual",
    ):
        self.residual, self.fields, self.name = residual, dict(fields or {}), name
        self.bases = {symbol: self._basis(symbol, B) for symbol, B in bases.items()}
        shapes = {symbol: tuple(B.shape[1:]) for symbol, B in self.bases.items()}
        if len(set(shapes.values())) != 1:
            raise UsageError(f"`{name}`: expected bases with one shape (points, functions); found {shapes or 'none'}")
        self.points, self.functions = next(iter(shapes.values()))
        self.device = next(iter(self.bases.values())).device
        self.data = {key: self._datum(key, value) for key, value in (data or {}).items()}
        self.multiplier = self._datum("multiplier", multiplier)

    def residuals(self, w: Tensor) -> Tensor:
        """m r (I, N) for coefficients w (I, F, P), with the graph of everything in it."""
        return self.multiplier * self.read(self.values(w))

    def values(self, w: Tensor) -> list[Tensor]:
        """u_s (I, N) of each symbol for w (I, F, P)."""
        w = w.double()  # those of a network in single precision
        return [
            (B @ w[:, self.field(symbol), :, None])[..., 0] if len(B) > 1 else w[:, self.field(symbol)] @ B[0].T
            for symbol, B in self.bases.items()
        ]

    def read(self, values: Sequence[Tensor]) -> Tensor:
        """r (I, N) for values (I, N) of the symbols. Raises UsageError for another shape."""
        with user_method(f"`{self.name}`"):
            r = self.residual(**dict(zip(self.bases, values, strict=True)), **self.data)
            r = torch.as_tensor(r, dtype=torch.float64, device=self.device)
        try:
            return r.expand_as(values[0])
        except RuntimeError:
            raise UsageError(
                f"`{self.name}` gives numbers of shape {tuple(r.shape)}; expected one for each of the "
                f"{tuple(values[0].shape)} instances and points. Numbers that belong to points or instances are `data`"
            ) from None

    def slopes(self, r: Tensor, values: Sequence[Tensor], graph: bool = False) -> list[Tensor]:
        """r_s (I, N) of each symbol."""
        if not r.requires_grad:
            return [torch.zeros_like(v) for v in values]
        return list(torch.autograd.grad(r.sum(), values, create_graph=graph, materialize_grads=True))

    def field(self, symbol: str) -> int:
        return self.fields.get(symbol, 0)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name; their first dimension is I, or 1."""
        return {**{f"basis of {s}": B for s, B in self.bases.items()}, **self.data, "multiplier": self.multiplier}

    def map(self, change: Callable[[Tensor], Tensor]) -> "PointwiseEquation":
        """The same equation with changed tensors."""
        bases = {symbol: change(B) for symbol, B in self.bases.items()}
        data = {key: change(value) for key, value in self.data.items()}
        return PointwiseEquation(self.residual, bases, data, self.fields, change(self.multiplier), self.name)

    def of(self, instances: Tensor) -> "PointwiseEquation":
        """The same equation for some instances."""
        return self.map(lambda x: x if len(x) == 1 else x[instances])

    def refuse_coupled(self) -> None:
        """Raise UsageError if the residual at the last point for the last instance differs when it is computed alone.

        The symbols have trial values, all different and positive.
        """
        n = max(map(len, self.tensors.values()))
        count = torch.arange(n * self.points, dtype=torch.float64, device=self.device).reshape(n, self.points)
        values = [1 + 0.5 * torch.sin(count + k) for k in range(len(self.bases))]
        among = self.map(torch.Tensor.detach).read(values)[-1, -1].detach()
        here = self._alone().read([v[-1:, -1:] for v in values])[-1, -1].detach()
        if not torch.allclose(here, among, rtol=ALONE, atol=0, equal_nan=True):
            raise UsageError(
                f"`{self.name}` is {float(here):.6g} at a point alone and {float(among):.6g} among other points and "
                "instances: expected a residual that depends on its own only"
            )

    def captures_graph(self) -> bool:
        """Whether the residual uses a tensor with a gradient that is not among its data."""
        with torch.enable_grad():
            ones = [torch.ones(1, 1, dtype=torch.float64, device=self.device)] * len(self.bases)
            return self._alone().read(ones).requires_grad

    def _alone(self) -> "PointwiseEquation":
        """The same equation at its last point for the last instance, without a graph."""
        return self.map(lambda x: x.detach()[-1:, -1:])

    def _basis(self, symbol: str, B: Tensor) -> Tensor:
        if B.ndim not in (2, 3):
            raise UsageError(
                f"`{self.name}`: the basis of `{symbol}` has shape {tuple(B.shape)}; expected (N, P) or (I, N, P)"
            )
        return B.reshape(-1, *B.shape[-2:]).to(torch.float64)

    def _datum(self, name: str, value: Tensor | float) -> Tensor:
        value = torch.as_tensor(value, device=self.device)
        numbers = value.shape[-1] if value.ndim else 1
        if value.ndim > 2 or numbers not in (1, self.points):
            raise UsageError(
                f"`{self.name}`: `{name}` has shape {tuple(value.shape)}; expected (N,), (I, 1) or (I, N) with "
                f"N = {self.points} points"
            )
        return value.reshape(-1, numbers).to(torch.float64)


@dataclass
class Iterate:
    """Coefficients w (I, Q) of some instances, R (I, M) there, and r_s of each equation (I, symbols, N)."""

    w: Tensor
    R: Tensor
    slopes: list[Tensor]

    @property
    def squares(self) -> Tensor:
        """|R|^2 (I,)."""
        return self.R.square().sum(-1)

    @property
    def finite(self) -> Tensor:
        """Whether (I,) all numbers are finite."""
        rows = [self.R, *(s.flatten(1) for s in self.slopes)]
        return reduce(torch.logical_and, [x.isfinite().all(-1) for x in rows])

    def same_slopes(self, other: "Iterate") -> Tensor:
        """Whether (I,) all r_s are the same: then R is linear in w, as far as these two show."""
        pairs = zip(self.slopes, other.slopes, strict=True)
        return reduce(torch.logical_and, [(mine == its).flatten(1).all(-1) for mine, its in pairs])

    def of(self, some: Tensor) -> "Iterate":
        """Those of some instances: numbers, or booleans."""
        return Iterate(self.w[some], self.R[some], [s[some] for s in self.slopes])

    def put(self, some: Tensor, other: "Iterate") -> None:
        """Take over the `other` of some instances."""
        self.w[some], self.R[some] = other.w, other.R
        for mine, its in zip(self.slopes, other.slopes, strict=True):
            mine[some] = its


class System:
    """All equations of I instances, and below them the ridge rows sqrt(ridge) D w.

    D (1 or I, Q) are the lengths of the columns of J where all fields are 0, and 1 for a column of zeros: where the
    equations are linear, J is the same everywhere. So D depends on the basis functions, but not on w or on the start.

    Raises UsageError for equations that do not fit each other, and for more unknowns than equations without a ridge.
    """

    def __init__(self, equations: Sequence[PointwiseEquation], ridge: float = 0.0):
        functions = {e.functions: f"{e.functions} in `{e.name}`" for e in equations}
        if len(functions) != 1:
            found = "; ".join(functions.values()) or "no equations"
            raise UsageError(f"expected equations with one number of basis functions; found {found}")
        counts = {len(x): f"{len(x)} in `{e.name}`, {n}" for e in equations for n, x in e.tensors.items() if len(x) > 1}
        if len(counts) > 1:
            raise UsageError(f"expected one number of instances everywhere, or 1; found {'; '.join(counts.values())}")
        self.equations, self.ridge = list(equations), ridge
        self.I, self.P = max(counts, default=1), equations[0].functions
        self.F = 1 + max(e.field(symbol) for e in equations for symbol in e.bases)
        self.Q, self.M = self.F * self.P, sum(e.points for e in equations)
        self._D: Tensor | None = None
        if self.Q > self.M and not ridge > 0:
            fields = f" for each of {self.F} fields" if self.F > 1 else ""
            raise UsageError(
                f"{self.P} basis functions{fields} and {self.M} equations: many combinations are equally good; "
                f"expected at least {self.Q} equations, or a ridge that chooses one: pass ridge=1e-10"
            )

    def map(self, change: Callable[[PointwiseEquation], PointwiseEquation]) -> "System":
        return System([change(e) for e in self.equations], self.ridge)

    def of(self, instances: Tensor) -> "System":
        """The system of some instances; D is not computed anew."""
        some = self.map(lambda e: e.of(instances))
        D = self.lengths() if self.ridge > 0 else None
        some._D = D if D is None or len(D) == 1 else D[instances]
        return some

    def constant(self) -> "System":
        """The system without the graph of its tensors."""
        return self.map(lambda e: e.map(torch.Tensor.detach))

    def requires_grad(self) -> bool:
        """Whether gradients are on and anything in it has one."""
        if not torch.is_grad_enabled():
            return False
        known = any(x.requires_grad for e in self.equations for x in e.tensors.values())
        return known or any(e.captures_graph() for e in self.equations)

    def fields(self, w: Tensor) -> Tensor:
        """w (I, Q) as (I, F, P)."""
        return w.unflatten(-1, (self.F, self.P))

    @torch.enable_grad()
    def iterate(self, w: Tensor) -> Iterate:
        """R, with the ridge rows, and r_s at w (I, Q); without a graph."""
        residuals, slopes = [], []
        for e in self.equations:
            values = [v.detach().requires_grad_() for v in e.values(self.fields(w))]
            r = e.read(values)
            slopes.append(torch.stack(e.slopes(r, values), 1).detach())
            residuals.append((e.multiplier * r).detach())
        if self.ridge > 0:
            residuals.append(self.ridge**0.5 * self.lengths() * w)
        return Iterate(w, torch.cat(residuals, 1), slopes)

    def triangle(self, at: Iterate, budget: float) -> Triangle:
        """The triangle of J d = -R for each instance; rows of J take at most `budget` bytes at a time."""
        n = len(at.w)
        if n > 1 and self._shared(at.slopes):  # one factorisation serves all instances
            one = triangle(self.jacobian([s[:1] for s in at.slopes], self.lengths())[0], -at.R.T)
            y = one.y.T[..., None].contiguous()
            return Triangle(one.R.expand(n, -1, -1), y, one.D.expand(n, -1), one.rest[:, None])
        at_once = max(1, int(budget / (3 * (self.M + self.Q) * self.Q * at.w.element_size())))
        parts = []
        for some in torch.arange(n, device=at.w.device).split(at_once):
            part = self if len(some) == n else self.of(some)
            J = part.jacobian([s[some] for s in at.slopes], part.lengths())
            parts.append(triangle(J, -at.R[some][..., None]))
        return Triangle(*(torch.cat([getattr(part, name) for part in parts]) for name in ("R", "y", "D", "rest")))

    def jacobian(self, slopes: Sequence[Tensor], D: Tensor) -> Tensor:
        """J (I, M, Q), with the ridge rows, from r_s (I, symbols, N) of each equation."""
        n, parts = len(slopes[0]), []
        for e, r_s in zip(self.equations, slopes, strict=True):
            columns = [r_s.new_zeros(1, 1, 1)] * self.F
            for (symbol, B), slope in zip(e.bases.items(), r_s.unbind(1), strict=True):
                columns[e.field(symbol)] = columns[e.field(symbol)] + (e.multiplier * slope)[..., None] * B
            parts.append(torch.cat([c.expand(n, e.points, self.P) for c in columns], -1))
        if self.ridge > 0:
            parts.append(self.ridge**0.5 * torch.diag_embed(D.expand(n, -1)))
        return torch.cat(parts, 1)

    @torch.enable_grad()
    def linearised(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """J (I, M, Q) and R (I, M), with the graph of everything, w included."""
        residuals, slopes, D = [], [], self.lengths(graph=True)
        for e in self.equations:
            values = self._differentiable(e.values(self.fields(w)))
            r = e.read(values)
            slopes.append(torch.stack(e.slopes(r, values, graph=True), 1))
            residuals.append(e.multiplier * r)
        if self.ridge > 0:
            residuals.append(self.ridge**0.5 * D * w)
        return self.jacobian(slopes, D), torch.cat(residuals, 1)

    @torch.enable_grad()
    def gradient(self, w: Tensor) -> Tensor:
        """J^T R (I, Q) at constant w (I, Q), with the graph of everything else."""
        out = [w.new_zeros(1, 1)] * self.F
        for e in self.equations:
            values = self._differentiable(e.values(self.fields(w)))
            r = e.read(values)
            for (symbol, B), slope in zip(e.bases.items(), e.slopes(r, values, graph=True), strict=True):
                out[e.field(symbol)] = out[e.field(symbol)] + _transposed(B, e.multiplier**2 * r * slope)
        G = torch.cat([g.expand(len(w), self.P) for g in out], 1)
        return G + self.ridge * self.lengths(graph=True).square() * w if self.ridge > 0 else G

    @torch.enable_grad()
    def curvature(self, w: Tensor) -> Tensor | None:
        """S (I, Q, Q) at w (I, Q), without a graph; None where all equations are linear in their symbols."""
        S, P = w.new_zeros(len(w), self.Q, self.Q), self.P
        curved = False
        for e in self.equations:
            values = [v.detach().requires_grad_() for v in e.values(self.fields(w))]
            r = e.read(values)
            bases = [(e.field(symbol) * P, B) for symbol, B in e.bases.items()]
            for i, slope in enumerate(e.slopes(r, values, graph=True)):
                if not slope.requires_grad:
                    continue
                second = torch.autograd.grad(slope.sum(), values[: i + 1], retain_graph=True, allow_unused=True)
                for j, r_st in enumerate(second):
                    if r_st is None or not bool(r_st.any()):
                        continue
                    (a, B), (b, C), curved = bases[i], bases[j], True
                    block = B.mT @ ((e.multiplier**2 * r * r_st).detach()[..., None] * C)
                    S[:, a : a + P, b : b + P] += block
                    if i != j:
                        S[:, b : b + P, a : a + P] += block.mT
        return S if curved else None

    def lengths(self, graph: bool = False) -> Tensor:
        """D (1 or I, Q). Without a graph it is computed once."""
        if graph:
            return self._lengths(graph)
        if self._D is None:
            D = self._lengths(graph).detach()
            self._D = D[:1].clone() if bool((D[:1] == D).all()) else D
        return self._D

    @torch.enable_grad()
    def _lengths(self, graph: bool) -> Tensor:
        squares = [self.equations[0].multiplier.new_zeros(1, 1)] * self.F
        for e in self.equations:
            n = max(map(len, e.tensors.values()))
            values = [B.new_zeros(n, e.points).requires_grad_() for B in e.bases.values()]
            slopes = e.slopes(e.read(values), values, graph)
            pairs = zip(e.bases.items(), slopes, strict=True)
            terms = [(e.field(symbol), e.multiplier * slope, B) for (symbol, B), slope in pairs]
            for i, (f, u, B) in enumerate(terms):
                for j, (g, v, C) in enumerate(terms[: i + 1]):
                    if f == g:
                        squares[f] = squares[f] + (1 if i == j else 2) * _transposed(B * C, u * v)
        n = max(map(len, squares))
        total = torch.cat([s.expand(n, self.P) for s in squares], 1)
        if not bool(total.isfinite().all()):
            raise UsageError(
                "the slopes of the residuals are not finite where all fields are 0, and the ridge is measured there: "
                "pass ridge=0"
            )
        return torch.where(total > 0, total, 1.0).sqrt()

    def _differentiable(self, values: list[Tensor]) -> list[Tensor]:
        """The values, or leaves with these values: slopes are derivatives by them."""
        return [v if v.requires_grad else v.detach().requires_grad_() for v in values]

    def _shared(self, slopes: Sequence[Tensor]) -> bool:
        """Whether J is the same for all instances."""
        fixed = all(len(x) == 1 for e in self.equations for x in [*e.bases.values(), e.multiplier])
        same = fixed and all(bool((s == s[:1]).all()) for s in slopes)
        return same and (self.ridge == 0 or len(self.lengths()) == 1)


def _transposed(B: Tensor, u: Tensor) -> Tensor:
    """B^T u (I, P) for B (1 or I, N, P) and u (I, N)."""
    return u @ B[0] if len(B) == 1 else (u[:, None] @ B)[:, 0]
