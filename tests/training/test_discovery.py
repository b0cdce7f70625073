"""Discovery on small data sets: the elimination of the network, the rules of the verdict, and whole runs."""

from types import SimpleNamespace

import pytest
import torch

from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration.compose import compose
from pinn_cli.physics.problem import Problem
from pinn_cli.runs.discover import as_table, discover, library_of, page, verdict, write_problem, written
from pinn_cli.runs.problem_files import ProblemFiles
from pinn_cli.training.discovery import Discovered, Discovery, Equation, eliminate, rivals
from pinn_cli.training.sparse_regression import Choice

SMALL = ["recipe=discovery", "architecture.width=8", "architecture.depth=2", "points.interior=100", "threads=1"]


def found(**changes) -> Discovered:
    given = {"left": "u_t", "equation": Equation({"u*u_x": -1.0, "u_xx": 0.1}, {"u*u_x": 0.01, "u_xx": 0.02}),
             "others": [], "noise": 0.01, "free": 0.01, "unexplained": 0.001, "rounds": 2, "reasons": (),
             "settled": True}  # fmt: skip
    return Discovered(**given | changes)


def test_eliminating_the_network_leaves_the_estimate_of_all_parameters_together():
    generator = torch.Generator().manual_seed(0)
    J = torch.randn(40, 9, generator=generator, dtype=torch.float64)
    F = torch.randn(40, generator=generator, dtype=torch.float64)
    columns, units = [2, 5], torch.tensor([3.0, 0.1], dtype=torch.float64)
    c = torch.tensor([0.7, -0.2], dtype=torch.float64)
    step = torch.linalg.lstsq(J, -F[:, None]).solution[:, 0]
    covariance = torch.linalg.inv(J.T @ J)[columns][:, columns]
    estimate, told = eliminate(J, F, columns, c, units, 40).solve((0, 1))
    assert torch.allclose(estimate, units * (c + step[columns]), rtol=1e-5)
    assert torch.allclose(told, covariance * units[:, None] * units, rtol=1e-5)


def test_the_noise_is_that_of_the_measurements_with_the_degrees_of_freedom_that_are_left():
    """The largest likelihood of 60 measurements and 400 rows of an equation: s^2 is unbiased over 300 draws."""
    generator = torch.Generator().manual_seed(0)
    J = torch.randn(460, 9, generator=generator, dtype=torch.float64)
    units, c = torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    J[60:] *= 0.1  # the equation says less than the measurements

    def variance() -> float:
        F = torch.cat([torch.randn(60, generator=generator, dtype=torch.float64), torch.zeros(400, dtype=J.dtype)])
        return eliminate(J, F, [2, 5], c, units, 60).variance()

    assert torch.tensor([variance() for _ in range(300)]).mean() == pytest.approx(1.0, abs=0.05)


def test_rivals_explain_as_well_and_do_not_contain_the_best():
    best = Choice((0, 1), 100.0, 116.0)
    same, other = Choice((2,), 103.0, 111.0), Choice((0, 3), 108.0, 124.0)
    more = Choice((0, 1, 2), 99.0, 123.0)
    one_more = Choice((1, 3, 4), 104.0, 128.0)
    bad = Choice((1, 4), 200.0, 216.0)
    assert rivals(best, [best, same, other, more, one_more, bad]) == [same, one_more]
    assert rivals(best, [best, same, Choice((2, 3), 100.0, 116.0)]) == [same]  # it contains a smaller rival


def test_the_page_has_error_bars_and_names_what_explains_the_data_as_well():
    text = page(found())
    assert "equation   u_t = -1 u*u_x + 0.1 u_xx" in text
    assert "0.0608 to 0.1392" in text
    assert text.endswith("verdict    these terms, and no others of the library")
    two = found(others=[Equation({"u_x": -4.0}, {"u_x": 0.1})])
    assert "also       u_t = -4 u_x" in page(two)
    assert verdict(two) == "not decided: 2 equations explain the data equally well"
    assert not two.decided
    many = found(others=[Equation({"u_xx": 1.0, f"u^{k}": 1.0}, {}) for k in range(9)])
    assert verdict(many) == "the noise is too large to decide between 10 equations; u_xx in all of them"
    assert verdict(found(reasons=("no term of the library is significant",))).startswith("no equation is claimed")
    assert "a coefficient still changes" in verdict(found(settled=False))
    assert as_table(two)["decided"] is False


