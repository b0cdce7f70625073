"""`pinn train` with a clock of processor seconds: ``python benchmarks/processor_time.py recipe=... threads=1``.

On a machine with other work a second of a run says little, and two runs do not compare. Here `stop.seconds`, the column
`time` of the history, all of `timing` and the figure of `pinn compare --figure` count the seconds that the processor
has worked for this process. With one thread that is what the clock of an idle core shows.
"""

import sys
from collections.abc import Sequence
from time import process_time
from types import SimpleNamespace
from typing import Any

from pinn_cli import cli
from pinn_cli.training import clock


def main(words: Sequence[str]) -> int:
    """Train with these words; the exit code."""
    counted: Any = SimpleNamespace(monotonic=process_time)
    clock.time, clock.process_age = counted, process_time
    return cli.main(["train", *words])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
