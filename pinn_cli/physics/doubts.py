"""What can be said against a problem before it is trained: its solution is not the one, or not the only one."""

from collections.abc import Collection

from pinn_cli.physics.determinacy import undetermined
from pinn_cli.physics.jumps import jumps_of
from pinn_cli.physics.problem import Problem


def doubts(problem: Problem, periodic: Collection[str] = ()) -> list[str]:
    """One line for what its constraints leave undetermined, and one for each coefficient that jumps.

    `periodic` are the coordinates in which every model of the run is periodic. Where measurements leave an unknown
    field undetermined, its standard error says so at each point: that is no doubt of the whole.
    """
    free = undetermined(problem, tuple(periodic))
    measured = any(c.kind == "data" for c in problem.constraints())
    if free and measured and set(free.names) <= problem.unknown_fields.keys():
        free = None
    return [*([str(free)] if free else []), *map(str, jumps_of(problem))]
