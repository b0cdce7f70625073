"""What to type where a run has ended and its equations do not hold yet."""

from collections.abc import Sequence
from math import ceil

from omegaconf import DictConfig

from pinn_cli.methods.contracts import SHARED, Stage
from pinn_cli.training.stopping import Stop
from pinn_cli.training.verdict import NO_USE

MOST = 10  # times a limit, in what a run is told to type
WINDOWS = "windows in time: strategy=[time_marching] strategy.time_marching.windows=10"


def advice(config: DictConfig, stop: Stop, earlier: Sequence[str], stage: Stage) -> str:
    """Words for the verdict on a run that ended with `stop` in `stage`; `earlier` says why its earlier stages ended."""
    shared = any(reason.startswith(SHARED) for reason in earlier)  # a resume goes on with the last stage only
    if shared and not stop.longer:
        return "train longer: type a larger stop.steps or stop.seconds in a new run"
    if stop.longer:
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


def resume(config: DictConfig, stop: Stop, trained: float, run: str = "RUN") -> str:
    """The command with which a run goes on that has stopped on the way, with `trained` as the share of its time.

    A limit of the run that has ended it must be larger, by as much as the rest of the time seems to need.
    """
    limit = next((name for name in ("steps", "seconds") if stop.longer == f"a larger stop.{name}"), "")
    if not limit:
        return f"pinn resume {run}"
    times = min(MOST, ceil(1.2 / max(trained, 1 / MOST)))
    return f"pinn resume {run} stop.{limit}={times * config.stop[limit]:.10g}"
