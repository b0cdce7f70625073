"""What can be known of a problem before it is trained: the report of `pinn check`.

Every residual is evaluated for the exact or reference solution, with the derivative engines of training: does it
vanish, and how large are its terms? A table of values has no derivatives, so it is compared with conditions on values,
at its own points. `trainable.py` has refused residuals that cannot be trained before.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from math import isfinite

import torch
from torch import Tensor

from pinn_cli.configuration.cost import Streams, streams_of
from pinn_cli.configuration.instances import (
    Instance,
    described_fields,
    first_instances,
    instance_of,
    parameters_of,
)
from pinn_cli.configuration.trainable import (
    Values,
    coefficients,
    evaluated,
    reacts,
    trainable_constraints,
    trial_values,
)
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.derivatives.keys import Key
from pinn_cli.physics.doubts import doubts
from pinn_cli.physics.points import measured_points, trial_points
from pinn_cli.physics.problem import Constraint, Problem
from pinn_cli.physics.references import Reference, coverage, reference_of
from pinn_cli.physics.symbols import Derivative, Normal, Place
from pinn_cli.physics.terms import Scales, order_of, rms, scales_of, supplied, terms_of

POINTS = 1024  # at which a residual is evaluated for the solution
VANISHES = 1e-9  # relative residual of an exact solution; rounding leaves about 1e-15
DIGITS = 1e-6  # relative residual that the digits of a table may leave
ROUGH = 1e-2  # the same of a table that does not say its error

Solution = Callable[[Tensor], Tensor]  # (N, D) -> (N, F)


@dataclass
class Finding:
    """One constraint, evaluated for the solution."""

    name: str
    region: str
    symbols: list[str]
    residual: float | None = None  # rms, relative to the largest term; None: not checked
    engine: str | None = None  # that differentiated the solution: taylor, autograd
    terms: dict[str, float] = field(default_factory=dict)  # rms by symbol; `source` is the part without the fields
    warnings: list[str] = field(default_factory=list)  # what is wrong
    unchecked: str | None = None  # why the reference cannot tell whether the residual vanishes


@dataclass
class Report:
    """The problem, and one finding for each of its constraints."""

    problem: str
    equation: str  # the first line of the class docstring
    coordinates: dict[str, tuple[float, float]]
    fields: list[str]
    coefficients: dict[str, float]
    unknowns: dict[str, float]
    reference: str | None
    reference_error: float | None
    reference_points: int | None  # of a table
    findings: list[Finding]
    streams: list[Streams]
    coverage: list[str] = field(default_factory=list)  # what the reference does not say of the domain
    doubts: list[str] = field(default_factory=list)  # of the problem as a whole
    coefficient_fields: dict[str, str] = field(default_factory=dict)  # their ranges in words
    parameters: dict[str, str] = field(default_factory=dict)  # of a family: the distributions in words
    instance: Instance | None = None  # of a family: this one
    instances: list[Instance] = field(default_factory=list)  # of a family: the first of every set, also evaluated

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong. A residual that cannot be checked is not wrong."""
        return not self.doubts and not any(finding.warnings for finding in self.findings)


def check(problem: Problem, periodic: Collection[str] = ()) -> Report:
    """Evaluate every residual for the solution; `periodic` are the coordinates in which every model is periodic.

    Raises UsageError for a residual that cannot be trained, with the name of its method and the reason.
    """
    constraints = trainable_constraints(problem)
    reference = reference_of(problem)
    return Report(
        problem=type(problem).__name__,
        equation=(type(problem).__doc__ or "").partition("\n")[0],
        coordinates=dict(zip(problem.coordinates, problem.domain.extents, strict=True)),
        fields=list(problem.fields),
        coefficients=coefficients(problem),
        unknowns=dict(problem.unknowns),
        reference=_name(reference) if reference else None,
        reference_error=reference.error if reference and isfinite(reference.error) else None,
        reference_points=len(reference.at) if reference and reference.at is not None else None,
        findings=[examine(problem, constraint, reference) for constraint in constraints],
        streams=streams_of(problem, constraints),
        coverage=coverage(reference, problem) if reference else [],
        doubts=doubts(problem, periodic),
        coefficient_fields=described_fields(problem),
        parameters=parameters_of(problem),
        instance=instance_of(problem),
        instances=first_instances(problem),
    )


def examine(problem: Problem, constraint: Constraint, reference: Reference | None) -> Finding:
    """The residual of one constraint for the reference solution, and the size of its terms."""
    finding = Finding(constraint.name, constraint.region, list(constraint.symbols), warnings=idle(problem, constraint))
    if reference is None:
        return finding
    unknown = {field for field in _fields(problem, constraint) if field not in reference.fields}
    if unknown:
        finding.unchecked = f"the reference does not know {', '.join(sorted(unknown))}"
    elif reference.at is None:
        u, X = function_of(reference, problem.fields), trial_points(problem, constraint, POINTS)
        _evaluate(finding, problem, constraint, X, u, u, scales_of(u(trial_points(problem, "interior", POINTS))))
        _warn(finding, tolerance(reference, max([2, *(order_of(constraint, name) for name in supplied(constraint))])))
    elif derivatives := [name for name in supplied(constraint) if order_of(constraint, name)]:
        finding.unchecked = f"a table has no derivatives ({', '.join(derivatives)})"
    else:
        _compare_with_table(finding, problem, constraint, reference, reference.at)
    return finding


