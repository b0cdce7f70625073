"""Equations on a circle: their references, refused settings, pairs that hold by construction."""

from itertools import pairwise
from math import pi

import numpy as np
import pytest
import torch

from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.check import check
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.plan import preview
from pinn_cli.physics.references import reference_of
from pinn_cli.physics.references.circle import fourier
from pinn_cli.physics.references.circle.allen_cahn import AllenCahn
from pinn_cli.physics.references.circle.corner import corner
from pinn_cli.physics.references.circle.etdrk4 import ETDRK4
from pinn_cli.physics.references.circle.evolution import fast_length
from pinn_cli.physics.references.circle.fourier import FourierModes
from pinn_cli.physics.references.circle.initial_values import INITIAL_VALUES, JUMPS, initial_value
from pinn_cli.physics.references.circle.reaction_diffusion import LieSplitting
from pinn_cli.physics.references.circle.reaction_diffusion import ReactionDiffusion as Converged
from pinn_cli.problems.convection import Convection
from pinn_cli.problems.convection_diffusion import ConvectionDiffusion
from pinn_cli.problems.diffusion import Diffusion
from pinn_cli.problems.reaction import Reaction
from pinn_cli.problems.reaction_diffusion import ReactionDiffusion
from pinn_cli.training.metrics import compare

LINE = torch.linspace(0, 1, 100, dtype=torch.float64)
X = torch.cartesian_prod(2 * pi * LINE, LINE)
SMOOTH = [name for name in INITIAL_VALUES if name not in (*JUMPS, "gaussian")]
LINEAR = (Convection, Diffusion, ConvectionDiffusion)


