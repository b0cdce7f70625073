"""What is recorded is what was trained: modules, data files, and how a run that has changed is refused."""

import hashlib
import importlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import h5py
import pytest

from pinn_cli import cli, load
from pinn_cli.basics.errors import MachineError, UsageError
from pinn_cli.configuration.sources import Sources
from pinn_cli.records.results import Results
from pinn_cli.runs.resume import resume
from tests.conftest import ROOT, refused

SMALL = ["problem=bend", "recipe=adam", "stop.steps=2", "points.interior=16", "architecture.width=4",
         "architecture.depth=1", "threads=1", "figures=off", "compile=off"]  # fmt: skip
BASE = """\
from dataclasses import dataclass
from pinn_cli import Box, Problem, observable, on
from . import sizes
from helper import SLOPE, measured

@dataclass
class Base(Problem):
    coordinates = ("x",)
    fields = ("u",)
    def __post_init__(self):
        self.domain = Box(x=(0, 1))
    def ansatz(self, x, u):
        return 1 + x * u
    @on("interior")
    def pde(self, u_xx):
        return u_xx - sizes.LOAD
    @observable
    def flux(self, u_x):
        return -1 * u_x
"""
CHILD = """\
from problems.base import *

@dataclass
class Bend(Base):
    factor: float = 1.0
    @on("x=1")
    def right(self, u_x):
        return u_x - SLOPE * self.factor
    def measurements(self):
        return measured()
"""
HELPER = """\
from pathlib import Path
import torch
SLOPE = 2.0
def measured():
    x, u = zip(*(map(float, line.split(",")) for line in Path("table.txt").read_text().split()))
    return {"x": torch.tensor(x), "u": torch.tensor(u)}
"""


def write_project() -> None:
    """A problem with a base class, a helper module beside its package, a relative import, and a table."""
    for name, text in {
        "conf/problem/bend.yaml": "# b\n_target_: problems.bend.Bend\n", "problems/__init__.py": "",
        "problems/sizes.py": "LOAD = 2\n", "problems/base.py": BASE, "problems/bend.py": CHILD, "helper.py": HELPER,
        "unused.py": "", "table.txt": "0.5,1.25\n",
    }.items():  # fmt: skip
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


