"""Dense layers as one operation: the numbers of the layers one by one, for any streams, sizes and numbers of points.

With gates and without.
"""

from copy import deepcopy
from functools import partial
from itertools import product

import pytest
import torch
from torch._dynamo.backends.common import aot_autograd
from torch._functorch.aot_autograd import make_boxed_func
from torch.func import functional_call, grad_and_value

from pinn_cli.derivatives import Jet, Lap, Taylor, fused_layers
from pinn_cli.derivatives.fused_layers import FusedLayers, Gates, dense_layers
from pinn_cli.methods.architectures.layers import dense
from pinn_cli.methods.architectures.mlp import MLP
from pinn_cli.methods.architectures.modified_mlp import ModifiedMLP

pytestmark = pytest.mark.skipif(
    not fused_layers._works(repr(([1, 1, 1], [[]], [[]], None))),
    reason="there is no compiler for the source on this machine",
)
LAPLACIAN, HELMHOLTZ = Lap((0, 1), 2), [(0, 0), Lap((0, 1), 2)]


def relative(a, b):
    return ((a.double() - b.double()).norm() / b.double().norm()).item()


def one_by_one(engine, layers, streams, points):
    """The streams (S, F, N) of the layers by the rules for jets, from those of the inputs (S, D, N)."""
    jet = Jet([s.t() for s in streams], engine.algebra)
    for layer in layers[:-1]:
        jet = torch.tanh(layer(jet))
    return torch.stack([torch.zeros(points, len(layers[-1].weight)).double() if s is None else s
                        for s in layers[-1](jet).streams]).transpose(1, 2)  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "sizes", "counts"),
    [
        ([(0, 0)], [2, 6, 3], (1, 16, 1100)),
        (HELMHOLTZ, [2, 7, 12, 1], (5, 130, 300)),
        ([(3, 1), (0, 4), LAPLACIAN], [2, 5, 4, 2], (1, 40)),
    ],
    ids=["the value", "a Laplacian", "order four"],
)
def test_outputs_and_gradients_are_those_of_the_layers_one_by_one(wanted, sizes, counts):
    torch.manual_seed(0)
    engine, layers = Taylor(wanted), dense(sizes, "torch_default").double()
    S, theta = engine.streams, torch.cat([p.detach().flatten() for p in layers.parameters()])
    for N in counts:
        X, g = torch.randn(S, sizes[0], N), torch.randn(S, sizes[-1], N)
        exact_X = X.double().requires_grad_()
        exact = one_by_one(engine, layers, exact_X, N)
        slopes = torch.autograd.grad((exact * g).sum(), [exact_X, *layers.parameters()])
        of = [X.requires_grad_(), theta.float().requires_grad_()]
        out, _ = FusedLayers.apply(*of, repr((sizes, engine.algebra.compositions, engine.algebra.products, None)))
        found = torch.autograd.grad((out * g).sum(), of)
        assert relative(out, exact) < 2e-6
        assert relative(found[0], slopes[0]) < 5e-6
        assert relative(found[1], torch.cat([s.flatten() for s in slopes[1:]])) < 5e-6


GATED = {
    "the value": ([(0,)], 1, 3),
    "a Laplacian": (HELMHOLTZ, 2, 1),
    "three coordinates": ([(1, 0, 0), (0, 0, 2), (0, 1, 1)], 3, 2),
    "order four": ([(3, 1), (0, 4), LAPLACIAN], 2, 2),
}


@pytest.fixture
def made(monkeypatch):
    """Counts the layers that are one operation."""
    count, inner = [], fused_layers._in_graph
    monkeypatch.setattr(fused_layers, "_in_graph", lambda *parts: count.append(1) or inner(*parts))
    return count


@pytest.mark.parametrize(
    ("gate", "depth", "streams"),
    [("paper", 1, "a Laplacian"), *product(["paper"], [3], GATED), *product(["code"], [2], GATED)],
)
def test_gated_layers_have_the_outputs_and_gradients_of_the_rules_for_jets(gate, depth, streams, made):
    wanted, inputs, outputs = GATED[streams]
    torch.manual_seed(0)
    network = ModifiedMLP(inputs, outputs, width=7, depth=depth, gate=gate, initialiser="torch_default")
    slow, engine = deepcopy(network).double(), Taylor(wanted)
    for N in (1, 7, 128, 1000):
        X, g = torch.randn(engine.streams, inputs, N), torch.randn(engine.streams, outputs, N)
        results = []
        for own, one in ((network, True), (slow, False)):
            of = [X.to(next(own.parameters()).dtype).requires_grad_(), *own.parameters()]
            with fused_layers.one_operation(one):
                jet = own(Jet([s.t() for s in of[0]], engine.algebra))
            out = torch.stack([jet.derivative(key).t() for key in engine.algebra.position])
            slopes = torch.autograd.grad((out * g).sum(), of, materialize_grads=True)
            results.append((out, slopes[0], torch.cat([s.flatten() for s in slopes[1:]])))
        for one, by_rules in zip(*results, strict=True):
            assert relative(one, by_rules) < 5e-6
    assert len(made) == 4


