"""What is known of a finished run: errors, estimated errors, verdict and unknowns, in words and in its file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, isnan
from typing import Any

from pinn_cli.physics.problem import Problem
from pinn_cli.physics.references import Reference
from pinn_cli.records.results import Noted
from pinn_cli.training.error_estimate import Estimate
from pinn_cli.training.metrics import Errors
from pinn_cli.training.objective import Objective
from pinn_cli.training.tested_instances import Tested
from pinn_cli.training.uncertainty import Uncertainty
from pinn_cli.training.verdict import Untrained, Verdict

WRONG, FAR = 5e-2, 10  # errors against the reference above both, FAR in estimated errors, contradict a good verdict


@dataclass(frozen=True)
class Conclusion:
    """Errors by field, estimated errors, the metrics of the problem, and the verdict of the held-out points.

    `values` has every trained coefficient, and after time marching the spread of its values over the windows;
    `unknowns` has |value - truth| and the truth of those whose true value the problem says. In the time that is
    `untrained` errors and metrics are those of an extrapolation; None: all has been trained. `tested` has the test
    instances of a family; all else is that of the run's own instance. `notes` are lines on the training.
    """

    errors: dict[str, Errors]
    estimate: Estimate
    metrics: dict[str, float]
    verdict: Verdict
    unknowns: dict[str, tuple[float, float]] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    untrained: Untrained | None = None
    tested: Tested = field(default_factory=Tested)
    notes: Sequence[str] = ()
    uncertainty: Uncertainty = field(default_factory=Uncertainty)

    @property
    def measured(self) -> dict[str, Errors]:
        """The errors of the run: those of its problem, or the means over the test instances of a family."""
        return self.tested.means or self.errors

    def estimates(self) -> list[str]:
        """The estimated errors in words, and where the errors against the reference contradict a good verdict."""
        lines = self.estimate.lines(self.verdict.solved)
        for name, small in self.estimate.error.items() if self.verdict.ok else ():
            error = self.errors[name].relative_l2 if name in self.errors else 0.0
            if error > max(WRONG, FAR * small):
                lines.append(f"the error {error:.0e} of {name} against the reference is far above the estimated one: "
                             "a second solution, or not the equations or the reference that were meant")  # fmt: skip
        for name, e in self.errors.items():
            if isnan(e.relative_l2) and isfinite(e.maximum):
                lines.append(f"the reference of {name} is 0: its largest error is {e.maximum:.0e}, absolute")
        for name, (error, truth) in self.unknowns.items():
            relative = f", {error / abs(truth):.0e} relative" if truth else ""
            lines.append(f"error {name} {error:.0e} (absolute{relative}; the problem says {name} = {truth:g})")
        return lines

    def groups(self, reference: Reference | None) -> dict[str, Any]:
        """The parts of the results file that hold what is known of the run."""
        return {
            "error": {name: _error(e, reference, self.untrained) for name, e in self.measured.items()},
            "instances": self.tested.group,
            "error_estimate": {**self.estimate.group(self.verdict.solved), "lines": [*self.estimates(), *self.notes]},
            "metrics": self.metrics,
            "guard": self.verdict.group,
            "unknowns": {name: Noted(value, self._about(name)) for name, value in self.values.items()},
            "unknown_fields": {one.name: one.group for one in self.uncertainty.fields},
            "uncertainty": self.uncertainty.groups if self.values or self.uncertainty.fields else {},
        }

    def _about(self, name: str) -> dict[str, Any]:
        """The attributes of an unknown: its uncertainty, and where the problem says its true value, how far it is."""
        known = self.uncertainty.attributes.get(name, {})
        if name not in self.unknowns:
            return known
        (error, truth), floor = self.unknowns[name], self.uncertainty.floor.get(name, inf)
        found = {"truth": truth} | ({"relative_error": error / abs(truth)} if truth else {})
        if 0 < floor < inf:
            found |= {"floors": error / floor} | ({"relative_floor": floor / abs(truth)} if truth else {})
        if known:
            low, high = self.uncertainty.intervals[name]
            found["inside"] = float(low <= truth <= high)
        return known | found


def trained_coefficients(objective: Objective) -> dict[str, float]:
    """The trained coefficients by name."""
    return {name: float(p.detach()) for name, p in objective.unknowns.items()}


def spreads(objective: Objective) -> dict[str, float]:
    """After time marching, the largest minus the smallest value that a coefficient has in the windows, ``k spread``."""
    values = getattr(objective.model, "window_unknowns", {})
    return {f"{name} spread": float(v.max() - v.min()) for name, v in values.items()}


def errors_of_unknowns(problem: Problem, values: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """|value - truth| and the truth of each trained coefficient that the problem has as a coefficient, too."""
    truths = {name: float(getattr(problem, name)) for name in values if hasattr(problem, name)}
    return {name: (abs(values[name] - truth), truth) for name, truth in truths.items()}


def _error(e: Errors, reference: Reference | None, untrained: Untrained | None) -> Noted:
    assert reference is not None
    more = {"mean_absolute": e.mean, "max_absolute": e.maximum, "reference_error": reference.error, "points": e.points}
    return Noted(e.relative_l2, more if untrained is None else more | {"extrapolated_from": untrained.start})
