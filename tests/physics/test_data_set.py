"""Measurements from outside a problem: from a file, or made from its reference."""

from dataclasses import dataclass
from math import log, pi
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import cos

from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.plan import preview
from pinn_cli.configuration.trainable import trainable_constraints
from pinn_cli.methods.samplers.counts import plan
from pinn_cli.physics.data_set import Standardised, data_set
from pinn_cli.physics.domains import Box
from pinn_cli.physics.points import measured_points
from pinn_cli.physics.problem import Problem, given, observable, on
from pinn_cli.physics.scales import field_scales, natural_units
from pinn_cli.problems.heat_inverse import HeatInverse
from pinn_cli.problems.helmholtz import Helmholtz

HEAD = "x,t,u\n"


@dataclass
class Wave(Problem):
    """A wave and a flow of another size, with an observable."""

    coordinates = ("x", "t")
    fields = ("u", "p")

    def __post_init__(self):
        self.domain = Box(x=(0, 1), t=(0, 1))

    def exact(self, x, t):
        return cos(pi * x) * cos(pi * t), 1000 * cos(pi * x)

    @on("interior")
    def pde(self, u_tt, u_xx):
        return u_tt - u_xx

    @on("interior")
    def rest(self, p_t):
        return p_t

    @observable
    def slope(self, u_x):
        return 2 * u_x


def measured(setting, problem=None):
    problem = problem or Wave()
    return given(problem, data_set=data_set(setting, problem))


def residuals(problem):
    """r of every residual on data for the exact solution, by name."""
    from pinn_cli.configuration.check import function_of, symbols_of
    from pinn_cli.physics.references import reference_of

    u = function_of(reference_of(problem), problem.fields)
    on_data = [c for c in problem.constraints() if c.region == "data"]
    return {c.name: c.residual(**symbols_of(problem, c, u, measured_points(problem, c))[0]) for c in on_data}


def test_a_file_gives_a_residual_for_each_field_derivative_and_observable_by_name(tmp_path):
    rows = torch.rand(8, 2, dtype=torch.float64)
    x, t = rows.unbind(1)
    u, p = Wave().exact(x, t)
    u_x = -pi * torch.sin(pi * x) * torch.cos(pi * t)
    np.savez(tmp_path / "a.npz", x=x, t=t, u=u, p_data=p, u_x=u_x, slope=2 * u_x, station=np.arange(8.0))
    found = residuals(measured(str(tmp_path / "a.npz")))
    assert list(found) == ["measured_u", "measured_p", "measured_u_x", "measured_slope"]
    assert all(r.abs().max() < 1e-9 for r in found.values())


def test_points_and_noise_have_seeds_of_their_own():
    def made(**more):
        return measured({"points": 50, "noise": 0.1, "seed": 3, **more}).data

    one, again, other = made(), made(), made(noise_seed=4)
    assert torch.equal(one, again)
    assert torch.equal(one[:, :2], other[:, :2])
    assert not torch.equal(one[:, 2:], other[:, 2:])
    assert not torch.equal(one[:, :2], made(seed=4)[:, :2])


def test_noise_is_relative_to_the_deviation_of_each_field():
    found = residuals(measured({"points": 2000, "noise": 0.1, "seed": 0}))
    deviation = {"measured_u": 0.5, "measured_p": 1000 * 0.5**0.5}  # of the cosines on the unit square
    assert {n: float(r.std()) for n, r in found.items()} == pytest.approx({n: 0.1 * s for n, s in deviation.items()},
                                                                         rel=0.05)  # fmt: skip


