"""An unknown permeability from its noisy pressures: the error of `pinn train`, and of the best linear estimate.

    python benchmarks/linear_estimate.py --draws 5 [stop.steps=200 ...]

The true k is a draw of the prior of `problem=permeability problem.draw=0`. Among all estimates that are linear in the
readings p, this one has the smallest mean square error over the prior and the noise (Gauss-Markov; kriging):

    k = E[k] + C_kp (C_pp + s^2 I)^-1 (p - E[p])

and the same for log k. Means and covariances are those of MEMBERS other draws, solved by finite volumes on 65 x 65
nodes. The estimate knows the prior and s; `pinn` knows neither, only the equation, the readings, and that k is
positive. One line for each draw: relative L2 errors on the nodes, beside that of the constant 1. The last line has the
medians.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from pinn_cli import cli
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.physics.coefficient_fields.gridded import Gridded
from pinn_cli.physics.distributions.base import generator
from pinn_cli.physics.references.darcy import solve
from pinn_cli.problems.permeability import PRIOR
from pinn_cli.records.results import Results

MEMBERS, NODES = 2000, 65
AXIS = torch.linspace(0, 1, NODES, dtype=torch.float64)


class Ensemble:
    """Draws of the prior: k at the nodes (members, nodes), pressures at the points X (members, N)."""

    def __init__(self, X: torch.Tensor) -> None:
        random = generator("members", 0)
        fields = [PRIOR.draw(random).on_lattice([AXIS, AXIS]).numpy() for _ in range(MEMBERS)]
        self.k = np.stack([k.ravel() for k in fields])
        self.p = np.stack([pressures(k, X) for k in fields])

    def estimate(self, p: np.ndarray, deviation: float, of: np.ndarray) -> np.ndarray:
        """The best linear estimate of `of` (members, nodes) for readings p (N,) with noise of this deviation."""
        dp, dk = self.p - self.p.mean(0), of - of.mean(0)
        C = dp.T @ dp / (MEMBERS - 1) + deviation**2 * np.eye(len(p))
        return of.mean(0) + dk.T @ (dp @ np.linalg.solve(C, p - self.p.mean(0))) / (MEMBERS - 1)


def pressures(k: np.ndarray, X: torch.Tensor) -> np.ndarray:
    """u (N,) at points X for k at the nodes."""
    u = solve(k, 1.0)[0]
    return Gridded({"x": AXIS.numpy(), "y": AXIS.numpy()}, u).values(*X.unbind(1)).numpy()


def trained(draw: int, words: list[str]) -> float:
    """The error of k after `pinn train`."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        settings = ["problem=permeability", f"problem.draw={draw}", "figures=off", f"folder={run}", *words]
        if cli.main(["train", *settings]):
            raise SystemExit(f"the run for draw {draw} failed")
        k = Results(run / "results.h5").read("unknown_fields/k")
        return float(np.linalg.norm(k["value"] - k["truth"]) / np.linalg.norm(k["truth"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="key=value", help="of `pinn train`")
    parser.add_argument("--draws", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ensemble, rows = None, []
    for draw in range(arguments.draws):
        problem: Any = assemble(compose(["problem=permeability", f"problem.draw={draw}"])).problem
        readings = problem.measurements()
        X, p = torch.stack([readings["x"], readings["y"]], 1), readings["u_data"].numpy()
        ensemble = ensemble or Ensemble(X)
        deviation = problem.noise * float(problem.reference()(X)["u"].std())
        truth = problem.k.on_lattice([AXIS, AXIS]).numpy().ravel()
        found = {
            "linear in k": ensemble.estimate(p, deviation, ensemble.k),
            "linear in log k": np.exp(ensemble.estimate(p, deviation, np.log(ensemble.k))),
            "constant 1": np.ones_like(truth),
        }
        errors = {name: np.linalg.norm(k - truth) / np.linalg.norm(truth) for name, k in found.items()}
        rows.append({"pinn": trained(draw, arguments.words), **errors})
        print(f"draw {draw}  " + "  ".join(f"{name} {error:.2%}" for name, error in rows[-1].items()), flush=True)
    print("median  " + "  ".join(f"{name} {median(row[name] for row in rows):.2%}" for name in rows[0]))


if __name__ == "__main__":
    main()
