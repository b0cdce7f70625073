"""What is asked of Slurm: a script's number, and the largest array it takes."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from shutil import which

from pinn_cli.errors import UsageError

ARRAY = 1001  # Slurm's own MaxArraySize, where it cannot be asked
PATIENCE = 60  # seconds for a controller that is busy


def largest_array() -> int:
    """The number of tasks that one array may have (indices stay below MaxArraySize)."""
    if which("scontrol") is None:
        return ARRAY
    done = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=PATIENCE, check=False)
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", done.stdout, re.MULTILINE)
    return max(1, int(found[1])) if found else ARRAY


def submit(options: Sequence[str], script: str | Path, *arguments: str) -> str:
    """The number that Slurm gives to a job. Raises UsageError with Slurm's own reason if it takes none."""
    if which("sbatch") is None:
        raise UsageError("there is no Slurm here (no `sbatch`); type --dry-run to see the script, or another launcher")
    words = ["sbatch", "--parsable", *options, str(script), *arguments]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False, env=_environment())
    except subprocess.TimeoutExpired:
        raise UsageError(f"sbatch has not answered for {PATIENCE} s; is the cluster up? (sinfo)") from None
    if done.returncode:
        reason = " ".join(done.stderr.replace("sbatch: error:", "").split())
        raise UsageError(f"sbatch refused the array ({reason}); see hydra.launcher.partition, account, time ...")
    return done.stdout.strip().partition(";")[0]


def _environment() -> dict[str, str]:
    """The environment without the working directory among Python's folders: tasks take the frozen code."""
    here = str(Path.cwd())
    places = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place and place != here]
    others = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return others | ({"PYTHONPATH": os.pathsep.join(places)} if places else {})
