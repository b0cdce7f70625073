"""Ctrl-C, SIGTERM and SIGUSR1 during a run: finish the step, save, and print how to resume."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]

asked_to_stop = threading.Event()  # set when this process was told to stop: it starts no further run of a sweep


class Interrupted(Exception):
    """A step that was left in the middle, because the run was told to stop."""


class Interruption:
    """``with Interruption() as interruption: ... if interruption.reason: stop``.

    The first signal sets `reason` and answers at once by `say`; a second Ctrl-C raises KeyboardInterrupt. The previous
    handlers are restored afterwards, because one process may carry out many runs. A stop that was requested while the
    run was set up (`asked_to_stop`) counts too.
    """

    def __init__(self, say: Callable[[str], None] = lambda line: None) -> None:
        self.say = say
        self.reason: str | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():  # Python allows handlers there only
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        if self.reason is None and asked_to_stop.is_set():
            self.reason = "before it began"
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __bool__(self) -> bool:
        return self.reason is not None

    def check(self) -> None:
        """Raise Interrupted if the run was told to stop."""
        if self.reason is not None:
            raise Interrupted(self.reason)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.reason is not None:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.reason = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        with suppress(RuntimeError):  # the signal came while the same stream was being written
            self.say("stopping after this step; again: now" if number == signal.SIGINT else
                     f"stopping after this step ({self.reason})")


@contextmanager
def stop_waits(first: Callable[[int], None]) -> Iterator[None]:
    """Outside runs, Ctrl-C and SIGTERM set `asked_to_stop`; a second Ctrl-C raises KeyboardInterrupt at once.

    `first` is called with the number of the first signal.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        if not asked_to_stop.is_set():
            asked_to_stop.set()
            first(number)
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
