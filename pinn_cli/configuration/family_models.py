"""The model of a family of equations, and what it cannot be combined with."""

from collections.abc import Collection, Mapping, Sequence
from typing import TypeGuard

import torch
from torch import nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.architectures.family import FamilyNetwork
from pinn_cli.methods.contracts import Batch, Optimizer, Stage
from pinn_cli.methods.samplers.sobol import Sobol
from pinn_cli.methods.seeds import seed_for
from pinn_cli.physics.family import Family
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.scales import Scale
from pinn_cli.physics.wrapped import Wrapped
from pinn_cli.training.family_model import FamilyModel
from pinn_cli.training.model import Features
from pinn_cli.training.objective import Objective

LOOKED_AT = 64  # instances of the training set that a network sees before it is trained


def family_model(
    problem: Problem,
    network: FamilyNetwork,
    features: Features,
    imposed: Sequence[str],
    scales: Mapping[str, Scale] | None,
    seed: int,
) -> FamilyModel:
    """The model of a family that this network combines for each instance; an ordinary problem is a family of one.

    Raises UsageError for a problem that it cannot solve.
    """
    name = type(network).__name__
    if isinstance(problem, Wrapped) or not (isinstance(problem, Family) or network.points):
        raise UsageError(
            f"architecture: {name} is trained for all instances of a family, and found {type(problem).__name__}; type "
            "a problem that is one (pinn list problems), without a strategy that changes it, or architecture=mlp"
        )
    if problem.unknowns:
        raise UsageError(
            f"architecture: {name} cannot find coefficients ({', '.join(problem.unknowns)}); type architecture=mlp"
        )
    if on_data := [c.name for c in problem.constraints() if c.kind == "data"]:
        raise UsageError(f"architecture: {name} takes no measurements (`{on_data[0]}`); type architecture=mlp")
    if isinstance(problem, Family):
        looked_at = problem.instances("train", min(LOOKED_AT, network.train_set))
        if any(one.domain.extents != problem.domain.extents for one in looked_at):
            raise UsageError(f"architecture: {name} needs instances on one domain, and the domains differ")
        network.prepare(problem, looked_at)
    return FamilyModel(features, network, problem, _points(problem, network, imposed, seed), seed, imposed, scales)


def _points(problem: Problem, network: FamilyNetwork, imposed: Sequence[str], seed: int) -> Batch:
    """Where the network solves equations, by constraint; float64, and the same for all instances."""
    if not network.points:
        return {}
    sampler = Sobol(points=dict(network.points), seed=seed_for(seed, "solve"))
    sampler.begin_stage(problem)
    try:
        batch = sampler.draw(0, problem, _Plain(problem, imposed))  # type: ignore[arg-type]
    except UsageError as error:
        raise UsageError(f"architecture.{error}") from error
    unknowns, equations = network.fields * network.functions, sum(map(len, batch.values()))
    if unknowns > equations:
        raise UsageError(
            f"architecture.functions={network.functions}: {unknowns} coefficients and {equations} equations; type more "
            "architecture.points, or fewer functions"
        )
    return batch


class _Plain:
    """What a sampler reads of an objective before there is a model."""

    def __init__(self, problem: Problem, imposed: Sequence[str]) -> None:
        self.problem = problem
        self.constraints = {c.name: c for c in problem.constraints() if c.name not in imposed}
        self.device, self.dtype = torch.device("cpu"), torch.float64


def refuse_another_problem(stage: Stage, problem: Problem) -> None:
    """Refuse a strategy that trains other problems: their instances are not those of the family (UsageError)."""
    if isinstance(stage.model, FamilyModel) and stage.problem is not problem:
        raise UsageError(
            f"strategy: {type(stage.model.network).__name__} is trained for all instances of a family, and the "
            "strategy trains other problems on the way; type strategy=[]"
        )


def refuse_beside_a_family(
    objective: Objective, phases: Mapping[str, Optimizer], diagnostics: Collection[str]
) -> None:
    """Refuse what needs a single solution, while several instances are trained at once (UsageError)."""
    if objective.at.of_one_problem:
        return
    name = type(objective.model.network).__name__
    for key in (key for key, optimizer in phases.items() if optimizer.least_squares):
        raise UsageError(
            f"optimizer={key}: it needs the rows of the Jacobian, and {name} has none; type optimizer=adam or "
            "optimizer=lbfgs"
        )
    for key in diagnostics:
        raise UsageError(
            f"diagnostics={key}: it looks at one solution, and {name} trains several instances; type diagnostics=[]"
        )


def refuse_weights_of_points(objective: Objective) -> None:
    """Refuse a weighting with a weight for each point, which it finds from the residuals of one solution (UsageError).

    How often a point counts, as a sampler says it, is the same for all instances.
    """
    if objective.at.of_one_problem:
        return
    weights = objective.weighting(objective.at.spread(objective.batch), objective.residuals())
    if any(isinstance(w, torch.Tensor) and w.ndim for w in weights.values()):
        raise UsageError(
            f"{type(objective.model.network).__name__} trains several instances, which share their points, and a point "
            "has no weight of its own; type weighting=[fixed]"
        )


def is_of_a_family(network: nn.Module) -> TypeGuard[FamilyNetwork]:
    """Whether a network is trained for all instances of a family."""
    return isinstance(network, FamilyNetwork)
