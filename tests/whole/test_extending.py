"""How many files a user adds for a problem or a method of their own; each is trained for two steps."""

from pathlib import Path

import numpy as np
import pytest

from pinn_cli.cli import main
from pinn_cli.configuration.catalogue import plural
from pinn_cli.records.results import Results
from tests.conftest import each

# The files that a part needs, as a user writes them, and the words that choose it.
PROBLEM = {
    "problems/decay.py": """
from dataclasses import dataclass
from pinn_cli import Box, Problem, on

@dataclass
class Decay(Problem):
    coordinates, fields = ("t",), ("u",)
    k: float = 2.0

    def __post_init__(self) -> None:
        self.domain = Box(t=(0, 1))

    @on("interior")
    def pde(self, u, u_t, k):
        return u_t + k * u

    @on("initial")
    def initial(self, u):
        return u - 1
""",
    "conf/problem/decay.yaml": """# u_t = -k u
_target_: problems.decay.Decay
k: 3.0
""",
}
WEIGHTING = {
    "own_weighting.py": """
from pinn_cli.methods.contracts import Weighting

class Ten(Weighting):
    def __call__(self, batch, residuals):
        return dict.fromkeys(residuals, 10.0)
""",
    "conf/weighting/ten.yaml": """# @package weighting.ten
# Ten times the base weights
_target_: own_weighting.Ten
""",
}
SAMPLER = {
    "own_sampler.py": """
import torch
from pinn_cli.methods.samplers.base import Rounds

class Middle(Rounds):
    def unit(self, count, free, seed, objective):
        return torch.full((count, len(objective.problem.coordinates)), 0.5, dtype=torch.float64)
""",
    "conf/sampler/middle.yaml": """# @package sampler.middle
# Every point in the middle
_target_: own_sampler.Middle
_partial_: true
""",
}
OPTIMIZER = {
    "own_optimizer.py": """
from pinn_cli.methods.contracts import Optimizer, Report

class Still(Optimizer):
    def step(self, objective):
        return Report({"loss/total": objective.loss().detach(), "still": 7.0})

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass
""",
    "conf/optimizer/still.yaml": """# @package optimizer.still
# Changes nothing
_target_: own_optimizer.Still
""",
}
ARCHITECTURE = {
    "own_architecture.py": """
from torch import nn, sin

class Sines(nn.Module):
    def __init__(self, inputs: int, outputs: int, count: int = 4) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(inputs, count), nn.Linear(count, outputs)

    def forward(self, X):
        return self.outer(sin(self.inner(X)))
""",
    "conf/architecture/sines.yaml": """# A sum of sines
_target_: own_architecture.Sines
_partial_: true
count: 5
""",
}
DIAGNOSTIC = {
    "own_diagnostic.py": """
from pinn_cli.methods.contracts import Diagnostic

class Length(Diagnostic):
    columns = {"length": "parameters"}
    datasets = {"parameters": "length of the vector of all parameters"}

    def __init__(self, every: int = 1) -> None:
        self.every = every

    def __call__(self, objective):
        return {"parameters": objective.flat(objective.parameters).norm()}
""",
    "conf/diagnostics/length.yaml": """# @package diagnostics.length
# The length of the parameters
_target_: own_diagnostic.Length
every: 1
""",
    "figures/length.py": """
from matplotlib.figure import Figure

def draw_length(results):
    records = results.read("diagnostics/length")
    if not records:
        return None
    figure = Figure()
    figure.subplots().plot(records["step"], records["parameters"])
    return figure
""",
}


def add(files: dict[str, str]) -> None:
    """Write the files of a part into the working directory."""
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


def trained(*words: str) -> Results:
    """Train two steps on a problem of the package and read the results."""
    small = ["points.interior=8", "points.face=2", "folder=run", "stop.steps=2", "record.every=1"]
    chosen = words if any(word.startswith("problem=") for word in words) else ["problem=diffusion", *words]
    assert main(["train", *chosen, *small]) == 0
    return Results(Path("run/results.h5"))


def its_coefficient_counts(results: Results) -> None:
    assert "k: 3.0" in results.read_config()
    assert set(results.read("residuals")) > {"pde/values", "initial/values"}


def its_factor_multiplies_the_base_weights(results: Results) -> None:
    history = results.read("history")
    assert set(history["weight/pde"]) == {10.0}
    assert set(history["weight/initial"]) == {1000.0}


def its_points_are_used(results: Results) -> None:
    assert np.ptp(results.read("collocation")["pde"], axis=0).max() == 0


def its_report_is_a_column(results: Results) -> None:
    assert set(results.read("history")["still"]) == {7.0}


def its_parameters_are_kept(results: Results) -> None:
    assert results.read("network")["network.inner.weight"].shape[0] == 5


def its_records_and_figure_are_there(results: Results) -> None:
    records = results.read("diagnostics/length")
    assert list(records["step"]) == [1, 2]
    assert results.read("history")["length"][-1] == records["parameters"][-1]
    assert main(["plot", "run", "--only", "length"]) == 0
    assert Path("run/figures/length.png").exists()


RAW = ["units=raw", "weights.interior=1"]
CASES = {
    "problem": (PROBLEM, 2, ["problem=decay"], its_coefficient_counts),
    "weighting": (WEIGHTING, 2, ["weighting=ten", *RAW], its_factor_multiplies_the_base_weights),
    "sampler": (SAMPLER, 2, ["sampler=middle", "optimizer=lbfgs"], its_points_are_used),
    "optimizer": (OPTIMIZER, 2, ["optimizer=still"], its_report_is_a_column),
    "architecture": (ARCHITECTURE, 2, ["architecture=sines"], its_parameters_are_kept),
    "diagnostics": (DIAGNOSTIC, 3, ["diagnostics=length"], its_records_and_figure_are_there),
}


@pytest.mark.parametrize("kind", each(CASES, ["problem", "diagnostics"]))
def test_a_part_is_added_in_two_files_and_a_diagnostic_with_its_figure_in_three(kind, own_folder, capsys):
    """The files of the guide, which test_docs trains, are of every kind."""
    files, count, words, holds = CASES[kind]
    add(files)
    assert len(list(own_folder.rglob("*.*"))) == count
    holds(trained(*words, "figures=off"))
    assert main(["list", plural(kind)]) == 0
    name = words[0].partition("=")[2]
    assert name in capsys.readouterr().out


def test_an_own_figure_that_fails_or_takes_a_name_gets_one_line(own_folder, capsys, one_line):
    add(DIAGNOSTIC)
    trained("diagnostics=length", "figures=off")
    for text, message in (("1 / 0", "figures/length.py: ZeroDivisionError"),
                          ("def draw_losses(results): ...", "there is a figure `losses` already")):  # fmt: skip
        Path("figures/length.py").write_text(text)
        capsys.readouterr()
        assert main(["plot", "run"]) == 2
        assert message in one_line()
