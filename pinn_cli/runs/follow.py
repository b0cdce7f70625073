"""Any process of a run but the first: it trains as the first one says, and writes nothing.

`python -m pinn_cli.runs.follow cpu` is one that the first has started, for a device of this kind.
"""

import sys
from contextlib import suppress
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pinn_cli.basics import allocator, streams
from pinn_cli.basics.errors import FAILED, USAGE, TrainingError, UsageError
from pinn_cli.basics.ranks import Group
from pinn_cli.configuration import project
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.sources import Sources
from pinn_cli.methods.contracts import Batch, Stage
from pinn_cli.records import checkpoint
from pinn_cli.runs.job import Job, surroundings
from pinn_cli.runs.processes import Orders, Place, device_of, place_of
from pinn_cli.training.loop import Run
from pinn_cli.training.objective import Objective


class Silent:
    """What the loop tells the observer of a run, which the first process keeps and shows."""

    def say(self, text: str) -> None: ...
    def before_draw(self, run: Run, objective: Objective, points: Batch) -> None: ...
    def steps_left(self, run: Run, stage: Stage) -> float:
        return 1

    def after_step(self, run: Run, stage: Stage, objective: Objective, last: bool) -> None: ...
    def after_stage(self, run: Run, stage: Stage, objective: Objective) -> None: ...
    def save(self, run: Run, stage: Stage, objective: Objective) -> None: ...


def follow(place: Place, setting: str) -> int:
    """Train as the first process says, on the device that follows from the setting; the exit code.

    What ends all processes alike is said by the first one. Any other error is raised.
    """
    device = device_of(setting, place.local)
    with suppress(TrainingError):
        group = place.join(device)
        try:
            orders = group.tell()
            return _train(orders, group, place) if isinstance(orders, Orders) else int(orders)
        finally:
            group.leave()
    return FAILED


def _train(orders: Orders, group: Group, place: Place) -> int:
    config = OmegaConf.create(orders.config)
    assert isinstance(config, DictConfig)
    device = device_of(config.device, place.local)
    if device.type == "cuda":
        config.device = str(device)
    code = Sources()
    with surroundings(config), code.active():
        job = Job(config, orders.problem, assemble(config), code)
        job.compiled = orders.compiled
        saved: dict[str, Any] | None = None
        if orders.checkpoint is not None:
            saved = checkpoint.unpacked(orders.checkpoint, device)
        group.wait()  # the first one begins to count the time of training
        return job.followed(Silent(), group, saved)


def main(kind: str) -> int:
    """Take the place that the first process has given to this one, on a device of this kind; the exit code."""
    streams.prepare()
    allocator.keep_freed_memory()
    project.enter()
    place = place_of(1)
    assert place is not None
    try:
        return follow(place, kind)
    except UsageError as error:
        print(f"pinn: process {place.number} of {place.size}: {error}", file=sys.stderr)
        return USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
