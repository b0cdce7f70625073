"""Figures of a run, drawn from its results file alone, finished or running.

Nothing outside this folder imports matplotlib, and nothing in it uses pyplot or changes a global setting.
"""

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from pinn_cli.basics import files as atomic
from pinn_cli.basics.errors import TrainingError, UsageError
from pinn_cli.records.folder import RESULTS
from pinn_cli.records.lock import check_own
from pinn_cli.records.results import Results
from pinn_cli.reports.figures.fields import draw_collocation, draw_solution
from pinn_cli.reports.figures.gradient_alignment import draw_gradient_alignment
from pinn_cli.reports.figures.gradient_histograms import draw_gradient_histograms
from pinn_cli.reports.figures.hessian_spectrum import draw_hessian_spectrum
from pinn_cli.reports.figures.loss_landscape import draw_loss_landscape
from pinn_cli.reports.figures.losses import draw_losses
from pinn_cli.reports.figures.ntk_spectrum import draw_ntk_spectrum
from pinn_cli.reports.figures.style import style

FIGURES: dict[str, Callable[[Results], Figure | None]] = {
    "solution": draw_solution,
    "losses": draw_losses,
    "collocation": draw_collocation,
    "gradient_histograms": draw_gradient_histograms,
    "hessian_spectrum": draw_hessian_spectrum,
    "loss_landscape": draw_loss_landscape,
    "ntk_spectrum": draw_ntk_spectrum,
    "gradient_alignment": draw_gradient_alignment,
}


def write(
    folder: str | Path,
    names: Sequence[str] = tuple(FIGURES),
    kind: str = "png",
    out: str | Path | None = None,
    resolution: int = 200,
) -> list[Path]:
    """Draw figures of the run in `folder` into `out` (its own ``figures/``); the paths of those the file has data for.

    `kind` is png, pdf or svg; `resolution` in dots per inch. Raises UsageError for a file that is no run's or a folder
    that leads elsewhere, and TrainingError where a figure cannot be written.
    """
    if out is None:
        check_own(Path(folder))
    results, target = Results(Path(folder) / RESULTS), Path(out or Path(folder) / "figures")
    written = []
    for name in names:
        image = _image(results, name, kind, resolution)
        if image is not None:
            _make(target)
            atomic.write(target / f"{name}.{kind}", image)
            written.append(target / f"{name}.{kind}")
    return written


def _image(results: Results, name: str, kind: str, resolution: int) -> bytes | None:
    """A figure as a file's content; None where there is nothing to draw. Raises UsageError for what cannot be drawn."""
    image = BytesIO()
    try:
        with style():
            figure = FIGURES[name](results)
            if figure is not None:
                figure.savefig(image, format=kind, dpi=resolution)
    except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError, RuntimeError, MemoryError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise UsageError(f"the figure `{name}` cannot be drawn from {results.path} ({reason})") from error
    return image.getvalue() if figure is not None else None


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(atomic.reason(folder, error)) from error
