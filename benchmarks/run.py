"""One `pinn train` as a person types it, in a process and a folder of its own, and what its results file then says.

A file of results keeps runs by case and seed: {"runs": {"wave": {"0": {"command": ..., "errors": ...}}}}. A run whose
command is in the file already is not repeated, so that an interrupted benchmark goes on where it stopped.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from step_time import machine

from pinn_cli.records import folder as run_folder
from pinn_cli.records import summary as runs
from pinn_cli.records.results import Results

RESULTS = Path(__file__).parent / "results"
Read = Callable[[str, Path], dict[str, Any]]  # what more to keep of a case's run, from its folder
KEPT = ("status", "reason", "verdict", "errors", "steps", "seconds", "device", "dtype", "started")


@dataclass(frozen=True)
class Cell:
    """One run of a benchmark: `words` are what stands behind `pinn train`."""

    case: str
    seed: int
    words: tuple[str, ...]

    @property
    def command(self) -> str:
        return shlex.join(["pinn", "train", *self.words, f"seed={self.seed}"])


def measure(cell: Cell, read: Read) -> dict[str, Any]:
    """Train the cell; what it was and what came of it, with whatever `read` finds in its folder.

    `seconds` counts from the start of the process to the results on disk, `command_seconds` to its end, figures
    included. Raises RuntimeError for a command that made no results.
    """
    pinn, start = Path(sys.executable).with_name("pinn"), time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        words = [str(pinn), *shlex.split(cell.command)[1:], f"folder={scratch}/run"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        seconds, folder = time.perf_counter() - start, Path(scratch, "run")
        if done.returncode not in (0, 1) or not (folder / run_folder.RESULTS).exists():
            raise RuntimeError(f"{cell.command}: exit code {done.returncode}\n{done.stderr.strip()}")
        found, about = runs.summary(folder), Results(folder / run_folder.RESULTS).read_attributes()
        return {
            "command": cell.command,
            **{name: found[name] for name in KEPT},
            "command_seconds": seconds,
            "commit": about["commit"],
            **read(cell.case, folder),
            "machine": {**machine(), "threads": about["threads"]},
        }


class Kept:
    """A file of results, written anew after every run."""

    def __init__(self, path: Path, beside: Mapping[str, Any], summary: Callable[[str, dict], dict]):
        self.path, self.beside, self.summary = path, dict(beside), summary
        self.runs: dict[str, dict[str, Any]] = json.loads(path.read_text())["runs"] if path.exists() else {}

    def has(self, cell: Cell) -> bool:
        found = self.runs.get(cell.case, {}).get(str(cell.seed), {})
        return found.get("command") == cell.command and found["status"] == "finished"

    def put(self, cell: Cell, found: dict[str, Any]) -> None:
        self.runs.setdefault(cell.case, {})[str(cell.seed)] = found
        medians = {case: self.summary(case, seeds) for case, seeds in self.runs.items()}
        text = json.dumps({**self.beside, "medians": medians, "runs": self.runs}, indent=1)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(text + "\n")
        os.replace(part, self.path)


def carry_out(cells: Iterable[Cell], kept: Kept, read: Read, again: bool, jobs: int = 1) -> None:
    """Run the cells that the file lacks, `jobs` at a time, and keep each as it ends."""
    missing = [cell for cell in cells if again or not kept.has(cell)]
    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(measure, cell, read): cell for cell in missing}
        try:
            for done in as_completed(running):
                kept.put(running[done], done.result())
                print(*_line(done.result()), sep="  ", flush=True)
        finally:
            pool.shutdown(cancel_futures=True)  # after a failure, or Ctrl-C, no further one begins


def medians(words: Sequence[str], seeds: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """What was typed, and medians over the seeds: the error of each field, seconds, seconds to the goal, steps."""
    found = list(seeds.values())
    return {
        "words": shlex.join(words),
        "errors": by_name(found, "errors"),
        **{name: middle(run[name] for run in found) for name in ("seconds", "seconds_to_goal", "steps")},
        "seeds": sorted(map(int, seeds)),
    }


def by_name(found: Sequence[Mapping[str, Any]], table: str) -> dict[str, float | None]:
    """The median of every entry of one table of the runs."""
    names = dict.fromkeys(name for run in found for name in run[table])
    return {name: middle(run[table].get(name) for run in found) for name in names}


def middle(values: Iterable[float | None]) -> float | None:
    """The median, where None is worse than any number; None if that is what stands in the middle."""
    found = median([float("inf") if value is None else value for value in values])
    return None if found == float("inf") else found


def _line(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['command']}  {found['steps']} steps in {found['seconds']:.0f} s"
    yield from (f"{name} {value:.2e}" for name, value in found["errors"].items())
    yield f"{found['reason']}"
