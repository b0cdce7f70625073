"""The profile likelihood against closed forms: a linear regression, and an exact solution with one coefficient."""

import re
from math import inf, isnan

import pytest
import torch

from pinn_cli.basics.errors import UsageError
from pinn_cli.derivatives.engines import Taylor
from pinn_cli.methods.optimizers.levenberg_marquardt import LevenbergMarquardt
from pinn_cli.physics.data_set import DataSet
from pinn_cli.physics.problem import given
from pinn_cli.physics.references.table import Columns
from pinn_cli.physics.unknowns import Unknown
from pinn_cli.runs.profile import new_optimizer
from pinn_cli.training import profile_likelihood
from pinn_cli.training.model import Features, Model
from pinn_cli.training.objective import Objective
from pinn_cli.training.profile_likelihood import Profile, profiles
from pinn_cli.training.uncertainty import uncertainty
from tests.training.test_uncertainty import Blind, Decay, Polynomial, fitted, with_data

NORMAL = 1.959964**2


def profile_of(objective, name):
    known = uncertainty(objective)
    (found,) = profiles(objective, known, [name], new_optimizer)
    return known, found


def test_the_profile_of_a_linear_problem_is_a_parabola_with_the_gauss_newton_interval():
    known, found = profile_of(fitted(with_data()), "a")
    assert found.interval == pytest.approx(known.intervals["a"], rel=1e-3)
    z = (found.values - known.values["a"]) / known.standard_errors["a"]
    torch.testing.assert_close(found.deviance, z.square(), rtol=1e-2, atol=1e-2)
    assert found.threshold == pytest.approx(NORMAL)
    assert len(found.lines()) == 1


@pytest.mark.slow  # below too
def test_with_an_estimated_noise_the_threshold_is_that_of_student():
    known, found = profile_of(fitted(with_data(sigma=None, count=12), steps=1), "a")
    assert found.threshold == pytest.approx(known.quantile**2)
    assert found.threshold > 4.5
    assert found.interval == pytest.approx(known.intervals["a"], rel=0.02)


def decay(values, times, sigma, unknown, degree=9, weight=1e5):
    """u = exp(-k t) trained on these measurements, and the rise of -2 log L for the exact solution."""
    t, u = (torch.tensor(v, dtype=torch.float64) for v in (times, values))
    problem = Decay(unknowns={"k": unknown})
    problem = given(problem, data_set=DataSet(Columns({"t": t, "u_data": u}, "made"), {"u": sigma}))
    model = Model(Features(problem.domain), Polynomial(degree), problem.unknowns)
    weights = {"measured_u": 1.0, "pde": weight, "begin": weight}
    objective = Objective(problem, model, Taylor, lambda batch, r: {}, weights)
    inside = torch.linspace(0, 1, 40, dtype=torch.float64)[:, None]
    objective.begin({"pde": inside, "begin": inside[:1], "measured_u": problem.data})
    optimizer = LevenbergMarquardt()
    for _ in range(60):
        optimizer.step(objective)
    k = torch.linspace(-3, 8, 110001, dtype=torch.float64)
    Q = ((torch.exp(-k[:, None] * t) - u) / sigma).square().sum(1)
    return objective, k, Q - Q.min()


@pytest.mark.slow
@pytest.mark.parametrize("unknown", [pytest.param(1.9, id="free"), pytest.param(Unknown(1.9, high=20), id="below 20")])
def test_a_lopsided_interval_is_that_of_the_exact_solution_and_is_said_to_differ_from_gauss_newton(unknown):
    objective, k, D = decay([0.30, 0.22, 0.15], [0.6, 0.8, 1.0], 0.12, unknown)
    known, found = profile_of(objective, "k")
    inside = k[NORMAL > D]
    assert found.interval == pytest.approx((float(inside.min()), float(inside.max())), rel=5e-3)
    at = D[(k[:, None] - found.values).abs().argmin(0)]
    torch.testing.assert_close(found.deviance, at, atol=0.02, rtol=0.01)
    assert torch.equal(found.values, found.values.sort().values)
    low, high = known.intervals["k"]
    assert found.interval[1] > high + 0.25 * (high - low) / 2
    assert any("differ" in line and "from Gauss-Newton: the posterior is not normal" in line for line in found.lines())