@pytest.fixture(autouse=True, scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def distance(one, other, at=X) -> float:
    """Relative L2."""
    return compare(one(at)["u"], other(at)["u"]).relative_l2


# --- Initial values ---------------------------------------------------------------------------------------------------


def test_only_the_listed_initial_values_jump():
    ends = torch.tensor([0, 2 * pi], dtype=torch.float64)
    gap = {name: float(f(ends).diff().abs()) for name, f in INITIAL_VALUES.items()}
    assert [name for name, jump in gap.items() if jump > 1e-12] == list(JUMPS)


@pytest.mark.parametrize(("name", "u"), [
    ("gaussian", np.exp(-8 * (1 - pi) ** 2 / pi**2)), ("sin", np.sin(1)), ("sin_2x", np.sin(2)),
    ("sin_squared", np.sin(1) ** 2), ("sin_cos", np.sin(2) / 2), ("0.1sin", 0.1 * np.sin(1)), ("50sin", 50 * np.sin(1)),
    ("6+sin", 6 + np.sin(1)), ("sin_pi_x", 0), ("tanh", np.tanh(1)), ("2x", 2), ("x_squared", 1),
])  # fmt: skip
def test_a_named_initial_value_equals_its_formula(name, u):
    assert float(initial_value(name)(torch.ones(1, dtype=torch.float64))) == pytest.approx(float(u), abs=1e-14)


@pytest.mark.parametrize(("make", "u0"), [
    pytest.param(make, u0, marks=() if k % 3 == i else pytest.mark.slow)
    for i, make in enumerate(LINEAR) for k, u0 in enumerate(INITIAL_VALUES)
])  # fmt: skip
def test_linear_equations_are_solved_from_every_initial_value(make, u0):
    report = check(make(u0=u0))
    assert report.ok, report.findings
    assert all(found.residual < 1e-11 for found in report.findings)


@pytest.mark.parametrize("problem", ["reaction", "reaction_diffusion"])
@pytest.mark.parametrize(("u0", "why"), [
    ("sin", "runs to infinity before t="), ("tanh", "does not jump at the seam"), ("sine", "did you mean `sin`"),
])  # fmt: skip
def test_an_initial_value_without_a_solution_is_refused(problem, u0, why):
    with pytest.raises(UsageError, match=why):
        reference_of(assemble(compose([f"problem={problem}", f"problem.u0={u0}", "device=cpu"])).problem)


def test_a_solution_is_computed_on_the_cpu_whatever_the_default_device_is(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # a kept solution would be read
    torch.set_default_device("meta")
    try:
        assert 0 < Converged(nu=5.0, rho=5.0, modes=31, times=8, steps=4).error < 1
    finally:
        torch.set_default_device(None)


def test_a_reaction_so_slow_that_it_stays_finite_is_accepted():
    problem = Reaction(rho=0.5, u0="sin")  # u = -1 blows up at t = log(2) / rho
    assert problem.exact(*X.T).isfinite().all()
    with pytest.raises(ValueError, match=r"rho=0\.7: u runs to infinity"):
        Reaction(rho=0.7, u0="sin")


@pytest.mark.parametrize("problem", ["diffusion", "convection_diffusion", "reaction_diffusion"])
def test_diffusion_backwards_is_refused(problem):
    with pytest.raises(UsageError, match=r"nu=-1: expected a diffusivity above 0 \(without diffusion: problem="):
        reference_of(assemble(compose([f"problem={problem}", "problem.nu=-1", "device=cpu"])).problem)


# --- Corners ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [1e-30, 1e-4, 0.03, 1.0, 9.0])
def test_a_corner_is_rounded_as_its_fourier_modes_decay(tau):
    """c = length/12 - 2 sum_k cos(k y) exp(-k^2 tau) / (length k^2), k in multiples of 2 pi / length."""
    y = torch.linspace(0, 3, 301, dtype=torch.float64)
    k = 2 * pi / 3 * torch.arange(1, 4001, dtype=torch.float64)
    series = 0.25 - 2 / 3 * (torch.cos(y[:, None] * k) * torch.exp(-(k**2) * tau) / k**2).sum(1)
    found = corner(y, torch.full_like(y, tau), 3.0, tau)
    assert float((found - series).abs().max()) < (2e-4 if tau == 1e-30 else 1e-12)


def test_a_rounded_corner_satisfies_the_heat_equation_and_is_periodic():
    y = torch.linspace(0, 2, 41, dtype=torch.float64).requires_grad_()
    tau = torch.full_like(y, 0.01).requires_grad_()
    c_y, c_tau = torch.autograd.grad(corner(y, tau, 2.0, 0.01).sum(), (y, tau), create_graph=True)
    (c_yy,) = torch.autograd.grad(c_y.sum(), y)
    torch.testing.assert_close(c_yy, c_tau, rtol=0, atol=1e-12)
    assert float((c_y[0] - c_y[-1]).abs().detach()) < 1e-14
    sharp = torch.autograd.grad(corner(y, torch.zeros_like(y), 2.0, 0.01).sum(), y)[0]
    assert float(sharp[1] - sharp[-2]) == pytest.approx(1 - 0.1 / 2 * 2 / 2)  # the slopes at 0.05 and at -0.05


@pytest.mark.parametrize("nu", [1e-4, pytest.param(0.05, marks=pytest.mark.slow)])
def test_fronts_are_solved_from_a_corner_as_finite_differences_do(nu):
    """Richardson's extrapolation of centred differences of order two, away from t = 0 where the corner is sharp."""
    reference = AllenCahn(nu, rate=5.0, modes=255, times=48, steps=512)
    other = [differences(nu, n) for n in (200, 400)]
    x = torch.arange(200, dtype=torch.float64) / 100 - 1
    found = reference(torch.stack([x, torch.ones_like(x)], 1))["u"]
    extrapolated = (4 * other[1][::2] - other[0]) / 3
    assert float((found - extrapolated).abs().max()) < 0.1 * float((found - other[1][::2]).abs().max())


def test_lengths_of_transforms_have_no_large_prime_factor():
    assert [fast_length(n) for n in (1, 7, 11, 97, 766, 4605)] == [1, 8, 12, 100, 768, 4608]


def differences(nu, n):
    """u at t = 1 on n nodes of a period of 2: centred second differences, Runge-Kutta's method of order four."""
    x = 2 * torch.arange(n, dtype=torch.float64) / n - 1
    steps = max(200, int(nu * n**2))
    u, h = x**2 * torch.cos(pi * x), 1 / steps

    def rate(u):
        return nu * (n / 2) ** 2 * (u.roll(1) - 2 * u + u.roll(-1)) + 5 * (u - u**3)

    for _ in range(steps):
        a = rate(u)
        b = rate(u + h / 2 * a)
        c = rate(u + h / 2 * b)
        u = u + h / 6 * (a + 2 * b + 2 * c + rate(u + h * c))
    return u


# --- Linear transport -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("u0", SMOOTH)
def test_a_wave_travels_as_its_fourier_modes_do(u0):
    """F^-1(F(u0) exp(-i beta k t)) on 256 nodes, of which these waves have a few modes only."""
    x, k = 2 * pi * torch.arange(256, dtype=torch.float64) / 256, torch.fft.fftfreq(256, 1 / 256, dtype=torch.float64)
    modes = torch.fft.fft(initial_value(u0)(x))
    for t in (0.0, 0.37, 1.0):
        moved = torch.fft.ifft(modes * torch.exp(-30j * k * t)).real
        torch.testing.assert_close(Convection(u0=u0).exact(x, torch.full_like(x, t)), moved, rtol=1e-12, atol=1e-12)


def test_a_jump_travels():
    at = torch.tensor([[1.0, 0.5], [3.0, 0.5]], dtype=torch.float64)  # beta t = 2: the jump is at x = 2
    assert Convection(beta=4, u0="2x").exact(*at.T).tolist() == pytest.approx([2 * (2 * pi - 1), 2.0])


def test_modes_decay_and_travel_and_the_source_adds_to_the_mean():
    found = FourierModes("1+sin", nu=0.3, beta=7, q=0.2)
    x, t = X.T
    exact = 1 + torch.sin(x - 7 * t) * torch.exp(-0.3 * t) + 0.2 * t
    assert torch.linalg.vector_norm(found(X)["u"] - exact) < found.error * torch.linalg.vector_norm(exact)


@pytest.mark.parametrize("u0", ["gaussian", *JUMPS])
def test_a_corner_or_a_jump_spreads_as_the_heat_kernel_says(u0):
    """u(x, t) = sum over images of int G(x - y, nu t) u0(y) dy, by Gauss-Legendre in 400 panels."""
    at = torch.tensor([[0.1, 0.003], [3.0, 0.02], [6.2, 0.3], [0.0, 1.0]], dtype=torch.float64)
    node, weight = np.polynomial.legendre.leggauss(20)
    y = (2 * pi / 400 * (np.arange(400)[:, None] + (node + 1) / 2)).ravel()
    w = np.tile(weight * pi / 400, 400) * initial_value(u0)(torch.from_numpy(y)).numpy()
    for (x, t), u in zip(at.tolist(), FourierModes(u0, nu=1.5, beta=2)(at)["u"].tolist(), strict=True):
        r = x - 2 * t - y[:, None] - 2 * pi * np.arange(-4, 5)
        assert u == pytest.approx(float(w @ np.exp(-(r**2) / (6 * t)).sum(1)) / np.sqrt(6 * pi * t), rel=1e-9)


@pytest.mark.parametrize("u0", ["gaussian", "tanh"])
def test_the_stated_error_of_a_series_exceeds_its_error(u0):
    few, many = (FourierModes(u0, nu=0.01, modes=n) for n in (64, 1024))
    inside = X[X[:, 1] > 0]
    assert distance(few, many, inside) <= few.error < 1e-2
    assert many.error < few.error / 10


def test_coefficients_are_integrals():
    """Of x on [0, 2 pi): pi and i / k; a sum over nodes would be wrong by 1e-2 in the last of them."""
    c = fourier.coefficients(lambda x: x, 64)
    k = np.arange(1, 65)
    assert np.allclose(c, [pi, *(1j / k)], rtol=0, atol=1e-13)


# --- Reaction and diffusion -------------------------------------------------------------------------------------------


def test_time_differencing_is_of_order_four():
    """v' = -v/2 + v^2, v(0) = 1/4, whose reciprocal satisfies a linear equation: 1 / v = 2 + 2 exp(t / 2)."""

    def end(steps):
        step, v = ETDRK4(np.array([-0.5]), 2 / steps), np.array([0.25 + 0j])
        for _ in range(steps):
            v = step(v, 0.0, lambda v, t: v**2)
        return v[0].real

    exact = 1 / (2 + 2 * np.exp(1))
    errors = [abs(end(n) - exact) for n in (8, 16, 32)]
    assert errors[2] < 1e-7
    assert [np.log2(a / b) for a, b in pairwise(errors)] == pytest.approx([4, 4], abs=0.3)


@pytest.mark.slow
def test_reaction_with_diffusion_is_solved_to_one_part_in_ten_thousand_million():
    coarse, fine = Converged(3.0, 5.0, modes=63, times=32, steps=256), Converged(3.0, 5.0)
    assert distance(coarse, fine) < coarse.error < 1e-6
    assert fine.error < 1e-10
    other = strang(3.0, 5.0)
    assert distance(lambda at: other, fine, other["at"]) < 5e-8


def strang(nu, rho, nodes=512, substeps=800):
    """Another method: half a step of reaction, a whole step of diffusion, half a step of reaction."""
    line, dt = torch.linspace(0, 1, 11, dtype=torch.float64), 0.1 / substeps
    x = 2 * pi * torch.arange(nodes, dtype=torch.float64) / nodes
    decay, growth = np.exp(-nu * dt * np.arange(nodes // 2 + 1) ** 2), np.exp(rho * dt / 2)
    u = initial_value("gaussian")(x).numpy()
    states = [u]
    for _ in line[1:]:
        for _ in range(substeps):
            u = u * growth / (1 - u + u * growth)
            u = np.fft.irfft(np.fft.rfft(u) * decay, nodes)
            u = u * growth / (1 - u + u * growth)
        states.append(u)
    return {"u": torch.from_numpy(np.stack(states, 1).ravel()), "at": torch.cartesian_prod(x, line)}


@pytest.mark.slow
@pytest.mark.parametrize(("u0", "largest"), [("sin_squared", 1e-8), ("gaussian", 1e-5)])
def test_almost_without_diffusion_it_is_a_reaction(u0, largest):
    """The corner of the Gaussian is not smoothed then, and the series converges slowly, which its error tells."""
    found, reaction = Converged(1e-12, 5.0, u0), Reaction(u0=u0)
    assert distance(found, lambda at: {"u": reaction.exact(*at.T)}) < 1.1 * found.error < largest


@pytest.mark.slow
@pytest.mark.parametrize(("nu", "floor"), [(2.0, 6.8e-3), (3.0, 6.5e-3)])  # and 6.4e-3, 6.3e-3, 6.2e-3 for 4, 5, 6
def test_the_error_of_the_papers_own_solution_is_known(nu, floor):
    reference = ReactionDiffusion(nu=nu, solution="paper").reference()
    assert reference.at.shape == (25600, 2)
    assert reference.error == pytest.approx(floor, abs=5e-5)
    found = compare(reference(reference.at)["u"], Converged(nu, 5.0)(reference.at)["u"])
    assert found.relative_l2 == reference.error
    assert found.mean == pytest.approx(4.3e-3, abs=5e-5)


@pytest.mark.slow
def test_the_papers_solution_is_one_step_late():
    at = LieSplitting(3.0, 5.0).at
    late, truth = LieSplitting(3.0, 5.0)(at)["u"], Converged(3.0, 5.0)
    t = at[:, 1] * 0.99
    moved = truth(torch.stack([at[:, 0], t], 1))["u"]
    assert 2.5e-3 < compare(late, moved).relative_l2 < 2.9e-3  # the rest is the splitting error


def test_the_papers_solution_is_known_on_its_grid_only():
    papers = LieSplitting(3.0, 5.0)
    with pytest.raises(ValueError, match="own 25600 points only"):
        papers(papers.at + 0.1)
    with pytest.raises(ValueError, match="solution=strang: expected converged, paper"):
        ReactionDiffusion(solution="strang")


# --- Pairs that hold by construction ----------------------------------------------------------------------------------


def objective_of(*words):
    small = ["points.interior=32", "points.face=8", "architecture.width=6", "device=cpu"]
    return preview(assemble(compose([*words, *small])))


@pytest.mark.parametrize("problem", ["convection", "reaction_diffusion"])
def test_a_periodic_network_needs_no_seam(problem):
    objective = objective_of(f"problem={problem}", "periodic=[x]")
    assert list(objective.constraints) == ["pde", "initial"]
    for c in objective.problem.constraints():
        if c.against is not None:
            at = objective.problem.domain.sample(c.region, torch.rand(9, 2, dtype=torch.float64))
            here, there = (objective.evaluate(["u", "u_x"], Y) for Y in (at, c.against(at)))
            assert all(torch.allclose(here[k], there[k], rtol=0, atol=1e-12) for k in here)


def test_a_seam_is_trained_where_it_does_not_hold_by_construction():
    assert "seam" in objective_of("problem=convection").constraints
    assert "seam" in objective_of("problem=convection", "periodic=[t]").constraints
    lifted = objective_of("problem=reaction", "periodic=[x]", "constraints=exact")  # the lift has no period
    assert list(lifted.constraints) == ["pde", "seam"]
