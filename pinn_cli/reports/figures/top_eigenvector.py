"""The two largest eigenvalues of the Hessian of the loss, and how far the top eigenvector turns between records."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pinn_cli.records.results import Results
from pinn_cli.reports.figures.diagnostic_data import read_records
from pinn_cli.reports.figures.style import PALETTE, logarithmic


def alignment(vectors: np.ndarray) -> np.ndarray:
    """|v_k . v_(k-1)| (R - 1,) of unit vectors (R, P) and the one before each; NaN where their lengths differ.

    A vector of fewer than P entries is padded with NaN, as records of another stage are.
    """
    there = np.isfinite(vectors)
    filled = np.where(there, vectors, 0.0)
    same = (there[1:] == there[:-1]).all(1) & there[1:].any(1)
    return np.where(same, np.abs((filled[1:] * filled[:-1]).sum(1)), np.nan)


def draw_top_eigenvector(results: Results) -> Figure | None:
    """Eigenvalues on the left, the alignment with the record before on the right; None with fewer than two records."""
    records = read_records(results, "top_eigenvector")
    if len(records.get("step", ())) < 2:
        return None
    steps, values = records["step"], records["eigenvalues"].T
    figure = Figure(figsize=(7.4, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    dots: dict[str, Any] = {"marker": "o", "markersize": 3.0} if len(steps) < 60 else {}
    for k, (row, colour) in enumerate(zip(values, PALETTE, strict=False), 1):
        left.plot(steps, row, color=colour, label=rf"$\lambda_{k}$", **dots)
    logarithmic(left, values)
    left.legend(loc="best")
    left.set(xlabel="step", ylabel="largest eigenvalues of the Hessian")
    right.plot(steps[1:], alignment(records["vector"]), color="black", **dots)
    right.set(xlabel="step", ylabel=r"$|v \cdot v_{\mathrm{before}}|$", ylim=(-0.03, 1.03))
    right.grid(True, axis="y")
    right.set_axisbelow(True)
    return figure
