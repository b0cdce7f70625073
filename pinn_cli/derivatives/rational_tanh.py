"""tanh as a quotient of polynomials, for graphs in float32 on the CPU: about a quarter of the time of torch.tanh.

    tanh(x) = x p(x^2) / q(x^2) for |x| <= 7.9, beyond that its value there        p and q of degree 4

The relative error is below 3.5e-7, three units of 2^-23, everywhere, and |tanh| does not exceed 1. p and q minimise the
largest error of exact arithmetic, 7e-9: least squares with weights that grow where the error is large (Lawson, 1961).
They were rounded to float32 one coefficient after another, with the rest fitted again: `benchmarks/tanh_fit.py`.
"""

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

BOUND = 7.9
P = (1.0, 0.13452886044979095, 0.0035816715098917484, 2.2067273675929755e-05, 1.54900803295277e-08)
Q = (1.0, 0.46786215901374817, 0.026202457025647163, 0.0003428023774176836, 8.623886174063955e-07)


def rational_tanh(x: Tensor) -> Tensor:
    """tanh(x) of a float32 tensor; NaN stays NaN."""
    x = x.clamp(-BOUND, BOUND)
    return x * polynomial(P, x * x) / polynomial(Q, x * x)


def polynomial(coefficients: tuple[float, ...], s: Tensor) -> Tensor:
    """c_0 + c_1 s + c_2 s^2 + ..., by Horner's scheme."""
    *lower, last = coefficients
    value = s * last + lower.pop()
    while lower:
        value = value * s + lower.pop()
    return value


def replace_tanh(graph: fx.Graph) -> None:
    """Let a graph have this tanh. Where the graph is differentiated already, 1 - tanh^2 is still the derivative."""
    from torch._inductor.decomposition import select_decomp_table  # with the compiler, which takes a second to load

    for node in graph.find_nodes(op="call_function", target=torch.ops.aten.tanh.default):
        of = node.meta["val"]
        if of.dtype != torch.float32 or of.device.type != "cpu":
            continue
        with of.fake_mode:
            formula = make_fx(rational_tanh, select_decomp_table())(of).graph
        (argument,) = formula.find_nodes(op="placeholder")
        with graph.inserting_before(node):
            value = graph.graph_copy(formula, {argument: node.args[0]})
        node.replace_all_uses_with(value)
        graph.erase_node(node)