def test_gates_between_encoders_of_another_width_are_not_one_operation():
    """torch stretches one feature to all; the operation would read beyond its end."""
    layers, gates = dense([2, 4, 1], "torch_default"), Gates([dense([2, 1], "torch_default")[0] for _ in "UV"], 0, 0)
    jet = Jet([torch.rand(5, 2)], Taylor([(0, 0)]).algebra)
    expected = dense_layers(jet, layers, torch.tanh, gates).value
    with fused_layers.one_operation():
        assert torch.equal(dense_layers(jet, layers, torch.tanh, gates).value, expected)


@pytest.mark.parametrize(("gating", "P"), [(None, 130), ((1, 0), 127)])
def test_several_threads_share_the_tiles(gating, P):
    torch.manual_seed(0)
    algebra = Taylor(HELMHOLTZ).algebra
    plan = repr(([2, 7, 12 if gating is None else 7, 1], algebra.compositions, algebra.products, gating))
    theta, X, g = torch.randn(P).requires_grad_(), torch.randn(4, 2, 1000), torch.randn(4, 1, 1000)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            out, _ = FusedLayers.apply(X, theta, plan)
            assert torch.equal(torch.ops.pinn.values(X, theta, plan), out), "the same where nothing is kept"
            results.append((out.detach(), *torch.autograd.grad((out * g).sum(), theta)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0][0], results[1][0])
    assert relative(results[1][1], results[0][1]) < 1e-5
    assert torch.equal(results[1][1], results[2][1]), "the same threads, the same bits"


def mean_square(network):
    """theta, X -> the mean square of u + lap u, with its gradient by parameter."""
    engine = Taylor(HELMHOLTZ)

    def loss(theta, X):
        values = engine(lambda at: functional_call(network, theta, (at,)), X)
        return sum(values.values()).square().mean()

    return grad_and_value(loss)


@pytest.mark.parametrize(
    ("dtype", "make", "counts", "fused"),
    [
        pytest.param(torch.float32, MLP, (20, 33, 700), True, id="float32"),
        pytest.param(torch.float32, ModifiedMLP, (20, 33, 700), True, id="paper"),
        pytest.param(torch.float64, MLP, (20,), False, marks=pytest.mark.slow, id="float64"),
        pytest.param(torch.float32, partial(MLP, activation="sin"), (20,), False, id="sine"),
        pytest.param(
            torch.float32,
            partial(MLP, width=fused_layers.WIDEST + 1),
            (20,),
            False,
            marks=pytest.mark.slow,
            id="wide",
        ),
    ],
)
def test_a_compiled_graph_has_the_operation_where_it_can_and_serves_any_number_of_points(dtype, make, counts, fused):
    graphs = []
    fused_layers.tell_the_tracer()

    def backend(graph, inputs):
        graphs.append({str(node.target) for node in graph.graph.nodes})
        return make_boxed_func(graph.forward)

    torch.manual_seed(0)
    network = partial(make, **{"width": 12, "depth": 2} | getattr(make, "keywords", {}))(2, 1).to(dtype)
    theta, function = {name: p.detach() for name, p in network.named_parameters()}, mean_square(network)
    compiled = torch.compile(function, fullgraph=True, backend=aot_autograd(fw_compiler=backend))
    for N in counts:
        X = torch.rand(N, 2, dtype=dtype)
        torch._dynamo.maybe_mark_dynamic(X, 0)
        torch.testing.assert_close(compiled(theta, X), function(theta, X), rtol=1e-4, atol=1e-5)
    (targets,) = graphs
    assert ("pinn.layers.default" in targets) == ("pinn.layers_backward.default" in targets) == fused


@pytest.mark.parametrize("make", [MLP, ModifiedMLP, partial(ModifiedMLP, gate="code")])
def test_values_are_one_operation_where_it_is_allowed(make, made):
    torch.manual_seed(0)
    network, engine, X = make(2, 1, width=12, depth=2), Taylor([(0, 0)]), torch.rand(50, 2)
    expected = engine(network, X)[0, 0].detach()
    for allowed, count in ((False, 0), (True, 1)):
        with fused_layers.one_operation(allowed), torch.no_grad():
            torch.testing.assert_close(engine(network, X)[0, 0], expected, rtol=1e-5, atol=1e-6)
        assert len(made) == count


def test_layers_take_their_part_of_the_vector_of_all_parameters_where_it_is_one():
    theta = torch.arange(10.0)
    parts = list(theta.split([1, 4, 2, 3]))
    with fused_layers.parts_of(theta, parts):
        part = fused_layers._as_vector(parts[1:3])
        assert torch.equal(part, theta[1:7])
        assert part.data_ptr() == theta[1:].data_ptr()
        assert fused_layers._as_vector(parts) is theta
        for others in ([parts[2], parts[1]], [parts[3], torch.ones(2)], [torch.ones(2)]):
            assert torch.equal(fused_layers._as_vector(others), torch.cat(others))


def test_a_source_that_the_compiler_refuses_leaves_the_layers_one_by_one(monkeypatch):
    refused = "([1, 1], [[], 'no plan'], [], None)"
    monkeypatch.setattr(fused_layers, "_kernel", lambda plan: fused_layers.Kernel(refused))
    assert fused_layers._works(repr(([2, 3, 1], [[]], [[]], None))) is False
