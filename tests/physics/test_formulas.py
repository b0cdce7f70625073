"""Formulas of the user: what they may contain, and that nothing else of Python gets in."""

import pytest
import torch

from pinn_cli.physics.formulas import Formula
from tests.conftest import refused

X = torch.tensor([[0.5, 2.0], [1.0, -1.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("text", "value"),
    [("x + 2 * t", [4.5, -1.0]), ("exp(-x**2)", [0.7788007830714049, 0.36787944117144233]), ("3", [3.0, 3.0]),
     ("maximum(t, 0) / 2 - -1", [2.0, 1.0]), ("exp(0)", [1.0, 1.0]), ("maximum(2, 3) * x", [1.5, 3.0]),
     ("sin(pi * x)", [1.0, 1.2246467991473532e-16])],
)  # fmt: skip
def test_a_formula_is_a_function_of_the_coordinates(text, value):
    torch.testing.assert_close(Formula(text, ("x", "t"))(X), torch.tensor(value, dtype=torch.float64))


@pytest.mark.parametrize(
    ("text", "says"),
    [("x +", "formula `x \\+`"), ("y", "unknown name `y`"), ("foo(x)", "unknown function `foo`"),
     ("__import__('os')", "unknown function"), ("x.T", "found `x.T`"), ("'a'", "found `'a'`"),
     ("x if t else 1", "found"), ("exp(x, out=t)", "unknown function"),
     ("exp()", "found 0 values in `exp\\(\\)`; expected 1"), ("maximum(x)", "found 1 values"),
     ("True", "found `True`"), ("[x]", "found"), (" ", "found nothing; expected one in x, t")],
)  # fmt: skip
def test_anything_else_is_refused(text, says):
    with refused(says):
        Formula(text, ("x", "t"))


@pytest.mark.parametrize("text", ["1 / 0", "10**400", "(-1)**0.5", "log(-1)", "x / 0"])
def test_numbers_alone_may_be_infinite_or_undefined_as_coordinates_may(text):
    assert not Formula(text, ("x", "t"))(X).isfinite().any()


def test_a_formula_of_numbers_keeps_the_precision_of_the_points():
    for text in ("2 * pi", "x * pi", "maximum(x, 2)"):
        assert Formula(text, ("x", "t"))(X.float()).dtype == torch.float32
