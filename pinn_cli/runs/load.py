"""Load a trained network as a function: ``u = load("helmholtz"); u(x=0.3, y=[0, 0.5], derivatives=["u_x"])``.

Notebooks and `pinn predict` both use it. The problem, the scaling and the ansatz are built from the configuration in
the results file. The parameters come from its ``/network``, or from the checkpoint of a run that has not ended.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from omegaconf import DictConfig

from pinn_cli.basics.errors import MachineError, UsageError, nearest
from pinn_cli.basics.memory import refuse_too_many
from pinn_cli.basics.text import scientific
from pinn_cli.configuration import project
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.settings import read_back
from pinn_cli.configuration.sources import Sources, data_in, recorded_in, refuse_untrusted
from pinn_cli.configuration.trainable import trainable_constraints
from pinn_cli.physics.family import Family
from pinn_cli.physics.piecewise import Marched, Piecewise, shaped
from pinn_cli.physics.problem import Problem
from pinn_cli.records import checkpoint
from pinn_cli.records.folder import CHECKPOINT, RESULTS
from pinn_cli.records.results import Results
from pinn_cli.records.status import Status
from pinn_cli.runs.inputs import refuse_other_inputs
from pinn_cli.training.conclusion import trained_coefficients
from pinn_cli.training.objective import Objective, units_of
from pinn_cli.training.verdict import SMALL, examine

Loaded = tuple[bool, str, bool, int | None]
Parameters = Mapping[str, Any]  # of an instance of a family, that a user gives
AT_ONCE = 8192  # points per pass: bounds the memory that derivatives of many points take


def load(
    folder: Path, trust_source: bool = False, device: str = "cpu", changed: bool = False, instance: int | None = None
) -> "Prediction":
    """The network of the run in a folder, with the modules as they were recorded; ``pinn_cli.load`` takes any name.

    With `changed` the modules are taken from their files as they are now. Of a network that was trained for all
    instances of a family, it is the solution of one: the `instance` with this seed, or that of the run. Raises
    UsageError if there is no run, or no such instance, if its file is damaged, if it has recorded a text that is
    neither here nor one that was trained with here (unless `trust_source`: importing it runs it), or if a data file
    that the problem reads, its coefficients or measurements have changed; MachineError (one of them) if such a file
    cannot be read.
    """
    results = Results(folder / RESULTS)
    about, config = results.read_attributes(), read_back(results.read_config(), results.path)
    config.device = device
    with _data_files(folder):
        return _loaded(folder, results, about, config, (trust_source, device, changed, instance))


@contextmanager
def _data_files(folder: Path) -> Iterator[None]:
    """A data file that the problem cannot read becomes a MachineError: it may be there later."""
    try:
        yield
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else " ".join(str(error).split())
        raise MachineError(
            f"the problem of {folder} cannot read its data ({reason}); put the file back where the run has read it"
        ) from error


def _loaded(
    folder: Path, results: Results, about: Mapping[str, Any], config: DictConfig, loaded: Loaded
) -> "Prediction":
    trust_source, _, changed, instance = loaded
    if changed:
        with project.working_in(project.of_run(about, config, folder)), Sources().active():
            parts = assemble(config)
    else:
        with chdir(project.data_of_run(about)):
            if not trust_source:
                refuse_untrusted(results)
            code = Sources(recorded_in(results))
            with code.active():
                parts = assemble(config)
            code.refuse_other_data(data_in(results), folder)
            refuse_other_inputs(about, parts.problem, folder)
    state = _state(folder, results)
    model = shaped(parts.problem, parts.new_models(), state)
    _restore(model, state, folder)
    engine: Any = Piecewise(parts.engine) if isinstance(model, Marched) else parts.engine
    units = units_of(parts.problem, parts.scales, model)
    objective = Objective(parts.problem, model, engine, parts.weighting, parts.weights, units)
    problem = _instance(objective, instance, folder)
    family = None if objective.at.of_one_problem else objective
    notes = _failure(objective, problem, f"instance {problem.seed}" if isinstance(problem, Family) else "the problem")
    return Prediction(folder.absolute(), config, objective.of(problem), loaded, notes, family)


def _again(folder: Path, loaded: Loaded, parameters: Parameters) -> "Prediction":
    """What a pickle calls."""
    solution = load(folder, *loaded)
    return solution.with_(**parameters) if parameters else solution


def _failure(objective: Objective, problem: Problem, what: str) -> list[str]:
    """A line if the network has not solved this instance."""
    failures = objective.at.unsolved([problem])
    return [f"{what} is not solved: {failure}" for failure in failures.values()]


def _instance(objective: Objective, seed: int | None, folder: Path) -> Problem:
    """The problem that is solved: that of the run, or another instance of its family."""
    problem = objective.problem
    if seed is None:
        return problem
    if objective.at.of_one_problem or not isinstance(problem, Family):
        raise UsageError(
            f"instance {seed}: the network of {folder} was trained for one problem alone; leave the instance out, or "
            "train all instances of a family: pinn train recipe=hard_constraints/convection"
        )
    try:
        return problem.instance(seed)
    except ValueError as error:
        raise UsageError(f"instance {seed}: {error}") from error


@dataclass(repr=False)
class Prediction:
    """The solution of a run, as a function. `folder` holds the run, `config` is its configuration."""

    folder: Path
    config: DictConfig
    objective: Objective
    loaded: Loaded = (False, "cpu", False, None)  # the arguments of `load` behind the folder
    notes: Sequence[str] = ()  # what is wrong with this solution, as far as is known
    family: Objective | None = None  # of all instances, for a network that was trained for them
    parameters: Parameters = field(default_factory=dict)  # those that a user has given
    _latest: "Prediction | None" = field(init=False, default=None)  # of the last call with parameters
    _warned: bool = field(init=False, default=False)  # of points outside the domain

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle names the run, whose modules belong to this process only; the other process loads it again."""
        return _again, (self.folder, self.loaded, self.parameters)

    def __repr__(self) -> str:
        """One paragraph: the problem, its fields, the limits of its coordinates, the errors if known, the folder."""
        results = Results(self.folder / RESULTS)
        about, errors = results.read_attributes(), results.read("error")
        limits = (f"{c} in [{low:g}, {high:g}]" for c, (low, high) in self._limits())
        unknowns = [f"{name} = {value:.6g}" for name, value in self.unknowns.items()]
        error, which = "relative L2 error of {}", ""
        if self.family is not None and isinstance(self.problem, Family):  # the results have the mean error of many
            error = "mean relative L2 error of {} over the test instances"
            given = f" with other {', '.join(self.parameters)}" if self.parameters else ""
            which = f", instance {self.problem.seed}{given}"
        known = [f"{error.format(name)} {scientific(float(value))}" for name, value in errors.items()]
        what = f"{', '.join(self.fields)} of {about['problem']}{which} on {', '.join(limits)}"
        return "; ".join([what, *self.notes, *unknowns, *known, f"run {self.folder}, {about['status']}"])

    def with_(self, **parameters: Any) -> "Prediction":
        """The solution for other parameters of its family: ``u.with_(beta=37, u0="u0.csv")``.

        A parameter is a number, or a field: a `CoefficientField`, a function of its coordinates, a mapping of arrays on
        a grid, ``{"x": x, "u0": u0}``, or a CSV, NPZ or HDF5 file of such arrays. The others stay as they are. Networks
        that solve equations take other coefficients of the problem as well. `notes` say what lies outside of what was
        trained. Raises UsageError for what is no parameter and for no possible value of one.
        """
        problem, notes = self._given({**self.parameters, **parameters})
        assert self.family is not None
        notes += _failure(self.family, problem, ", ".join(parameters))
        solved = self.family.of(problem)
        return Prediction(
            self.folder, self.config, solved, self.loaded, notes, self.family, {**self.parameters, **parameters}
        )

    def _is_parameter(self, name: str) -> bool:
        """Whether a keyword of a call is one, and not a coordinate, or a name that is neither."""
        known = (*self.problem.coefficients, *self.problem.coefficient_fields)
        return name in known or (self.family is not None and name not in self.coordinates)

    def _given(self, parameters: Parameters) -> tuple[Family, list[str]]:
        """The instance with these parameters, and a line for each that was not trained so."""
        problem, names = self.problem, ", ".join(parameters)
        if self.family is None or not isinstance(problem, Family):
            raise UsageError(
                f"{names}: the network of {self.folder} was trained for one problem alone; leave it out, or train all "
                "instances of a family: pinn train recipe=hard_constraints/convection"
            )
        network: Any = self.family.model.network
        trained = list(problem.distributions)
        others = [*problem.coefficients, *problem.coefficient_fields] if network.points else []
        for name in parameters:
            if name not in trained and name not in others:
                raise UsageError(f"no parameter `{name}`; {nearest(name, [*dict.fromkeys([*trained, *others])])}")
        try:
            instance, notes = problem.given(**parameters)
        except (TypeError, ValueError) as error:
            raise UsageError(" ".join(str(error).split())) from error
        trainable_constraints(instance)
        if instance.domain.extents != problem.domain.extents:
            raise UsageError(f"{names}: the domain would be another one; expected the domain that was trained")
        fixed = [n for n in parameters if n not in trained and getattr(instance, n) != getattr(problem, n)]
        return instance, [*notes, *(f"{n} was the same in all instances that were trained" for n in fixed)]

    def held_out(self) -> dict[str, float]:
        """The rms of each residual at random points over its largest term, by constraint."""
        return dict(examine(self.problem, self.objective, int(self.config.seed)).relative)

    @property
    def problem(self) -> Problem:
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
        return trained_coefficients(self.objective)

    @cached_property
    def history(self) -> dict[str, np.ndarray]:
        """The columns of the history: ``history["loss/pde"]``, each of shape (R,)."""
        return Results(self.folder / RESULTS).read_history()

    def __call__(
        self, points: ArrayLike | None = None, /, derivatives: str | Sequence[str] = (), **coordinates: ArrayLike
    ) -> Any:
        """Values at points (N, D), or at numbers or arrays by coordinate, which are broadcast against each other.

        `derivatives` names what is wanted: fields, derivatives (``u_xx``, ``lap_u``), observables, coefficients, or
        ``residual/<constraint>``. A list of names gives a dict of arrays of the common shape, one name an array;
        without it there are the fields, or for a problem of one field its array. An unknown field alone needs only its
        own coordinates: ``u(x=0.3, derivatives="k")``. Raises UsageError for other names. Warns once of points outside
        the domain, where nothing was trained.

        Of a network that was trained for a family, other keywords are parameters: ``u(x=0.3, t=0.1, beta=37)`` is
        ``u.with_(beta=37)(x=0.3, t=0.1)``, with a warning of its notes. It is solved once for the same parameters.
        """
        parameters = {name: value for name, value in coordinates.items() if self._is_parameter(name)}
        if parameters:
            if self._latest is None or not _same(self._latest.parameters, {**self.parameters, **parameters}):
                self._latest = self.with_(**parameters)
                for note in self._latest.notes:
                    warnings.warn(note, stacklevel=2)
            rest = {name: value for name, value in coordinates.items() if name not in parameters}
            return self._latest(points, derivatives, **rest)
        alone = isinstance(derivatives, str) or (not derivatives and len(self.fields) == 1)
        names = [derivatives] if isinstance(derivatives, str) else list(derivatives or self.fields)
        if points is None:
            shape, X = self._by_coordinate(self._unseen_by(names) | coordinates)
        else:
            shape, X = self._as_rows(points, coordinates)
        self._warn_outside(X)
        arrays = {name: value.reshape(shape) for name, value in self._evaluate(names, X).items()}
        return arrays[names[0]] if alone else arrays

    def grid(self, nodes: Sequence[int], derivatives: list[str] | None = None) -> dict[str, np.ndarray]:
        """The axis of each coordinate, and each value asked for (n1, n2, ...); NaN outside the domain."""
        if len(nodes) != len(self.coordinates) or min(nodes) < 2:
            typed, example = ("x".join(map(str, n)) for n in (nodes, [200] * len(self.coordinates)))
            names = ", ".join(self.coordinates)
            raise UsageError(f"grid {typed}: expected a whole number above 1 for each of {names}, e.g. {example}")
        values = 2 * len(nodes) + len(derivatives or self.fields)  # the points twice, as they are made and as one array
        way = f"type a smaller grid than {'x'.join(map(str, nodes))}"
        refuse_too_many(prod(nodes), values, torch.device("cpu"), way)
        axes = {c: np.linspace(*ends, n) for (c, ends), n in zip(self._limits(), nodes, strict=True)}
        X = torch.as_tensor(np.stack([p.ravel() for p in np.meshgrid(*axes.values(), indexing="ij")], 1))
        inside = self.problem.domain.contains(X).numpy()
        arrays = self._evaluate(derivatives or self.fields, X)
        return axes | {name: np.where(inside, value, np.nan).reshape(nodes) for name, value in arrays.items()}

    def _unseen_by(self, names: Sequence[str]) -> dict[str, ArrayLike]:
        """The coordinates that none of these values depends on, each at its middle."""
        fields = self.problem.unknown_fields
        own = [fields[f].of if (f := name.partition("_")[0]) in fields else self.coordinates for name in names]
        return {c: (low + high) / 2 for c, (low, high) in self._limits() if not any(c in of for of in own)}

    def _limits(self) -> list[tuple[str, tuple[float, float]]]:
        """Each coordinate with its smallest and its largest value."""
        return list(zip(self.coordinates, self.problem.domain.extents, strict=True))

    def _warn_outside(self, X: torch.Tensor) -> None:
        if self._warned:
            return
        domain = self.problem.domain
        if outside := int((~domain.contains(domain.inwards(X, 1e-9))).sum()):  # rounding puts no point outside
            self._warned = True
            limits = ", ".join(f"{c} in [{low:g}, {high:g}]" for c, (low, high) in self._limits())
            warnings.warn(f"{outside} of {len(X)} points lie outside the domain ({limits}), where the network was not "
                          "trained; this is said once", stacklevel=3)  # fmt: skip

    def _as_rows(self, points: ArrayLike, coordinates: Mapping[str, Any]) -> tuple[tuple[int, ...], torch.Tensor]:
        """The shape without the last axis, and the points (N, D)."""
        array = np.asarray(points, float)
        if coordinates or array.ndim == 0 or array.shape[-1] != len(self.coordinates):
            found = f"points of shape {array.shape}" + (f" and {', '.join(coordinates)}" if coordinates else "")
            columns, each = ", ".join(self.coordinates), ", ".join(f"{c}=..." for c in self.coordinates)
            raise UsageError(f"found {found}; expected an array (N, {len(self.coordinates)}) of {columns}, or {each}")
        return array.shape[:-1], torch.as_tensor(array.reshape(-1, len(self.coordinates)))

    def _by_coordinate(self, coordinates: Mapping[str, ArrayLike]) -> tuple[tuple[int, ...], torch.Tensor]:
        """The common shape, and the points (N, D)."""
        if set(coordinates) != set(self.coordinates):
            found = ", ".join(coordinates) or "none"
            expected = ", ".join(f"{c}=..." for c in self.coordinates)
            raise UsageError(f"found coordinates {found}; expected {expected}")
        try:
            arrays = np.broadcast_arrays(*(np.asarray(coordinates[c], float) for c in self.coordinates))
        except ValueError as error:
            raise UsageError(f"the coordinates do not fit each other: {error}") from error
        return arrays[0].shape, torch.as_tensor(np.stack([array.ravel() for array in arrays], 1))

    def _evaluate(self, names: Sequence[str], X: torch.Tensor) -> dict[str, np.ndarray]:
        """Each name at points (N, D): (N,)."""
        X = X.to(self.objective.device, self.objective.dtype)
        try:
            parts = [self.objective.evaluate(names, part) for part in X.split(AT_ONCE)]
        except (TypeError, ValueError) as error:
            known = ", ".join(f"residual/{c.name}" for c in self.objective.constraints.values() if c.kind != "data")
            raise UsageError(f"{' '.join(str(error).split())} (or {known})") from error
        return {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in names}


def unsatisfied(held_out: Mapping[str, float]) -> list[str]:
    """A line if a held-out residual is too large for a solution."""
    large = [f"{name} {size:.1g}" for name, size in held_out.items() if not size < SMALL]
    what = "the equation is not satisfied: held-out residual relative to its largest term"
    return [f"{what} {', '.join(large)}"] if large else []


def _same(some: Parameters, others: Parameters) -> bool:
    """Whether parameters are the same objects, or the same numbers."""
    def equal(a: Any, b: Any) -> bool:
        return a is b or (isinstance(a, Real) and isinstance(b, Real) and a == b)

    return some.keys() == others.keys() and all(equal(some[name], others[name]) for name in some)


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
