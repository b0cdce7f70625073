"""Centre-line velocities of the lid-driven cavity as Ghia, Ghia & Shin (1982) printed them."""

import csv
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

FILE = Path(__file__).parent / "data" / "ghia.csv"
MISPRINTED = ("400", "v", "0.9063")  # printed -0.23827; every accurate solution has -0.38969


class Line(NamedTuple):
    """One centre line: its points X (S, 2), and the printed values (S,)."""

    X: Tensor
    printed: Tensor


def centre_lines(re: float) -> dict[str, Line] | None:
    """`u` on x = 1/2 and `v` on y = 1/2, 17 stations each without the misprint; None for an Re that is not printed."""
    with FILE.open() as file:
        rows = [row for row in csv.DictReader(file) if float(row["re"]) == re]
    rows = [row for row in rows if (row["re"], row["line"], row["coordinate"]) != MISPRINTED]
    return {name: _line(name, [row for row in rows if row["line"] == name]) for name in "uv"} if rows else None


def _line(name: str, rows: list[dict[str, str]]) -> Line:
    along = torch.tensor([float(row["coordinate"]) for row in rows], dtype=torch.float64, device="cpu")
    middle = torch.full_like(along, 0.5)
    X = torch.stack((middle, along) if name == "u" else (along, middle), 1)
    return Line(X, torch.tensor([float(row["value"]) for row in rows], dtype=torch.float64, device="cpu"))
