"""The combination of basis functions that satisfies equations at points best, with its gradient.

    w = argmin 1/2 |R(w, theta)|^2 + ridge / 2 |D w|^2        for each of several instances (`pointwise_equations.py`)

The solver takes Gauss-Newton steps with Levenberg's damping. A QR factorisation gives T with J^T J + ridge D^2 = T^T T;
J^T J, which squares the condition number, is not formed. An undamped step comes first; where it does not lower |R|^2,
the damping grows until a step does, with the same factorisation. If an undamped step leaves the slopes of all equations
as they were, and |R| is what they predict, the equations are linear, and the step has solved them. Where residuals are
large, Gauss-Newton steps become slow; then the second derivatives S = sum_i R_i d2R_i/dw2 are added (Newton's method).
Every instance has its own damping, and ends on its own.

Where |R|^2 is stationary, the implicit function theorem gives the gradient (`implicit.py`):

    H z = dl/dw        H = J^T J + ridge D^2 + S = T^T (1 + T^-T S T^-1) T
    dl/dtheta = -d/dtheta [(J z)^T R + ridge (D z)^T (D w)]        at fixed w and z

Nothing of the iterations is kept. (A layer of a network that satisfies equations: Negiar, Mahoney & Krishnapriyan 2023,
arXiv:2207.08675; damping: Levenberg 1944; second derivatives for large residuals: Dennis, Gay & Welsch 1981.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.implicit import implicit
from pinn_cli.methods.linear_algebra import Triangle, least_squares, refuse_dependent
from pinn_cli.methods.pointwise_equations import Iterate, PointwiseEquation, System

Backward = Literal["implicit", "implicit_gn", "unroll"]
FIRST, LAST, GROWTH, DECAY = 1e-8, 1e6, 100.0, 1e-3  # of the damping, for columns of J of length 1
PATIENCE = 4  # steps in a row without progress
PROGRESS, SLOW = 1e-9, 0.5  # a step makes progress if |R|^2 falls by the first part, or |y| to less than the second
CURVED = 0.01  # of |y|: after a step that leaves more, all others have second derivatives
FAITHFUL = 1e-6  # relative difference of |R| from its prediction, if equations are linear
FLAT = 1e-3  # of the eigenvalues of T^-T H T^-1, which are 1 without second derivatives: smaller ones count as this
NEARLY = 1e3  # times what counts as converged: enough where steps make no progress
COPIES = 6  # of J that one unrolled step keeps

EXACT = torch.float64
EPS = torch.finfo(EXACT).eps

GOES_ON, CONVERGED, IDLE, STUCK, LIMIT = range(-1, 4)  # how an instance ends: a place in REASONS
LIMITED = "it needs more steps"
REASONS = ("", "its steps make no progress", "no damping lowers its residual", LIMITED)


class NotFinite(UsageError):
    """The equations of the instance with this number are not finite where the steps begin."""

    def __init__(self, instance: int) -> None:
        super().__init__(f"the equations are not finite at the start of instance {instance}: pass another start")
        self.instance = instance


@dataclass(frozen=True)
class Outcome:
    """How the coefficients of each instance (I,) were found.

    `residual` is |R| without the ridge rows. `gradient` is |C^-1 (J^T R + ridge D^2 w)|, and `condition` that of T C^-1
    in the Frobenius norm, between the spectral one and Q times that; C are the lengths of the columns of T. `linear`
    says whether a step has shown that the equations are linear; without a step, nothing has. `reasons` say why an
    instance has not converged; "" if it has.
    """

    steps: Tensor
    residual: Tensor
    gradient: Tensor
    condition: Tensor
    rank: Tensor
    linear: Tensor
    reasons: tuple[str, ...]

    @property
    def converged(self) -> Tensor:
        return torch.tensor([not reason for reason in self.reasons], device=self.steps.device)


def solve(
    equations: Sequence[PointwiseEquation],
    *,
    ridge: float = 0.0,
    start: Tensor | None = None,
    backward: Backward = "implicit",
    steps: int = 50,
    tolerance: float = 1e-10,
    memory: float = 1.0,
) -> tuple[Tensor, Outcome]:
    """The coefficients w (I, F, P) of F fields for I instances, in float64, and how they were found.

    Gradients reach every tensor in `equations`, and those that the residuals use besides. They are right for an
    instance that has converged: |y| <= `tolerance` |R|, or at the rounding floor, where y = T^-T J^T R is the part of R
    that the columns of J span. `start` (I, F, P) is a warm start, zeros by default; it gets no gradient. `backward`:

        implicit      with the second derivatives S of the equations
        implicit_gn   without: right where the equations are linear or the residuals vanish
        unroll        through all steps, for comparisons; what it keeps grows with their number

    D are the lengths of the columns of J where all fields are 0. They change with theta, and the gradient includes it.
    Rows of J take at most `memory` gigabytes at a time, and so do the unrolled steps together.

    Raises UsageError for shapes that do not fit, a residual that is not finite at the start, more unknowns than
    equations without a ridge, and for a gradient where basis functions depend on each other without a ridge. (Without a
    gradient, each step is then the shortest.)
    """
    if backward not in ("implicit", "implicit_gn", "unroll"):
        raise UsageError(f"backward={backward}: expected implicit, implicit_gn or unroll")
    system = System(equations, ridge)
    for equation in equations:
        equation.refuse_coupled()
    first, constant = _start(system, start), system.constant()
    found = _Search(constant, first, steps, tolerance, memory * 1e9, second=backward != "unroll")
    found.run()
    w = found.w
    if system.requires_grad():
        refuse_dependent(found.triangle, "basis functions" if system.F == 1 else "coefficients of basis functions")
        if backward == "unroll":
            w = _unrolled(system, first, found.trace, memory)
        else:
            curvature = constant.curvature if backward == "implicit" else None
            w = implicit(w, system.gradient(w), _inverse(found.triangle, w, curvature))
    return system.fields(w), found.outcome()


def _start(system: System, start: Tensor | None) -> Tensor:
    """w (I, Q) where the steps begin."""
    device = system.equations[0].device
    if start is None:
        return torch.zeros(system.I, system.Q, dtype=torch.float64, device=device)
    count = len(start) if system.I == 1 else system.I
    if start.shape[1:] != (system.F, system.P) or len(start) not in (1, count):
        raise UsageError(f"start has shape {tuple(start.shape)}; expected {(count, system.F, system.P)}")
    return start.detach().to(device, torch.float64).flatten(1).expand(count, -1).clone()


@dataclass
class _Instances:
    """Instances that have not ended: their numbers, where they are, and the damping (n,) that each tries next.

    `squares` and `y` are |R|^2 and |y| at the last factorisation; `idle` counts the steps without progress; `curved`
    says whether the next step has second derivatives.
    """

    number: Tensor
    system: System
    at: Iterate
    damping: Tensor
    squares: Tensor
    y: Tensor
    idle: Tensor
    curved: Tensor

    def of(self, some: Tensor) -> "_Instances":
        """Some of them, as booleans (n,)."""
        if bool(some.all()):
            return self
        rest = {name: getattr(self, name)[some] for name in ("number", "damping", "squares", "y", "idle", "curved")}
        return _Instances(system=self.system.of(some.nonzero()[:, 0]), at=self.at.of(some), **rest)


class _Search:
    """Damped steps for a system without a graph; with `second`, slow ones have second derivatives. An instance that has
    ended takes part in no step.

    Afterwards it has w (I, Q), the triangle there, and `trace`: the damping (I,) of each step, nan for an instance that
    did not move.
    """

    def __init__(
        self, system: System, start: Tensor, limit: int, tolerance: float, budget: float, second: bool = True
    ):
        self.system, self.limit, self.tolerance, self.budget, self.second = system, limit, tolerance, budget, second
        (I, Q), self.w = start.shape, start.clone()
        self.trace: list[Tensor] = []
        self.triangle = Triangle(*(start.new_zeros(*shape) for shape in ((I, Q, Q), (I, Q, 1), (I, Q), (I, 1))))
        self.steps, self.ends = (torch.zeros(I, dtype=torch.long, device=start.device) for _ in range(2))
        self.linear = torch.zeros_like(self.steps, dtype=torch.bool)

    @torch.no_grad()
    def run(self) -> None:
        """Step until every instance has ended."""
        at = self.system.iterate(self.w.clone())
        if not bool(at.finite.all()):
            raise NotFinite(int((~at.finite).nonzero()[0, 0]))
        none, number = torch.zeros_like(at.squares), torch.arange(len(at.w), device=at.w.device)
        left = _Instances(number, self.system, at, none, none, none, none, none.bool())
        while True:
            solved = left.system.triangle(left.at, self.budget)
            goes_on = self._record(left, solved, self._ends(left, solved))
            if not bool(goes_on.any()):
                return
            left, solved = left.of(goes_on), _of(solved, goes_on)
            goes_on = self._record(left, solved, self._move(left, solved))
            if not bool(goes_on.any()):
                return
            left = left.of(goes_on)

    def _ends(self, left: _Instances, solved: Triangle) -> Tensor:
        """How (n,) each instance ends before the next step, or GOES_ON."""
        squares, y = left.at.squares, solved.y[..., 0].norm(dim=-1)
        idle = (squares > (1 - PROGRESS) * left.squares) & (y > SLOW * left.y) & bool(self.trace)
        left.curved = (left.curved | (y > CURVED * left.y)) & self.second & bool(self.trace)
        left.squares, left.y, left.idle = squares, y, torch.where(idle, left.idle + 1, 0.0)
        ends = torch.full_like(left.number, LIMIT if len(self.trace) == self.limit else GOES_ON)
        small = self.tolerance * squares.sqrt() + _floor(left.at, solved)
        ends[left.idle >= PATIENCE] = IDLE
        ends[(y <= small) | ((left.idle >= PATIENCE) & (y <= NEARLY * small))] = CONVERGED
        return ends

    def _move(self, left: _Instances, solved: Triangle) -> Tensor:
        """Take one step with each instance; how (n,) it ends by that, or GOES_ON.

        Near the minimum |R|^2 changes by less than its rounding error, which an undamped step may therefore raise.
        """
        floor, S = _floor(left.at, solved), self._curvature(left)
        noise = 2 * left.squares.sqrt() * floor + floor**2 + 10 * EPS * left.squares
        used = torch.full_like(self.w[:, 0], torch.nan)
        ends, waiting = torch.full_like(left.number, GOES_ON), torch.arange(len(left.number), device=floor.device)
        while len(waiting):
            here, mu = left.at.of(waiting), left.damping[waiting]
            system = left.system if len(waiting) == len(left.number) else left.system.of(waiting)
            part = _of(solved, waiting)
            there = system.iterate(here.w + _step(part, mu, None if S is None else S[waiting]))
            linear = (mu == 0) & here.same_slopes(there) & _as_predicted(there, part)
            lower = there.squares < left.squares[waiting] + torch.where(mu == 0, noise[waiting], 0.0)
            taken = there.finite & (lower | linear)
            left.at.put(waiting[taken], there.of(taken))
            used[left.number[waiting[taken]]] = mu[taken]
            ends[waiting[taken & linear]] = CONVERGED
            self.linear[left.number[waiting[taken & linear]]] = True
            smaller, larger = torch.where(mu * DECAY < FIRST, 0.0, mu * DECAY), (mu * GROWTH).clamp(min=FIRST)
            left.damping[waiting] = torch.where(taken, smaller, larger)
            stuck = ~taken & (larger > LAST)
            at_rest = left.y <= NEARLY * (self.tolerance * left.squares.sqrt() + floor)
            ends[waiting[stuck]] = torch.where(at_rest, CONVERGED, STUCK)[waiting[stuck]]
            waiting = waiting[~taken & ~stuck]
        self.trace.append(used)
        self.steps += ~used.isnan()
        return ends

    def _curvature(self, left: _Instances) -> Tensor | None:
        """S (n, Q, Q), zeros where a step has none; None if no step has."""
        if not bool(left.curved.any()):
            return None
        some = left.of(left.curved)
        S = some.system.curvature(some.at.w)
        if S is None or len(S) == len(left.number):
            return S
        return S.new_zeros(len(left.number), *S.shape[1:]).index_put((left.curved,), S)

    def _record(self, left: _Instances, solved: Triangle, ends: Tensor) -> Tensor:
        """Keep what was found for instances that end; whether (n,) each goes on."""
        done = ends != GOES_ON
        number = left.number[done]
        self.w[number], self.ends[number] = left.at.w[done], ends[done]
        for name in ("R", "y", "D", "rest"):
            getattr(self.triangle, name)[number] = getattr(solved, name)[done]
        return ~done

    @torch.no_grad()
    def outcome(self) -> Outcome:
        """How it went, at the coefficients that were found."""
        system, T = self.system, self.triangle
        inverse = torch.linalg.solve_triangular(T.R, torch.eye(system.Q, dtype=EXACT, device=T.R.device), upper=True)
        condition = T.R.norm(dim=(-2, -1)) * inverse.norm(dim=(-2, -1))
        rank = torch.full_like(self.steps, system.Q) if bool(T.independent().all()) else T.rank()
        return Outcome(
            steps=self.steps,
            residual=system.iterate(self.w).R[:, : system.M].norm(dim=-1),
            gradient=(system.gradient(self.w).detach() / T.D).norm(dim=-1),
            condition=torch.where(condition.isnan(), torch.inf, condition),
            rank=rank,
            linear=self.linear,
            reasons=tuple(REASONS[end] for end in self.ends.tolist()),
        )


def _of(solved: Triangle, some: Tensor) -> Triangle:
    """The triangles of some instances: numbers, or booleans."""
    return Triangle(solved.R[some], solved.y[some], solved.D[some], solved.rest[some])


def _as_predicted(there: Iterate, solved: Triangle) -> Tensor:
    """Whether (n,) |R| after an undamped step is that of the linearised equations: slopes do not show a jump."""
    predicted = solved.rest[..., 0].sqrt()
    return (there.squares.sqrt() - predicted).abs() <= FAITHFUL * predicted + NEARLY * _floor(there, solved)


def _floor(at: Iterate, solved: Triangle) -> Tensor:
    """The rounding error (n,) of |R|: that of the sums J w."""
    return EPS * (solved.D * at.w.abs()).sum(-1)


def _step(solved: Triangle, damping: Tensor, S: Tensor | None) -> Tensor:
    """d (n, Q) that minimises |J d + R|^2 + d^T S d + damping |D d|^2; without S where that has no minimum.

    Where this leaves a choice, the shortest |D d|.
    """
    d, free = torch.empty_like(solved.D), damping == 0
    if bool(free.any()):
        d[free] = _undamped(_of(solved, free), None if S is None else S[free], None)
    if not bool(free.all()):
        d[~free] = _undamped(_of(solved, ~free).with_ridge(damping[~free]), None if S is None else S[~free], 0.0)
    return d


def _undamped(solved: Triangle, S: Tensor | None, tolerance: float | None) -> Tensor:
    """d (n, Q) of a triangle that has the damping, if there is one; columns are dependent to within `tolerance`."""
    d = solved.solve(tolerance=tolerance)[..., 0]
    if S is None:
        return d
    use = solved.independent(tolerance)
    some = _of(solved, use)
    d[use] = torch.linalg.solve_triangular(some.R, _descent(_curved(some, S[use]), some.y), upper=True)[..., 0] / some.D
    return d


def _descent(K: Tensor, y: Tensor) -> Tensor:
    """K^-1 y (n, Q, 1). Where K is not positive definite, with the sizes of its eigenvalues, so that it leads down.

    A negative one counts as at most 1, its value without second derivatives. (Saddle-free Newton: Dauphin et al. 2014.)
    """
    L, wrong = torch.linalg.cholesky_ex(K)
    z, indefinite = torch.cholesky_solve(y, L), wrong != 0
    if bool(indefinite.any()):
        values, V = torch.linalg.eigh(K[indefinite])
        sizes = torch.where(values > FLAT, values, values.abs().clamp(FLAT, 1.0))
        z[indefinite] = V @ (V.mT @ y[indefinite] / sizes[..., None])
    return z


def _curved(solved: Triangle, S: Tensor) -> Tensor:
    """1 + T^-T S T^-1 (n, Q, Q)."""
    D, T = solved.D, solved.R
    half = torch.linalg.solve_triangular(T.mT, S / (D[:, :, None] * D[:, None]), upper=False)
    K = torch.linalg.solve_triangular(T.mT, half.mT, upper=False)
    K.diagonal(dim1=-2, dim2=-1).add_(1)
    return K


def _inverse(
    solved: Triangle, w: Tensor, curvature: Callable[[Tensor], Tensor | None] | None
) -> Callable[[Tensor], Tensor]:
    """g (I, Q) -> H^-1 g. The second derivatives are computed when it is called."""

    def times(g: Tensor) -> Tensor:
        S = None if curvature is None else curvature(w)
        if S is None:
            return solved.covariance_times(g[..., None])[..., 0]
        half = torch.linalg.solve_triangular(solved.R.mT, (g / solved.D)[..., None], upper=False)
        z = torch.linalg.solve(_curved(solved, S), half)
        return torch.linalg.solve_triangular(solved.R, z, upper=True)[..., 0] / solved.D

    return times


def _unrolled(system: System, w: Tensor, trace: Sequence[Tensor], memory: float) -> Tensor:
    """w (I, Q) after the steps of a trace from the start w, with the graph of all of them."""
    bytes_kept = COPIES * len(trace) * len(w) * (system.M + 2 * system.Q) * system.Q * w.element_size()
    if bytes_kept > memory * 1e9:
        raise UsageError(
            f"backward=unroll would keep about {bytes_kept / 1e9:.2g} GB for {len(trace)} steps; expected at most "
            f"memory={memory:g} GB: pass backward=implicit, or a larger memory"
        )
    for damping in trace:
        J, R = system.linearised(w)
        squares = J.square().sum(1)
        root = damping.nan_to_num(0.0).sqrt()[:, None] * torch.where(squares > 0, squares, 1.0).sqrt()
        rows, right = torch.cat([J, torch.diag_embed(root)], 1), torch.cat([-R, torch.zeros_like(w)], 1)
        w = w + torch.where(damping.isnan()[:, None], 0.0, least_squares(rows, right))
    return w
