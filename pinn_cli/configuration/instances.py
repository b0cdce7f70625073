"""An instance of a family in words, and the first instances of its sets, each checked."""

from dataclasses import dataclass

import torch

from pinn_cli.configuration.trainable import trainable_constraints
from pinn_cli.physics.family import SETS, Family, which_set
from pinn_cli.physics.points import even_points
from pinn_cli.physics.problem import Problem


@dataclass
class Instance:
    """One instance: its seed, the set that it belongs to, and its parameters in words."""

    seed: int
    set: str
    parameters: dict[str, str]


def parameters_of(problem: Problem) -> dict[str, str]:
    """The distribution of each parameter of a family in words; {} for any other problem."""
    return {n: str(d) for n, d in problem.distributions.items()} if isinstance(problem, Family) else {}


def instance_of(problem: Problem) -> Instance | None:
    """Which instance of a family a problem is; None for any other problem."""
    if not isinstance(problem, Family):
        return None
    fields, numbers = described_fields(problem), problem.coefficients
    values = {n: fields[n] if n in fields else f"{numbers[n]:.6g}" for n in problem.distributions}
    return Instance(problem.seed, which_set(problem.seed) or "", values)


def first_instances(problem: Problem) -> list[Instance]:
    """The first instance of every set. Raises UsageError for one that cannot be trained."""
    found = []
    for name in SETS if isinstance(problem, Family) else ():
        assert isinstance(problem, Family)
        (first,) = problem.instances(name, 1)
        trainable_constraints(first)
        found.append(instance_of(first))
    return [one for one in found if one is not None]


def described_fields(problem: Problem) -> dict[str, str]:
    """The range and the rms of every coefficient field at points all over the domain."""
    X, out = even_points(problem, "interior"), {}
    for name, function in problem.coefficient_fields.items():
        with torch.no_grad():
            v = function(*(X[:, problem.coordinates.index(c)] for c in function.coordinates))
        out[name] = f"{float(v.min()):.3g} to {float(v.max()):.3g}, rms {float(v.square().mean().sqrt()):.3g}"
    return out
