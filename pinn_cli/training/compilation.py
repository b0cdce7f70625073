"""Decides whether the training step is compiled."""

from collections.abc import Callable

import torch
from torch import Tensor

from pinn_cli.methods.contracts import Optimizer
from pinn_cli.training.compiled_step import unchecked
from pinn_cli.training.residuals import Engine

LONG = 5000  # steps after which a compilation of half a minute has paid for itself
GAIN = 0.25  # of a compilation for several runs, for each run, since an operation is called only once for all of them


def decide(
    setting: str, optimizer: Optimizer, steps: int | None, engine: Engine, say: Callable[[str], None], runs: int = 1
) -> bool:
    """Whether to compile, from the setting `on`, `off` or `auto`: long runs of cheap steps, if a compiler works here.

    Steps count as cheap if the optimizer's `cadence` is above 1. `runs` are trained together. `say`
    gets the reason why `on` is not possible.
    """
    long = optimizer.cadence > 1 and (steps is None or steps * max(1.0, GAIN * runs) >= LONG)
    if setting == "off" or (setting == "auto" and not long):
        return False
    if not engine.taped:  # double backward passes cannot be compiled
        say("compile: derivatives=autograd cannot be compiled; the run is not compiled")
        return False
    if (reason := _failure()) is not None:
        say(f"compile: no working compiler ({reason}); the run is not compiled")
        return False
    return True


def advice(error: Exception) -> str | None:
    """What to type if a compiled step cannot be built or loaded, e.g. after a kill; None for other errors."""
    from torch._dynamo.exc import BackendCompilerFailed
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    way = f"if another process was killed while it compiled, remove {cache_dir()}; or train with compile=off"
    return way if isinstance(error, BackendCompilerFailed) else None


def _failure() -> str | None:
    """Why a tiny function cannot be compiled on this machine; None if it can."""

    def probe(x: Tensor) -> list[Tensor]:
        return [torch.tanh(x) * 2]

    try:
        one = torch.ones(3, device="cpu")
        unchecked(probe, [one], {})(one)
    except Exception as error:  # the compiler, its driver and the loader each have errors of their own
        return str(error).strip().splitlines()[0][:120]
    return None
