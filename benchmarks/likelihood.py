"""The coefficients of largest likelihood for measurements, with the problem's own solution in place of a network.

    python benchmarks/likelihood.py problem=burgers 'problem.data={points: 2000, noise: 0.01}' problem.unknowns.nu=0.01

It is what an estimate of `pinn train` is to be compared with: a draw of the noise moves the best estimate, too, by a
standard error. Gauss-Newton from the truth, with differences of the `exact` solution or the `reference`; the noise is
the same for all measurements. One line for each draw and unknown: the estimate, its error relative to the truth, and
its relative standard error (Cramer 1946; Rao 1945).
"""

import argparse
from typing import Any

import torch
from torch import Tensor

from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.physics.problem import Problem
from pinn_cli.physics.references import reference_of

STEP = 1e-4  # of a difference, relative to the truth
STEPS = 5  # of Gauss-Newton


def solution(problem: Problem, values: dict[str, float], X: dict[str, Tensor]) -> Tensor:
    """The measured fields (N,), each at its points X, one after the other, for these coefficients."""
    reference = reference_of(problem.with_(**values))
    if reference is None:
        raise SystemExit(f"{type(problem).__name__} has no `exact` and no `reference`")
    return torch.cat([reference(points)[name] for name, points in X.items()])


def fit(problem: Problem) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """The estimates, the standard errors and the true values of the unknowns."""
    truths = {name: float(getattr(problem, name)) for name in problem.unknowns}
    D, data, columns = len(problem.coordinates), problem.data, problem.grammar.measured
    measured = {c.removesuffix("_data"): data[:, D + k] for k, c in enumerate(columns) if c.endswith("_data")}
    X = {name: data[column.isfinite(), :D] for name, column in measured.items()}
    u = torch.cat([column[column.isfinite()] for column in measured.values()])
    values = dict(truths)
    for _ in range(STEPS):
        at = solution(problem, values, X)
        J = torch.stack([(solution(problem, values | {n: values[n] + STEP * (abs(truths[n]) or 1.0)}, X) - at)
                         / (STEP * (abs(truths[n]) or 1.0)) for n in truths], 1)  # fmt: skip
        step = torch.linalg.lstsq(J, (u - at)[:, None]).solution[:, 0].tolist()
        values = {n: values[n] + d for n, d in zip(truths, step, strict=True)}
    left = u - solution(problem, values, X)
    covariance = torch.linalg.inv(J.T @ J) * left.square().sum() / (len(u) - len(truths))
    errors: Any = covariance.diagonal().sqrt().tolist()
    return values, dict(zip(truths, errors, strict=True)), truths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", metavar="key=value")
    parser.add_argument("--draws", type=int, default=1, help="of the noise: problem.data.noise_seed = 0, 1, 2 ...")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for draw in range(arguments.draws):
        problem = assemble(compose([*arguments.words, f"problem.data.noise_seed={draw}"])).problem
        values, errors, truths = fit(problem)
        for name, truth in truths.items():
            error = f"error {(values[name] - truth) / truth:+.3%}  standard error {errors[name] / abs(truth):.3%}"
            print(f"{draw}  {name} {values[name]:.7g}  {error if truth else f'standard error {errors[name]:.1e}'}")


if __name__ == "__main__":
    main()
