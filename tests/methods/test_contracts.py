"""The contracts of methods: every part of the package inherits its contract, and foreign classes are refused."""

import inspect
import sys
from math import inf
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from pinn_cli.configuration import catalogue
from pinn_cli.configuration.assemble import PHASE, assemble
from pinn_cli.configuration.build import Builder, permitted_class
from pinn_cli.configuration.compose import compose
from pinn_cli.methods import contracts
from pinn_cli.methods.samplers.base import Rounds
from pinn_cli.training.jacobian import Linearisation
from pinn_cli.training.objective import Objective
from tests.conftest import refused
from tests.objectives import objective_of

KINDS = {"weighting": contracts.Weighting, "sampler": contracts.Sampler, "optimizer": contracts.Optimizer,
         "strategy": contracts.Strategy, "diagnostics": contracts.Diagnostic}  # fmt: skip
CONF = Path(__file__).parents[2] / "conf"
OWN = """
from pinn_cli.methods.contracts import Weighting

class Foreign:
    def __call__(self, batch, residuals):
        return {}

class Incomplete(Weighting):
    pass
"""


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in KINDS for name in catalogue.options(group)])
def test_every_method_inherits_its_contract(group, name) -> None:
    target = OmegaConf.load(CONF / group / f"{name}.yaml")._target_
    assert issubclass(permitted_class(target, group), KINDS[group])


SENSELESS = {"memory": (0.0, -1.0, inf), "lr": (0.0, -1.0, inf),
             "evaluations": (0,), "stagnation": (0,), "history": (0,)}  # fmt: skip
OPTIMIZERS = {name: OmegaConf.load(CONF / "optimizer" / f"{name}.yaml") for name in catalogue.options("optimizer")}


@pytest.mark.parametrize(("name", "key", "value"), [
    (name, key, value) for name, node in OPTIMIZERS.items() for key in SENSELESS if key in node
    for value in SENSELESS[key]
])  # fmt: skip
def test_a_number_with_which_an_optimizer_cannot_step_down_is_refused(name, key, value) -> None:
    own = {k: v for k, v in OPTIMIZERS[name].items() if k not in PHASE}
    make = Builder().part(OmegaConf.create(own | {key: value}), f"optimizer.{name}")
    with refused(rf"^optimizer\.{name}.*\b{key}={value:g}: expected .*, e\.g\. "):
        make()


ROUNDS = [name for name in catalogue.options("sampler") for node in [OmegaConf.load(CONF / "sampler" / f"{name}.yaml")]
          if "every" in node and issubclass(permitted_class(node._target_, "sampler"), Rounds)]  # fmt: skip


@pytest.mark.parametrize("sampler", ROUNDS)
def test_spring_has_fresh_points_at_every_step(sampler) -> None:
    phase = assemble(compose(["problem=helmholtz", "optimizer=spring", f"sampler=[{sampler},held_out]"])).schedule[0]
    assert phase.sampler().every == 1


@pytest.mark.parametrize(("protocol", "cls"), [
    (contracts.Objective, Objective), (contracts.Linearisation, Linearisation)
])  # fmt: skip
def test_the_views_that_methods_see_have_the_declared_parameters(protocol, cls) -> None:
    for name, member in vars(protocol).items():
        if inspect.isfunction(member) and not name.startswith("_"):
            assert list(inspect.signature(member).parameters) == list(inspect.signature(getattr(cls, name)).parameters)
    instance = objective_of("mlp")
    instance = instance if cls is Objective else instance.linearise()
    assert all(hasattr(instance, name) for name in protocol.__annotations__)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Foreign", "own_foreign.Foreign: expected a subclass of pinn_cli.methods.contracts.Weighting"),
        ("Incomplete", "abstract class Incomplete .*__call__"),
    ],
)
def test_a_part_that_is_not_of_its_kind_is_refused_in_one_line(name, says, here) -> None:
    module = f"own_{name.lower()}"
    (here / f"{module}.py").write_text(OWN)
    sys.path.insert(0, str(here))
    config = compose(["problem=wave"])
    config.weighting = {"own": {"_target_": f"{module}.{name}"}}
    with refused(says):
        assemble(config)


def test_place_moves_the_parameters_exactly() -> None:
    objective = objective_of("mlp")
    theta = torch.linspace(-1, 1, objective.columns[-1].stop, dtype=torch.float64)
    objective.place(theta)
    assert torch.equal(objective.flat(objective.parameters), theta)
