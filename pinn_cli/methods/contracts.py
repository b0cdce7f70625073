"""What each kind of method is, and what it sees of the objective.

A method inherits the class of its kind. Each class lists what a method must write (abstract), what it may write, and
every flag that the rest of the package reads, with its default.

    N = points of one constraint   M = residuals of all constraints   P = trained parameters   D = coordinates
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from pinn_cli.methods import symmetric
from pinn_cli.methods.symmetric import Buffers
from pinn_cli.physics.piecewise import Solution
from pinn_cli.physics.problem import Constraint, Problem

Batch = dict[str, Tensor]  # points (N, D), residuals (N,) or factors (N,), by the name of a constraint
Weights = Mapping[str, float | Tensor]  # by the name of a constraint: a number, or one per point (N,)
NewModel = Callable[[Problem], nn.Module]  # makes an untrained model that fits a problem
SHARED = "its share of"  # so begins the reason of a stage that has used its share of a limit of the run
RATIO = 2.0  # of residuals on unseen points to those on training points; more points are needed above it
NEGLIGIBLE = 1e-3  # of the largest term: a residual below it may be larger than at the training points


class Rule(Protocol):
    """The step of an optimizer as a function of tensors alone. Rules that are equal share one compiled graph."""

    numbers: ClassVar[int]  # that it takes, K
    memory: ClassVar[int]  # vectors (P,) that it keeps

    def __call__(self, gradient: Tensor, numbers: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """The step (P,) and the next state, from the gradient (P,), the numbers (K,) and the state."""


class Linearisation(Protocol):
    """F(theta + d) = F + J d + O(|d|^2): the residual vector F (M,), and its Jacobian J (M, P) as an operator."""

    F: Tensor  # (M,)
    parameters: int  # P

    @property
    def rows(self) -> int:
        """M."""

    @property
    def gradient(self) -> Tensor:
        """J^T F (P,), half the gradient of the loss."""

    def times(self, v: Tensor) -> Tensor:
        """J v (M,)."""

    def transposed(self, u: Tensor) -> Tensor:
        """J^T u (P,)."""

    def column_squares(self) -> Tensor:
        """The diagonal of J^T J (P,)."""

    def gram(self, budget: float, buffers: Buffers | None = None) -> Tensor:
        """The lower triangle of J^T J (P, P), with at most `budget` bytes of J at a time.

        The product and J lie in `buffers`: the next call with these overwrites both.
        """

    def chunks(self, budget: float, columns: Sequence[slice]) -> Iterator[Tensor]:
        """Some columns of J, whole parameters, in the order of `columns`: rows (m, p) of at most `budget` bytes."""

    def kernel(self, budget: float, weights: Tensor | None = None, buffers: Buffers | None = None) -> Tensor:
        """The lower triangle of J diag(weights) J^T (M, M), or J J^T; the rest as for `gram`."""


class Objective(Protocol):
    """The loss of one step as methods see it, at the parameters theta, the points and the weights in force.

        F_i = sqrt(w_i / N_i) r_i(theta)        loss = |F|^2 = sum_k mean(w_k r_k^2)        w = base weight x weighting

    A sampler may let points count more or less than once, by its `factors` f: then w contains f too, and wherever
    mean r^2 is written below, it is mean(f r^2).

    All methods see the same points and the same weights, which stay fixed from one `begin` to the next. Parameters are
    one flat vector (P,) in the order of `parameters`.

    Several processes may compute the views of a step together, each at its share of the points. All see the values at
    all points. Derivatives by the parameters are then those of `differentiated`, `gradients` and `linearise` alone.
    """

    problem: Problem  # of this stage
    model: nn.Module  # network, input features, ansatz and unknowns
    weighting: Callable[[Batch, Batch], Weights]  # the product of all weightings of the run
    constraints: dict[str, Constraint]  # by name, without those that the model satisfies exactly
    base: dict[str, float]  # base weights by constraint: as stated, / unit^2
    units: dict[str, float]  # the natural unit of the residual of each constraint (1: raw units)
    batch: Batch  # the points of this step by constraint; constraints that share their points share one tensor
    factors: Batch  # how often each of these points counts, by constraint (`Sampler.factors`); missing: once
    points_changed: bool  # whether the last `begin` brought other tensors, or instances, than the one before
    names: list[str]  # of the trained parameters
    parameters: list[nn.Parameter]  # the trained parameters
    columns: list[slice]  # the place of each in the flat vector

    @property
    def device(self) -> torch.device:
        """Where the parameters lie."""

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the parameters."""

    @property
    def layout(self) -> dict[str, slice]:
        """The place in the flat vector of each trained parameter, by name."""

    @property
    def output_layer(self) -> Tensor:
        """Which of the parameters (P,), as booleans, belong to the last layer of the network.

        The fields are linear in them. None do if the network does not name its `output_layer`.
        """

    @property
    def weights(self) -> dict[str, float | Tensor]:
        """The weights in force by constraint: a number, or one per point (N,)."""

    def begin(self, batch: Batch, factors: Batch | None = None, step: int = 0) -> None:
        """Start step number `step` of the stage at these points, with the factors of their sampler.

        The weights are computed when they are first needed, and then stay fixed.
        """

    def residual(self, name: str, X: Tensor) -> Tensor:
        """r (N,) of one constraint, unweighted, at any points X (N, D) of its region."""

    def residuals(self) -> Batch:
        """r (N,) of every constraint, unweighted, at the points of this step."""

    def losses(self) -> dict[str, Tensor]:
        """mean r^2 by constraint, unweighted, detached, of the last `loss` or `vector`; computes nothing anew."""

    def loss(self) -> Tensor:
        """|F|^2, a scalar with its graph."""

    def differentiated(self) -> tuple[Tensor, list[Tensor]]:
        """|F|^2, and its gradient for each of `parameters`, all detached; one graph where the run is compiled."""

    def descend(self, rule: Rule, numbers: Tensor, state: list[Tensor], ahead: Sequence[Batch] = ()) -> list[Tensor]:
        """theta <- theta + s and the state, in place, by (s, *state) = rule(gradient, numbers, *state); |F|^2 before.

        At the points of this step, and then at those `ahead`, which are the next steps: each has its own row of
        `numbers` (1 + steps ahead, K), its own |F|^2, and the weights of this step.
        Where the run is compiled, the rule that the optimizer has announced is part of the graph of the gradient.
        """

    def vector(self) -> Tensor:
        """F (M,), with its graph unless gradients are off."""

    def linearise(self, at_once: int | None = None) -> Linearisation:
        """F and its Jacobian at the current parameters; one pass has at most `at_once` points of a constraint.

        J is computed when it is first used. F is that of the last call if its J was not used and points and parameters
        are still the same.
        """

    def gradients(self) -> dict[str, Tensor]:
        """The gradient (P,) of mean r^2 by constraint, unweighted."""

    def flat(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """One vector (P,) of one tensor per parameter; None counts as zeros."""

    def shift(self, step: Tensor) -> None:
        """theta <- theta + step (P,)."""

    def place(self, theta: Tensor) -> None:
        """theta <- these values (P,), exactly."""

    def terms(self, name: str, X: Tensor) -> dict[str, float]:
        """The rms size over X of each term of an equation by symbol; `source` is the part without the fields."""

    def evaluate(self, symbols: Sequence[str], X: Tensor) -> dict[str, Tensor]:
        """Values (N,), detached, of symbols (``u``, ``u_xt``), observables and ``residual/<constraint>`` at X (N, D).

        Raises TypeError for any other name.
        """


@dataclass
class Report:
    """What one step of an optimizer yields.

    `values` by name: ``loss/total`` always, then e.g. ``learning_rate`` or ``damping``; each is a column of the
    history. `stop` says in a word why the optimizer cannot continue, or is None. With `anew` the strategy then begins
    the stage anew: nothing is recorded at this end, since the stage goes on.
    """

    values: Mapping[str, float | Tensor] = field(default_factory=dict)  # of this step, or the last of several
    stop: str | None = None  # why the optimizer cannot continue
    anew: bool = False  # another part of the stage follows at this stop
    reason: str = ""  # why the stage has ended, once it has
    before: Sequence[float | Tensor] = ()  # of several steps: the losses of all but the last

    def become(self, other: "Report") -> None:
        """Copy the values and the stop of another report in place; strategies keep a reference to it."""
        self.values, self.before, self.stop, self.anew = other.values, other.before, other.stop, other.anew


class Weighting(ABC):
    """Factors on the base weights. A run multiplies the factors of all its weightings."""

    first_order: bool = False  # made for training by many small steps: the plan says so under a least-squares optimizer
    of_residuals: bool = True  # whether `__call__` reads the values of its residuals; without, they may be left out

    def __init_subclass__(cls) -> None:
        """A class with a `__call__` or an `update` of its own makes no promise that it does not make itself."""
        if "__call__" in vars(cls) and "of_residuals" not in vars(cls):
            cls.of_residuals = True
        if {"__call__", "update"} & vars(cls).keys() and "unchanged" not in vars(cls):
            cls.unchanged = Weighting.unchanged  # type: ignore[method-assign]

    @abstractmethod
    def __call__(self, batch: Batch, residuals: Batch) -> Weights:
        """Factors by constraint, numbers or one per point (N,), detached. A constraint that is missing has factor 1.

        `batch` are the points of the step, `residuals` the residuals there. Called once per step. If it does not read
        the residuals (`of_residuals` = False), none are computed for it, and `residuals` may be empty.
        """

    def begin_stage(self, problem: Problem) -> None:  # noqa: B027  optional
        """Prepare for the problem of the next stage. Raises UsageError if the weighting cannot serve it."""

    def update(self, step: int, objective: Objective) -> None:  # noqa: B027  optional
        """Adapt before step number `step` of the stage, counted from 0."""

    def unchanged(self, step: int) -> float:
        """For how many steps, with number `step`, the factors are the same numbers at any points; at least 1.

        `update` need not be called in between.
        """
        return 1

    def values(self) -> Mapping[str, float | Tensor]:
        """Columns for the history, by name."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs: tensors and plain values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027  optional
        """Restore a saved state."""


class Sampler(ABC):
    """Draws the training points. The first sampler of a list is called with ``points=`` and ``seed=``.

    Each further one wraps the sampler before it: it is called with that sampler and ``seed=``.
    """

    batch: Batch  # the points drawn last, also right after `load_state_dict`
    extra: float = 0.0  # points of the interior that it adds at once for each one asked for: for the memory
    candidates: float = 0.0  # fresh points per training point at which `draw` evaluates the residuals: for the memory

    def __init_subclass__(cls) -> None:
        """A class with a `draw` of its own has no points `ahead`, unless it says which."""
        if "draw" in vars(cls) and "ahead" not in vars(cls):
            cls.ahead = Sampler.ahead  # type: ignore[method-assign]

    @abstractmethod
    def draw(self, step: int, problem: Problem, objective: Objective) -> Batch:
        """Points (N, D) by constraint for step number `step` of the stage, counted from 0.

        Points that do not change must be the same tensors: optimizers restart their memory when points change.
        """

    def ahead(self, step: int, most: int) -> list[Batch]:
        """The points of the steps that follow number `step`, which were drawn last: as if `draw` were called for each.

        At most so many, and none where a draw has to look at the objective. All have the shapes of `batch`, and the
        same constraints share their points.
        """
        return []

    def factors(self) -> Batch:
        """How often each point of `batch` counts, by constraint (N,), detached; where a constraint is missing: once.

        mean(f r^2) takes the place of mean r^2 (`Objective`). By default those of the sampler that it wraps, where the
        points begin with the points of that sampler; those behind them count once.
        """
        inner: Any = getattr(self, "inner", None)
        passed = {} if inner is None else inner.factors()
        own = {n: _extended(f, inner.batch[n], self.batch[n]) for n, f in passed.items() if n in self.batch}
        return {name: f for name, f in own.items() if f is not None}

    def refine(self, problem: Problem, objective: Objective) -> bool:
        """Asked when the optimizer has stopped: whether it goes on, with points that the next `draw` adds.

        A sampler says True a limited number of times in a stage, or only after several steps at the same points. By
        default the sampler that it wraps is asked.
        """
        inner = getattr(self, "inner", None)
        return inner is not None and inner.refine(problem, objective)

    @abstractmethod
    def begin_stage(self, problem: Problem) -> None:
        """Prepare for the problem of the next stage."""

    def values(self) -> Mapping[str, float | Tensor]:
        """Columns for the history, by name."""
        return {}

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs: tensors and plain values."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state."""


def _extended(factors: Tensor, X: Tensor, Y: Tensor) -> Tensor | None:
    """The factors (N,) of points X (N, D), and 1 for those that Y (M, D) has behind X; None if Y begins otherwise."""
    if Y is X:
        return factors
    if len(Y) < len(X) or not torch.equal(Y[: len(X)], X):
        return None
    return torch.cat([factors, factors.new_ones(len(Y) - len(X))])


class Optimizer(ABC):
    """Changes the parameters of the objective."""

    cadence: int = 1  # steps between rows of the history where the configuration sets none
    endless: bool = False  # never reports a `stop`: its phase needs a number of steps if another phase follows
    least_squares: bool = False  # uses `linearise` and factors a matrix: the plan shows its size; not compiled
    by_one_gradient: bool = False  # a step asks for one gradient, before it moves: runs can share gradients
    many: bool = False  # takes many steps that differ in their points alone at once (`stride`)
    output_layer_alone: bool = False  # trains the output layer and the unknowns only: strategy=correction adds to it
    at_once: int | None = None  # of a least-squares method: what it gives to `linearise`, for the memory
    # Ctrl-C may end a step inside a view of the objective. The step is then undone: `load_state_dict` gets what
    # `state_dict` returned before the step, so no step may change tensors of that state in place.
    interruptible: bool = False
    remedy: str = ""  # what to type if the loss is not finite, e.g. "optimizer.{phase}.lr=1e-4"; "" if nothing helps

    def __init_subclass__(cls) -> None:
        """A class with a `step` of its own takes one at a time, unless it says how it takes many."""
        if "step" in vars(cls) and "stride" not in vars(cls):
            cls.many = False

    def carry(self, keep: bool | str) -> None:  # noqa: B027  optional
        """What to take of a memory that belongs to the points, at the next step, whose points are others.

        True: all; ``if_positive``: what is positive definite there too; False: nothing. A strategy that begins anew
        says so before the first step. By default nothing happens: the memory belongs to no points.
        """

    def rule(self, objective: Objective) -> Rule | None:
        """The rule with which it calls `descend` for this objective, where it does. Asked before the first step."""
        return None

    def refuse(self, objective: Objective) -> None:  # noqa: B027  optional
        """Raise UsageError for an objective that it cannot train; called before the run has a folder."""

    @abstractmethod
    def step(self, objective: Objective) -> Report:
        """Take one step, and report the loss and why the optimizer cannot continue, if so."""

    def stride(self, objective: Objective, ahead: Sequence[Batch]) -> Report:
        """A step at the points of the objective, and then one at those of each batch `ahead`: for one with `many`."""
        raise NotImplementedError

    def workspace(self, parameters: int, rows: int, itemsize: int) -> float:
        """Bytes that a step needs besides the residuals, their gradient and the rows of J, for P and M.

        `itemsize` is that of one number. The plan adds them up and refuses points that do not fit into the memory.
        """
        return 0.0

    def operations(self, parameters: int, rows: int) -> float:
        """Operations of the linear algebra of a least-squares step, for P and M; the plan tells their time.

        By default those of one triangle of J^T J or J J^T, whichever is smaller (n x n), and of its Cholesky factor.
        """
        n = min(parameters, rows)
        return parameters * rows * n + n**3 / 3

    def factorise(self, J: Tensor) -> None:
        """These operations for any J (M, P), its transpose contiguous or itself: the plan times them on a small one."""
        A = J if len(J) >= J.shape[1] else J.T
        product = A.new_empty(A.shape[1], A.shape[1])
        symmetric.add_product(product, A, keep=False)
        product.diagonal().mul_(2.0)
        symmetric.factor(product)

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs: tensors and plain values."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state; may be called before the first step."""


class Strategy(ABC):
    """Divides a run into stages. All but the innermost strategy wrap another one, their first argument `inner`."""

    @abstractmethod
    def __call__(self, problem: Problem, new_model: NewModel) -> "Iterator[Stage]":
        """Yield the stages one by one; each is trained before the next is asked for.

        A strategy may read the `model`, `report` and `reason` of the stages it has yielded, and nothing else, so that a
        resumed run can replay it. Raises ValueError, before its first stage, for a problem or settings it cannot take.
        """

    def model_for(self, optimizer: "Optimizer", stage: "Stage") -> nn.Module:
        """The model that this optimizer of the schedule trains, for the plan, where `stage` is the first one.

        By default the stage's own; a strategy that adds to the network returns a copy with the addition.
        """
        inner = getattr(self, "inner", None)
        return stage.model if inner is None else inner.model_for(optimizer, stage)


class Diagnostic(ABC):
    """Looks at the objective during training, and records numbers and arrays.

    It is called with a copy of the objective in double precision, at the points and with the weights of the step that
    has just been taken. It keeps nothing from one record to the next.
    """

    every: int  # steps between records; the first and the last step of a stage always have one
    before_draws: bool = False  # also at the last step before points are drawn anew
    after_draws: bool = False  # also at the first step with new points
    most: int | None = None  # spans of steps, equally long, in each of which it looks once, at the first occasion
    columns: Mapping[str, str] = {}  # values that the history shows too: {column: name in the record}
    datasets: Mapping[str, str] = {}  # what each value is: {name in the record, `<x>` stands for any text: a sentence}

    @abstractmethod
    def __call__(self, objective: Objective) -> dict[str, Tensor | float]:
        """A record: numbers and arrays by name; slashes make groups."""


class Architecture(Protocol):
    """What makes a network (N, inputs) -> (N, outputs): a class of `torch.nn.Module` with its settings.

    It contains no derivative. Its operations need rules for jets, or the run needs derivatives=autograd. It may name
    its last layer, in which the fields are linear, as `output_layer`: Levenberg-Marquardt can damp that layer less.
    A network with a method `place(draw)` is told where its inputs lie: `draw(n)` gives them at n random points of the
    domain (n, inputs). One with a method `begin(start)` is told the fields with which time begins, of the initial
    conditions or of the window before: `start(unit)` maps points of the unit cube (N, D), whose last coordinate is not
    used, onto the inputs (N, inputs) and the fields (N, outputs) there, in units of the network. One whose features
    gather somewhere may tell sampler=adapted: `gathered(unit)` moves even points (N, D) of the unit cube there. One
    whose hidden layer is not trained may draw another: `redrawn(through, generator)` is a module that maps z
    (N, inputs) to other features of the same kind, where they are random as many as there are inputs `through`
    (K, inputs), at which their ridges lie. The error estimate solves for its output layer a second time with them, at
    points that the module has `gathered`, if it tells. One whose features lie on [-1, 1] and gather at its ends has
    `unit_inputs` = True: other scalings and periodic coordinates are refused. One of which only the output layer is
    trained may have `remedies`, words that say what to type where its features cannot express the solution.
    A network for all instances of a family inherits `FamilyNetwork` (`architectures/family.py`): it gives basis
    functions, and says how they are combined for an instance.
    """

    def __call__(self, *, inputs: int, outputs: int) -> nn.Module:
        """A network with new initial values, drawn from torch's default generator."""


@dataclass
class Stage:
    """What the loop trains next. After training, `report` is that of the last step and `reason` says why it ended.

    Both reach every strategy that has passed the stage on, also as a copy with other settings and the same report.
    """

    name: str  # in the log and in the results file
    problem: Problem  # the whole problem, an easier one, or a window in time
    model: nn.Module  # what is trained
    optimizer: Optimizer  # of this stage alone
    sampler: Sampler  # of this stage alone
    steps: int | None = None  # None: its share of what the run has left
    share: float = 1.0  # of the steps and seconds that the run has left when the stage begins
    reserved: int = 0  # steps of later stages that have a number of their own, and are not shared
    continues: bool = False  # the stage before it: `steps` and `share` count from the first stage of the row
    underway: bool = False  # an easier problem on the way: reaching `stop.loss` or `stop.error` ends only the stage
    solution: Solution | None = None  # of a window in time: the solution over all windows up to this one
    report: Report = field(default_factory=Report)  # of the last step

    @property
    def reason(self) -> str:
        """Why the stage has ended; "" before."""
        return self.report.reason

    @reason.setter
    def reason(self, reason: str) -> None:
        self.report.reason = reason

    @property
    def cut_short(self) -> bool:
        """Whether the stage has ended because its share of a limit of the run was used."""
        return self.reason.startswith(SHARED)
