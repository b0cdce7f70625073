"""`from pinn_cli import train, load` in a script or a notebook."""

import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from pinn_cli import load, train
from pinn_cli.basics.errors import TrainingError, UsageError
from pinn_cli.runs.load import Prediction
from pinn_cli.training.console import Console

SMALL = ["points.interior=32", "points.face=8", "architecture.width=6", "figures=off", "stop.steps=2"]


@pytest.fixture(scope="module")
def solution(tmp_path_factory: pytest.TempPathFactory) -> Prediction:
    """A run trained from Python: wave has the coordinates x, t."""
    return train("problem=wave", *SMALL, f"folder={tmp_path_factory.mktemp('notebook') / 'run'}")


def test_train_returns_the_solution_of_its_run(solution: Prediction) -> None:
    again = load(solution.folder)
    assert solution(x=0.3, t=0.5) == again(x=0.3, t=0.5)
    assert list(solution.history["step"]) == [1, 2]


def test_train_raises_and_makes_nothing(here: Path) -> None:
    for words, message in ((["problem=wavy"], "did you mean `wave`"), (["problem=wave", "seed=0,1"], "several values"),
                           (["problem=wave", "stop.steps=x"], "stop.steps=x: expected")):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            train(*words)
    assert list(here.iterdir()) == []
    with pytest.raises(TrainingError, match="the loss is nan at step 2"):
        train("problem=wave", "recipe=adam", *SMALL, "optimizer.adam.lr=1e30", "stop.steps=20", "compile=off")


def test_an_array_of_points_is_a_row_for_each(solution: Prediction) -> None:
    X = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    np.testing.assert_array_equal(solution(X), solution(x=X[:, 0], t=X[:, 1]))
    np.testing.assert_array_equal(solution(X, derivatives="u_x"), solution(x=X[:, 0], t=X[:, 1], derivatives="u_x"))
    assert solution(X.reshape(3, 1, 2)).shape == (3, 1)
    assert solution([0.1, 0.2]) == solution(x=0.1, t=0.2)


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [(([[0.1, 0.2, 0.3]],), {}), ((0.1,), {}), (([[0.1, 0.2]],), {"x": 0.1})],
)
def test_an_array_of_another_shape_is_refused(solution: Prediction, arguments: tuple, keywords: dict) -> None:
    with pytest.raises(UsageError, match=r"expected an array \(N, 2\) of x, t, or x=\.\.\., t=\.\.\."):
        solution(*arguments, **keywords)


def test_print_is_one_paragraph(solution: Prediction) -> None:
    text = str(solution)
    assert text.startswith("u of wave on x in [0, 1], t in [0, 1]; relative L2 error of u ")
    assert text.endswith(f"; run {solution.folder}, finished")
    assert "\n" not in text


def test_points_outside_the_domain_warn_once(solution: Prediction) -> None:
    u = load(solution.folder)
    message = r"1 of 2 points lie outside the domain \(x in \[0, 1\], t in \[0, 1\]\)"
    with pytest.warns(UserWarning, match=message) as seen:
        assert np.isfinite(u(x=[0.5, 1.5], t=0.5)).all()
    assert seen[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        u(x=2.0, t=0.5)
        load(solution.folder)(x=1 + 1e-15, t=0.5)  # rounding


def test_a_notebook_shows_a_live_picture_where_ipywidgets_are(monkeypatch) -> None:
    """With stand-ins for IPython and ipywidgets."""
    shown: list[Any] = []

    class Output:
        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...
        def clear_output(self, wait: bool) -> None: ...

    stand_ins = {"IPython": {}, "IPython.display": {"display": shown.append}, "ipywidgets": {"Output": Output}}
    for name, values in stand_ins.items():
        module = ModuleType(name)
        module.__dict__.update(values, __spec__=object())
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    with Console() as console:
        console.row(1, 2, {"loss/total": 0.125})
    text = "".join(str(getattr(one, "data", one)) for one in shown) + repr(shown)
    assert any(isinstance(one, Output) for one in shown)
    assert "1.25e-01" in text or any("1.25e-01" in getattr(one, "text", "") for one in shown)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    shown.clear()
    with Console() as console:
        console.row(1, 2, {"loss/total": 0.125})
    assert not shown
