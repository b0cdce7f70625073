"""Jets against nested reverse-mode autograd: every architecture, every derivative set up to order four."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from pinn_cli.derivatives import Algebra, Jet
from pinn_cli.derivatives.engines import Autograd, Taylor
from pinn_cli.derivatives.keys import Lap
from pinn_cli.methods.architectures.factorised_mlp import FactorisedMLP
from pinn_cli.methods.architectures.fourier import Fourier
from pinn_cli.methods.architectures.mlp import MLP
from pinn_cli.methods.architectures.modified_mlp import ModifiedMLP
from pinn_cli.methods.architectures.random_fourier_features import RandomFourierFeatures
from pinn_cli.methods.architectures.random_gaussians import RandomGaussians
from pinn_cli.methods.architectures.sine import Sine


class Ansatz(nn.Module):
    """An exactly imposed condition, with divisions, powers, slices and stacks of coordinates."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.network = MLP(inputs, outputs, width=8, depth=2)

    def forward(self, X):
        x, y = X[:, 0], X[:, -1]
        distance = (1 - x**2) * (1.5 - y) / (2 + torch.cos(x * y)) ** 2 + torch.exp(-x) ** 0.5
        lift = torch.stack([x**3, 1 / (3 + y)], -1)[:, :1]
        return lift + distance.unsqueeze(-1) * self.network(X)