def test_an_equation_is_written_with_its_signs():
    assert written("u_t", Equation({"u": -2.0, "u_x": 0.5}, {})) == "u_t = -2 u + 0.5 u_x"
    assert written("u_t", Equation({}, {})) == "u_t = 0"


@pytest.mark.parametrize(
    ("text", "message"),
    [("terms: u", "expected a table"), ("left: u_t\nterm: [u]\nterms: [u]", "unknown name `term`"), ("[", "no YAML")],
)
def test_a_file_that_is_no_library_is_refused(tmp_path, text, message):
    file = tmp_path / "terms.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        library_of(str(file))


def test_a_library_is_read_from_a_file_or_as_typed(tmp_path):
    file = tmp_path / "terms.yaml"
    file.write_text("left: u_tt\nterms: [1, u^2]")
    assert library_of(str(file)) == {"left": "u_tt", "terms": ["1", "u^2"]}
    assert library_of("u*u_x, u_xx") == {"left": "u_t", "terms": ["u*u_x", "u_xx"]}
    assert len(library_of(None)["terms"]) == 10


@pytest.mark.parametrize(
    ("words", "terms", "message"),
    [
        (["problem.data={points: 15, noise: 0.01}"], "u_xx,u", "15 measurements for 2 terms; expected at least 10"),
        ([], "u_xx", "discovery needs measurements"),
        (["problem.data={points: 50}", "optimizer=newton"], "u_xx", "type optimizer=levenberg_marquardt"),
    ],
)
def test_what_cannot_be_discovered_is_refused(words, terms, message):
    with pytest.raises(UsageError, match=message):
        discover(["problem=diffusion", *SMALL, *words], terms)


def test_fields_that_were_measured_at_different_points_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("x,t,u,v\n0,0.1,1,\n0,0.2,,1\n")
    with pytest.raises(UsageError, match="measured at different points; expected all of them at every point"):
        discover(["problem=nls", *SMALL, f"problem.data={tmp_path / 'a.csv'}"], "v_xx")


TWO_PI = 2 * torch.pi


