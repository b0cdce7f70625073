"""How long commands take before they do anything, side by side in one run, against `import torch` alone.

    python benchmarks/start_time.py [--repeats 7]

Contestants alternate; the median seconds of each and its ratio to `import torch` are printed as a Markdown table.
A dry run builds the runs, as a submission does not.
"""

import argparse
import subprocess
import sys
import time
from statistics import median

PINN = [sys.executable, "-m", "pinn_cli.cli"]
HELMHOLTZ = "problem=helmholtz"
CONTESTANTS = {
    "import torch": [sys.executable, "-c", "import torch"],
    "pinn --help": [*PINN, "--help"],
    "pinn train problem=helmholtz --cfg job": [*PINN, "train", HELMHOLTZ, "--cfg", "job"],
    "pinn train -m problem=helmholtz 'seed=range(10)' --dry-run": [
        *PINN, "train", "-m", HELMHOLTZ, "seed=range(10)", "--dry-run",
    ],
}  # fmt: skip


def seconds(command: list[str]) -> float:
    """Wall time of one process. Raises CalledProcessError."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Time every contestant in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    rounds = [{name: seconds(command) for name, command in CONTESTANTS.items()} for _ in range(repeats)]
    print("| command | seconds | of `import torch` |\n| --- | --- | --- |")
    for name in CONTESTANTS:
        ratio = median(one[name] / one["import torch"] for one in rounds)
        print(f"| `{name}` | {median(one[name] for one in rounds):.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
