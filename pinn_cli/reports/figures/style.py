"""The style of all figures: a serif font, thin lines, and colours for all kinds of colour vision."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, cast

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

# Okabe & Ito, "Color Universal Design" (2008): eight colours for all kinds of colour vision; black is for totals.
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#7F7F7F"]
SIGNED, POSITIVE, ERROR, BACKGROUND = "RdBu_r", "viridis", "magma", "Greys"  # of even lightness, or symmetric

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
    """The style, inside a ``with`` only."""
    return rc_context(cast(Any, STYLE))


def colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name, by its place."""
    return {name: PALETTE[k % len(PALETTE)] for k, name in enumerate(names)}


GREEK = (
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda", "mu", "nu", "xi", "rho",
    "sigma", "tau", "phi", "chi", "psi", "omega",
)  # fmt: skip


def symbol(name: str) -> str:
    """A field or coordinate as a label: a single letter, Greek or not, as a formula, a word without underscores."""
    if name in GREEK:
        return rf"$\{name}$"
    return f"${name}$" if len(name) == 1 else name.replace("_", " ")


def logarithmic(axes: Axes, values: Iterable[np.ndarray]) -> None:
    """A logarithmic scale of at least two decades with at most one label per decade."""
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
