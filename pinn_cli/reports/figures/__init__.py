"""Figures of a run, drawn from its results file alone, finished or running.

A figure is a function ``draw_<name>(results)`` in a module of this folder, or of ``./figures`` where the command is
typed. It returns None where the run has nothing to draw. An animation is a function ``animate_<name>(results)``, which
yields a figure for each of its frames, all of one size; none without data. No other wing imports matplotlib, and no
figure uses pyplot or changes a global setting.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from pinn_cli.basics import files as atomic
from pinn_cli.basics.errors import TrainingError, UsageError
from pinn_cli.records.folder import RESULTS
from pinn_cli.records.lock import check_own
from pinn_cli.records.results import Results
from pinn_cli.reports.figures.style import style

Draw = Callable[[Results], Figure | None]
Animate = Callable[[Results], Iterator[Figure]]
GIF = "gif"  # the kind of file of an animation
FRAME, END = 250, 2000  # milliseconds that a frame is shown, and the last one


def figures() -> dict[str, Draw]:
    """Every figure by name. Raises UsageError for a module of ./figures that fails, or takes the name of a figure."""
    return _known("draw_")


def animations() -> dict[str, Animate]:
    """Every animation by name; raises UsageError as `figures` does."""
    return _known("animate_")


def _known(prefix: str) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for file in sorted(Path(__file__).parent.glob("[!_]*.py")):
        known |= _defined_by(import_module(f"{__name__}.{file.stem}"), prefix)
    for file in sorted(Path("figures").glob("[!_]*.py")):
        own = _defined_by(_own_module(file), prefix)
        for name in own.keys() & known.keys():
            raise UsageError(f"{file}: there is a figure `{name}` already; give {prefix}{name} another name")
        known |= own
    return known


def _defined_by(module: ModuleType, prefix: str) -> dict[str, Any]:
    """The functions ``<prefix><name>`` that a module itself defines, by name."""
    functions = {name: value for name, value in vars(module).items() if name.startswith(prefix)}
    own = {name: value for name, value in functions.items() if getattr(value, "__module__", "") == module.__name__}
    return {name.removeprefix(prefix): value for name, value in own.items()}


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
    resolution: int | None = None,
) -> list[Path]:
    """Draw figures (None: all) of the run in `folder` into `out` (default: its ``figures/``); the paths written.

    A figure without data is left out. `kind` is png, pdf or svg, or gif for the animations; `resolution` in dots per
    inch (None: 200, for animations 100). Raises UsageError for a file that is no run's or a folder that leads
    elsewhere, and TrainingError where a figure cannot be written.
    """
    if out is None:
        check_own(Path(folder))
    results, target = Results(Path(folder) / RESULTS), Path(out or Path(folder) / "figures")
    written, known = [], known_of(kind)
    resolution = resolution or (100 if kind == GIF else 200)
    for name in known if names is None else names:
        image = _image(results, name, partial(_drawn, known[name], results, kind, resolution))
        if image is not None:
            _make(target)
            atomic.write(target / f"{name}.{kind}", image)
            written.append(target / f"{name}.{kind}")
    return written


def known_of(kind: str) -> dict[str, Any]:
    """What can be drawn as a file of this kind: figures, or animations."""
    return animations() if kind == GIF else figures()


def _drawn(draw: Draw | Animate, results: Results, kind: str, resolution: int) -> bytes | None:
    drawn = draw(results)
    if isinstance(drawn, Iterator):
        return _film(drawn, resolution)
    return None if drawn is None else _saved(drawn, kind, resolution)


def _saved(figure: Figure, kind: str, resolution: int) -> bytes:
    image = BytesIO()
    figure.savefig(image, format=kind, dpi=resolution)
    return image.getvalue()


def _film(figures: Iterator[Figure], resolution: int) -> bytes | None:
    """The frames as a GIF that is repeated for ever; None without a frame."""
    frames = [Image.open(BytesIO(_saved(figure, "png", resolution))).convert("RGB") for figure in figures]
    if not frames:
        return None
    first, *others = [frame.quantize(dither=Image.Dither.NONE) for frame in frames]
    film = BytesIO()
    times = [FRAME] * len(others) + [END]
    first.save(film, format=GIF, save_all=True, append_images=others, duration=times, loop=0)
    return film.getvalue()


def _image(results: Results, name: str, draw: Callable[[], bytes | None]) -> bytes | None:
    """A figure as a file's content; None without data. Raises UsageError if it cannot be drawn."""
    try:
        with style():
            return draw()
    except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError, RuntimeError, MemoryError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise UsageError(f"the figure `{name}` cannot be drawn from {results.path} ({reason})") from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(atomic.reason(folder, error)) from error
