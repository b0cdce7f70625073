"""The verdict on right and wrong runs: error against verdict, one run for each row.

    python benchmarks/verdicts.py                    run what is missing, and write benchmarks/results/verdicts.json
    python benchmarks/verdicts.py --only kelvin      run again every row whose name begins with one of these words
    python benchmarks/verdicts.py --count            the counts of the kept results

Runs have equal steps, so the table does not depend on the load of the machine. The error of a field is |u - v| over
the deviation of the reference v from its mean; the error of a run is the largest of its fields. Right: at most 1e-3.
Wrong: above 5e-2. The equations lie in benchmarks/verdicts/equations.py.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from pinn_cli.records.results import Results

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "benchmarks" / "results" / "verdicts.json"
EQUATIONS = ROOT / "benchmarks" / "verdicts" / "equations.py"
RIGHT, WRONG = 1e-3, 5e-2
POINTS = ["points.interior=2048", "points.face=128"]  # of the default, unless a row types others
SMALL = "architecture.width=16 architecture.depth=2 points.interior=512 points.face=48"
RAW = "units=raw weights.interior=1 points.interior=512"
RIDGES = "recipe=random_features architecture=random_features"

CASES = {
    # meant to be right
    "poisson_1d": f"problem=poisson_1d {SMALL} stop.steps=60",
    "poisson_1d exact": f"problem=poisson_1d {SMALL} constraints=exact stop.steps=60",
    "wave": f"problem=wave {SMALL} stop.steps=120",
    "wave exact": f"problem=wave {SMALL} constraints=exact stop.steps=120",
    "diffusion": f"problem=diffusion {SMALL} stop.steps=80",
    "outflow_layer": f"problem=outflow_layer {SMALL} stop.steps=120",
    "convection_diffusion": f"problem=convection_diffusion {SMALL} stop.steps=120",
    "burgers": f"problem=burgers {SMALL} stop.steps=150",
    "heat_2d": f"problem=heat_2d {SMALL} stop.steps=80",
    "plate": f"problem=plate {SMALL} stop.steps=120",
    "plane_elasticity": f"problem=plane_elasticity {SMALL} stop.steps=100",
    "taylor_green": f"problem=taylor_green {SMALL} stop.steps=80",
    "helmholtz by features": f"problem=helmholtz {RIDGES} architecture.width=800",
    "klein_gordon by features": f"problem=klein_gordon {RIDGES} architecture.width=800",
    "burgers by features": f"problem=burgers {RIDGES} architecture.width=800",
    "kovasznay": f"problem=kovasznay {SMALL} stop.steps=80",
    "klein_gordon": f"problem=klein_gordon {SMALL} stop.steps=150",
    "reaction": f"problem=reaction problem.rho=5 {SMALL} stop.steps=120",
    "convection": f"problem=convection problem.beta=5 {SMALL} stop.steps=120",
    "reaction_diffusion": f"problem=reaction_diffusion {SMALL} stop.steps=150",
    "oscillator": f"problem=oscillator {SMALL} stop.steps=100",
    "kelvin": f"problem=kelvin {SMALL} stop.steps=200",
    "kelvin imposed": f"problem=kelvin_imposed {SMALL} stop.steps=80",
    "constant": f"problem=constant {SMALL} stop.steps=80",
    "decay": f"problem=decay {SMALL} stop.steps=150",
    "robin": f"problem=robin {SMALL} stop.steps=60",
    "root": f"problem=root {SMALL} stop.steps=60",
    "pendulum": f"problem=pendulum {SMALL} stop.steps=80",
    "oscillators": f"problem=oscillators {SMALL} stop.steps=120",
    "channel": f"problem=channel {SMALL} stop.steps=80",
    "diffusivity": f"problem=diffusivity {SMALL} stop.steps=60",
    "membrane": f"problem=membrane {SMALL} stop.steps=80",
    "heat": f"problem=heat {SMALL} stop.steps=80",
    "heat periodic": f"problem=convection problem.beta=1 {SMALL} periodic=[x] stop.steps=80",
    "heat in windows": f"problem=heat {SMALL} strategy=time_marching strategy.time_marching.windows=2 stop.steps=80",
    "boundary_layer eps=0.1": f"problem=boundary_layer problem.eps=0.1 {SMALL} stop.steps=80",
    # undertrained
    "poisson_1d 3 steps": f"problem=poisson_1d {SMALL} stop.steps=3",
    "wave 15 steps": f"problem=wave {SMALL} stop.steps=15",
    "wave c=10": f"problem=wave problem.c=10 {SMALL} stop.steps=60",
    "klein_gordon 25 steps": f"problem=klein_gordon {SMALL} stop.steps=25",
    "burgers 12 steps": f"problem=burgers {SMALL} stop.steps=12",
    "kelvin 20 steps": "problem=kelvin points.interior=512 stop.steps=20",
    "kelvin raw 20 steps": f"problem=kelvin {RAW} stop.steps=20",
    "kelvin imposed raw 5 steps": f"problem=kelvin_imposed {RAW} stop.steps=5",
    "kelvin imposed 3 steps": "problem=kelvin_imposed points.interior=512 stop.steps=3",
    "allen_cahn 92 steps": "problem=allen_cahn stop.steps=92",
    "allen_cahn 50 steps": "problem=allen_cahn stop.steps=50",
    "kuramoto_sivashinsky": f"problem=kuramoto_sivashinsky {SMALL} stop.steps=100",
    "reaction rho=15": f"problem=reaction problem.rho=15 {SMALL} stop.steps=250 seed=2",
    "reaction rho=20": "problem=reaction problem.rho=20 seed=2 stop.steps=440",
    "reaction rho=20 raw": "problem=reaction problem.rho=20 units=raw weights.interior=1 seed=2 stop.steps=440",
    "reaction rho=20 200 steps": "problem=reaction problem.rho=20 seed=2 stop.steps=200",
    "nls 40 steps": f"problem=nls {SMALL} stop.steps=40",
    "kdv two solitons": f"problem=kdv problem.second=9 {SMALL} stop.steps=150",
    # too few points
    "helmholtz 64 points": "problem=helmholtz points.interior=64 points.face=8 stop.steps=60",
    "reaction rho=10 sobol": "problem=reaction problem.rho=10 architecture.width=16 points.interior=256 points.face=64 "
                             "sampler=[sobol] stop.steps=250 seed=1",
    "waves a=10": f"problem=waves {SMALL} stop.steps=60",
    # hard for the default
    "convection beta=80": f"problem=convection problem.beta=80 {SMALL} stop.steps=150",
    "boundary_layer eps=1e-4": f"problem=boundary_layer problem.eps=1e-4 {SMALL} stop.steps=100",
    "plate 15 steps": f"problem=plate {SMALL} stop.steps=15",
    # stated wrongly
    "layers": f"problem=layers {SMALL} stop.steps=60",
    "plates": f"problem=plates {SMALL} stop.steps=80",
    "heat without start": f"problem=heat_without_start {SMALL} stop.steps=60",
    "heat without wall": f"problem=heat_without_wall {SMALL} stop.steps=60",
    "string without velocity": f"problem=string_without_velocity {SMALL} stop.steps=60",
    "slopes": f"problem=slopes {SMALL} stop.steps=60",
    "channel without level": f"problem=channel_without_level {SMALL} stop.steps=60",
    "two fields": f"problem=two_fields {SMALL} stop.steps=60",
    "blind": f"problem=blind {SMALL} stop.steps=60",
    "wall weight 0": f"problem=heat {SMALL} weights.wall=0 stop.steps=60",
    "half imposed": f"problem=heat_half_imposed {SMALL} constraints=exact stop.steps=60",
    "data weight 0": f"problem=heat_inverse {SMALL} weights.data=0 stop.steps=40",
}  # fmt: skip

# Runs whose error the verdict cannot see. They are shown in docs/verdict.md and do not count.
UNSEEN = {
    "bratu": f"problem=bratu {SMALL} stop.steps=60",
    "spike": f"problem=spike {SMALL} stop.steps=60",
    "wrong coefficient": f"problem=wrong_sign {SMALL} stop.steps=60",
}


def main() -> None:
    """Run what is missing or asked for, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", help="run again the rows whose names begin so")
    parser.add_argument("--count", action="store_true", help="run nothing")
    options = parser.parse_args()
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    todo = [n for n in CASES | UNSEEN if (n.startswith(tuple(options.only)) if options.only else n not in kept)]
    for name in [] if options.count else todo:
        kept[name] = run((CASES | UNSEEN)[name])
        print(f"{name:28s} {kept[name]['error']}  {kept[name]['verdict']}", flush=True)
        kept = {n: kept[n] for n in CASES | UNSEEN if n in kept}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    for line in counts({n: kept[n] for n in CASES if n in kept}):
        print(line)


