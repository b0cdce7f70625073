"""Figures are drawn from the results file alone, for any dimension, finished or running."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.collections import QuadMesh, TriMesh
from matplotlib.image import imread

from pinn_cli.basics.errors import UsageError
from pinn_cli.records.results import Noted, Results
from pinn_cli.reports import figures
from pinn_cli.reports.figures.error_estimate import draw_error_estimate
from pinn_cli.reports.figures.fields import draw_collocation, draw_solution, limits, planes
from pinn_cli.reports.figures.instances import draw_instances, draw_test_instances
from pinn_cli.reports.figures.losses import draw_losses
from pinn_cli.reports.figures.style import colours, style, symbol
from pinn_cli.reports.figures.unknown_fields import draw_unknown_fields
from pinn_cli.reports.figures.unknowns import draw_unknowns
from tests.run_files import write_run


@pytest.mark.parametrize(
    ("coordinates", "nodes", "names"),
    [
        pytest.param("x", 50, ["solution", "losses"], marks=pytest.mark.slow),
        pytest.param("xy", 20, ["solution", "collocation", "losses"], marks=pytest.mark.slow),
        ("xt", 20, ["solution", "collocation", "losses"]),
        pytest.param("xyz", 8, ["solution", "losses"], marks=pytest.mark.slow),
        pytest.param("xyzt", 5, ["solution", "losses"], marks=pytest.mark.slow),
    ],
)
def test_every_dimension_is_drawn(tmp_path: Path, coordinates: str, nodes: int, names: list[str]) -> None:
    write_run(tmp_path / "run", coordinates, nodes, fields=("u", "v") if len(coordinates) == 2 else ("u",))
    written = figures.write(tmp_path / "run", resolution=60)
    assert [path.stem for path in written] == names
    for path in written:
        assert path.parent == tmp_path / "run" / "figures"
        assert imread(path).std() > 0.01  # something is on it


def test_unknown_coefficients_are_drawn_over_the_steps(tmp_path: Path) -> None:
    """A panel per coefficient; a file without unknowns has no such figure."""
    results = write_run(tmp_path / "run")
    assert draw_unknowns(results) is None
    results.append([{"step": 6000 + k, "unknown/nu": 0.1 + k, "unknown/D": 10.0**-k} for k in range(5)])
    figure = draw_unknowns(results)
    assert figure is not None
    nu, diffusion = figure.axes
    np.testing.assert_array_equal(nu.lines[0].get_xydata(), [[6000 + k, 0.1 + k] for k in range(5)])
    assert nu.texts[0].get_text() == "4.1"  # the last value, beside the panel
    assert (nu.get_ylabel(), nu.get_yscale()) == (r"$\nu$", "linear")
    assert (diffusion.get_ylabel(), diffusion.get_yscale()) == ("$D$", "log")  # over four decades
    assert [path.stem for path in figures.write(tmp_path / "run", ["unknowns"], resolution=40)] == ["unknowns"]
    known = {"nu": Noted(4.1, {"low": 4.09, "high": 4.11, "standard_error": 0.005, "truth": 4.105}), "D": 1e-4}
    results.replace({"unknowns": known})
    _, close, _, empty = draw_unknowns(results).axes
    assert close.get_ylim() == pytest.approx((4.07, 4.13))  # the band of nu is too narrow to be seen beside 0.1 to 4.1
    assert close.texts[0].get_text().startswith("4.1")
    assert not empty.axison


def test_unknown_fields_are_drawn_with_their_band_or_as_maps(tmp_path: Path) -> None:
    """A line with a band for one coordinate, maps for two; the truth and the standard error only where known."""
    results = write_run(tmp_path / "run")
    assert draw_unknown_fields(results) is None
    x = np.linspace(0, 1, 11)
    plane = np.stack([m.ravel() for m in np.meshgrid(x, x, indexing="ij")], 1)
    line = {"points": Noted(x[:, None], {"coordinates": ["x"]}), "value": x, "truth": x + 0.1,
            "standard_error": 0.05 + 0 * x}  # fmt: skip
    flat = {"points": Noted(plane, {"coordinates": ["x", "y"]}), "value": plane[:, 0]}
    results.replace({"unknown_fields": {"k": line, "q": flat}})
    figure = draw_unknown_fields(results)
    assert figure is not None
    k, q = figure.axes[:2]
    (band,) = k.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (pytest.approx(-0.1), pytest.approx(1.1))
    assert [text.get_text() for text in k.get_legend().get_texts()] == ["truth", r"$\pm$ 2 standard errors", "found"]
    assert q.get_title() == "$q$, found"
    assert isinstance(q.collections[0], QuadMesh)


def test_instances_of_a_family_are_drawn_side_by_side(tmp_path: Path) -> None:
    """A row for each, with a coefficient of all coordinates as a map and of one coordinate as a line."""
    results = write_run(tmp_path / "run")
    assert draw_instances(results) is None
    assert draw_test_instances(results) is None
    x, t = np.meshgrid(np.linspace(0, 1, 12), np.linspace(0, 1, 12), indexing="ij")
    truth = np.stack([(k + 1) * np.sin(3 * x + t).ravel() for k in range(3)])
    shown = {
        "seed": [4, 0, 2],
        "points": Noted(np.stack([x.ravel(), t.ravel()], 1), {"coordinates": ["x", "t"]}),
        "prediction": {"u": truth + 0.01},
        "reference": {"u": truth},
        "parameter": {"u0": np.stack([np.sin(3 * x).ravel()] * 3), "beta": np.array([1.0, 2.0, 3.0])},
    }
    results.replace({"instances": {
        "seed": [0, 1, 2, 3, 4], "error": {"u": [0.02, 0.03, 0.04, 0.05, 0.01]}, "shown": shown,
        "seconds": [0.1, 0.2, 0.3, np.nan, np.nan], "steps": [3.0, 5.0, 7.0, np.nan, np.nan],
    }})  # fmt: skip
    figure = draw_instances(results)
    assert figure is not None
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert len(panels) == 12
    assert panels[0].get_title() == r"instance 4, $\beta$ = 1: u0"
    np.testing.assert_allclose(panels[0].lines[0].get_ydata(), np.sin(3 * np.linspace(0, 1, 12)))
    assert panels[3].get_title() == "absolute error (relative $L^2$ 1.0e-02)"
    assert panels[1].collections[0].get_clim() == panels[2].collections[0].get_clim()
    errors, seconds = draw_test_instances(results).axes  # type: ignore[union-attr]
    np.testing.assert_allclose(errors.lines[0].get_ydata(), [0.01, 0.02, 0.03, 0.04, 0.05])
    np.testing.assert_allclose(seconds.lines[0].get_xydata(), [[3, 0.1], [5, 0.2], [7, 0.3]])
    results.replace({"instances": {"seed": [0, 2, 4], "error": {"u": [0.1] * 3},
                                   "shown": shown | {"parameter": {"nu": truth}}}})  # fmt: skip
    written = [path.stem for path in figures.write(tmp_path / "run", ["instances", "test_instances"], resolution=40)]
    assert written == ["instances", "test_instances"]


def test_solution_and_reference_share_one_scale(tmp_path: Path) -> None:
    figure = draw_solution(write_run(tmp_path / "run"))
    assert figure is not None
    solution, reference, error = (axes.collections[0] for axes in figure.axes[:3])
    assert isinstance(solution, QuadMesh)
    assert solution.get_clim() == reference.get_clim()
    low, high = solution.get_clim()
    assert low == -high  # a field of both signs: zero is the middle of the colours
    assert error.get_clim() == pytest.approx((0.0, 1e-4), rel=0.01)


def test_the_map_is_the_field_and_not_its_mirror(tmp_path: Path) -> None:
    """u = x t drawn with time to the right: rows of the picture are x, columns t."""
    results = write_run(tmp_path / "run", "xt", reference=False)
    x, t = np.meshgrid(np.linspace(0, 1, 7), np.linspace(0, 2, 5), indexing="ij")
    points = np.stack([x.ravel(), t.ravel()], 1)[np.random.default_rng(0).permutation(35)]  # in any order
    u = points[:, 0] + 10 * points[:, 1]
    results.replace({"fields/points": Noted(points, {"coordinates": ["x", "t"]}), "fields/prediction/u": u})
    figure = draw_solution(results)
    assert figure is not None
    values = figure.axes[0].collections[0].get_array()
    np.testing.assert_allclose(values, x + 10 * t)
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("$t$", "$x$")


def test_scattered_points_are_drawn_over_triangles(tmp_path: Path) -> None:
    results = write_run(tmp_path / "run", reference=False)
    points = np.random.default_rng(0).uniform(size=(40, 2))
    results.replace(
        {
            "fields/points": Noted(points, {"coordinates": ["x", "y"]}),
            "fields/prediction/u": points[:, 0],
        }
    )
    figure = draw_solution(results)
    assert figure is not None
    assert isinstance(figure.axes[0].collections[0], TriMesh)


def test_slices_lie_in_the_middle() -> None:
    axes = np.meshgrid(*[np.linspace(0, 1, 5)] * 3, indexing="ij")
    found = planes(np.stack([axis.ravel() for axis in axes], 1), ["x", "y", "t"])
    assert [plane.labels for plane in found] == [("x", "y"), ("t", "x"), ("t", "y")]
    assert all("0.5" in plane.where and len(plane.rows) == 25 for plane in found)


def test_a_singular_point_does_not_take_the_colours_of_the_others() -> None:
    smooth = np.linspace(-1, 1, 1001)
    assert limits([smooth], "solution")[:2] == (-1.0, 1.0)
    low, high, _ = limits([np.append(smooth, 40.0)], "solution")
    assert 0.99 < high == -low < 1.0


def test_losses_and_weights_have_one_colour_per_constraint(tmp_path: Path) -> None:
    figure = draw_losses(write_run(tmp_path / "run"))
    assert figure is not None
    losses, weights, error = figure.axes
    look = [{line.get_label(): line.get_color() for line in axes.lines} for axes in (losses, weights)]
    assert {name: look[0][name] for name in ("pde", "wall")} == {name: look[1][name] for name in ("pde", "wall")}
    assert all(axes.get_yscale() == "log" for axes in figure.axes)
    assert len(error.lines[0].get_xdata()) == 12  # measured every fifth row, joined across the gaps
    assert [text.get_text() for text in losses.texts] == ["adam", "levenberg marquardt"]


@pytest.mark.parametrize("reference", [True, False])
def test_estimated_errors_are_circles_that_are_full_where_they_may_be_trusted(tmp_path: Path, reference: bool) -> None:
    results = write_run(tmp_path / "run", reference=reference)
    last = int(results.read_history()["step"][-1])
    estimates = [(1e-2, 0.0), (1e-3, 1.0)]
    rows = [{"step": last + k, "estimated_error/u": e, "estimate/trusted": t} for k, (e, t) in enumerate(estimates, 1)]
    results.append(rows)
    figure = draw_losses(results)
    assert figure is not None
    circles = figure.axes[2].collections[0]
    np.testing.assert_array_equal(circles.get_offsets(), [(last + 1, 1e-2), (last + 2, 1e-3)])
    assert [len(face) and face[3] for face in circles.get_facecolors()] == [0, 1]


def test_a_run_without_a_reference_shows_the_solution_alone(tmp_path: Path) -> None:
    results = write_run(tmp_path / "run", reference=False)
    figure = draw_solution(results)
    assert figure is not None
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == ["$u$"]
    losses = draw_losses(results)
    assert losses is not None
    assert len(losses.axes) == 2
    assert draw_collocation(results) is not None


def test_a_run_that_has_just_begun_shows_what_there_is(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.h5")
    results.create({"problem": "p", "status": "running"}, "", {})
    assert figures.write(tmp_path) == []
    results.append([{"step": k, "loss/total": float("nan"), "loss/pde": 0.0, "weight/pde": 1.0} for k in range(2)])
    assert [path.name for path in figures.write(tmp_path, resolution=50)] == ["losses.png"]


def test_constant_and_broken_values_are_drawn(tmp_path: Path) -> None:
    results = write_run(tmp_path / "run")
    points = results.read("fields/points")[""]
    zero, broken = np.zeros(len(points)), np.full(len(points), np.nan)
    for values in (zero, broken):
        results.replace(
            {
                "fields/points": Noted(points, {"coordinates": ["x", "y"]}),
                "fields/prediction/u": values,
                "fields/reference/u": zero,
            }
        )
        assert len(figures.write(tmp_path / "run", ["solution"], resolution=50)) == 1


def test_kinds_of_files_and_another_folder(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    for kind in ("pdf", "svg"):
        (path,) = figures.write(tmp_path / "run", ["losses"], kind=kind, out=tmp_path / "paper")
        assert path == tmp_path / "paper" / f"losses.{kind}"
        assert path.stat().st_size > 1000


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results.h5").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="damaged"):
        figures.write(tmp_path)


def test_the_style_stays_inside() -> None:
    before = dict(rcParams)
    with style():
        assert rcParams["font.family"] == ["STIXGeneral"]
    assert dict(rcParams) == before


def test_colours_are_distinct() -> None:
    assert len(set(colours("abcdefgh").values())) == 8


@pytest.mark.parametrize(("coordinates", "reference"), [
    ("x", True), ("xt", False),
    *(pytest.param(*pair, marks=pytest.mark.slow)
      for pair in (("x", False), ("xt", True), ("xyt", True), ("xyt", False))),
])  # fmt: skip
def test_the_estimated_error_is_drawn_beside_the_true_one(tmp_path: Path, coordinates: str, reference: bool) -> None:
    results = write_run(tmp_path / "run", coordinates, 8, reference=reference)
    assert draw_error_estimate(results) is None
    correction = -1e-4 * np.cos(5 * results.read("fields")["points"][:, 0])  # what `write_run` has added to the truth
    results.replace({"error_estimate": {"correction": {"u": correction}, "trust": "62 % of the residual explained"}})
    figure = draw_error_estimate(results)
    assert figure is not None
    assert figure.get_suptitle() == "62 % of the residual explained"
    if coordinates == "x":
        shown = [line.get_ydata() for line in figure.axes[0].lines]
    else:
        shown = [np.asarray(panel.collections[0].get_array()) for panel in figure.axes[: 1 + reference]]
    assert len(shown) == 1 + reference
    assert all(np.allclose(values, shown[0]) for values in shown)
    (drawn,) = figures.write(tmp_path / "run", ["error_estimate"], resolution=40)
    assert drawn.stem == "error_estimate"


@pytest.mark.parametrize(
    ("name", "label"), [("u", "$u$"), ("psi", r"$\psi$"), ("nu", r"$\nu$"), ("flux_x", "flux x"), ("speed", "speed")]
)
def test_a_letter_is_a_formula_and_a_word_is_not(name, label):
    assert symbol(name) == label