def test_the_weighted_residuals_are_minus_twice_the_logarithm_of_the_likelihood(tmp_path):
    """Two fields of different size, noise and number: loss = constant * sum of (u - u_data)^2 / sigma^2."""
    generator = torch.Generator().manual_seed(0)
    x, t = torch.rand(2, 30, generator=generator, dtype=torch.float64)
    u, p = (v + torch.randn(30, generator=generator) for v in Wave().exact(x, t))
    sigma = 0.1 + torch.rand(30, generator=generator)
    np.savez(tmp_path / "a.npz", x=x, t=t, u=u, p=p, u_sigma=sigma)
    problem = measured({"file": str(tmp_path / "a.npz"), "sigma": {"p": 40.0}})
    units, found = natural_units(problem, field_scales(problem)), residuals(problem)
    loss = sum(float((r / units[name]).square().mean()) for name, r in found.items())
    normal = torch.distributions.Normal
    exact = Wave().exact(x, t)
    likelihood = normal(exact[0], sigma).log_prob(u).sum() + normal(exact[1], 40.0).log_prob(p).sum()
    constant = -(sigma.log().sum() + 30 * log(40.0) + 30 * log(2 * pi))
    assert len({units[name] for name in found}) == 1
    assert -2 * float(likelihood - constant) == pytest.approx(30 * units["measured_u"] ** 2 * loss)


def test_the_residual_of_a_class_takes_the_columns_of_the_data_set_and_its_sigma():
    problem = measured({"points": 100, "noise": 0.01, "seed": 1, "sigma": 0.5}, HeatInverse())
    (c,) = [c for c in problem.constraints() if c.region == "data"]
    assert (c.name, c.noise, len(problem.data)) == ("measured", 1.0, 100)
    assert float(residuals(problem)["measured"].std()) == pytest.approx(0.01 * 0.67 / 0.5, rel=0.3)


def test_beyond_huber_standard_deviations_squares_grow_linearly():
    r = Standardised(lambda s: s, 2.0, 1.5)
    s = torch.tensor([0.0, 2.0, -2.0, 200.0], dtype=torch.float64, requires_grad=True)
    squares = r(s=s).square()
    assert squares.tolist() == pytest.approx([0, 1, 1, 2 * 1.5 * 100 - 1.5**2])
    (slope,) = torch.autograd.grad(squares.sum(), s)
    assert slope.tolist() == pytest.approx([0, 1, -1, 1.5])


def test_a_changed_copy_keeps_the_measurements():
    problem = measured({"points": 10}, Helmholtz())
    assert problem.with_(k=2.0).data_set is problem.data_set


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "0.1,0.1,1\n0.2,,1\n", "line 3: t is ``, which is a missing value"),
        (HEAD + "0.1,0.1,1\n0.2,0.1,nan\n", "line 3: u is `nan`, which is a missing value"),
        (HEAD + "0.1,0.1,\n0.2,0.1,nan\n", "line 3: u is `nan`, which is a missing value"),
        ("x,t,u,p\n0.1,0.1,1,\n0.2,0.1,1,\n", "column p_data is empty; expected numbers, or no such column"),
        ("x,t,u,u_sigma\n0.1,0.1,1,0.1\n0.2,0.1,1,\n", "line 3: u was measured, and u_sigma is empty"),
        ("x,t,u,p\n0.1,0.1,1,2\n0.1,0.1,,2\n0.1,0.1,9,2\n0.2,0.1,2,2\n", "line 2 and line 4: u is 1 and 9"),
        (HEAD + "0.1,0.1,1\n0.2,0.1,1e300\n", "line 3: u is 1e+300, and its square is no finite number"),
        (HEAD + "0.1,0.1,1\n0.2,0.1,2 m\n", "line 3: u is `2 m`, which is no number"),
        ("x,u\n0.1,1\n", "no column `t`; found x, u"),
        ("x,t,q\n0.1,0.1,1\n", "no column is a field or an observable; found x, t, q; expected u, p, slope"),
        ("x,t,u,u_data\n0.1,0.1,1,1\n", "columns `u` and `u_data` both hold its values"),
        (HEAD + "0.1,0.1,1\n0.3,0.1,1\n0.1,0.1,9\n", "line 2 and line 4: u is 1 and 9 at the same point"),
        ("x,t,u,sigma\n0.1,0.1,1,1\n0.3,0.1,1,0\n", "line 3: sigma is 0; expected a standard deviation above 0"),
    ],
)  # fmt: skip
def test_bad_rows_are_refused_with_file_and_line(tmp_path, text, message):
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(UsageError) as refused:
        data_set(str(file), Wave())
    assert str(file) in str(refused.value)
    assert message in str(refused.value).replace("u_data is", "u is")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"points": 0}, "problem.data.points=0: expected a whole number from 1 on"),
        ({"points": 5, "noise": -1}, "problem.data.noise=-1: expected a number from 0 on"),
        ({"points": 5, "sigma": 0}, "problem.data.sigma=0: expected a number above 0"),
        ({"points": 5, "sigma": {"w": 1}}, "problem.data.sigma.w: not measured"),
        ({"points": 5, "huber": 1.5}, "type problem.data.sigma="),
        ({"points": 5, "of": "w"}, "the reference does not know `w`"),
        ({"file": "a.csv", "points": 5}, "either a file or a number of points"),
        ({"file": "a.csv", "noise": 0.1}, "a file has its own points"),
        ({"pionts": 5}, "did you mean `points`?"),
        (5, "expected the name of a file"),
    ],
)
def test_settings_that_make_no_measurements_are_refused(setting, message):
    with pytest.raises(UsageError, match="problem") as refused:
        data_set(setting, Wave())
    assert message in str(refused.value)


