"""Libraries of candidate terms, and what is no library."""

import pytest
import torch

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.data_set import data_set
from pinn_cli.physics.problem import given
from pinn_cli.physics.term_library import Candidates, Library, Term
from pinn_cli.problems.burgers import Burgers
from pinn_cli.problems.helmholtz import Helmholtz


def values(**numbers: float) -> dict[str, torch.Tensor]:
    return {name: torch.full((3,), number, dtype=torch.float64) for name, number in numbers.items()}


@pytest.mark.parametrize(
    ("text", "value"),
    [("u*u_x", 6.0), ("u^2", 4.0), ("u**2*u_xx", 20.0), ("sin(x)*u", 0.958851077208406), ("1", 1.0), ("nu*u_xx", 0.5)],
)
def test_a_term_is_a_formula_in_the_symbols(text, value):
    term = Term(text, Burgers(nu=0.1).grammar)
    assert term(values(u=2, u_x=3, u_xx=5, x=0.5, nu=0.1)).tolist() == pytest.approx([value] * 3)


@pytest.mark.parametrize(
    ("left", "terms", "message"),
    [
        ("u_t", ["u*v_x"], "term `u*v_x`: `v_x` is no symbol"),
        ("u_t", ["u*"], "term `u*`"),
        ("u_t", ["u.real"], "term `u.real`"),
        ("u_t", ["frob(u)"], "frob"),
        ("u_t", ["u*u", "u_x", "u^2"], "terms `u*u` and `u^2` are the same up to a factor"),
        ("u_t", ["u_x", "3*u_x"], "terms `u_x` and `3*u_x` are the same up to a factor"),
        ("u_t", ["u", "u_x", "u+u_x"], "term `u+u_x` is a combination of the terms before it"),
        ("u_xx", ["u"], "left: u_xx is no derivative in time; expected e.g. u_t"),
        ("u", ["u_x"], "left: u is no derivative in time"),
        ("w_t", ["u"], "left: `w_t` is no symbol"),
        ("u_t", ["u", "u*u_t"], "contains the left-hand side u_t"),
        ("u_t", [], "the library is empty"),
    ],
)
def test_what_is_no_library_is_refused_in_one_line(left, terms, message):
    with pytest.raises(UsageError) as refused:
        Library(left, terms, Burgers())
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_problem_without_time_is_refused():
    with pytest.raises(UsageError, match="the problem has no time"):
        Library("u_t", ["u"], Helmholtz())


def test_without_measurements_there_is_nothing_to_discover():
    with pytest.raises(UsageError, match="discovery needs measurements"):
        Candidates(Burgers(), Library("u_t", ["u"], Burgers()))


def test_the_equation_is_that_of_all_terms_and_conditions_are_left_out():
    problem = Burgers()
    problem = given(problem, data_set=data_set({"points": 5}, problem))
    units = torch.tensor([2.0, 10.0], dtype=torch.float64)
    candidates = Candidates(problem, Library("u_t", ["u*u_x", "u_xx"], problem), units)
    equation, *measured = candidates.constraints()
    assert [c.name for c in measured] == ["measured_u"]
    r = equation.residual(**values(u_t=1, u=2, u_x=3, u_xx=5, c1=-0.5, c2=0.01))
    assert r.tolist() == pytest.approx([1 - (-0.5 * 2 * 6 + 0.01 * 10 * 5)] * 3)
    assert candidates.unknowns == {"c1": 0.0, "c2": 0.0}
