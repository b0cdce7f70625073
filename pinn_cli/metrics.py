"""How far a prediction is from the reference."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor

NODES = 10_000  # at least so many; 100 x 100 in two dimensions


@dataclass(frozen=True)
class Errors:
    """relative_l2 = |u - v|_2 / |v|_2 (Euclidean norms over all points), mean and maximum of |u - v|; v the truth."""

    relative_l2: float
    mean: float
    maximum: float


def points_of_comparison(domain: Any, reference: Any) -> Tensor:
    """Points (N, D), float64: the reference's own if it is a table, else a uniform grid including the boundary."""
    if reference.at is not None:
        return reference.at
    return domain.grid(ceil(round(NODES ** (1 / len(domain.coordinates)), 9)))


def errors(reference: Any, evaluate: Callable[[list[str], Tensor], dict[str, Tensor]], X: Tensor) -> dict[str, Errors]:
    """Errors of every field or observable the reference knows, at X (N, D); computed in float64 on the CPU.

    `evaluate(names, X)` gives the prediction, {name: (N,)}, as `Objective.evaluate` does. A field that is zero
    everywhere has no relative error: NaN.
    """
    truth, values = reference(X.cpu().double()), evaluate(list(reference.fields), X)
    return {name: compare(values[name].detach().cpu().double(), truth[name]) for name in reference.fields}


def compare(value: Tensor, truth: Tensor) -> Errors:
    """Errors of one field, (N,) against (N,). Errors: ValueError if the shapes differ (broadcasting would hide it)."""
    if value.shape != truth.shape:
        raise ValueError(f"prediction {tuple(value.shape)} and reference {tuple(truth.shape)} have different shapes.")
    difference, size = (value - truth).abs(), float(torch.linalg.vector_norm(truth))
    distance = float(torch.linalg.vector_norm(difference))
    return Errors(distance / size if size else float("nan"), float(difference.mean()), float(difference.max()))
