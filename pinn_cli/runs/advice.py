"""What to type where a run has ended and its equations do not hold yet."""

from collections.abc import Sequence

from omegaconf import DictConfig

from pinn_cli.methods.contracts import Stage
from pinn_cli.training.stopping import SHARE, Stop
from pinn_cli.training.verdict import NO_USE

WINDOWS = "windows in time: strategy=[time_marching] strategy.time_marching.windows=10"


def advice(config: DictConfig, stop: Stop, earlier: Sequence[str], stage: Stage) -> str:
    """Words for the verdict on a run that ended with `stop` in `stage`; `earlier` says why its earlier stages ended."""
    if stop.longer:
        shared = any(reason.startswith(SHARE) for reason in earlier)  # a resume goes on with the last stage only
        return f"train longer: type {stop.longer}{' in a new run' if shared else ''}"
    more = ["dtype=float64"] if config.dtype == "float32" else []
    more += ["more steps for the optimizers before the last"] if any(r.endswith("steps made") for r in earlier) else []
    own = not config.architecture._target_.startswith("pinn_cli.")  # a network of the user's may have no width
    features = getattr(stage.model.network, "remedies", ())
    more += features or ["a larger network" if own else "a larger architecture.width"]
    if features and stage.problem.domain.time is not None and stage.solution is None:
        more.append(WINDOWS)
    more.append("another seed")
    return f"{NO_USE}: try {', '.join(more[:-1])}, or {more[-1]}"
