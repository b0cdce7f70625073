"""Histograms of each constraint's gradient, layer by layer (Wang, Teng and Perdikaris, arXiv:2001.04536).

If the gradients of the conditions are concentrated near zero compared with those of the equation, the conditions are
not learned.
"""

import re

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Diagnostic, Objective
from pinn_cli.methods.diagnostics import refuse_below_one
from pinn_cli.methods.diagnostics.weighted_terms import gradients, weighted

STACK = re.compile(r"(^|\.)layers\.\d+\.weight$")  # matrices of the main stack, no encoders
DECADES, PER_DECADE = 6, 20


class GradientHistograms(Diagnostic):
    """The entries of dL_k/dW of every layer's weight matrix W, L_k with the weight in force, counted in bins.

    The bins of a layer are the same for all constraints and symmetric about zero. With M the largest entry of all,
    there are twenty bins per decade from 1e-6 M to M on either side, and one between, so that narrow and wide peaks
    are both resolved. Record, by layer l and constraint c: `edges/l` (B + 1,), `counts/l/c` (B,), `std/l/c`, `max/l/c`
    (of |.|). Layers are the matrices of the main stack `layers`, or every matrix if the network has no such stack.
    """

    datasets = {
        "edges/<layer>": "edges of the bins, shared by all constraints of this layer",
        "counts/<layer>/<constraint>": "entries of this constraint's weighted gradient in each bin",
        "std/<layer>/<constraint>": "standard deviation of the entries of this weighted gradient",
        "max/<layer>/<constraint>": "largest absolute entry of this weighted gradient",
    }

    def __init__(self, every: int = 10000) -> None:
        refuse_below_one("gradient_histograms", every=every)
        self.every = every

    def __call__(self, objective: Objective) -> dict[str, Tensor | float]:
        by_constraint = gradients(objective, weighted(objective))
        record: dict[str, Tensor | float] = {}
        for layer, where in layers(objective).items():
            entries = {name: g[where] for name, g in by_constraint.items()}
            edges = symmetric_edges(torch.stack([g.abs().max() for g in entries.values()]).max())
            record[f"edges/{layer}"] = edges
            for name, g in entries.items():
                record[f"counts/{layer}/{name}"] = counts(g, edges)
                record[f"std/{layer}/{name}"] = g.std(correction=0)
                record[f"max/{layer}/{name}"] = g.abs().max()
        return record


def layers(objective: Objective) -> dict[str, slice]:
    """The places of the weight matrices in the flat vector (P,), by name."""
    matrices = {name for name, p in zip(objective.names, objective.parameters, strict=True) if p.ndim == 2}
    stack = {name for name in matrices if STACK.search(name)} or matrices
    return {name: where for name, where in objective.layout.items() if name in stack}


def symmetric_edges(largest: Tensor) -> Tensor:
    """Edges of the bins (B + 1,): -M ... -1e-6 M, 1e-6 M ... M."""
    exponents = torch.linspace(-DECADES, 0, DECADES * PER_DECADE + 1, dtype=largest.dtype, device=largest.device)
    scale = largest if bool(largest.isfinite()) and largest > 0 else torch.ones_like(largest)
    positive = scale * 10**exponents
    return torch.cat([-positive.flip(0), positive])


def counts(values: Tensor, edges: Tensor) -> Tensor:
    """How many of the values lie in each bin (B,); values beyond the edges by rounding count in the outermost bins."""
    return torch.bincount(torch.bucketize(values, edges[1:-1]), minlength=len(edges) - 1)
