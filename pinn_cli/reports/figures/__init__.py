"""Figures of a run, drawn from its results file alone, finished or running.

A figure is a function ``draw_<name>(results)`` in a module of this folder, or of ``./figures`` where the command is
typed. It returns None where the run has nothing to draw. No other wing imports matplotlib, and no figure uses pyplot or
changes a global setting.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from io import BytesIO
from pathlib import Path
from types import ModuleType

from matplotlib.figure import Figure

from pinn_cli.basics import files as atomic
from pinn_cli.basics.errors import TrainingError, UsageError
from pinn_cli.records.folder import RESULTS
from pinn_cli.records.lock import check_own
from pinn_cli.records.results import Results
from pinn_cli.reports.figures.style import style

Draw = Callable[[Results], Figure | None]


def figures() -> dict[str, Draw]:
    """Every figure by name. Raises UsageError for a module of ./figures that fails, or takes the name of a figure."""
    known: dict[str, Draw] = {}
    for file in sorted(Path(__file__).parent.glob("[!_]*.py")):
        known |= _drawn_by(import_module(f"{__name__}.{file.stem}"))
    for file in sorted(Path("figures").glob("[!_]*.py")):
        own = _drawn_by(_own_module(file))
        for name in own.keys() & known.keys():
            raise UsageError(f"{file}: there is a figure `{name}` already; give draw_{name} another name")
        known |= own
    return known


def _drawn_by(module: ModuleType) -> dict[str, Draw]:
    """The figures that a module itself defines."""
    functions = {name: value for name, value in vars(module).items() if name.startswith("draw_")}
    own = {name: value for name, value in functions.items() if getattr(value, "__module__", "") == module.__name__}
    return {name.removeprefix("draw_"): value for name, value in own.items()}


def _own_module(file: Path) -> ModuleType:
    spec = spec_from_file_location(f"figures.{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a module of the user may raise anything
        raise UsageError(f"{file}: {type(error).__name__}: {' '.join(str(error).split())}") from error
    return module


def write(
    folder: str | Path,
    names: Sequence[str] | None = None,
    kind: str = "png",
    out: str | Path | None = None,
    resolution: int = 200,
) -> list[Path]:
    """Draw figures (None: all) of the run in `folder` into `out` (default: its ``figures/``); the paths written.

    A figure without data is left out. `kind` is png, pdf or svg; `resolution` in dots per inch. Raises UsageError for a
    file that is no run's or a folder that leads elsewhere, and TrainingError where a figure cannot be written.
    """
    if out is None:
        check_own(Path(folder))
    results, target = Results(Path(folder) / RESULTS), Path(out or Path(folder) / "figures")
    written, known = [], figures()
    for name in known if names is None else names:
        image = _image(results, name, known[name], kind, resolution)
        if image is not None:
            _make(target)
            atomic.write(target / f"{name}.{kind}", image)
            written.append(target / f"{name}.{kind}")
    return written


def _image(results: Results, name: str, draw: Draw, kind: str, resolution: int) -> bytes | None:
    """A figure as a file's content; None without data. Raises UsageError if it cannot be drawn."""
    image = BytesIO()
    try:
        with style():
            figure = draw(results)
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