@pytest.fixture
def project(own_folder: Path) -> Path:
    write_project()
    return own_folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with a run of it."""
    place = tmp_path_factory.mktemp("trained")
    with chdir(place), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [entry for entry in sys.path if Path(entry).resolve() != ROOT])
        write_project()
        assert cli.main(["train", *SMALL, "folder=run"]) == 0
    for name in [name for name in sys.modules if name.partition(".")[0] == "problems"]:
        del sys.modules[name]
    return place


@pytest.fixture
def run(trained: Path, own_folder: Path) -> Path:
    """The project in a folder of its own, with the run in its folder `run`."""
    shutil.copytree(trained, own_folder, dirs_exist_ok=True)
    Results(own_folder / "run" / "results.h5").attributes(project=str(own_folder))
    return Path("run")


def edit(file: str, old: str, new: str) -> None:
    """Change a text, and nothing else that a file system tells of it."""
    path = Path(file)
    text, times = path.read_text(), os.stat(path)
    assert old in text
    path.write_text(text.replace(old, new))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def source(run: Path | str) -> str:
    return str(Results(Path(run) / "results.h5").read_attributes()["source"])


def flux(run: Path | str, **keywords: bool) -> tuple[float, float]:
    """The value at 0, which the ansatz gives, and the sign of the flux by that of the slope."""
    u = load(run, **keywords)
    found = u(x=0.5, derivatives=["flux", "u_x"])
    return float(u(x=0.0)), float(found["flux"] / found["u_x"])


def test_every_own_module_and_data_file_is_recorded(run: Path) -> None:
    results = Results(run / "results.h5")
    texts = results.read("source")
    assert set(texts) == {"problems", "problems.bend", "problems.base", "problems.sizes", "helper"}
    assert all(texts[name] == Path(results.read_attributes(f"source/{name}")["file"]).read_text() for name in texts)
    table = hashlib.sha256(Path("table.txt").read_bytes()).hexdigest()
    assert results.read("data")[""] == f"{table}  table.txt\n"
    assert cli.main(["train", *SMALL, "seed=1", "folder=again"]) == 0
    assert source("again") == source(run)
    edit("table.txt", "1.25", "1.26")
    assert cli.main(["train", *SMALL, "folder=other"]) == 0
    assert source("other") != source(run)


@pytest.mark.slow  # such a run is resumed and loaded below
def test_what_no_file_says_is_told_apart_by_the_inputs_of_the_problem(project: Path, monkeypatch) -> None:
    edit("problems/base.py", "self.domain = Box", "import os; self.e = float(os.environ['E']); self.domain = Box")
    inputs = []
    for k, value in enumerate(("1.0", "1.0", "2.0")):
        monkeypatch.setenv("E", value)
        assert cli.main(["train", *SMALL, f"folder=run{k}"]) == 0
        inputs.append(Results(Path(f"run{k}/results.h5")).read_attributes()["inputs"])
    assert inputs[0] == inputs[1] != inputs[2]


def test_a_run_goes_on_and_is_loaded_with_its_own_inputs_only(project: Path, monkeypatch, capsys) -> None:
    edit("problems/base.py", "self.domain = Box", "import os; self.e = float(os.environ['E']); self.domain = Box")
    monkeypatch.setenv("E", "1.0")
    assert cli.main(["train", *SMALL, "folder=run"]) == 0
    began = Results(Path("run/results.h5")).read_attributes()["inputs"]
    monkeypatch.setenv("E", "2.0")
    assert cli.main(["resume", "run", "stop.steps=40"]) == 2
    assert "coefficients or measurements are not those that run was trained with" in capsys.readouterr().err
    with pytest.raises(UsageError, match="set environment variables as they were"):
        load("run")
    assert load("run", changed=True).coordinates == ("x",)
    assert cli.main(["resume", "run", "stop.steps=40", "--changed"]) == 0
    assert Results(Path("run/results.h5")).read_attributes()["inputs"] != began
    load("run")


def test_the_text_imported_at_the_start_is_recorded_not_the_file_at_the_end(project: Path, monkeypatch) -> None:
    groups = Sources.groups

    def edited_meanwhile(self: Sources) -> dict:
        Path("problems/sizes.py").write_text("LOAD = 3\n")
        return groups(self)

    monkeypatch.setattr(Sources, "groups", edited_meanwhile)
    assert cli.main(["train", *SMALL, "folder=run"]) == 0
    assert Results("run/results.h5").read("source")["problems.sizes"] == "LOAD = 2\n"


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        pytest.param("problems/bend.py", "SLOPE *", "2.5 *", "problems.bend has changed since the run began (problems/"
                     "bend.py", marks=pytest.mark.slow),
        pytest.param("problems/base.py", "-1 * u_x", "-7 * u_x", "problems.base has changed", marks=pytest.mark.slow),
        ("problems/sizes.py", "LOAD = 2", "LOAD = 3", "(problems/sizes.py line 1: -LOAD = 2; +LOAD = 3)"),
        pytest.param("helper.py", "SLOPE = 2.0", "SLOPE = 9.0", "(helper.py line 3", marks=pytest.mark.slow),
        ("table.txt", "1.25", "1.26", "table.txt has changed since the run began (SHA-256"),
    ],
)  # fmt: skip
def test_a_changed_module_or_data_file_makes_another_run(file, old, new, says, run: Path, capsys, one_line) -> None:
    before = (run / "results.h5").read_bytes()
    edit(file, old, new)
    capsys.readouterr()
    assert cli.main(["resume", "run", "stop.steps=4"]) == cli.USAGE
    assert says in one_line()
    assert cli.main(["train", *SMALL, "folder=run"]) == cli.USAGE
    line = one_line()
    assert says in line
    assert "or type folder=ANOTHER" in line
    assert (run / "results.h5").read_bytes() == before
    edit(file, new, old)
    assert cli.main(["train", *SMALL, "folder=run"]) == 0
    assert cli.main(["resume", "run", "stop.steps=4"]) == 0


def test_a_resume_with_changed_text_records_both_texts(run: Path) -> None:
    first = source(run)
    edit("helper.py", "SLOPE = 2.0", "SLOPE = 9.0")
    assert cli.main(["resume", "run", "stop.steps=3", "--changed"]) == 0
    results, second = Results("run/results.h5"), source(run)
    assert "SLOPE = 9.0" in results.read("source")["helper"]
    assert "SLOPE = 2.0" in results.read("source_before")["0/helper"]
    assert cli.main(["resume", "run", "stop.steps=4"]) == 0
    assert source(run) == second
    assert cli.main(["train", *SMALL, "stop.steps=4", "folder=new"]) == 0
    assert len({first, second, source("new")}) == 3
    edit("table.txt", "1.25", "1.26")
    assert cli.main(["resume", "run", "stop.steps=5", "--changed"]) == 0
    assert results.read("source_before")["1/data"] != results.read("data")[""]
    assert cli.main(["resume", "run", "stop.steps=6", "--changed"]) == 0  # nothing has changed
    assert "2/data" not in results.read("source_before")


def test_two_texts_of_one_module_are_loaded_side_by_side(run: Path) -> None:
    sys.path.insert(0, os.getcwd())
    older = importlib.import_module("problems.base")  # as a notebook does
    u = load("run")
    edit("problems/base.py", "1 + x * u", "5 + x * u")
    edit("problems/base.py", "-1 * u_x", "-7 * u_x")
    assert cli.main(["train", *SMALL, "folder=other"]) == 0
    assert flux("other") == (5.0, pytest.approx(-7.0))
    assert flux("run") == (1.0, pytest.approx(-1.0))
    assert float(u(x=0.0)) == 1.0
    assert sys.modules["problems.base"] is older
    importlib.reload(older)
    assert float(u(x=0.0)) == 1.0
    assert flux("run", changed=True) == (5.0, pytest.approx(-7.0))


def test_a_notebook_that_has_imported_an_older_text_loads_the_recorded_one(project: Path) -> None:
    """The case `stale_module`: training happens in another process."""
    sys.path.insert(0, os.getcwd())
    importlib.import_module("problems.bend")
    edit("problems/base.py", "1 + x * u", "5 + x * u")
    edit("problems/base.py", "-1 * u_x", "-7 * u_x")
    assert cli.main(["train", *SMALL, "folder=run"]) == 0
    assert flux("run") == (5.0, pytest.approx(-7.0))
    for text in Results("run/results.h5").read("source").values():
        assert "1 + x * u" not in text


def test_a_run_is_loaded_after_its_modules_are_gone(run: Path, tmp_path: Path) -> None:
    shutil.rmtree("problems")
    Path("helper.py").rename("renamed.py")
    assert flux("run") == (1.0, pytest.approx(-1.0))
    with refused("there is no helper.py in .*; cd to the folder where the run was started"):
        resume(run, {"stop.steps": 4})
    with refused("expected a class of .* or of a module in "):
        load("run", changed=True)


def test_a_run_on_another_machine_is_loaded_only_if_its_text_is_trusted(run: Path, tmp_path: Path, monkeypatch) -> None:
    place = tmp_path / "elsewhere"
    shutil.copytree(run, place / "run")
    shutil.copy("table.txt", place)
    shutil.move(tmp_path / "conf", place / "gone")
    Results(place / "run" / "results.h5").attributes(project="/home/somebody/project")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    monkeypatch.chdir(place)
    with refused(r"has recorded a helper that was never trained with here \(there is no helper.py here\)"):
        load("run")
    assert flux("run", trust_source=True) == (1.0, pytest.approx(-1.0))


def test_a_data_file_that_has_changed_or_is_gone_is_said_when_a_run_is_loaded(run: Path) -> None:
    edit("table.txt", "1.25", "1.26")
    with refused("table.txt has changed since the run began"):
        load("run")
    assert flux("run", changed=True) == (1.0, pytest.approx(-1.0))
    Path("table.txt").unlink()
    for changed in (False, True):
        with refused(r"run cannot read its data \(table\.txt: No such file .*\); put the file back", MachineError):
            load("run", changed=changed)
    with refused(r"table\.txt, which the run has read, cannot be read now"):
        resume(run, {"stop.steps": 5})


@pytest.mark.slow
def test_a_function_that_imports_when_it_is_called_gets_the_recorded_module(run: Path) -> None:
    edit("problems/base.py", "return -1 * u_x", "from helper import SLOPE; return -SLOPE * u_x")
    assert cli.main(["train", *SMALL, "folder=lazy"]) == 0
    u = load("lazy")
    edit("helper.py", "SLOPE = 2.0", "SLOPE = 9.0")
    found = u(x=0.5, derivatives=["flux", "u_x"])
    assert found["flux"] / found["u_x"] == pytest.approx(-2.0)


def test_a_pickle_loads_the_recorded_text(run: Path) -> None:
    text = pickle.dumps(load(run))
    edit("problems/base.py", "1 + x * u", "5 + x * u")
    assert float(pickle.loads(text)(x=0.0)) == 1.0


def test_each_resume_says_where_and_with_what(run: Path, monkeypatch) -> None:
    with monkeypatch.context() as other:
        other.setattr("torch.__version__", "9.9")
        other.setattr("pinn_cli.records.provenance._version", lambda name: "9.9")
        resume(run, {"stop.steps": 3})
    results = Results(run / "results.h5")
    (life,) = map(json.loads, results.read("resumed")[""])
    assert (life["step"], life["versions"]["torch"]) == (2, "9.9")
    assert json.loads(results.read_attributes()["versions"])["torch"] != "9.9"
    assert life["started"] >= results.read_attributes()["started"]


def test_files_that_a_library_or_hdf5_opens_for_the_problem_count(project: Path) -> None:
    import numpy as np

    np.save("numbers.npy", np.ones(3))
    with h5py.File("field.h5", "w") as file:
        file["u"] = 1.0
    edit("helper.py", "SLOPE = 2.0", "import h5py, numpy\nnumpy.load('numbers.npy')\nh5py.File('field.h5').close()\n"
         "open('written.txt', 'w').close()\nSLOPE = 2.0")  # fmt: skip
    assert cli.main(["train", *SMALL, "folder=run"]) == 0
    names = [line.split("  ")[1] for line in Results("run/results.h5").read("data")[""].splitlines()]
    assert names == ["field.h5", "numbers.npy", "table.txt"]


OPEN = """
import h5py  # before pinn, as in a notebook: the locks of the two differ
file = h5py.File("run/results.h5")
from pinn_cli import cli, load
from pinn_cli.records.results import Results
try:
    load("run")
