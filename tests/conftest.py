"""Fixtures and helpers that many test files share."""

import gc
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import HealthCheck, settings

from pinn_cli.basics.errors import UsageError
from pinn_cli.configuration import compose
from pinn_cli.physics.determinacy import undetermined
from pinn_cli.physics.problem import Problem
from pinn_cli.runs import job
from pinn_cli.training import error_estimate, windowed_estimate
from pinn_cli.training.windowed_estimate import WINDOWS
from tests.lives import Lives

ROOT = Path(__file__).resolve().parents[1]
# A run that takes less than a second.
SMALL = ["problem=wave", "points.interior=64", "points.face=8", "architecture.width=8", "figures=off"]
# A Helmholtz run of milliseconds.
TINY = ["problem=helmholtz", "points.interior=16", "points.face=4", "architecture.width=4", "architecture.depth=1",
        "figures=off", "compile=off", "threads=1"]  # fmt: skip
# Problems of every kind: in one coordinate, with data and an unknown, of fourth order, a system, periodic, in time.
VARIED = ("poisson_1d", "heat_inverse", "plate", "kovasznay", "kuramoto_sivashinsky", "wave")
OWN_FILES = "hydra.searchpath=[file://"  # begins the word that names folders of one's own, ./conf
PINN = [sys.executable, "-m", "pinn_cli.cli"]
# On a machine with other work any example may take long. Hypothesis would call that a failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def files_of(path: list[str]) -> Iterator[tuple[str, str]]:
    """The name and the text of every file in the folders of one's own that this word names, if there is one."""
    for word in path:
        folder = Path(word.removeprefix(OWN_FILES).removesuffix("]"))
        for file in sorted(file for file in folder.rglob("*.yaml") if file.is_file()):
            yield str(file.relative_to(folder)), file.read_text(errors="replace")


