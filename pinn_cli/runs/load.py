"""Load a trained network as a function: ``u = load("helmholtz"); u(x=0.3, y=[0, 0.5], derivatives=["u_x"])``.

Notebooks and `pinn predict` both use it. The problem, the scaling and the ansatz are built from the configuration in
the results file. The parameters come from its ``/network``, or from the checkpoint of a run that has not ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from omegaconf import DictConfig

from pinn_cli.basics.errors import UsageError
from pinn_cli.basics.memory import refuse_too_many
from pinn_cli.configuration import project
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.settings import read_back
from pinn_cli.configuration.sources import refuse_changed
from pinn_cli.physics.piecewise import Marched, Piecewise, shaped
from pinn_cli.records import checkpoint
from pinn_cli.records.folder import CHECKPOINT, RESULTS
from pinn_cli.records.results import Results
from pinn_cli.records.status import Status
from pinn_cli.training.objective import Objective

AT_ONCE = 8192  # points per pass: bounds the memory that derivatives of many points take


def load(folder: Path, trust_source: bool = False, device: str = "cpu") -> "Prediction":
    """The network of the run in a folder; ``pinn_cli.load`` takes any name of a run.

    Raises UsageError if there is no run, if its file is damaged, or if the problem's source has changed since
    (unless `trust_source`), showing the difference.
    """
    results = Results(folder / RESULTS)
    about, config = results.read_attributes(), read_back(results.read_config(), results.path)
    config.device = device
    with project.working_in(project.of_run(about, config, folder)):
        if not trust_source:
            refuse_changed(results.read("source"), config)
        parts = assemble(config)
    state = _state(folder, results)
    model = shaped(parts.problem, parts.new_models(), state)
    _restore(model, state, folder)
    engine: Any = Piecewise(parts.engine) if isinstance(model, Marched) else parts.engine
    objective = Objective(parts.problem, model, engine, parts.weighting, parts.weights)
    return Prediction(folder.absolute(), config, objective)


@dataclass
class Prediction:
    """A solution one can call. `folder` holds the run, `config` is its configuration."""

    folder: Path
    config: DictConfig
    objective: Objective

    @property
    def problem(self) -> Any:
        """The problem, with its coefficients, constraints and domain."""
        return self.objective.problem

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Names of the coordinates, which are the keywords of a call."""
        return tuple(self.problem.coordinates)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields the network gives."""
        return tuple(self.problem.fields)

    @property
    def unknowns(self) -> dict[str, float]:
        """The coefficients that were trained, by name."""
        return {name: float(value.detach()) for name, value in self.objective.model.unknowns.items()}  # type: ignore[union-attr, operator]

    @cached_property
    def history(self) -> dict[str, np.ndarray]:
        """The columns of the history: ``history["loss/pde"]``, each of shape (R,)."""
        return Results(self.folder / RESULTS).read_history()

    def __call__(self, derivatives: str | Sequence[str] = (), **coordinates: ArrayLike) -> Any:
        """Values at points: numbers or arrays by coordinate, broadcast against each other.

        `derivatives` names what is wanted: fields, derivatives (``u_xx``, ``lap_u``), observables, coefficients, or
        ``residual/<constraint>``. A list of names gives a dict of arrays of the common shape, one name an array;
        without it there are the fields, or for a problem of one field its array. Raises UsageError for other names.
        """
        alone = isinstance(derivatives, str) or (not derivatives and len(self.fields) == 1)
        names = [derivatives] if isinstance(derivatives, str) else list(derivatives or self.fields)
        shape, X = self._points(coordinates)
        arrays = {name: value.reshape(shape) for name, value in self._evaluate(names, X).items()}
        return arrays[names[0]] if alone else arrays

    def grid(self, nodes: Sequence[int], derivatives: list[str] | None = None) -> dict[str, np.ndarray]:
        """The axis of each coordinate, and each value asked for (n1, n2, ...); NaN outside the domain."""
        if len(nodes) != len(self.coordinates) or min(nodes) < 2:
            found, example = ("x".join(map(str, n)) for n in (nodes, [200] * len(self.coordinates)))
            raise UsageError(f"grid {found}: expected {len(self.coordinates)} whole numbers above 1, e.g. {example}")
        values = 2 * len(nodes) + len(derivatives or self.fields)  # the points twice, as they are made and as one array
        way = f"type a smaller grid than {'x'.join(map(str, nodes))}"
        refuse_too_many(prod(nodes), values, torch.device("cpu"), way)
        domain = self.problem.domain
        ends = zip(self.coordinates, domain.extents, nodes, strict=True)
        axes = {c: np.linspace(low, high, n) for c, (low, high), n in ends}
        points = np.meshgrid(*axes.values(), indexing="ij")
        values = self(derivatives or list(self.fields), **dict(zip(axes, points, strict=True)))
        inside = domain.contains(torch.as_tensor(np.stack([p.ravel() for p in points], 1))).numpy()
        return axes | {name: np.where(inside.reshape(v.shape), v, np.nan) for name, v in values.items()}

    def _points(self, coordinates: dict[str, ArrayLike]) -> tuple[tuple[int, ...], torch.Tensor]:
        """The common shape, and the points (N, D)."""
        if set(coordinates) != set(self.coordinates):
            found = ", ".join(coordinates) or "none"
            expected = ", ".join(f"{c}=..." for c in self.coordinates)
            raise UsageError(f"found coordinates {found}; expected {expected}")
        try:
            arrays = np.broadcast_arrays(*(np.asarray(coordinates[c], float) for c in self.coordinates))
        except ValueError as error:
            raise UsageError(f"the coordinates do not fit each other: {error}") from error
        X = torch.as_tensor(np.stack([array.ravel() for array in arrays], 1))
        return arrays[0].shape, X.to(self.objective.device, self.objective.dtype)

    def _evaluate(self, names: list[str], X: torch.Tensor) -> dict[str, np.ndarray]:
        try:
            parts = [self.objective.evaluate(names, part) for part in X.split(AT_ONCE)]
        except (TypeError, ValueError) as error:
            known = ", ".join(f"residual/{c.name}" for c in self.objective.constraints.values() if c.kind != "data")
            raise UsageError(f"{' '.join(str(error).split())} (or {known})") from error
        return {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in names}


def _state(folder: Path, results: Results) -> dict[str, torch.Tensor]:
    """Parameters by name: those kept at the end of a run, or of one that has not ended, those of its checkpoint."""
    network = results.read("network")
    # The network of a run that failed is older than its checkpoint.
    ended = results.read_attributes().get("status") in (Status.FINISHED, Status.STOPPED)
    if (folder / CHECKPOINT).is_file() and not (network and ended):
        saved = checkpoint.load_run(folder / CHECKPOINT)
        return dict(saved.get("solution") or saved["model"])
    if network:
        return {name: torch.as_tensor(np.asarray(value)) for name, value in network.items()}
    raise UsageError(f"{folder} holds no network yet; it is there from the first checkpoint on")


def _restore(model: torch.nn.Module, state: dict[str, torch.Tensor], folder: Path) -> None:
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"the network in {folder} is not the one of its configuration: {reason}") from error
