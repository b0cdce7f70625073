"""The settings of the launcher `slurm_array`."""

import re
from dataclasses import dataclass, field

from pinn_cli.basics.errors import UsageError

TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d\d))?(?::(\d\d))?")


@dataclass(frozen=True)
class Settings:
    """The keys of conf/hydra/launcher/slurm_array.yaml, which says what each means."""

    partition: str | None = None
    account: str | None = None
    time: str | int | None = None  # YAML without quotes makes a number of 2:00:00, and the message says so
    memory: str | None = None
    cpus: int = 1
    gpus: int | str | None = None
    setup: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    runs_per_task: int = 1
    workers_per_gpu: int = 1
    tasks_at_once: int | None = None
    warning: int = 120
    requeues: int = 100

    def __post_init__(self) -> None:
        for name in ("cpus", "runs_per_task", "workers_per_gpu", "tasks_at_once"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UsageError(f"hydra.launcher.{name}={getattr(self, name)}: expected a whole number above 0")
        if self.time is not None and not (isinstance(self.time, str) and TIME.fullmatch(self.time)):
            raise UsageError(f'hydra.launcher.time={self.time}: expected hours:minutes:seconds in quotes, "2:00:00"')
        if self.time is not None and _seconds(self.time) <= self.warning:
            raise UsageError(
                f"hydra.launcher.time={self.time}: the warning {self.warning} s before its end would come at once; "
                "type a longer time, or a smaller hydra.launcher.warning"
            )
        if self.gpus is not None and not re.fullmatch(r"([\w.-]+:)?\d+", str(self.gpus)):
            raise UsageError(f"hydra.launcher.gpus={self.gpus}: expected a number, or with a type e.g. a100:1")
        for name in ("warning", "requeues"):
            if getattr(self, name) < 0:
                raise UsageError(f"hydra.launcher.{name}={getattr(self, name)}: expected a whole number from 0 on")

    @property
    def workers(self) -> int:
        """Runs that one task carries out at the same time."""
        gpus = 1 if self.gpus is None else int(str(self.gpus).rpartition(":")[2])
        return min(self.runs_per_task, self.workers_per_gpu * max(1, gpus))


def _seconds(time: str | int) -> int:
    """A time limit as Slurm reads it: minutes[:seconds], hours:minutes:seconds, or days-hours[:minutes[:seconds]]."""
    days, *parts = TIME.findall(str(time))[0]
    numbers = [int(part) for part in parts if part]
    units = (3600, 60, 1) if days or len(numbers) == 3 else (60, 1)
    return 86400 * int(days or 0) + sum(number * unit for number, unit in zip(numbers, units, strict=False))
