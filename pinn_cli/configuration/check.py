"""What can be known of a problem before it is trained: what `pinn check` prints.

Every residual is called with the exact or reference solution, through the derivative engine that training uses: does it
vanish, and how large are its terms? `refusals.py` has looked at its shape before.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from pinn_cli.configuration.cost import Streams, streams_of
from pinn_cli.configuration.trainable import Values, called, made_up, matters, refuse, truth
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.derivatives.keys import Key
from pinn_cli.physics.points import trial_points
from pinn_cli.physics.problem import Constraint
from pinn_cli.physics.references import Reference, reference_of
from pinn_cli.physics.symbols import Place
from pinn_cli.physics.terms import rms, supplied, terms_of

POINTS = 1024  # at which a solution is put into the residuals
VANISHES = 1e-9  # relative residual of an exact solution; rounding leaves about 1e-15


@dataclass
class Finding:
    """One constraint. `terms`: rms size of each symbol's term in the equation, `source` what is left without them."""

    name: str
    region: str
    symbols: list[str]
    residual: float | None = None  # rms for the solution, relative to the largest term; None: not known
    engine: str | None = None
    terms: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass
class Report:
    """All that a check finds."""

    problem: str
    equation: str  # the first line of the class docstring
    coordinates: dict[str, tuple[float, float]]
    fields: list[str]
    coefficients: dict[str, float]
    unknowns: dict[str, float]
    reference: str | None
    reference_error: float | None
    findings: list[Finding]
    streams: list[Streams]

    @property
    def ok(self) -> bool:
        """Whether there is nothing to warn of."""
        return not any(finding.warnings for finding in self.findings)


def check(problem: Any) -> Report:
    """Try every residual. Errors: UsageError for one that cannot be trained, naming the method and what is wrong."""
    constraints = refuse(problem)
    reference = reference_of(problem)
    return Report(
        type(problem).__name__,
        (type(problem).__doc__ or "").partition("\n")[0],
        dict(zip(problem.coordinates, problem.domain.extents, strict=True)),
        list(problem.fields),
        truth(problem),
        dict(problem.unknowns),
        type(getattr(reference, "inner", reference)).__name__ if reference else None,
        reference.error if reference and isfinite(reference.error) else None,
        [examine(problem, constraint, reference) for constraint in constraints],
        streams_of(problem, constraints),
    )


def examine(problem: Any, constraint: Constraint, reference: Reference | None) -> Finding:
    """The residual of the solution and the size of each term."""
    finding = Finding(constraint.name, constraint.region, list(constraint.symbols), warnings=idle(problem, constraint))
    if reference is None or reference.at is not None or not set(problem.fields) <= set(reference.fields):
        return finding
    u, X = function_of(reference, problem.fields), trial_points(problem, constraint.region, POINTS)
    values, finding.engine = symbols_of(problem, constraint, u, X)
    finding.terms = terms_of(problem, constraint, values, rms(u(trial_points(problem, "interior", POINTS))))
    r = constraint.residual(**values)
    if constraint.against is not None:
        r = r - constraint.residual(**symbols_of(problem, constraint, u, constraint.against(X))[0])
    finding.residual = rms(r) / (max(finding.terms.values()) or 1.0)
    if not isfinite(finding.residual):
        return replace(
            finding, residual=None, terms={}, warnings=[*finding.warnings, "the solution is not finite here"]
        )
    if (
        finding.residual > tolerance(reference, order(constraint)) and constraint.region != "data"
    ):  # measurements have noise
        finding.warnings.append("the solution does not satisfy it: look at signs, sources and regions")
    return finding


def idle(problem: Any, constraint: Constraint) -> list[str]:
    """A warning for each symbol that costs a derivative and changes nothing."""
    values = made_up(problem, constraint)
    r = called(constraint.name, constraint, values)
    names = [name for name in supplied(constraint) if not matters(constraint, values, r, name)]
    return [f"`{name}` is asked for and changes nothing" for name in names]


def tolerance(reference: Reference, order: int = 2) -> float:
    """Derivatives of a reference are less accurate than itself: a factor of 1e5 for two of them, 3e7 for three."""
    return max(VANISHES, 10 ** (2.5 * order) * reference.error)


def order(constraint: Constraint) -> int:
    """The highest derivative in it; at least two, as derivatives of an equation of less may be looked at."""
    keys = [key for symbol in constraint.symbols.values() for key in symbol.needs]
    return max([2, *(sum(key) for key in keys if isinstance(key, tuple))])


def function_of(reference: Reference, fields: Iterable[str]) -> Callable[[Tensor], Tensor]:
    """The reference as a network would be: (N, D) -> (N, F)."""

    def u(X: Tensor) -> Tensor:
        values = reference(X)
        return torch.stack([values[f] for f in fields], -1)

    return u


def symbols_of(problem: Any, constraint: Constraint, u: Callable, X: Tensor) -> tuple[Values, str]:
    """The symbols (N,) of a constraint for the function u, and the engine that could differentiate it."""
    points = X[:, : len(problem.coordinates)]
    wanted: set[Key] = {(0,) * points.shape[1]}
    wanted.update(*(s.needs for s in constraint.symbols.values()))
    try:
        derivatives, engine = Taylor(wanted)(u, points), "taylor"
    except (NotImplementedError, AttributeError):  # torch operations that jets do not know
        derivatives, engine = Autograd(wanted)(u, points), "autograd"
    has_normal = constraint.region != "data" and problem.domain.has_normal(constraint.region)
    normals = problem.domain.normal(constraint.region, points) if has_normal else None
    coefficients = {k: X.new_full((len(X),), v) for k, v in truth(problem).items()}
    at = Place({k: v.detach() for k, v in derivatives.items()}, X, normals, coefficients)
    return {name: symbol.read(at) for name, symbol in constraint.symbols.items()}, engine