class Weighted(nn.Module):
    """Weight factorisation, trained slopes and gates: parameters that are no plain linear layer."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.first, self.last = nn.Linear(inputs, 8), nn.Linear(8, outputs)
        self.s, self.V = nn.Parameter(torch.rand(8)), nn.Parameter(torch.randn(8, 8) / 3)
        self.slope, self.alpha = nn.Parameter(torch.tensor(1.2)), nn.Parameter(torch.rand(8))

    def forward(self, X):
        h = torch.tanh(self.slope * self.first(X))
        g = torch.sigmoid(nn.functional.linear(h, torch.exp(self.s)[:, None] * self.V))
        return self.last(self.alpha * g + (1 - self.alpha) * h)


def shaken(network):
    """The network with an output layer that is not zero."""
    nn.init.normal_(network.output_layer.weight)
    return network


NETWORKS = {
    "mlp": lambda i, o: MLP(i, o, width=8, depth=3),
    **{
        f"mlp-{a}": lambda i, o, a=a: MLP(i, o, width=8, depth=2, activation=a)
        for a in ("sin", "gelu", "silu", "softplus", "sigmoid", "gaussian")
    },
    **{
        f"modified-{g}": lambda i, o, g=g: ModifiedMLP(i, o, width=8, depth=3, gate=g)
        for g in ("paper", "code", "legacy")
    },
    "fourier": lambda i, o: Fourier(i, o, width=8, depth=2),
    "sine": lambda i, o: Sine(i, o, width=8, depth=3),
    "factorised": lambda i, o: FactorisedMLP(i, o, width=8, depth=2),
    "random Gaussians": lambda i, o: shaken(RandomGaussians(i, o, width=8, finest=0.05)),
    "random Fourier features": lambda i, o: shaken(RandomFourierFeatures(i, o, width=8)),
    "stretched random Fourier features": lambda i, o: shaken(RandomFourierFeatures(i, o, width=8, finer=3)),
    "ansatz": Ansatz,
    "weighted": Weighted,
}
WANTED = {
    "value": {(0, 0)},
    "laplacian": {(0, 0), Lap((0, 1), 2)},
    "laplacian and seconds": {Lap((0, 1), 2), (2, 0), (0, 2)},
    "burgers": {(0, 0), (1, 0), (2, 0), (0, 1)},
    "mixed": {(1, 1), (2, 1)},
    "kuramoto-sivashinsky": {(0, 0), (1, 0), (2, 0), (4, 0), (0, 1)},
    "biharmonic": {(4, 0), (2, 2), (0, 4)},
    "all of order four": {a for a in product(range(5), repeat=2) if sum(a) == 4},
    "heat in space": {(0, 0, 0, 1), Lap((0, 1, 2), 4)},
    "three coordinates": {(2, 1, 1), (0, 0, 3)},
}


def assert_engines_agree(wanted, u, X):
    fast, slow = Taylor(wanted)(u, X), Autograd(wanted)(u, X)
    for key in wanted:
        torch.testing.assert_close(fast[key], slow[key], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("wanted", WANTED.values(), ids=WANTED)
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_jets_equal_nested_autograd(network, wanted):
    torch.manual_seed(0)
    D = max(k.dimension if isinstance(k, Lap) else len(k) for k in wanted)
    assert_engines_agree(wanted, network(D, 2).double(), torch.rand(6, D, dtype=torch.float64))


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_gradients_of_jets_equal_those_of_autograd(network):
    torch.manual_seed(1)
    wanted = {(0, 0), (1, 0), Lap((0, 1), 2)}
    u, X = network(2, 1).double(), torch.rand(9, 2, dtype=torch.float64)
    fast, slow = (sum(v.square().mean() for v in engine(wanted)(u, X).values()) for engine in (Taylor, Autograd))
    for a, b in zip(*(torch.autograd.grad(loss, list(u.parameters())) for loss in (fast, slow)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.tuples(*[st.integers(0, 4)] * 3).filter(lambda a: 0 < sum(a) <= 4), min_size=1, max_size=4))
def test_any_set_of_derivatives(wanted):
    torch.manual_seed(0)
    assert_engines_agree(wanted, MLP(3, 1, width=5, depth=2).double(), torch.rand(3, 3, dtype=torch.float64))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 4),
    st.floats(0.3, 2.0),
    st.sampled_from(["tanh", "sin", "cos", "exp", "sigmoid", "sqrt", "square", "reciprocal", "atan", "log"]),
)
def test_scalar_functions_of_one_variable(order, x, name):
    f = getattr(torch, name)
    assert_engines_agree({(order,)}, lambda Z: f(Z * 0.7 + 0.1), torch.tensor([[x]], dtype=torch.float64))


def test_the_laplacian_is_one_stream_unless_its_parts_are_streams_already():
    assert len(Algebra({(0, 0, 0), Lap((0, 1, 2), 3)})) == 5  # value, three slopes, one Laplacian
    assert len(Algebra({(2, 0), (0, 2), Lap((0, 1), 2)})) == 5  # value, two slopes, two seconds: their sum is free
    assert len(Algebra({(0, 0)})) == 1


def test_faa_di_bruno_counts_set_partitions():
    """f(z)_xxxx has the partitions of four letters: 1, 4 + 3, 6 and 1 (Bell number 15)."""
    algebra = Algebra({(4,)})
    terms = algebra.compositions[algebra.position[(4,)]]
    assert [(k, sum(c for c, _ in polynomial)) for k, polynomial in terms] == [(1, 1), (2, 7), (3, 6), (4, 1)]


def test_a_constant_function_has_no_slopes():
    for engine in (Taylor, Autograd):
        values = engine({(0, 0), (1, 0)})(lambda X: torch.full((len(X), 1), 3.0), torch.rand(4, 2))
        assert values[(0, 0)].eq(3).all()
        assert values[(1, 0)].eq(0).all()


def test_a_missing_rule_is_named_with_the_way_out():
    with pytest.raises(NotImplementedError, match=r"no Taylor rule for `erf`.*derivatives=autograd"):
        Taylor({(2, 0)})(lambda X: torch.erf(X), torch.rand(3, 2))


def test_jets_refuse_orders_above_four_and_autograd_has_them():
    u, X = MLP(1, 1, width=4, depth=2).double(), torch.rand(3, 1, dtype=torch.float64)
    with pytest.raises(NotImplementedError, match="order 4; type derivatives=autograd"):
        Taylor({(5,)})(u, X)
    assert Autograd({(5,)})(u, X)[(5,)].abs().max() > 0


def test_the_points_of_a_jet_cannot_be_split():
    jet = Jet.identity(Algebra({(1, 0)}), torch.rand(4, 2))
    with pytest.raises(IndexError, match="indexed by feature"):
        jet[0]
    with pytest.raises(ValueError, match="the points come first"):
        jet.reshape(2, 4)


@pytest.mark.parametrize("f", [
    lambda X: torch.cat([X, torch.ones_like(X[:, :1]), X**2], 1),
    lambda X: torch.stack([X[:, 0], X[:, 1] * X[:, 0]], -1),
    lambda X: X.reshape(len(X), 1, 2).reshape(len(X), 2)[..., [1, 0]],
    lambda X: X[:, :1] * X[:, :1] + F.linear(X, torch.ones(6, 2, dtype=X.dtype)) + X[:, :1] ** 0,
    lambda X: torch.unbind(X, 1)[1].unsqueeze(1) / (1 + torch.square(X[:, :1])),
    lambda X: 1 / X - 2 / (X + 1) + (3 - X) ** 3 - X**-1.5,
    lambda X: torch.rsub(X, 2) - torch.neg(X) + torch.add(X, X, alpha=2),
], ids=["cat", "stack", "reshape", "broadcast", "unbind", "arithmetic", "functions"])  # fmt: skip
def test_maps_of_features(f):
    wanted = {(1, 0), (1, 1), (0, 2)}
    X = torch.rand(5, 2, dtype=torch.float64) + 0.5
    assert_engines_agree(wanted, f, X)
    shapes = {key: value[:0].shape for key, value in Taylor(wanted)(f, X).items()}
    assert {key: value.shape for key, value in Taylor(wanted)(f, X[:0]).items()} == shapes, "no points, no error"


@pytest.mark.slow
@pytest.mark.parametrize("network", [NETWORKS["modified-code"], Ansatz], ids=["modified", "ansatz with an mlp"])
def test_residuals_compile_as_one_graph(network):
    u, engine, X = network(2, 1), Taylor({(0, 0), Lap((0, 1), 2)}), torch.rand(32, 2)
    eager = engine(u, X)[Lap((0, 1), 2)]
    compiled = torch.compile(lambda X: engine(u, X)[Lap((0, 1), 2)], fullgraph=True)(X)
    torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", range(5))
@pytest.mark.parametrize("f", [
    lambda Z: (Z * Z * Z).clamp(0, 1) ** 3 + torch.clamp(Z, max=0.5) * Z,
    lambda Z: torch.exp(0.1 * (Z - 2 * torch.floor(Z / 2))) + Z * Z.floor(),
], ids=["clamp", "floor"])  # fmt: skip
def test_functions_with_kinks_have_the_derivatives_of_their_pieces(f, order):
    X = torch.tensor([[-2.3], [-1.0], [0.3], [0.4], [0.8], [2.1], [7.9]], dtype=torch.float64)
    assert_engines_agree({(order,)}, f, X)


@pytest.mark.parametrize("wanted", [{(0, 0)}, {(2, 1), (0, 3)}, {Lap((0, 1), 2)}])
def test_where_has_the_derivatives_of_the_chosen_branch(wanted):
    def f(X):
        x, y = X[:, 0], X[:, 1]
        one = torch.where(x < y, x * y * y, torch.sin(x))
        other = torch.where(y >= 0.5, 2.0, torch.where(x > torch.full_like(x, 0.5), x, 0.0))
        return torch.stack([one, other], -1)

    assert_engines_agree(wanted, f, torch.rand(40, 2, dtype=torch.float64))
