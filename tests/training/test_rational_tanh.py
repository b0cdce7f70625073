"""The tanh of compiled steps: its error at points of all sizes, and where the compiler takes it."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import grad, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from pinn_cli.derivatives.rational_tanh import BOUND, rational_tanh, replace_tanh
from pinn_cli.training.compiler_options import OPTIONS

TANH = torch.ops.aten.tanh.default


def test_the_relative_error_is_small_everywhere():
    sizes = torch.logspace(-45, 38, 400_001)
    x = torch.cat([torch.linspace(-10, 10, 1_000_001), sizes, -sizes, torch.tensor([torch.inf, -torch.inf])])
    exact = torch.tanh(x.double())
    assert ((rational_tanh(x).double() - exact).abs() <= 3.5e-7 * exact.abs()).all()
    assert (rational_tanh(x).abs() <= 1).all(), "1 - tanh^2 is not negative"
    assert torch.equal(rational_tanh(-x), -rational_tanh(x))
    assert rational_tanh(torch.tensor(torch.nan)).isnan()
    assert torch.equal(rational_tanh(torch.full((2,), 2 * BOUND)), rational_tanh(torch.full((2,), BOUND)))


def slopes(x):
    return vmap(grad(lambda x: torch.tanh(torch.tanh(x) * 2)))(x)


def after_the_pass(function, x):
    """Its graph as the compiler sees it, before and after."""
    with FakeTensorMode(allow_non_fake_inputs=True) as fakes:
        graph = make_fx(function)(fakes.from_tensor(x))
    before = len(graph.graph.find_nodes(op="call_function", target=TANH))
    replace_tanh(graph.graph)
    graph.recompile()
    return graph, before, len(graph.graph.find_nodes(op="call_function", target=TANH))


def test_the_pass_replaces_tanh_and_keeps_the_formula_of_its_derivative():
    x = torch.linspace(-6, 6, 1001)
    graph, before, after = after_the_pass(slopes, x)
    assert (before, after) == (2, 0)
    assert all("val" in node.meta for node in graph.graph.nodes if node.op == "call_function")
    torch.testing.assert_close(graph(x), slopes(x), rtol=1e-5, atol=1e-6)
    assert not torch.equal(graph(x), slopes(x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_keep_the_tanh_of_torch(dtype):
    x = torch.linspace(-6, 6, 1001, dtype=dtype)
    graph, before, after = after_the_pass(slopes, x)
    assert before == after == 2
    assert torch.equal(graph(x), slopes(x))


@pytest.mark.slow
def test_a_compiled_function_has_it():
    for dtype in (torch.float32, torch.float64):
        x = torch.linspace(-6, 6, 1001, dtype=dtype)
        compiled = torch.compile(lambda x: torch.tanh(x) * 2, fullgraph=True, options=OPTIONS, dynamic=False)(x)
        exact = torch.tanh(x) * 2
        torch.testing.assert_close(compiled, exact, rtol=4e-7, atol=0)
        kept = torch.allclose(compiled, exact, rtol=1e-14, atol=0)
        assert kept == (dtype == torch.float64)
        if dtype == torch.float32:
            torch.testing.assert_close(compiled, 2 * rational_tanh(x), rtol=1e-7, atol=0)
