"""What can be said against a problem before it is trained: its solution is not the one, or not the only one."""

from collections.abc import Collection

from pinn_cli.physics.determinacy import undetermined
from pinn_cli.physics.jumps import jumps_of
from pinn_cli.physics.problem import Problem


def doubts(problem: Problem, periodic: Collection[str] = ()) -> list[str]:
    """One line for what its constraints leave undetermined, and one for each coefficient that jumps.

    `periodic` are the coordinates in which every model of the run is periodic.
    """
    free = undetermined(problem, tuple(periodic))
    return [*([str(free)] if free else []), *map(str, jumps_of(problem))]
