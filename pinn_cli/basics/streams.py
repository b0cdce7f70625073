"""The standard streams of a process, made such that printing ends no run."""

import io
import os
import sys


def prepare() -> None:
    """Let standard output and error accept every text.

    A character that the terminal's encoding does not have (ASCII, latin-1) is printed as `?`. A stream that was closed
    when the process started, which Python calls None, is replaced by one that keeps nothing.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  (as long as the process)
        elif isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