def _fields(problem: Problem, constraint: Constraint) -> list[str]:
    """The fields whose values or derivatives a residual uses."""
    symbols = [s for s in constraint.symbols.values() if isinstance(s, Derivative | Normal)]
    return [problem.fields[s.field] for s in symbols]


def _name(reference: Reference) -> str:
    """The class of a reference, without what is wrapped around it."""
    whole = getattr(reference, "whole", reference)
    return type(getattr(whole, "inner", whole)).__name__


def _compare_with_table(
    finding: Finding, problem: Problem, constraint: Constraint, reference: Reference, at: Tensor
) -> None:
    """Evaluate a condition on values at those points of the table that lie on its region."""
    values = function_of(reference, problem.fields)(at)
    on_data = constraint.region == "data"
    X = measured_points(problem, constraint) if on_data else at[problem.domain.lies_on(constraint.region, at)]
    ends = [X[:, : at.shape[1]], *([constraint.against(X)] if constraint.against else [])]
    rows = torch.stack([_row_of(points, at, problem) for points in ends])
    there = (rows >= 0).all(0)
    if not there.any():
        finding.unchecked = f"no point of the table lies on {constraint.region}"
        return
    here, opposite = values[rows[0, there]], values[rows[-1, there]]
    _evaluate(finding, problem, constraint, X[there], lambda _: here, lambda _: opposite, scales_of(values))
    _warn(finding, max(DIGITS, 10 * reference.error) if isfinite(reference.error) else ROUGH)


def _row_of(X: Tensor, at: Tensor, problem: Problem) -> Tensor:
    """The row of the table `at` for each point (N, D), to single precision; -1 where it has none."""
    lengths = at.new_tensor([high - low for low, high in problem.domain.extents])
    nearest = [torch.cdist(part / lengths, at / lengths, p=torch.inf).min(1) for part in X.to(at).split(256)]
    if not nearest:
        return torch.zeros(0, dtype=torch.int64, device=at.device)
    distances, rows = (torch.cat(column) for column in zip(*nearest, strict=True))
    return torch.where(distances < 1e-6, rows, -1)


def _evaluate(
    finding: Finding,
    problem: Problem,
    constraint: Constraint,
    X: Tensor,
    here: Solution,
    there: Solution,
    scales: Scales,
) -> None:
    """Residual and terms at points X, where the solution is `here`, and `there` at the other end of a periodic pair."""
    values, finding.engine = symbols_of(problem, constraint, here, X)
    finding.terms = terms_of(problem, constraint, values, scales)
    r = constraint.residual(**values)
    if constraint.against is not None:
        r = r - constraint.residual(**symbols_of(problem, constraint, there, constraint.against(X))[0])
    finding.residual = rms(r) / (max(finding.terms.values()) or 1.0)


def _warn(finding: Finding, tolerance: float) -> None:
    """Warn of a residual that does not vanish; measurements have noise, so theirs need not."""
    assert finding.residual is not None
    if not isfinite(finding.residual):
        finding.residual, finding.terms = None, {}
        finding.warnings.append("the solution is not finite here")
    elif finding.residual > tolerance and finding.region != "data":
        finding.warnings.append("the solution does not satisfy it: look at signs, sources and regions")


def idle(problem: Problem, constraint: Constraint) -> list[str]:
    """A warning for each symbol that costs a derivative and changes nothing."""
    values = trial_values(problem, constraint)
    r = evaluated(constraint.name, constraint, values)
    names = [name for name in supplied(constraint) if not reacts(constraint, values, r, name)]
    return [f"`{name}` is asked for and changes nothing" for name in names]


def tolerance(reference: Reference, order: int = 2) -> float:
    """The relative residual that the reference's own error explains.

    Derivatives of a reference are less accurate than the reference: by a factor of 1e5 for two of them, 3e7 for three.
    """
    return max(VANISHES, 10 ** (2.5 * order) * reference.error)


def function_of(reference: Reference, fields: Sequence[str]) -> Solution:
    """The reference as a function of points, like a network; a field that it does not know is 0."""

    def u(X: Tensor) -> Tensor:
        values = reference(X)
        known = next(values[f] for f in fields if f in values)
        return torch.stack([values[f] if f in values else torch.zeros_like(known) for f in fields], -1)

    return u


def symbols_of(problem: Problem, constraint: Constraint, u: Solution, X: Tensor) -> tuple[Values, str]:
    """The symbols (N,) of a constraint for the function u, and the name of the engine that differentiated it."""
    points = X[:, : len(problem.coordinates)]
    wanted: set[Key] = {(0,) * points.shape[1]}
    wanted.update(*(s.needs for s in constraint.symbols.values()))
    try:
        derivatives, engine = Taylor(wanted)(u, points), "taylor"
    except (NotImplementedError, AttributeError):  # torch operations without a rule for jets
        derivatives, engine = Autograd(wanted)(u, points), "autograd"
    has_normal = constraint.region != "data" and problem.domain.has_normal(constraint.region)
    normals = problem.domain.normal(constraint.region, points) if has_normal else None
    known = {k: X.new_full((len(X),), v) for k, v in coefficients(problem).items()}
    at = Place({k: v.detach() for k, v in derivatives.items()}, X, normals, known)
    return {name: symbol.read(at) for name, symbol in constraint.symbols.items()}, engine