def test_repeated_measurements_that_differ_by_their_noise_are_taken(tmp_path):
    (tmp_path / "a.csv").write_text(HEAD + "0.1,0.1,1.00\n0.1,0.1,1.02\n0.5,0.1,3\n")
    assert len(measured(str(tmp_path / "a.csv")).data) == 3


def test_a_point_outside_the_domain_is_refused_with_its_line(tmp_path):
    (tmp_path / "a.csv").write_text("x,y,u\n0.1,0.1,1\n0.1,7,1\n")
    with pytest.raises(UsageError, match=r"a\.csv\): line 3: y = 7 lies outside the domain"):
        assemble(compose(["problem=helmholtz", f"problem.data={tmp_path / 'a.csv'}"]))


@pytest.fixture
def stations(tmp_path):
    """The wave along x at one time, and the flow at other points; one point has both."""
    u, p = (lambda x, t, k=k: Wave().exact(*(torch.tensor(v, dtype=torch.float64) for v in (x, t)))[k] for k in (0, 1))
    rows = [(x, 0.3, f"{u(x, 0.3):.12f}", "") for x in (0.1, 0.4, 0.8)]
    rows += [(0.5, t, "", f"{p(0.5, t) + 2:.12f}") for t in (0.2, 0.9)]
    rows += [(0.7, 0.3, f"{u(0.7, 0.3):.12f}", f"{p(0.7, 0.3) + 2:.12f}")]
    file = tmp_path / "stations.csv"
    file.write_text("x,t,u,p\n" + "".join(f"{x},{t},{a},{b}\n" for x, t, a, b in rows))
    return str(file)


def test_an_empty_cell_is_a_value_that_was_not_measured(stations):
    problem = measured(stations)
    u, p = (c for c in problem.constraints() if c.region == "data")
    assert (u.name, p.name) == ("measured_u", "measured_p")
    assert measured_points(problem, u)[:, 0].tolist() == [0.1, 0.4, 0.8, 0.7]
    assert measured_points(problem, p)[:, 1].tolist() == [0.2, 0.9, 0.3]
    found = residuals(problem)
    assert found["measured_u"].abs().max() < 1e-9
    assert found["measured_p"].tolist() == pytest.approx([-2.0] * 3)


