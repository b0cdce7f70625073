"""The launchers that Hydra knows: its own, which runs one after the other, and those of installed plugins."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from hydra._internal.callbacks import Callbacks
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from pinn_cli.basics.errors import FAILED, FINISHED, STOPPED, TrainingError, UsageError, nearest
from pinn_cli.basics.signals import asked_to_stop, stop_waits
from pinn_cli.configuration.compose import check_launcher, hydra_loader, rewrite, search_path, spread
from pinn_cli.records.lock import Lock
from pinn_cli.records.status import Status
from pinn_cli.records.summary import finished
from pinn_cli.studies.launchers.task import Task
from pinn_cli.studies.stop import AGAIN, ask, here, writers
from pinn_cli.studies.sweep import Planned, Sweep, labels, quoted


def configuration(settings: Sequence[str], folder: str) -> DictConfig:
    """What Hydra makes of `hydra/launcher=...` and its settings (Raises UsageError)."""
    for word in settings:
        spread(word)  # what cannot be read is answered in our words
        if word.startswith("hydra/launcher="):
            check_launcher(word.partition("=")[2])
    own = [word for word in settings if word.lstrip("+~").startswith("hydra.launcher.")]
    if own:
        _refuse_unknown(own, _loaded([word for word in settings if word not in own], folder).hydra.launcher)
    return _loaded(settings, folder)


def _refuse_unknown(words: Sequence[str], launcher: DictConfig) -> None:
    """Refuse settings that a launcher does not have (UsageError); appended, as Hydra advises, nobody would use them."""
    known = [str(key) for key in launcher if not str(key).startswith("_")]
    for word in words:
        key = word.lstrip("+~").removeprefix("hydra.launcher.").partition("=")[0].partition(".")[0]
        if key not in known:
            raise UsageError(f"unknown key `hydra.launcher.{key}`; {nearest(key, known)}")


def _loaded(settings: Sequence[str], folder: str) -> DictConfig:
    try:
        with hydra_loader() as loader:
            words = [*settings, f"hydra.sweep.dir={folder}", *search_path()]
            return loader.load_configuration("config", words, run_mode=RunMode.MULTIRUN)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise UsageError(" ".join(str(error).split())) from error


@dataclass(frozen=True)
class Plugin:
    """A launcher of Hydra's: it returns when the last run has ended."""

    settings: Sequence[str]
    adds: Sequence[str] = ()

    def check(self) -> None:
        """What is installed can be launched."""

    def preview(self, sweep: Sweep) -> str:
        """There is nothing but the runs."""
        return ""

    def launch(self, sweep: Sweep) -> int:
        """Carry out every run that is not refused and has not finished, and say how each ended; the exit code.

        Raises TrainingError if the launcher itself breaks, say because a worker was killed, and UsageError if another
        process is at this sweep.
        """
        print(f"sweep {sweep.folder}: {sweep.counts()}, hydra/launcher={sweep.launcher}", flush=True)
        with _first_ctrl_c_waits(sweep), Lock(sweep.folder):
            runs = tuple(run for run in sweep.wanted if not finished(run.folder))
            codes = self._codes(sweep, runs) if runs else []
        ends = dict(zip([run.number for run in runs], codes, strict=True))
        code = next((code for code in (STOPPED, FAILED) if code in codes), FINISHED)
        next_ = f"pinn {'resume' if code else 'compare'} {sweep.folder}"
        print("\n".join(["", *_lines(sweep, ends), f"next   {next_}"]))
        return code

    def _codes(self, sweep: Sweep, runs: tuple[Planned, ...]) -> list[int]:
        """The exit code of each of these runs, in their order."""
        config = configuration(self.settings, quoted(sweep.folder))
        with hydra_loader() as loader:
            context = HydraContext(config_loader=loader, callbacks=Callbacks())
            try:
                launcher = Plugins.instance().instantiate_launcher(context, Task(runs), config)
                words = [rewrite(run.full_words) for run in runs]
                return [int(one.return_value) for one in launcher.launch(words, initial_job_idx=0)]
            except (HydraException, OSError, RuntimeError) as error:
                line = " ".join(str(error).split())[:300]
                way = f"pinn resume {sweep.folder} goes on"
                raise TrainingError(f"the launcher broke ({type(error).__name__}: {line}); {way}") from error


def _lines(sweep: Sweep, ends: Mapping[int, int]) -> list[str]:
    """One line per run: how it ended, and the values that the sweep varies."""
    lines, settings = [], labels(sweep.runs)
    for run in sweep.runs:
        end = Status.REFUSED if run.refused is not None else Status.of_exit_code(ends.get(run.number, FINISHED))
        reason = [] if run.refused is None else [f"({run.refused})"]
        lines.append("  ".join([f"run {run.number}", f"{end:<8}", settings[run.number], *reason]).rstrip())
    return lines


@contextmanager
def _first_ctrl_c_waits(sweep: Sweep) -> Iterator[None]:
    """After a Ctrl-C or SIGTERM the runs underway save, here or in workers, and no other begins."""
    over = threading.Event()

    def tell_workers() -> None:
        asked_to_stop.wait()
        while not over.is_set():
            ask(here(writers(sweep)) - {os.getpid()})
            over.wait(AGAIN)

    def first(number: int) -> None:
        if number == signal.SIGINT:
            print("\nCtrl-C: the runs underway save and stop; a second one does not wait", file=sys.stderr, flush=True)

    asked_to_stop.clear()
    teller = threading.Thread(target=tell_workers, name="tells workers", daemon=True)
    teller.start()
    try:
        with stop_waits(first):
            yield
    finally:
        over.set()
        asked_to_stop.set()  # lets the teller go
        teller.join()
        asked_to_stop.clear()
