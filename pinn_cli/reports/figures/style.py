"""One look for all figures: a serif face as in a paper, thin lines, colours that every reader can tell apart."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, cast

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

# Okabe & Ito, "Color Universal Design" (2008): eight colours for all kinds of colour vision; black is kept for totals.
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#7F7F7F"]
SIGNED, POSITIVE, ERROR, BACKGROUND = "RdBu_r", "viridis", "magma", "Greys"  # even in lightness, or symmetric about it

STYLE = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 10.0,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10.5,
    "legend.fontsize": 9.5,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


def style() -> AbstractContextManager[None]:
    """The look, in force inside a ``with`` and nowhere else."""
    return rc_context(cast(Any, STYLE))


def colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name, the same wherever the names come in this order."""
    return {name: PALETTE[k % len(PALETTE)] for k, name in enumerate(names)}


def symbol(name: str) -> str:
    """The name of a field or coordinate: a letter as in a formula, a word as it is."""
    return f"${name}$" if len(name) == 1 else name.replace("_", " ")


def logarithmic(axes: Axes, values: Iterable[np.ndarray]) -> None:
    """A logarithmic scale with one label per decade (fewer if there are many) and at least two decades in view."""
    known = np.concatenate([v[np.isfinite(v) & (v > 0)] for v in values] or [np.ones(1)])
    known = known if len(known) else np.ones(1)
    low, high = np.log10(known.min()), np.log10(known.max())
    spare = max(0.06 * (high - low), (2 - (high - low)) / 2, 0.1)
    axes.set_yscale("log")
    axes.set_ylim(10 ** (low - spare), 10 ** (high + spare))
    axes.yaxis.set_major_locator(LogLocator(numticks=7))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(True, axis="y")
    axes.set_axisbelow(True)