def test_what_was_not_measured_counts_nowhere_in_the_loss(stations, tmp_path):
    """The same residuals, one after the other, as if each quantity had a file of its own."""
    joined = measured(stations)
    whole = natural_units(joined, field_scales(joined))
    for name in ("u", "p"):
        rows = [line.split(",") for line in Path(stations).read_text().splitlines()]
        k = rows[0].index(name)
        alone = tmp_path / f"{name}.csv"
        alone.write_text("".join(f"{r[0]},{r[1]},{r[k]}\n" for r in rows if r[k]))
        problem = measured(str(alone))
        (c,) = [c for c in problem.constraints() if c.region == "data"]
        assert torch.equal(residuals(problem)[c.name], residuals(joined)[c.name])
        assert whole[c.name] == pytest.approx(natural_units(problem, field_scales(problem))[c.name])


def test_constraints_share_the_points_at_which_both_were_measured(tmp_path):
    (tmp_path / "a.csv").write_text("x,t,u,p,u_x\n0.1,0.1,1,2,\n0.2,0.1,3,4,\n0.3,0.3,,,5\n")
    problem = measured(str(tmp_path / "a.csv"))
    draws = [d for d in plan(problem, {"interior": 10, "data": "all"}) if d.region == "data"]
    assert [d.names for d in draws] == [("measured_u", "measured_p"), ("measured_u_x",)]


def test_a_row_without_any_measurement_is_refused_with_its_line(tmp_path):
    (tmp_path / "a.csv").write_text("x,y,u,v,psi\n0.1,0.1,1,,2\n0.1,0.2,,,2\n0.1,0.3,,1,\n")
    setting = f"problem.data={tmp_path / 'a.csv'}"
    assert assemble(compose(["problem=lid_driven_cavity_streamfunction", setting])).problem.data.shape == (3, 5)
    with pytest.raises(UsageError, match=r"a\.csv\): line 3: nothing was measured there \(u_data, v_data\)"):
        assemble(compose(["problem=lid_driven_cavity", setting]))


def test_a_nan_of_a_binary_file_is_no_number(tmp_path):
    np.savez(tmp_path / "a.npz", x=[0.1, 0.2], t=[0.1, 0.2], u=[1.0, np.nan])
    with pytest.raises(UsageError, match="row 2: u_data is `nan`; expected a finite number"):
        measured(str(tmp_path / "a.npz"))


@pytest.mark.parametrize(("content", "message"), [
    (b"x,t,u", "cannot be read as .npz: it is no NPZ file"),
    (None, "no column `x`; found none; expected the coordinates x, t"),
])  # fmt: skip
def test_a_binary_file_without_arrays_is_refused(tmp_path, content, message):
    file = tmp_path / "a.npz"
    np.savez(file) if content is None else file.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        measured(str(file))


def test_masked_values_of_a_class_were_not_measured():
    @dataclass
    class Masked(Wave):
        def measurements(self):
            x = np.array([0.1, 0.2, 0.3])
            return {"x": x, "t": x, "u_data": np.ma.array([1, 2, 7], mask=[0, 0, 1]),
                    "p_data": np.ma.array([7, 7, 3.0], mask=[1, 1, 0])}  # fmt: skip

        @on("data")
        def waves(self, u, u_data):
            return u - u_data

        @on("data")
        def flow(self, p, p_data):
            return p - p_data

    problem = Masked()
    trainable_constraints(problem)
    points = {c.name: measured_points(problem, c) for c in problem.constraints() if c.region == "data"}
    assert {name: X[:, 0].tolist() for name, X in points.items()} == {"waves": [0.1, 0.2], "flow": [0.3]}

    @dataclass
    class Both(Masked):
        @on("data")
        def flow(self, p, u_data, p_data):
            return p - p_data * u_data

    with pytest.raises(UsageError, match="row 3: nothing was measured there"):
        trainable_constraints(Both())


def test_the_command_line_gives_measurements_to_any_problem():
    parts = assemble(compose(["problem=helmholtz", "problem.data.points=20", "problem.data.seed=2"]))
    assert preview(parts).batch["measured_u"].shape == (20, 3)
