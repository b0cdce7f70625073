"""One run as a launcher calls it: in this process, or in a worker of its own. It returns an exit code, never raises."""

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from pinn_cli.basics.errors import FAILED, STOPPED, USAGE, BusyError, MachineError, TrainingError, UsageError
from pinn_cli.basics.signals import asked_to_stop, stop_waits
from pinn_cli.configuration.compose import read
from pinn_cli.records.folder import RESULTS
from pinn_cli.studies import sweep
from pinn_cli.studies.sweep import Planned


def carry_out(words: Sequence[str], name: str = "", prefix: str = "") -> int:
    """Train the run of these words of `pinn train`; the exit code. It never raises.

    What ends the run is printed in one line, behind its `name` in a sweep. For a run of a sweep it is also written into
    a note beside the run's folder, where the results file cannot say it.
    """
    folder: Path | None = None
    try:
        request = read(words)
        folder = Path(request.config.folder) if request.config.folder is not None else None
        from pinn_cli.runs.start import start  # imports torch

        if folder is not None:
            sweep.forget(folder)
        return start(request, prefix)[0]
    except Exception as error:
        code, expected = _code(error, name, folder), isinstance(error, UsageError | TrainingError)
        line = str(error) if expected else f"{type(error).__name__}: {error}".splitlines()[0]
        if folder is not None and not isinstance(error, BusyError):
            sweep.note(folder, sweep.REFUSED if code == USAGE else sweep.FAILED, line)
        return _said(code, name, line if expected else traceback.format_exc().rstrip())


def _code(error: Exception, name: str, folder: Path | None) -> int:
    """What an error ends a run with; one of a sweep is refused only before it has begun, and for good."""
    if not isinstance(error, UsageError):
        return FAILED
    if folder is None or not (name or sweep.sweep_of(folder)):
        return USAGE
    return FAILED if isinstance(error, MachineError) or (folder / RESULTS).exists() else USAGE


@dataclass(frozen=True)
class Task:
    """The runs of a sweep, each called for with the configuration and the number that Hydra gives it."""

    runs: tuple[Planned, ...]
    process: int = field(default_factory=os.getpid)

    def __call__(self, config: DictConfig) -> int:
        """Carry out one run; after a Ctrl-C those that have not begun do not."""
        if asked_to_stop.is_set():
            return STOPPED
        number = int(HydraConfig.get().job.num)
        run, worker = self.runs[number], os.getpid() != self.process
        if worker:
            deal_gpus(number)
        else:
            place = f"({number + 1} of {len(self.runs)})"
            print(f"\nrun {run.number} {place}: pinn train {' '.join(run.words)}", flush=True)
        with stop_waits() if worker else nullcontext():  # the launcher's own process has its handlers
            code = carry_out(run.full_words, f"run {run.number}: ", f"run {run.number}: " if worker else "")
        if code == STOPPED:
            asked_to_stop.set()
        return code


def deal_gpus(number: int) -> None:
    """Give this worker the GPU whose turn it is, unless it has begun to use one: a process cannot change it then."""
    import torch

    if torch.cuda.is_initialized():
        return
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = [name for name in listed.split(",") if name] if listed is not None else range(torch.cuda.device_count())
    if len(there) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(there[number % len(there)])


def _said(code: int, name: str, message: str) -> int:
    print(f"pinn: {name}{message}", file=sys.stderr, flush=True)
    return code
