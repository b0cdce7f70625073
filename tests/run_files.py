"""Run folders written without training, for tests of everything that only reads."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pinn_cli.records.results import Noted, Results
from pinn_cli.training.stopping import Progress

CONFIG = """
seed: {seed}
problem: {{_target_: pinn_cli.problems.helmholtz.Helmholtz, a1: 1.0}}
weighting: {{{weighting}: {{_target_: pinn_cli.methods.weightings.{weighting}.Weighting, alpha: 0.9}}}}
"""


def write_run(
    folder: Path, coordinates: str = "xy", nodes: int = 24, started: str = "2026-01-01T00:00:00", seed: int = 0,
    weighting: str = "fixed", status: str = "finished", fields: tuple[str, ...] = ("u",), reference: bool = True,
    source: str = "0a1b2c3d",
) -> Results:
    """A finished run whose solution is a product of sines, with a history of 60 rows and two stages."""
    folder.mkdir(parents=True)
    results = Results(folder / "results.h5")
    about = {"problem": "helmholtz", "status": status, "started": started, "seed": seed, "device": "cpu",
             "source": source}
    results.create(about, CONFIG.format(seed=seed, weighting=weighting), {})
    rng = np.random.default_rng(seed)
    results.append([
        {
            "step": 100 * k, "time": 0.5 * k, "stage": int(k >= 40),
            "loss/total": 10 ** (2 - k / 10), "loss/pde": 10 ** (2 - k / 10 + 0.2 * rng.normal()),
            "loss/wall": 10 ** (-k / 12), "weight/pde": 1.0, "weight/wall": 100.0 * (1 + k / 30),
            **({f"error/{f}": 10 ** (-k / 15) for f in fields} if reference and k % 5 == 0 else {}),
        }
        for k in range(60)
    ])
    axes = np.meshgrid(*[np.linspace(-1, 1, nodes)] * len(coordinates), indexing="ij")
    X = np.stack([axis.ravel() for axis in axes], 1)
    exact = {f: np.prod(np.sin((1 + i) * np.pi * X), axis=1) for i, f in enumerate(fields)}
    wrong = {f: u + 1e-4 * np.cos(5 * X[:, 0]) for f, u in exact.items()}
    results.replace({
        "stages": ["adam", "levenberg_marquardt"],
        "fields": {
            "points": Noted(X, {"coordinates": list(coordinates)}), "prediction": wrong,
            **({"reference": exact} if reference else {}),
        },
        "collocation": {"pde": rng.uniform(-1, 1, (300, len(coordinates)))},
        "timing": {"duration": 31.5, "training": 30.0},
        "guard": {"verdict": "ok: sound", "ratio": {"pde": 1.1}, "relative": {"pde": 1e-5}},
        "error": {f: Noted(1e-4, {"max_absolute": 2e-4, "mean_absolute": 1e-4}) for f in fields if reference},
    })
    return results


def assert_same_run(one: Path | str, other: Path | str) -> None:
    """Networks, final values, histories and records of diagnostics of two runs are equal, bit for bit."""
    first, second = (Results(Path(folder) / "results.h5") for folder in (one, other))
    for group in ("history", "network", "error", "guard", "seams", "collocation", "stages", "unknowns", "fields",
                  "diagnostics"):  # fmt: skip
        then, now = first.read(group), second.read(group)
        assert then.keys() == now.keys(), group
        for name in then.keys() - {"time"} if group == "history" else then:
            numbers = np.asarray(then[name]).dtype.kind == "f"
            assert np.array_equal(then[name], now[name], equal_nan=numbers), f"{group}/{name}"


@contextmanager
def told_to_stop_in(step: int, signal_number: int = signal.SIGTERM) -> Iterator[None]:
    """Runs get this signal at the end of this step, before its row."""
    advance = Progress.advance

    def interrupt(progress: Progress, loss: float) -> None:
        advance(progress, loss)
        if progress.step == step:
            signal.raise_signal(signal_number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Progress, "advance", interrupt)
        yield
