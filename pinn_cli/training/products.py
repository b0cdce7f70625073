"""Large matrix products of graphs in float32 on the CPU, by oneDNN in place of MKL.

MKL takes other kernels on processors of other makers than Intel. On one AMD EPYC oneDNN was twice as fast for layers of
50 and 256, on another one as fast for 50 and 1.1 to 1.2 times as fast for 128 and 256. Its calls cost more, so small
products stay with MKL. Intel's processors have not been measured.
"""

import torch
from torch import Tensor, fx, library

LARGE = 2_500_000  # multiplications from which the longer call of oneDNN has paid for itself
TRANSPOSED = 128  # and columns and rows, where the first factor is transposed, as in the gradient of a weight
LIBRARY = library.Library("pinn", "DEF")
LIBRARY.define("product(Tensor a, Tensor b) -> Tensor")


@library.impl(LIBRARY, "product", "CPU")
def product(a: Tensor, b: Tensor) -> Tensor:
    """a (M, K) times b (K, N)."""
    return torch.ops.mkldnn._linear_pointwise.default(a, b.t(), None, "none", [], "")


@library.register_fake("pinn::product", lib=LIBRARY)
def _(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty(a.shape[0], b.shape[1])


def available() -> bool:
    """Whether torch has oneDNN, and the processor vectors of 512 bits."""
    return torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def replace_products(graph: fx.Graph) -> None:
    """Let oneDNN form the large products of a graph whose shapes are known."""
    for node in graph.find_nodes(op="call_function", target=torch.ops.aten.mm.default):
        if is_large(*(argument.meta["val"] for argument in node.args)):
            node.target = torch.ops.pinn.product.default


def is_large(a: Tensor, b: Tensor) -> bool:
    """Whether oneDNN is faster for a (M, K) times b (K, N)."""
    if a.dtype != torch.float32 or a.device.type != "cpu" or not all(isinstance(n, int) for n in (*a.shape, *b.shape)):
        return False
    (M, K), N = a.shape, b.shape[1]
    if a.stride(1) != 1:
        return min(M, N) >= TRANSPOSED and M * K * N >= LARGE
    return M * K * N >= LARGE