except Exception as error:
    print(type(error).__name__, error)
assert cli.main(["resume", "run", "stop.steps=4"]) == 2
file.close()
print(load("run").coordinates)
"""


def test_an_open_results_file_is_not_damaged(run: Path) -> None:
    """The case `h5_open_in_same_process`."""
    before = (run / "results.h5").read_bytes()
    environment = {name: value for name, value in os.environ.items() if name != "HDF5_USE_FILE_LOCKING"}
    done = subprocess.run([sys.executable, "-c", OPEN], env=environment | {"PYTHONPATH": str(ROOT)}, text=True,
                          capture_output=True)  # fmt: skip
    says = "run/results.h5 is open in this process; close it"
    assert done.stdout.splitlines()[0].startswith(f"UsageError {says}")
    assert done.stderr.startswith(f"pinn: {says}")
    assert done.stdout.splitlines()[-1] == "('x',)"
    assert (run / "results.h5").read_bytes() == before
    with h5py.File("run/results.h5", "r", locking=False):
        assert load("run").coordinates == ("x",)


def test_a_problem_of_a_notebook_cell_is_refused_plainly(project: Path, one_line) -> None:
    Path("conf/problem/cell.yaml").write_text("# c\n_target_: __main__.Bend\n")
    assert cli.main(["train", "problem=cell"]) == cli.USAGE
    assert "__main__.Bend: expected a class of" in one_line()
