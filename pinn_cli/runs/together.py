"""Which runs can be trained together, and what they share."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pinn_cli.basics.signals import Interruption
from pinn_cli.configuration.build import permitted_class
from pinn_cli.configuration.sources import Sources
from pinn_cli.methods.architectures.family import FamilyNetwork
from pinn_cli.runs.job import Together, surroundings
from pinn_cli.training.shared_gradients import SharedGradients

OWN = ("seed", "folder", "weights", "stop")  # settings of its own that each run may have


def likeness(config: DictConfig) -> str:
    """A text that is equal for runs that differ only in seed, rates, weights, limits and numbers of the problem."""
    table: Any = OmegaConf.to_container(config, resolve=True)
    table = {key: value for key, value in table.items() if key not in OWN}
    table["optimizer"] = {
        phase: {key: value for key, value in own.items() if key != "lr"} for phase, own in table["optimizer"].items()
    }
    table["problem"] = {key: "number" if _is_number(value) else value for key, value in table["problem"].items()}
    return json.dumps(table, sort_keys=True, default=str)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def obstacle(config: DictConfig) -> str | None:
    """Why a run like this shares no gradients with others; None if it does. Raises UsageError for an unknown class."""
    if config.processes > 1:
        return f"processes={config.processes} divides the points of each run"
    with Sources().active():
        for phase, node in config.optimizer.items():
            if not getattr(permitted_class(str(node.get("_target_")), f"optimizer.{phase}"), "by_one_gradient", False):
                return f"optimizer={phase} needs more than one gradient at a step"
        if strategies := list(config.get("strategy") or {}):
            return f"strategy={strategies[0]} gives each run stages of its own"
        if not permitted_class(str(config.derivatives._target_), "derivatives").taped:  # type: ignore[attr-defined]
            return "derivatives=autograd has no graph for several runs"
        if issubclass(permitted_class(str(config.architecture._target_), "architecture"), FamilyNetwork):
            return "a network for a family of problems draws instances of its own at each step"
    return None


@contextmanager
def together(config: DictConfig, runs: int, at_once: int | None, say: Callable[[str], None]) -> Iterator[Together]:
    """What `runs` runs share, of which one has this configuration, `at_once` in one computation."""
    with surroundings(config), Sources().active(), Interruption(say) as interruption:
        yield Together(runs, interruption, SharedGradients(False, say, at_once))