def run(words: str) -> dict:
    """One run in a folder of its own: its command, error, verdict and what the verdict measured."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        shutil.copy(EQUATIONS, home / "equations.py")
        (home / "conf" / "problem").mkdir(parents=True)
        for cls in re.findall(r"^class (\w+)\(", EQUATIONS.read_text(), re.MULTILINE):
            name = re.sub(r"(?<!^)(?=[A-Z])", "_", cls).lower()
            numbers = re.findall(r"^    (\w+): float = (.+)$", body(cls), re.MULTILINE)
            yaml = [f"_target_: equations.{cls}", *(f"{key}: {value}" for key, value in numbers)]
            (home / "conf" / "problem" / f"{name}.yaml").write_text("\n".join(yaml) + "\n")
        points = [] if "recipe=" in words else POINTS
        command = [*points, *words.split(), "threads=1", "compile=off", "figures=off", "folder=run"]
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{home}", "OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, "-m", "pinn_cli.cli", "train", *command], cwd=home, env=environment,
                              capture_output=True, text=True)  # fmt: skip
        if done.returncode:
            return {"command": words, "error": None, "verdict": f"refused: {done.stderr.strip()[-300:]}"}
        results = Results(home / "run" / "results.h5")
        fields, guard = results.read("fields"), results.read("guard")
        explained = results.read("error_estimate").get("explained")
        return {
            "command": words,
            "error": float(f"{error(fields):.3g}"),
            "verdict": str(guard.pop("verdict")),
            "explained": None if explained is None else float(f"{explained:.3g}"),
            "guard": {name: float(f"{value:.3g}") for name, value in guard.items()},
        }


def body(cls: str) -> str:
    """The text of a class of the equations."""
    return EQUATIONS.read_text().partition(f"class {cls}(")[2].partition("\n\n\n")[0]


def error(fields: dict) -> float:
    """The largest |u - v| / |v - mean v| of all fields; a field that is constant is measured in that of the others."""
    truth = {name: np.asarray(v) for key, v in fields.items() if (name := key.removeprefix("reference/")) != key}
    varies = {name: np.std(v) for name, v in truth.items()}
    size = {n: s if s > 1e-9 * max(varies.values()) and s > 1e-9 * np.abs(truth[n]).max()
            else max(varies.values()) or np.abs(truth[n]).max() for n, s in varies.items()}  # fmt: skip
    return max(float(np.sqrt(np.mean((fields[f"prediction/{n}"] - v) ** 2)) / size[n]) for n, v in truth.items())


def counts(kept: dict) -> list[str]:
    """How many runs are right and wrong, and on how many the verdict is wrong."""
    kept = {name: run for name, run in kept.items() if run["error"] is not None}
    good = {name: run["verdict"].startswith("ok") for name, run in kept.items()}
    right = [name for name, run in kept.items() if run["error"] <= RIGHT]
    wrong = [name for name, run in kept.items() if not run["error"] <= WRONG]
    alarms, lies = [n for n in right if not good[n]], [n for n in wrong if good[n]]
    return [
        f"{len(kept)} runs",
        f"{len(right)} with an error of at most {RIGHT:g}: not called ok {len(alarms)} {', '.join(alarms)}".strip(),
        f"{len(wrong)} with an error above {WRONG:g}: called ok {len(lies)} {', '.join(lies)}".strip(),
    ]


if __name__ == "__main__":
    main()