@pytest.fixture(scope="session", autouse=True)
def _each_configuration_is_composed_once() -> Iterator[None]:
    """Hydra takes a third of a second for the parts that words choose, half of a small run; a copy takes 1 ms.

    Settings are then placed into the copy by the function of Hydra that places them. Words with a reference, which may
    be to the environment, are always composed, and all words where a file of one's own may choose others by one.
    """
    hydra_compose, composed = compose.hydra_compose, {}

    @cache
    def is_group(key: str, own: tuple[tuple[str, str], ...]) -> bool:
        return GlobalHydra.instance().config_loader().repository.group_exists(key)

    def once(name: str, words: list[str], **more: Any) -> Any:
        path = [word for word in words if word.startswith(OWN_FILES)]
        words = [word for word in words if word not in path]
        own = tuple(files_of(path))
        chooses = any("$" in text and "defaults" in text for _, text in own)
        if chooses or any("$" in word or word.lstrip("+~").startswith("hydra") for word in words):
            return hydra_compose(name, [*words, *path], **more)
        overrides = OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides(words)
        if any(override.is_sweep_override() for override in overrides):
            return hydra_compose(name, [*words, *path], **more)
        values = [one for one in overrides if not is_group(one.key_or_group, own) or isinstance(one.value(), dict)]
        chosen = tuple(override.input_line for override in overrides if override not in values)
        key = (name, own, *chosen)
        if key not in composed:
            composed[key] = pickle.dumps(hydra_compose(name, [*chosen, *path], **more))
        config = pickle.loads(composed[key])
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
        return config

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compose, "hydra_compose", once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _each_file_of_a_package_is_read_once() -> Iterator[None]:
    """A third of a composition is Hydra's reading of files that come with pinn and with Hydra, and never change."""
    load, files = ConfigRepository.load_config, {}

    def once(repository: ConfigRepository, config_path: str) -> Any:
        source = repository._find_object_source(config_path, ObjectType.CONFIG)
        if source is None or source.scheme() != "pkg":
            return load(repository, config_path)
        key = (source.path, config_path)
        if key not in files:
            files[key] = pickle.dumps(load(repository, config_path))
        return pickle.loads(files[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigRepository, "load_config", once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _what_is_imported_is_never_garbage() -> None:
    """Python looks through all objects for garbage now and then, most of which are those of modules and of tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _files_are_not_forced_to_the_disk() -> Iterator[None]:
    """Only a failure of the power could show that a run does so some twenty times. Processes of their own do so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _what_can_be_doubted_of_a_problem_is_asked_once() -> Iterator[None]:
    """An eighth of a small run. Only for problems that come with pinn: their coefficients say all of them."""
    ask, told = job.doubts, {}

    def once(problem: Problem, periodic: Collection[str]) -> list[str]:
        file = getattr(sys.modules.get(type(problem).__module__), "__file__", None) or "."
        ours = Path(file).resolve().is_relative_to(ROOT / "problems") and is_dataclass(problem)
        if not ours or problem.unknowns or any(c.kind == "data" for c in problem.constraints()):
            return ask(problem, periodic)
        coefficients = {field.name: getattr(problem, field.name) for field in fields(problem)}
        key = (file, type(problem).__qualname__, repr(coefficients), tuple(periodic))
        if key not in told:
            doubts = ask(problem, periodic)
            told[key] = doubts, {q: a for q, a in problem._answers.items() if q[0] is undetermined.__wrapped__}
        doubts, answers = told[key]
        problem._answers.update(answers)  # the estimate of the error asks again
        return [*doubts]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "doubts", once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _errors_are_estimated_in_two_windows_in_time() -> Iterator[None]:
    """Eight take half of a small run in time.

    Tests of the estimate itself ask for `all_windows`, and those that compare a run here with one in another process.
    """
    with pytest.MonkeyPatch.context() as patch:
        for module in (windowed_estimate, error_estimate):
            patch.setattr(module, "WINDOWS", 2)
        yield


@pytest.fixture
def all_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors are estimated in as many windows in time as for a user."""
    for module in (windowed_estimate, error_estimate):
        monkeypatch.setattr(module, "WINDOWS", WINDOWS)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory; commands started in it as processes import this checkout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


@pytest.fixture
def own_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same without this checkout's own problems/ beside it: ./problems is the user's."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if Path(entry).resolve() != ROOT])
    monkeypatch.setenv("PYTHONPATH", "")
    yield here
    for name in [name for name in sys.modules if name.partition(".")[0] == "problems"]:
        del sys.modules[name]


@pytest.fixture
def without_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in this process find no Slurm: one that is installed here but down would answer after a minute."""
    monkeypatch.setattr("pinn_cli.studies.launchers.slurm.commands.which", lambda name: None)


@pytest.fixture
def one_line(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Returns the one line in which a command has said on stderr what is wrong."""

    def read() -> str:
        error = capsys.readouterr().err
        assert error.startswith("pinn: ")
        assert error.count("\n") == 1, error
        return error

    return read


def each(names: Iterable[str], fast: Collection[str] = VARIED) -> list[Any]:
    """The names as parameters of a test; all but those in `fast` are marked slow."""
    return [pytest.param(name, marks=() if name in fast else pytest.mark.slow) for name in names]


@contextmanager
def refused(says: str, error: type[Exception] | tuple[type[Exception], ...] = UsageError) -> Iterator[None]:
    """The block must raise an error of one line that matches the regular expression `says`."""
    with pytest.raises(error, match=says) as refusal:
        yield
    assert "\n" not in str(refusal.value)


@pytest.fixture(scope="session")
def lives() -> Iterator[Lives]:
    """A process from which runs are forked that can be killed at any moment."""
    with Lives() as server:
        yield server


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of this size, e.g. `6m`, in an empty folder; skips the test where mounting is not permitted."""
    mount = [shutil.which("mount") or "false", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs is not permitted here: only root may")
    yield folder
    subprocess.run(["umount", folder], check=True)