@pytest.mark.slow  # far from it below too
def test_a_run_that_ended_too_early_is_profiled_around_the_best_fit_and_is_said():
    objective, k, D = decay([0.30, 0.22, 0.15], [0.6, 0.8, 1.0], 0.12, 0.3)
    known, found = profile_of(objective, "k")
    assert abs(known.values["k"] - float(k[D.argmin()])) > 0.5
    inside = k[NORMAL > D]
    assert found.interval == pytest.approx((float(inside.min()), float(inside.max())), rel=0.01)
    says = re.match(r"training has not settled: the best fit has k = ([\d.]+), and ", found.lines()[1])
    assert float(says[1]) == pytest.approx(float(k[D.argmin()]), rel=0.1)  # of the refits, at a few values of k


def test_an_interval_without_an_end_is_said_to_be_open():
    """A decay that is over before the first measurement: every larger k fits as well."""
    objective, _, D = decay([0.01, -0.02], [0.9, 1.0], 0.05, 4.0, degree=15, weight=1e2)
    assert D[-1] < NORMAL
    _, found = profile_of(objective, "k")
    assert found.interval[1] == inf
    assert found.interval[0] > 1
    assert any(line.startswith("k has no upper end: -2 log L rises by ") for line in found.lines())
    assert " to open, Gauss-Newton " in found.lines()[0]


@pytest.mark.slow
def test_an_unknown_that_nothing_determines_is_open_on_both_sides():
    _, found = profile_of(fitted(with_data(problem=Blind())), "a")
    assert found.interval == (-inf, inf)
    assert sum("the data do not determine it on that side" in line for line in found.lines()) == 2


def test_what_has_no_profile_is_refused():
    objective = fitted(with_data())
    with pytest.raises(UsageError, match="no unknown `aa`; did you mean `a`"):
        next(profiles(objective, uncertainty(objective), ["aa"], new_optimizer))
    without = fitted(with_data(problem=type(objective.problem)(unknowns={})))
    with pytest.raises(UsageError, match="no profile of a: there are no unknowns"):
        next(profiles(without, uncertainty(without), ["a"], new_optimizer))


def test_a_first_refit_that_does_not_settle_ends_all_profiles_with_a_line_and_the_value_reached(monkeypatch):
    objective, _, _ = decay([0.30, 0.22, 0.15], [0.6, 0.8, 1.0], 0.12, 0.3)
    monkeypatch.setattr(profile_likelihood, "FIRST", 2)
    known, optimizers = uncertainty(objective), []
    found, again = profiles(objective, known, ["k", "k"], lambda: optimizers.append(new_optimizer()) or optimizers[-1])
    assert len(optimizers) == 1  # no value was held, and the second profile was not tried
    (line,) = found.lines()
    assert line.startswith("k: no interval by profile likelihood: the first refit has not settled (-2 log L fell from ")
    assert line == again.lines()[0]
    assert found.values.tolist() == [found.best]
    assert found.best != found.estimate
    assert all(isnan(end) for end in found.interval)
    assert set(found.group) == {"value", "deviance", "settled", "lines"}


@pytest.mark.slow
def test_the_noise_is_estimated_anew_at_the_best_fit():
    """A run that ended far from it has large residuals, and would take them for noise."""
    settled = uncertainty(fitted(with_data(sigma=None, count=12)))
    early = fitted(with_data(sigma=None, count=12))
    early.shift(torch.full((early.columns[-1].stop,), 0.5, dtype=torch.float64))
    known, found = profile_of(early, "a")
    assert known.noise["measured_u"].sigma > 3 * settled.noise["measured_u"].sigma
    assert found.threshold == pytest.approx(settled.quantile**2)
    assert found.interval == pytest.approx(settled.intervals["a"], rel=0.02)
    assert found.lines()[1].startswith("training has not settled: the best fit has other residuals of the measurements")


def test_refits_that_have_not_settled_make_the_interval_a_least_one_and_claim_no_difference():
    values = torch.linspace(0.0, 2.0, 3)
    D, settled = torch.tensor([9.0, 0.0, 9.0]), torch.tensor([False, True, True])
    found = Profile("k", 1.0, 1.0, values, D, settled, 3.84, (0.4, 1.6), (0.0, 2.0))
    head, differs, says = found.lines()
    assert head == "k: 95 % interval by profile likelihood at least 0.4 to 1.6, Gauss-Newton 0 to 2"
    assert differs.startswith("the upper end of k differs from Gauss-Newton")
    assert says.startswith("1 of 2 refits had not settled, so the interval may be wider")


def test_a_refit_beyond_the_end_need_not_settle():
    values, D = torch.linspace(-1.0, 2.0, 4), torch.tensor([30.0, 9.0, 0.0, 9.0])
    settled = torch.tensor([False, True, True, True])
    (head,) = Profile("k", 1.0, 1.0, values, D, settled, 3.84, (0.4, 1.6), (0.41, 1.6)).lines()
    assert " likelihood 0.4 to 1.6, " in head
