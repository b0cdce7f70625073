"""Large products of compiled steps: which of them oneDNN forms, and that their numbers are those of torch."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from pinn_cli.training.products import available, is_large, product, replace_products

onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


def layer(A, W):
    """A layer, and the gradient of its weights and its input."""
    Z = A @ W.T
    return Z, Z.T @ A, Z @ W


def targets(A, W, tracing_mode="real", shapes=None):
    with FakeTensorMode(allow_non_fake_inputs=True, shape_env=shapes) as fakes:
        graph = make_fx(layer, tracing_mode=tracing_mode)(fakes.from_tensor(A), fakes.from_tensor(W))
    replace_products(graph.graph)
    graph.recompile()
    kinds = "aten.mm.default", "pinn.product.default"
    return graph, [node.target.name() for node in graph.graph.nodes if str(node.target) in kinds]


@onednn
@pytest.mark.parametrize(("rows", "width", "by_onednn"), [(500, 50, 0), (4000, 50, 2), (400, 130, 3)])
def test_the_large_products_of_a_layer_are_replaced_and_equal(rows, width, by_onednn):
    torch.manual_seed(0)
    A, W = torch.randn(rows, width), torch.randn(width, width)
    graph, names = targets(A, W)
    assert sorted(names) == ["aten::mm"] * (3 - by_onednn) + ["pinn::product"] * by_onednn
    exact = layer(A.double(), W.double())
    for one, other in zip(graph(A, W), exact, strict=True):
        assert ((one - other).abs() <= 1e-5 * other.abs().max()).all()


@onednn
def test_factors_may_lie_in_memory_in_any_order():
    torch.manual_seed(0)
    a, b = torch.randn(30, 20), torch.randn(20, 40)
    for one in (a, a.T.contiguous().T, a.repeat(1, 2)[:, :20]):
        for other in (b, b.T.contiguous().T):
            torch.testing.assert_close(product(one, other), a @ b)


def test_small_products_other_precisions_and_sizes_that_are_not_known_stay():
    assert is_large(torch.empty(4000, 50), torch.empty(50, 50))
    assert not is_large(torch.empty(900, 50), torch.empty(50, 50))
    assert not is_large(torch.empty(4000, 50).double(), torch.empty(50, 50).double())
    assert not is_large(torch.empty(50, 4000, device="meta"), torch.empty(4000, 50, device="meta"))
    assert not is_large(torch.empty(4000, 50).T, torch.empty(4000, 50))
    _, names = targets(torch.randn(4000, 50), torch.randn(50, 50), "symbolic", ShapeEnv())
    assert names == ["aten::mm"] * 3


@pytest.mark.slow
@pytest.mark.skipif(not available(), reason="no oneDNN, or vectors of 256 bits")
def test_a_compiled_layer_has_them():
    from torch._inductor.utils import run_and_get_code

    from pinn_cli.training.compiler_options import OPTIONS

    A, W = torch.randn(4000, 50), torch.randn(50, 50)
    made, code = run_and_get_code(torch.compile(layer, fullgraph=True, dynamic=False, options=OPTIONS), A, W)
    assert code[0].count("torch.ops.pinn.product.default(") == 2
    for one, other in zip(made, layer(A, W), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)