def file_of(tmp_path, u, count=300, noise=0.01) -> str:
    """A file with u(x, t) at random points of [0, 2 pi] x [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    x, t = torch.rand(2, count, generator=generator, dtype=torch.float64)
    x = TWO_PI * x
    values = u(x, t)
    values = values + noise * values.std() * torch.randn(count, generator=generator, dtype=torch.float64)
    rows = [f"{a!r},{b!r},{c!r}" for a, b, c in zip(x.tolist(), t.tolist(), values.tolist(), strict=True)]
    file = tmp_path / "probe.csv"
    file.write_text("\n".join(["x,t,u", *rows]))
    return str(file)


def heat(x, t):
    """u_t = u_xx."""
    return torch.exp(-t) * torch.sin(x) + 0.7 * torch.exp(-4 * t) * torch.cos(2 * x + 1)


@pytest.fixture
def discoveries(monkeypatch) -> list[Discovery]:
    """The discoveries that a test runs."""
    started: list[Discovery] = []

    class Kept(Discovery):
        def run(self):
            started.append(self)
            return super().run()

    monkeypatch.setattr("pinn_cli.runs.discover.Discovery", Kept)
    return started


def found_in(tmp_path, u, terms, **more):
    words = ["problem=diffusion", *SMALL, f"problem.data={file_of(tmp_path, u, **more)}"]
    return discover(words, terms, say=lambda line: None)


def test_the_heat_equation_is_found_and_written_as_a_problem(tmp_path, monkeypatch, discoveries):
    monkeypatch.chdir(tmp_path)
    problem, library, result = found_in(tmp_path, heat, "u,u_x,u_xx,u*u_x")
    assert len(discoveries[0].batch["equation"]) == 2 * 100
    trained = float(discoveries[0].model.unknowns["c3"] * discoveries[0].candidates.units[2])
    assert result.settled
    assert abs(result.equation.coefficients["u_xx"] - trained) < 0.5 * result.equation.errors["u_xx"]
    assert float(discoveries[0].model.unknowns["c1"]) == 0
    assert set(result.equation.coefficients) == {"u_xx"}
    assert result.decided, page(result)
    value, error = result.equation.coefficients["u_xx"], result.equation.errors["u_xx"]
    assert value == pytest.approx(1, rel=0.02)
    assert abs(value - 1) < 4 * error < 0.1
    assert 0.5 < result.noise / result.free < 1.3
    paths = write_problem(ProblemFiles("found"), problem, library, result)
    assert [str(path) for path in paths] == ["problems/found.py", "conf/problem/found.yaml"]
    assert compose(["problem=found"]).problem.data == str(tmp_path / "probe.csv")
    text = (tmp_path / "problems" / "found.py").read_text()
    assert "return u_t - (c1 * (u_xx))" in text
    space: dict = {}
    exec(text, space)
    again = space["Found"]()
    assert again.domain.extents == problem.domain.extents
    assert again.constraints()[0].residual(u_t=2.0, u_xx=1.0, c1=again.c1) == pytest.approx(2 - value)
    with pytest.raises(UsageError, match="there is a problem `found` already"):
        ProblemFiles("found")


@pytest.mark.slow
def test_the_second_network_takes_a_choice_back_and_the_rivals_of_both_are_named(tmp_path, monkeypatch, discoveries):
    """The first network is made to choose a term too many, with two rivals: one contains the final choice."""
    choose = Discovery._choose
    monkeypatch.setattr(Discovery, "_choose", lambda self: (choose(self)[0], (1, 2), 1))
    monkeypatch.setattr(Discovery, "_others", lambda self, regression, chosen: [(0, 2), (0, 1)])
    _, _, result = found_in(tmp_path, heat, "u,u_x,u_xx,u*u_x")
    assert set(result.equation.coefficients) == {"u_xx"}
    assert [set(other.coefficients) for other in result.others] == [{"u", "u_x"}]
    assert not result.decided


@pytest.mark.slow
def test_a_coefficient_that_still_changes_is_not_claimed(tmp_path, monkeypatch):
    monkeypatch.setattr(Discovery, "_ahead", lambda self, active: 0.6)
    _, _, result = found_in(tmp_path, heat, "u_x,u_xx", count=100)
    assert not result.decided
    assert verdict(result).startswith("not settled")


@pytest.mark.slow
def test_data_that_no_term_explains_give_no_equation(tmp_path):
    _, library, result = found_in(tmp_path, lambda x, t: torch.sin(5 * t) * torch.cos(x) + t * t * x, "u_x,u*u_x")
    assert not result.decided
    assert result.reasons
    assert "no equation is claimed" in page(result)
    with pytest.raises(UsageError, match="was not written"):
        write_problem(ProblemFiles("nothing"), Problem(), library, result)


@pytest.mark.slow
def test_an_equation_whose_network_does_not_follow_the_measurements_is_not_claimed(tmp_path):
    """A network of four neurons satisfies the equation, and what it leaves of the measurements is no noise."""
    words = ["problem=burgers", *SMALL, "problem.data={points: 800, noise: 0.01}", "architecture.width=4",
             "architecture.depth=1", "points.interior=64"]  # fmt: skip
    _, _, result = discover(words, "x,t", say=lambda line: None)
    assert any("are alike at neighbouring points (correlation 0." in reason for reason in result.reasons)


def test_a_term_that_is_not_finite_at_the_measured_values_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"term `log\(u\)` is not finite where the fields are as measured"):
        found_in(tmp_path, heat, "u,log(u)", count=60)


@pytest.mark.slow
def test_two_equations_that_explain_the_same_data_are_both_named(tmp_path):
    _, _, result = found_in(tmp_path, lambda x, t: torch.exp(-t) * torch.sin(x), "u,u_xx")
    named = [set(one.coefficients) for one in (result.equation, *result.others)]
    assert {"u"} in named
    assert {"u_xx"} in named
    assert not result.decided
    assert "equally well" in verdict(result)


def test_terms_that_depend_on_each_other_on_the_data_are_told():
    theta = torch.rand(20, 3, dtype=torch.float64)
    theta[:, 2] = 2 * theta[:, 0]
    library = SimpleNamespace(texts=["u_x", "u", "u*u_x"])
    message = "the terms u_x, u\\*u_x are linearly dependent on the data; take one of them out of the library"
    with pytest.raises(UsageError, match=message):
        Discovery._refuse_dependent(SimpleNamespace(term_library=library), theta)


def test_data_with_a_missing_number_are_refused_with_their_line(tmp_path):
    file = file_of(tmp_path, heat, 40)
    with open(file, "a") as stream:
        stream.write("\n0.5,0.5,nan")
    with pytest.raises(UsageError, match="line 42"):
        discover(["problem=diffusion", *SMALL, f"problem.data={file}"], "u_xx")
