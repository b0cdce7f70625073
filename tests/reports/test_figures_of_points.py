"""Figures and animations of points that move: what they show, for one and for many records, and for two coordinates."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import LogNorm
from PIL import Image

from pinn_cli import cli
from pinn_cli.records.results import Results
from pinn_cli.reports import figures
from pinn_cli.reports.figures.loss_landscape import draw_loss_landscape_pair
from pinn_cli.reports.figures.points import animate_points, draw_points
from tests.run_files import write_run


def recorded(
    folder: Path, steps: tuple[int, ...] = (1, 101, 201, 300), axes: str = "xy", error: bool = True,
    constraints: tuple[str, ...] = ("pde",),
) -> Results:  # fmt: skip
    """A run with records of `points`: |r| = 10^-k (1 + first coordinate) at record k."""
    results = write_run(folder)
    rng = np.random.default_rng(0)
    count, nodes = len(steps), np.linspace(0, 1, 9)
    lattice = np.stack([axis.ravel() for axis in np.meshgrid(*[nodes] * len(axes), indexing="ij")])
    r = 10.0 ** -np.arange(count)[:, None] * (1 + lattice[0])
    maps = {f"{kind}/{name}": r for kind in ("residual", "slope") for name in constraints}
    results.replace({"diagnostics": {"points": {
        "step": np.array(steps),
        "lattice": {c: np.tile(column, (count, 1)) for c, column in zip(axes, lattice, strict=True)},
        "points": {name: {c: rng.uniform(size=(count, 50)) for c in axes} for name in constraints},
        **maps,
        **({"error/u": r / 100} if error else {}),
    }}})  # fmt: skip
    return results


def test_three_snapshots_lie_over_the_residual_in_the_same_colours(tmp_path: Path) -> None:
    results = recorded(tmp_path / "run")
    figure = draw_points(results)
    assert figure is not None
    panels = figure.axes[:3]
    assert [axes.get_title() for axes in panels] == ["step 1", "step 101", "step 300"]
    stored = results.read("diagnostics/points")
    for k, axes in zip((0, 1, 3), panels, strict=True):
        picture, dots = axes.collections
        assert isinstance(picture.norm, LogNorm)
        assert picture.get_clim() == panels[0].collections[0].get_clim()
        np.testing.assert_allclose(np.asarray(picture.get_array()), stored["residual/pde"][k].reshape(9, 9).T)
        points = [stored[f"points/pde/{c}"][k] for c in "xy"]
        np.testing.assert_array_equal(dots.get_offsets(), np.stack(points, 1))


def test_time_is_the_horizontal_axis(tmp_path: Path) -> None:
    results = recorded(tmp_path / "run", axes="xt")
    figure = draw_points(results)
    assert figure is not None
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$t$", "$x$")
    stored = results.read("diagnostics/points")
    np.testing.assert_array_equal(axes.collections[1].get_offsets()[:, 0], stored["points/pde/t"][0])
    values = np.asarray(axes.collections[0].get_array())
    np.testing.assert_allclose(values[:, 0], 1 + np.linspace(0, 1, 9))  # |r| grows with x, which points up


@pytest.mark.parametrize(("steps", "shown"), [((1,), [1]), ((1, 9), [1, 9])])
def test_few_records_are_drawn(tmp_path: Path, steps: tuple[int, ...], shown: list[int]) -> None:
    figure = draw_points(recorded(tmp_path / "run", steps))
    assert figure is not None
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == [f"step {step}" for step in shown]


def test_each_set_of_points_has_a_row(tmp_path: Path) -> None:
    figure = draw_points(recorded(tmp_path / "run", constraints=("momentum", "mass")))
    assert figure is not None
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["$|r|$ of momentum", "$|r|$ of mass"]


@pytest.mark.parametrize("axes", ["x", "xyt"])
def test_other_than_two_coordinates_are_not_drawn(tmp_path: Path, axes: str) -> None:
    results = recorded(tmp_path / "run", axes=axes)
    assert draw_points(results) is None
    assert list(animate_points(results)) == []


def test_a_residual_of_zero_and_nodes_outside_are_drawn(tmp_path: Path) -> None:
    results = recorded(tmp_path / "run")
    stored = results.read("diagnostics/points")
    for values in (np.zeros_like(stored["residual/pde"]), np.full_like(stored["residual/pde"], np.nan)):
        results.replace({"diagnostics": {"points": {**stored, "residual/pde": values}}})
        assert len(figures.write(tmp_path / "run", ["points"], resolution=40)) == 1


@pytest.mark.parametrize("error", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_an_animation_has_a_frame_for_each_record(
    tmp_path: Path, error: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    results = recorded(tmp_path / "run", error=error)
    frames = list(animate_points(results))
    assert [figure.get_suptitle() for figure in frames] == ["step 1", "step 101", "step 201", "step 300"]
    titles = [axes.get_title() for axes in frames[0].axes if axes.get_title()]
    assert titles == (["$|r|$", "absolute error of $u$"] if error else ["$|r|$"])
    assert cli.main(["plot", str(tmp_path / "run"), "--format", "gif", "--resolution", "40"]) == 0
    path = tmp_path / "run" / "figures" / "points.gif"
    assert capsys.readouterr().out.split() == [str(path)]
    with Image.open(path) as film:
        assert film.n_frames == 4
        assert film.info["loop"] == 0  # for ever
        shown = []
        for k in range(4):
            film.seek(k)
            shown.append(film.convert("RGB").tobytes())
    assert len(set(shown)) == 4


def test_an_animation_that_there_is_not_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run")
    assert cli.main(["plot", str(tmp_path / "run"), "--format", "gif"]) == 0
    assert "has nothing to draw yet" in capsys.readouterr().out
    assert cli.main(["plot", str(tmp_path / "run"), "--format", "gif", "--only", "losses"]) == cli.USAGE
    error = capsys.readouterr().err
    assert error.startswith("pinn: there is no animation `losses`; ")
    assert "points" in error
    assert error.count("\n") == 1


def test_the_loss_before_and_after_a_draw_is_drawn_side_by_side(tmp_path: Path) -> None:
    results = write_run(tmp_path / "run")
    e = np.linspace(-1, 1, 5)
    bowl = 1 + e[:, None] ** 2 + 4 * e**2
    records = {"e1": np.tile(e, (4, 1)), "e2": np.tile(e, (4, 1)), "curvature": np.ones((4, 2)),
               "values/total": np.stack([k * bowl for k in (1, 2, 30, 4)])}  # fmt: skip
    for steps, titles in (
        ((1, 3, 4, 9), ["loss, step 3", "loss, step 4"]),
        ((1, 2, 7, 8), ["loss, step 7", "loss, step 8"]),
        ((1, 3, 4, 5), ["loss, step 3", "loss, step 4"]),  # the run ended a step after that
        ((1, 3, 5, 9), None),
    ):
        results.replace({"diagnostics": {"loss_landscape": {"step": np.array(steps), **records}}})
        figure = draw_loss_landscape_pair(results)
        if titles is None:
            assert figure is None
            continue
        assert figure is not None
        assert [axes.get_title() for axes in figure.axes if axes.get_title()] == titles
        left, right = (axes for axes in figure.axes if axes.get_title())
        assert left.collections[0].get_clim() == right.collections[0].get_clim()
