"""What the compiler of torch does with the graphs of steps beyond what it does by itself. Loaded where it compiles."""

from typing import Any

from torch import fx
from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files

from pinn_cli.derivatives import fused_layers, fused_source, rational_tanh
from pinn_cli.training import products


class FastFormulas(CustomGraphPass):
    """Other formulas for tanh and for large products, after differentiation, so that derivatives are what they were."""

    def __call__(self, graph: fx.Graph) -> None:
        rational_tanh.replace_tanh(graph)
        if products.available():
            products.replace_products(graph)

    def uuid(self) -> bytes:
        """Compiled graphs that were kept from other versions of these files do not count."""
        modules = (rational_tanh, products, fused_layers, fused_source)
        return get_hash_for_files((__file__, *(module.__file__ for module in modules)))


fused_layers.tell_the_tracer()
OPTIONS: dict[str, Any] = {
    "post_grad_custom_pre_pass": FastFormulas(),
    "realize_opcount_threshold": 18,  # operations of a result that is kept for all who read it: tanh has more
    # torch 2.13 writes a result over an operand that another loop of the same kernel has yet to read: gradients of
    # biases came out wrong by a tenth (`tests/training/test_objective.py`).
    "inplace_buffers": False,
}
