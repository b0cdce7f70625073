"""The error of a network for convection at any speed, inside and outside of the speeds that it was trained for.

    pinn train recipe=hard_constraints/convection
    python benchmarks/convection_speeds.py latest [--speeds 1,5,10,20,30,40,50,55,60]

Training draws speeds from 1 to 50. Each speed is solved anew by the layer and compared with sin(x - beta t), at 100 x
100 points. The residual is that of the equation at the same points, relative to beta, the size of its terms.
"""

import argparse
import warnings
from math import pi

import numpy as np

import pinn_cli

SPEEDS = "1,5,10,20,30,40,50,55,60"
NODES = 100


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--speeds", default=SPEEDS)
    arguments = parser.parse_args()
    u = pinn_cli.load(arguments.run)
    x, t = np.meshgrid(np.linspace(0, 2 * pi, NODES), np.linspace(0, 1, NODES), indexing="ij")
    print("| beta | trained | relative L2 error | residual / beta |\n| --- | --- | --- | --- |")
    for beta in map(float, arguments.speeds.split(",")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a speed lies outside is the point
            solved = u.with_(beta=beta)
        truth = np.sin(x - beta * t)
        error = np.linalg.norm(solved(x=x, t=t) - truth) / np.linalg.norm(truth)
        residual = solved(x=x, t=t, derivatives="residual/pde")
        size = np.sqrt(np.mean(np.square(residual))) / beta
        print(f"| {beta:g} | {'yes' if 1 <= beta <= 50 else 'no'} | {error:.1e} | {size:.1e} |", flush=True)


if __name__ == "__main__":
    main()
