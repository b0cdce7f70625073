"""Records of diagnostics, in the form that figures use."""

import re
from typing import Any

import numpy as np

from pinn_cli.records.results import Results
from pinn_cli.reports.figures.style import colours

TOTAL = "total"


def read_records(results: Results, name: str) -> dict[str, np.ndarray]:
    """Every dataset (R, ...) of a diagnostic by its name, including `step`; {} without a record."""
    records = results.read(f"diagnostics/{name}")
    return records if len(records.get("step", ())) else {}


def group(records: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """The datasets ``name/...``, by the rest of their names."""
    return {key.removeprefix(f"{name}/"): value for key, value in records.items() if key.startswith(f"{name}/")}


def look(terms: Any) -> dict[str, dict[str, Any]]:
    """The style of the line of each term: constraints in the colours of their losses, the total in black below."""
    known = colours(name for name in terms if name != TOTAL)
    lines = {name: {"color": colour, "label": name, "zorder": 3} for name, colour in known.items()}
    return lines | {TOTAL: {"color": "black", "label": TOTAL, "linewidth": 2.6, "alpha": 0.35, "zorder": 2}}


def layer(name: str) -> str:
    """`network.layers.0.weight` -> `layer 1`; the name of any other matrix."""
    match = re.fullmatch(r"network\.layers\.(\d+)\.weight", name)
    return f"layer {int(match[1]) + 1}" if match else name.removeprefix("network.").removesuffix(".weight")
