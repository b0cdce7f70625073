"""Networks: parameter counts, initial weights, and the gates against their formulas."""

import re
from functools import partial
from math import exp, log, pi, sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pinn_cli.basics.errors import UsageError
from pinn_cli.methods.architectures.adapted_features import AdaptedFeatures
from pinn_cli.methods.architectures.factorised_mlp import FactorisedMLP
from pinn_cli.methods.architectures.fourier import Fourier
from pinn_cli.methods.architectures.layers import ACTIVATIONS, INITIALISERS, activation, dense
from pinn_cli.methods.architectures.mlp import MLP
from pinn_cli.methods.architectures.modified_mlp import ModifiedMLP
from pinn_cli.methods.architectures.random_features import RandomFeatureNetwork
from pinn_cli.methods.architectures.random_fourier_features import RandomFourierFeatures, resolved_frequency, stretched
from pinn_cli.methods.architectures.random_gaussians import RandomGaussians
from pinn_cli.methods.architectures.sine import Sine
from pinn_cli.methods.grading import graded, shape_length, towards_the_ends
from tests.conftest import refused

GATES = ("paper", "code", "legacy")


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("depth", "plain", "gated"), [(3, 5301, 5601), (5, 10401, 10701)])
def test_parameter_counts_of_the_published_networks(depth, plain, gated):
    """Helmholtz (3 x 50) and Klein-Gordon (5 x 50) of Wang, Teng and Perdikaris (2021)."""
    assert count(MLP(2, 1, width=50, depth=depth)) == plain
    assert [count(ModifiedMLP(2, 1, width=50, depth=depth, gate=gate)) for gate in GATES] == [gated] * 3


def test_parameter_count_of_the_network_of_krishnapriyan_et_al():
    assert count(MLP(2, 1, width=50, depth=4)) == 7851


@pytest.mark.parametrize("make", [MLP, ModifiedMLP, Fourier, Sine, FactorisedMLP])
@given(inputs=st.integers(1, 4), outputs=st.integers(1, 3), width=st.integers(1, 9), depth=st.integers(1, 4))
def test_shapes_and_the_main_stack(make, inputs, outputs, width, depth):
    network = make(inputs, outputs, width=width, depth=depth)
    assert network(torch.rand(5, inputs)).shape == (5, outputs)
    assert len(network.layers) == depth + 1
    assert all(isinstance(layer, nn.Linear) for layer in network.layers)


def test_an_mlp_equals_its_formula():
    network, X = MLP(2, 1, width=7, depth=2), torch.rand(4, 2)
    first, second, output = network.layers
    expected = torch.tanh(torch.tanh(X @ first.weight.T + first.bias) @ second.weight.T + second.bias)
    torch.testing.assert_close(network(X), expected @ output.weight.T + output.bias)


def gates_as_printed(network: ModifiedMLP, X: torch.Tensor) -> torch.Tensor:
    """The three networks, term by term as published."""
    U, V = (torch.tanh(X @ e.weight.T + e.bias) for e in network.encoders)
    *hidden, output = network.layers
    H = X
    for number, layer in enumerate(hidden):
        HW = H @ layer.weight.T
        Z = torch.tanh(HW + layer.bias)
        if network.gate == "paper":
            H = Z if number == 0 else (1 - Z) * U + Z * V
        elif network.gate == "code":
            H = Z * U + (1 - Z) * V
        else:
            H = Z * U + torch.tanh(1 - HW + layer.bias) * V
    return H @ output.weight.T + output.bias


@pytest.mark.parametrize("gate", GATES)
def test_a_gated_network_equals_its_formula(gate):
    torch.manual_seed(0)
    network, X = ModifiedMLP(2, 2, width=8, depth=3, gate=gate).double(), torch.rand(6, 2).double()
    for layer in network.layers:
        nn.init.normal_(layer.bias)
    torch.testing.assert_close(network(X), gates_as_printed(network, X), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("gate", "spread"), [("paper", 0.0), ("code", 1.0), ("legacy", 1.0)])
def test_the_encoders_biases_start_as_in_each_form(gate, spread):
    torch.manual_seed(0)
    width = 4000
    for encoder in ModifiedMLP(2, 1, width=width, depth=1, gate=gate).encoders:
        assert encoder.bias.std().item() == pytest.approx(spread * sqrt(2 / (1 + width)), rel=0.05)
        assert encoder.weight.std().item() == pytest.approx(sqrt(2 / (2 + width)), rel=0.05)


