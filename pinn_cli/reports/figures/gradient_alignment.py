"""Whether the gradients of the constraints have similar directions."""

from itertools import chain

from matplotlib.figure import Figure

from pinn_cli.records.results import Results
from pinn_cli.reports.figures.diagnostic_data import group, read_records
from pinn_cli.reports.figures.style import colours

PAIRS = 8  # as many as there are colours


def draw_gradient_alignment(results: Results) -> Figure | None:
    """The score over the steps, and the cosine of every pair if there are several; None with fewer than two records."""
    records = read_records(results, "gradient_alignment")
    if len(records.get("step", ())) < 2:
        return None
    pairs = group(records, "cosine")
    lines = list(pairs.items())[:PAIRS] if len(pairs) > 1 else []
    figure = Figure(figsize=(6.4, 3.0 + 0.2 * (len(lines) // 3)), layout="constrained")
    axes = figure.subplots()
    known = colours(dict(lines))
    for name, values in lines:
        axes.plot(records["step"], values, color=known[name], linewidth=1.0, label=name.replace("/", ", "))
    names = sorted(set(chain.from_iterable(name.split("/") for name in pairs)))
    label = "score" if lines else f"score (the cosine of {' and '.join(names)})" if names else "score"
    axes.plot(records["step"], records["score"], color="black", linewidth=1.6, label=label)
    for level in (-1, 0, 1):
        axes.axhline(level, color="#E3E3E3", linewidth=0.5, zorder=0)
    axes.set(xlabel="step", ylabel="gradient alignment", ylim=(-1.05, 1.05))
    axes.margins(x=0)
    figure.legend(loc="outside lower center", ncols=3, title="cosine of two gradients" if lines else None)
    return figure
