"""Whether the training step becomes one compiled graph."""

from collections.abc import Callable

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Optimizer
from pinn_cli.training.residuals import Engine

LONG = 5000  # steps after which a compilation of half a minute has paid for itself


def decide(setting: str, optimizer: Optimizer, steps: int | None, engine: Engine, say: Callable[[str], None]) -> bool:
    """`on`, `off`, or `auto`: compile a long run of cheap steps, if there is a compiler that works.

    Steps are cheap where the optimizer asks for a row only every `cadence` of them.
    """
    long = optimizer.cadence > 1 and (steps is None or steps >= LONG)
    if setting == "off" or (setting == "auto" and not long):
        return False
    if not engine.taped:  # double backward passes cannot be compiled
        say("compile: derivatives=autograd cannot be compiled; going on in eager mode")
        return False
    if (reason := _failure()) is not None:
        say(f"compile: no working compiler ({reason}); going on in eager mode")
        return False
    return True


def advice(error: Exception) -> str | None:
    """What to do where a compiled step cannot be built or loaded: a kill leaves half of one. None for other errors."""
    from torch._dynamo.exc import BackendCompilerFailed
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    way = f"if another process was killed while it compiled, remove {cache_dir()}; or train with compile=off"
    return way if isinstance(error, BackendCompilerFailed) else None


def _failure() -> str | None:
    """Why a tiny function cannot be compiled here; None if it can."""

    def probe(x: Tensor) -> Tensor:
        return torch.tanh(x) * 2

    try:
        with torch.device("cpu"):
            torch.compile(probe, fullgraph=True)(torch.ones(3))
    except Exception as error:  # the compiler, its driver and the loader each have errors of their own
        return str(error).strip().splitlines()[0][:120]
    return None