@pytest.mark.parametrize(("name", "std", "bias"), [
    ("glorot_normal", sqrt(2 / 600), 0.0),
    ("glorot_uniform", sqrt(2 / 600), 0.0),
    ("torch_default", sqrt(1 / 200 / 3), sqrt(1 / 200 / 3)),
])
def test_initialisers_have_the_stated_spread(name, std, bias):
    torch.manual_seed(0)
    (layer,) = dense([200, 400], name)
    assert layer.weight.std().item() == pytest.approx(std, rel=0.03)
    assert layer.bias.std().item() == pytest.approx(bias, rel=0.1)


def test_deterministic_features_are_sines_and_cosines_of_whole_half_turns():
    network, X = Fourier(2, 1, width=3, depth=1, modes=[1, 4], keep_inputs=True), torch.rand(5, 2) * 2 - 1
    seen = []
    network.layers[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network(X)
    Z = torch.cat([pi * X, 4 * pi * X], 1)
    torch.testing.assert_close(seen[0], torch.cat([Z.cos(), Z.sin(), X], 1))


def test_deterministic_features_are_periodic_to_rounding_in_double():
    network = Fourier(1, 1, width=8, depth=2, modes=[1, 2, 8]).double()
    left, right = network(torch.tensor([[-1.0], [1.0]]).double())
    assert (left - right).abs().item() < 1e-13


def test_each_input_may_have_a_scale_of_its_own():
    torch.manual_seed(0)
    both = Fourier(2, 1, features=4000, scale=[5.0, 0.5]).frequencies
    torch.manual_seed(0)
    one = Fourier(2, 1, features=4000, scale=5.0).frequencies
    torch.testing.assert_close(both, one * torch.tensor([1.0, 0.1]))


def test_random_features_have_the_stated_scale_and_are_not_trained():
    torch.manual_seed(0)
    network = Fourier(2, 1, features=4000, scale=5.0)
    assert network.frequencies.std().item() == pytest.approx(5.0, rel=0.03)
    assert "frequencies" in network.state_dict()
    assert "frequencies" not in dict(network.named_parameters())


@pytest.mark.parametrize("make", [
    AdaptedFeatures, MLP, ModifiedMLP, Fourier, Sine, FactorisedMLP, RandomFeatureNetwork, RandomFourierFeatures,
    RandomGaussians,
])  # fmt: skip
def test_one_seed_gives_the_same_bits(make):
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(make(2, 1).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_activations_are_found_by_name(function):
    assert activation(function.__name__) is function


@pytest.mark.parametrize(("options", "message"), [
    ({"activation": "tahn"}, "unknown activation 'tahn': expected one of tanh.*, e.g. architecture.activation=tanh"),
    ({"initialiser": "he"}, f"unknown initialiser 'he': expected one of {INITIALISERS[0].__name__}"),
])
@pytest.mark.parametrize("make", [MLP, ModifiedMLP, Fourier])
def test_an_unknown_name_is_refused_in_one_line(make, options, message):
    with refused(message):
        make(2, 1, **options)


def test_an_unknown_gate_is_refused_in_one_line():
    with pytest.raises(UsageError, match="unknown gate 'open': expected one of paper, code, legacy"):
        ModifiedMLP(2, 1, gate="open")


@pytest.mark.parametrize("name", ["gaussian", "tanh", "sin"])
def test_random_features_equal_their_formula(name):
    torch.manual_seed(0)
    network, z = RandomFeatureNetwork(2, 3, width=7, scale=4, activation=name), torch.rand(5, 2)
    torch.nn.init.normal_(network.output_layer.weight)
    torch.nn.init.normal_(network.output_layer.bias)
    w, b = network.hidden.weight, network.hidden.bias
    phi = {"gaussian": lambda x: torch.exp(-(x**2)), "tanh": torch.tanh, "sin": torch.sin}[name](z @ w.T + b)
    torch.testing.assert_close(network(z), phi @ network.output_layer.weight.T + network.output_layer.bias)


def test_only_the_output_of_random_features_is_trained_and_it_starts_from_zero():
    network = RandomFeatureNetwork(2, 3, width=7)
    assert [tuple(p.shape) for p in network.parameters()] == [(3, 7), (3,)]
    assert not network(torch.rand(5, 2)).any()
    assert sorted(network.state_dict()) == ["hidden.bias", "hidden.weight", "output_layer.bias", "output_layer.weight"]


def test_directions_of_random_features_fill_the_stated_ellipsoid_evenly_along_its_radii():
    torch.manual_seed(0)
    w = RandomFeatureNetwork(2, 1, width=20_000, scale=[10, 0.5]).hidden.weight / torch.tensor([10, 0.5])
    radius = w.norm(dim=1)
    assert float(radius.max()) <= 1 + 1e-6
    assert radius.quantile(torch.tensor([0.1, 0.5, 0.9])).tolist() == pytest.approx([0.1, 0.5, 0.9], abs=0.02)
    angle = torch.atan2(w[:, 1], w[:, 0])
    assert angle.quantile(torch.tensor([0.25, 0.5, 0.75])).tolist() == pytest.approx([-1.571, 0, 1.571], abs=0.06)


def test_one_scale_of_random_features_holds_for_every_input():
    made = []
    for scale in (4, [4, 4, 4]):
        torch.manual_seed(1)
        made.append(RandomFeatureNetwork(3, 1, width=5, scale=scale).hidden.weight)
    assert torch.equal(*made)


def test_ridges_go_through_the_points_that_the_network_is_given():
    network, points = RandomFeatureNetwork(2, 1, width=9), torch.rand(9, 2) + 5
    network.place(lambda n: points[:n])
    assert (points * network.hidden.weight).sum(1) + network.hidden.bias == pytest.approx(torch.zeros(9), abs=1e-5)


@pytest.mark.parametrize(("settings", "words"), [
    ({"width": 0}, "architecture.width=0: expected a whole number above 0"),
    ({"scale": 0}, "architecture.scale=0: expected numbers above 0, e.g. 6"),
    ({"scale": [6, -1]}, "architecture.scale=[6, -1]: expected numbers above 0, e.g. 6"),
    ({"scale": [6]}, "architecture.scale=[6]: expected one number, or one for each input of the network (2;"),
    ({"activation": "relu"}, "unknown activation 'relu'"),
])
def test_settings_of_random_features_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        RandomFeatureNetwork(2, 1, **settings)


def test_random_fourier_features_equal_their_formula_and_only_the_amplitudes_are_trained():
    torch.manual_seed(0)
    network, z = RandomFourierFeatures(2, 3, width=7), torch.rand(5, 2)
    assert [tuple(p.shape) for p in network.parameters()] == [(3, 7), (3,)]
    assert not network(z).any()
    torch.nn.init.normal_(network.output_layer.weight)
    torch.nn.init.normal_(network.output_layer.bias)
    phi = torch.sin(z @ network.hidden.weight.T + network.hidden.bias)
    torch.testing.assert_close(network(z), phi @ network.output_layer.weight.T + network.output_layer.bias)


@pytest.mark.parametrize("radii", [3.0, [3.0, 0.5, 2.0]])
def test_wave_vectors_are_uniform_in_the_ellipsoid(radii):
    """In a ball of dimension D the length to the power D is uniform, and each entry has the variance 1 / (D + 2)."""
    torch.manual_seed(0)
    w = RandomFourierFeatures(3, 1, width=20_000, frequency=radii).hidden.weight / torch.tensor(radii)
    assert float(w.norm(dim=1).max()) <= 1 + 1e-6
    assert (w.norm(dim=1) ** 3).mean() == pytest.approx(1 / 2, abs=0.01)
    assert w.var(0).numpy() == pytest.approx(1 / 5, rel=0.05)
    assert w.mean(0).numpy() == pytest.approx(0, abs=0.01)


def test_phases_are_uniform_over_a_turn():
    torch.manual_seed(0)
    phase = RandomFourierFeatures(1, 1, width=20_000).hidden.bias
    assert phase.min() >= 0
    assert phase.max() <= 2 * pi
    assert float(phase.var()) == pytest.approx((2 * pi) ** 2 / 12, rel=0.05)


@pytest.mark.parametrize(("inputs", "volume"), [(1, 2), (2, pi), (3, 4 * pi / 3), (4, pi**2 / 2)])
def test_there_are_two_waves_in_each_direction_for_a_degree_of_freedom(inputs, volume):
    r = resolved_frequency(1000, inputs)
    assert volume * (r / pi) ** inputs == pytest.approx(1000 / 2**inputs)
    torch.manual_seed(0)
    w = RandomFourierFeatures(inputs, 1, width=1000).hidden.weight
    assert float(w.norm(dim=1).max()) == pytest.approx(r, rel=0.01)


def test_a_smooth_function_that_is_not_periodic_is_a_sum_of_random_fourier_features():
    """The Runge function has poles at distance 0.2 from [-1, 1]: 120 waves give 9 digits, 120 polynomials 10."""
    torch.manual_seed(0)
    z = torch.linspace(-1, 1, 600, dtype=torch.float64)[:, None]
    network, u = RandomFourierFeatures(1, 1, width=120).double(), 1 / (1 + 25 * z**2)
    phi = torch.sin(z @ network.hidden.weight.T + network.hidden.bias)
    c = torch.linalg.lstsq(phi, u, driver="gelsd", rcond=1e-14).solution
    assert float((phi @ c - u).norm() / u.norm()) < 1e-8


def test_stretched_waves_are_shorter_at_the_faces_and_express_layers_there():
    """With the same number of waves the error of a layer of width 0.01 is a hundred times smaller."""
    z = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64, requires_grad=True)
    s = stretched(z, 7.0)
    slope = torch.autograd.grad(s.sum(), z)[0]
    assert s.tolist() == pytest.approx([-1, 0, 1])
    assert (slope / slope[1]).tolist() == pytest.approx([7, 1, 7])
    unit = torch.rand(9, 2, dtype=torch.float64)
    at = RandomFourierFeatures(2, 1, width=9, finer=7.0).gathered(unit)
    torch.testing.assert_close(stretched(2 * at - 1, 7.0), 2 * unit - 1)
    z = torch.cos(torch.linspace(0, pi, 1000, dtype=torch.float64))[:, None]
    u = torch.exp((z - 1) / 0.01)
    errors = []
    for finer in (1.0, 7.0):
        torch.manual_seed(0)
        phi = RandomFourierFeatures(1, 1, width=100, finer=finer).double().hidden(z)
        c = torch.linalg.lstsq(phi, u, driver="gelsd", rcond=1e-14).solution
        errors.append(float((phi @ c - u).abs().max()))
    assert errors[1] < 0.01 * errors[0]


@pytest.mark.parametrize(("settings", "words"), [
    ({"width": 0}, "architecture.width=0: expected a whole number above 0"),
    ({"frequency": 0}, "architecture.frequency=0: expected numbers above 0"),
    ({"frequency": [8, -1]}, "architecture.frequency=[8, -1]: expected numbers above 0"),
    ({"frequency": [8]}, "architecture.frequency=[8]: expected one number, or one for each input of the network (2;"),
    ({"finer": 0.5}, "architecture.finer=0.5: expected a number from 1 to 1e6, e.g. 7"),
])
def test_frequencies_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        RandomFourierFeatures(2, 1, **settings)


def test_random_gaussians_equal_their_formula_and_only_the_heights_are_trained():
    torch.manual_seed(0)
    network, z = RandomGaussians(2, 3, width=7).double(), torch.rand(5, 2, dtype=torch.float64)
    assert [tuple(p.shape) for p in network.parameters()] == [(3, 7), (3,)]
    assert not network(z).any()
    torch.nn.init.normal_(network.output_layer.weight)
    torch.nn.init.normal_(network.output_layer.bias)
    w, c = network.hidden.weight, network.hidden.centre
    phi = torch.stack([torch.exp(-(w[j] ** 2 * (z - c[j]) ** 2).sum(1)) for j in range(7)], 1)
    torch.testing.assert_close(network(z), phi @ network.output_layer.weight.T + network.output_layer.bias)


def test_bumps_are_as_wide_as_their_distance_from_the_nearest_end():
    torch.manual_seed(0)
    network = RandomGaussians(2, 1, width=20_000, finest=1e-4).hidden
    distance = 1 - network.centre.abs()
    steepness = network.weight * (distance + 2e-4)
    assert float(steepness.min()) == pytest.approx(0.3, rel=0.01)
    assert float(steepness.max()) == pytest.approx(3.0, rel=0.01)
    near = 0.5 * log(0.01 / 2e-4) / log(0.5 / 1e-4) + 0.5 * 0.01  # half log-uniform, half uniform
    assert float((distance < 0.01).double().mean()) == pytest.approx(near, abs=0.01)


def test_few_bumps_express_layers_of_every_width():
    """exp(-x / eps) on [0, 1] with the same 500 bumps for eps from 0.1 to 1e-4."""
    torch.manual_seed(0)
    network = RandomGaussians(1, 1, width=500, finest=1e-5).double()
    z = 2 * towards_the_ends(torch.linspace(0, 1, 2000, dtype=torch.float64), 1e-5)[:, None] - 1
    bumps = network.hidden(z)
    for eps in (0.1, 1e-2, 1e-3, 1e-4):
        u = torch.exp(-(z + 1) / (2 * eps))
        c = torch.linalg.lstsq(bumps, u, driver="gelsd", rcond=1e-14).solution
        assert float((bumps @ c - u).norm() / u.norm()) < 1e-8


@pytest.mark.parametrize(("settings", "words"), [
    ({"width": 0}, "architecture.width=0: expected a whole number above 0"),
    ({"finest": 0}, "architecture.finest=0: expected a number between 0 and 0.1"),
    ({"finest": 0.1}, "architecture.finest=0.1: expected a number between 0 and 0.1"),
])
def test_settings_of_random_gaussians_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        RandomGaussians(2, 1, **settings)


def test_a_sine_network_equals_its_formula_and_its_frequencies_are_trained():
    network, X = Sine(2, 1, width=7, depth=2, frequency=3.0), torch.rand(4, 2)
    first, second, output = network.layers
    H = torch.sin(3 * torch.sin(3 * (X @ first.weight.T + first.bias)) @ second.weight.T + 3 * second.bias)
    torch.testing.assert_close(network(X), H @ output.weight.T + output.bias)
    network(X).sum().backward()
    assert all(omega.grad is not None and omega.grad.all() for omega in network.frequencies)


@pytest.mark.parametrize("frequency", [1.0, 30.0])
def test_every_layer_of_a_sine_network_starts_with_the_same_spread(frequency):
    """Sums of `width` sines of variance 1/2 with weights U(+-sqrt(6 / width) / omega) have variance 1 / omega^2."""
    torch.manual_seed(0)
    network, H = Sine(1, 1, width=1000, depth=3, frequency=frequency), 2 * torch.rand(500, 1000) - 1
    H = torch.sin(H * 2 * pi)
    for layer in network.layers[1:3]:
        assert float((layer(H) * frequency).detach().std()) == pytest.approx(1, rel=0.05)


def test_an_impossible_frequency_of_a_sine_network_is_refused():
    with pytest.raises(UsageError, match=r"architecture.frequency=0: expected a number above 0"):
        Sine(2, 1, frequency=0)


def test_a_factorised_network_starts_as_the_mlp_and_trains_both_factors():
    networks = []
    for make in (MLP, FactorisedMLP):
        torch.manual_seed(3)
        networks.append(make(2, 1, width=7, depth=2).double())
    plain, factorised = networks
    X = torch.rand(5, 2, dtype=torch.float64)
    torch.testing.assert_close(plain(X), factorised(X), rtol=1e-5, atol=1e-6)
    factorised(X).sum().backward()
    assert [tuple(s.shape) for s in factorised.scales] == [(7,), (7,), (1,)]
    assert all(s.grad is not None and s.grad.any() for s in factorised.scales)


def test_the_exponents_of_a_factorised_network_have_the_stated_mean_and_spread():
    torch.manual_seed(0)
    s = FactorisedMLP(1, 1, width=5000, depth=1, mean=0.5, spread=0.2).scales[0]
    assert s.mean().item() == pytest.approx(0.5, abs=0.01)
    assert s.std().item() == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("make", [RandomFeatureNetwork, RandomFourierFeatures, partial(RandomFourierFeatures, finer=7)])
def test_a_redrawn_hidden_layer_is_another_one_of_the_same_kind(make):
    network, points = make(2, 1, width=9).double(), 2 * torch.rand(9, 2, dtype=torch.float64) - 1
    one, same = (network.redrawn(points, torch.Generator().manual_seed(1)) for _ in range(2))
    assert type(one) is type(network.hidden)
    assert one(points).shape == (9, 9)
    assert torch.equal(one(points), same(points))
    assert not torch.equal(one.weight, network.hidden.weight)
    one.load_state_dict(network.hidden.state_dict())
    assert torch.equal(one(points), network.hidden(points))


def front(unit: torch.Tensor, eps: float = 1e-3, at: float = 0.25) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs at the beginning of time for points of the unit cube, and a front of width eps there."""
    x = 2 * unit[:, :1] - 1
    return torch.cat([x, torch.full_like(x, -1)], 1), torch.tanh((x - at) / eps)


def test_redrawn_adapted_features_lie_between_the_first_and_have_one_more_polynomial():
    network = AdaptedFeatures(2, 1, width=16, degree=3).double()
    network.begin(front)
    other, z = network.redrawn(torch.zeros(5, 2), torch.Generator()), torch.rand(7, 2, dtype=torch.float64)
    assert other(z).shape == (7, 15 * 5)
    assert (network.centre[:-1] < other.centre).all()
    assert (other.centre < network.centre[1:]).all()
    torch.testing.assert_close(other(z)[:, 15:30], other(z)[:, :15] * z[:, 1:])
    assert network.degree == 3
    assert network(z).shape == (7, 1)


def test_adapted_features_equal_their_formula_and_only_the_coefficients_are_trained():
    torch.manual_seed(0)
    network, z = AdaptedFeatures(2, 3, width=16, degree=3).double(), 2 * torch.rand(5, 2, dtype=torch.float64) - 1
    assert [tuple(p.shape) for p in network.parameters()] == [(3, 64), (3,)]
    assert not network(z).any()
    torch.nn.init.normal_(network.output_layer.weight)
    torch.nn.init.normal_(network.output_layer.bias)
    bumps = torch.exp(-((z[:, :1] - network.centre) ** 2) * network.weight**2)
    phi = torch.cat([bumps * torch.cos(k * torch.acos(z[:, 1:])) for k in range(4)], 1)
    torch.testing.assert_close(network(z), phi @ network.output_layer.weight.T + network.output_layer.bias)


def test_adapted_features_express_a_front_wherever_it_is_and_begin_with_it():
    """Before `begin` the same number of even Gaussians is wrong by more than a tenth."""
    for eps, at in ((0.1, 0.0), (1e-2, -0.7), (1e-3, 0.25)):
        network = AdaptedFeatures(2, 1, width=160, degree=1, narrower=1.0).double()
        x = torch.linspace(0, 1, 20_001, dtype=torch.float64)
        z, u = front(torch.stack([x, x], 1), eps, at)
        even = network._along(z[::10, :1])
        c = torch.linalg.lstsq(even, u[::10], driver="gelsd", rcond=1e-14).solution
        assert eps > 1e-3 or float((even @ c - u[::10]).abs().max()) > 0.1
        network.begin(lambda unit, eps=eps, at=at: front(unit, eps, at))
        for t in (-1.0, 0.3):
            z[:, 1] = t
            assert float((network(z) - u).detach().abs().max()) < 2e-5, f"eps={eps}, t={t}"


def test_features_have_the_density_of_the_graded_length_and_gathered_points_four_times_that_at_both_ends():
    network = AdaptedFeatures(2, 1, width=100, narrower=0.5)
    network.begin(front)
    share = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    points = network.gathered(torch.stack([share, share], 1))
    assert points[[0, -1]].tolist() == [[0, 0], [1, 1]]
    inside = network.centre[4:-4].double()  # at the middles of the 92 steps of equal share
    between = torch.histogram(2 * points[:, 0] - 1, inside).hist
    many = 1 + 3 * exp(-1 / 3)  # from half a step to one step and a half away from an end
    assert (between / between[45]).tolist()[::15] == pytest.approx([many, *[1] * 5, many], rel=0.03)
    x = torch.linspace(-1, 1, 4097, dtype=torch.float64)
    length = graded(x, 0.5 * shape_length(x, front((x[:, None] + 1) / 2)[1]), 0.4)
    share = torch.cumulative_trapezoid(1 / length, x)
    quarters = [float(x[1:][share >= q * share[-1]][0]) for q in (0.25, 0.5, 0.75)]
    assert [float(inside[k : k + 2].mean()) for k in (22, 45, 68)] == pytest.approx(quarters, abs=2e-3)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_function_of_adapted_features_that_is_small_at_the_gathered_points_is_small_between_them(seed):
    """With even points near the ends it may be 30000 times larger. Two points for each feature."""
    network = AdaptedFeatures(2, 1, width=40, degree=3).double()
    network.begin(lambda unit: front(unit, 0.05, 0.3))

    def features(unit: torch.Tensor) -> torch.Tensor:
        x, t = (2 * network.gathered(unit) - 1).split(1, 1)
        return torch.cat([network._along(x) * torch.cos(k * torch.acos(t.clamp(-1, 1))) for k in range(4)], 1)

    points = torch.quasirandom.SobolEngine(2, scramble=True, seed=seed).draw(320, dtype=torch.float64)
    _, size, V = torch.linalg.svd(features(points), full_matrices=False)
    kept = size > 1e-10 * size[0]
    axes = [torch.linspace(0, 1, n, dtype=torch.float64) for n in (301, 15)]
    largest = (features(torch.cartesian_prod(*axes)) @ V[kept].T / size[kept]).norm(dim=1).max()
    assert float(largest) * sqrt(320) < 2000  # of the functions whose mean square over the points is 1


def test_the_polynomials_in_time_are_orthogonal_at_gathered_points():
    share = (torch.arange(500, dtype=torch.float64) + 0.5) / 500
    t = 2 * AdaptedFeatures(2, 1).gathered(torch.stack([share, share], 1))[:, 1] - 1
    T = torch.cos(torch.arange(8) * torch.acos(t)[:, None])
    torch.testing.assert_close(T.T @ T / 500, torch.diag(torch.tensor([1.0, *[0.5] * 7]).double()), rtol=0, atol=1e-12)


def test_a_length_at_the_ends_gathers_features_there():
    network = AdaptedFeatures(2, 1, width=60, finest=1e-3)
    network.begin(lambda unit: front(unit, 10.0))
    assert (network.weight[[4, -5]] > 20 * network.weight[30]).all()


def test_the_length_of_a_shape_is_that_of_its_slope_or_of_its_bend():
    x = torch.linspace(0, 1, 2001, dtype=torch.float64)
    wave = torch.sin(40 * x)[:, None]
    size = float(wave.std())
    length = shape_length(x, torch.cat([wave, torch.ones_like(wave)], 1))[2:-2]
    s, c = torch.sin(40 * x[2:-2]).abs(), torch.cos(40 * x[2:-2]).abs()
    torch.testing.assert_close(1 / length, torch.maximum(40 * c / size, 40 * (s / size).sqrt()), rtol=2e-3, atol=0.2)
    assert shape_length(x, torch.ones(2001, 1)).tolist() == [0.5] * 2001, "a constant is as long as half the domain"


def test_graded_lengths_equal_the_minimum_over_all_pairs():
    torch.manual_seed(0)
    x, length = torch.rand(50, dtype=torch.float64).sort().values, torch.rand(50, dtype=torch.float64)
    expected = (length + 0.4 * (x[:, None] - x).abs()).min(1).values
    torch.testing.assert_close(graded(x, length, 0.4), expected)


@pytest.mark.parametrize(("settings", "words"), [
    ({"width": 15}, "architecture.width=15: expected a whole number from 16 on, e.g. 120"),
    ({"degree": -1}, "architecture.degree=-1: expected a whole number from 0 on, e.g. 6"),
    ({"narrower": 0}, "architecture.narrower=0: expected a number above 0 and at most 1"),
    ({"finest": 2}, "architecture.finest=2: expected a number above 0 and at most 1"),
    ({"inputs": 3}, "architecture=adapted_features: found 3 inputs; expected one space coordinate"),
    ({"inputs": 1}, "architecture=adapted_features: found 1 input; expected one space coordinate"),
])
def test_settings_of_adapted_features_that_make_no_sense_are_refused(settings, words):
    with refused(words):
        AdaptedFeatures(**{"inputs": 2, "outputs": 1, **settings})
