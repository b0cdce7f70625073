"""The estimate of the error by windows in time, where equations multiply small errors.

One correction of the whole time is the least-squares solution of the linearised equations. Where these grow, as
d(du)/dt = rho du near u = 0 of a reaction, a change of size 1 at late times begins with one of size exp(-rho t). Least
squares leave this small residual rather than follow it: du is then many times too small, and most of the residual is
explained all the same. So the time is divided into windows. Each is corrected on its own by Newton's method, from the
corrected solution at its beginning: the growth over one window is small.

The network is the same in all windows; only the corrections differ.
"""

from collections.abc import Sequence
from typing import Any

from pinn_cli.physics.piecewise import Marched
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.time_window import Window, is_initial, refuse_unsliceable
from pinn_cli.training.defect_correction import DefectCorrection
from pinn_cli.training.residuals import Residuals
from pinn_cli.training.second_solution import can_be_redrawn

WINDOWS = 8  # equal parts of the time


def corrected_in_windows(piece: Residuals, columns: int, seed: int) -> Sequence[DefectCorrection]:
    """The corrections of a model by `columns` in each window in time, one after the other; [] without windows.

    There are none if the problem has no time that can be divided, if an unknown coefficient or measurements tie its
    times to each other, or if the model is one window itself or has features that no others can correct.
    """
    if not can_be_divided(piece):
        return []
    parts: list[DefectCorrection] = []
    for window in windows_of(piece):
        parts.append(DefectCorrection(window, columns, seed, parts[-1].correction if parts else None))
    return parts


def can_be_divided(piece: Residuals) -> bool:
    """Whether the residuals of a model can be looked at in windows in time."""
    if isinstance(piece.problem, Window) or isinstance(piece.model, Marched) or can_be_redrawn(piece.model):
        return False
    if piece.unknowns or any(c.kind == "data" for c in piece.problem.constraints()):
        return False
    try:
        refuse_unsliceable(piece.problem)
    except ValueError:
        return False
    return True


def windows_of(piece: Residuals) -> list[Residuals]:
    """The residuals of the same model in every window; initial conditions are seams from the second one on."""
    problem: Problem = piece.problem
    assert problem.domain.time is not None
    begin, end = problem.domain.extent(problem.domain.time)
    length, model = (end - begin) / WINDOWS, piece.model
    imposed = getattr(model, "imposed", ())
    walls = [c.name for c in problem.constraints() if c.name in imposed and not is_initial(problem, c)]
    out: list[Residuals] = []
    for k in range(WINDOWS):
        window: Any = Window(problem, begin + k * length, begin + (k + 1) * length, model if k else None)
        out.append(Residuals(window, model, piece.engine, walls if k else imposed))
    return out
