"""`pinn diff`: what differs between two runs."""

import json
from pathlib import Path

import pytest

from pinn_cli.cli import main
from pinn_cli.records.results import Results
from pinn_cli.reports import tables
from pinn_cli.studies.diff import diff, text
from tests.run_files import write_run
from tests.sweep_files import FOLDER, REASON, write_sweep

TEXT = "import torch\n\n\ndef pde(u_xx):\n    return u_xx + 2\n"
A, B = Path("outputs/mine/a"), Path("outputs/mine/b")
DATA = f"{'1' * 64}  data/u.csv\n{'2' * 64}  data/v.csv\n"


@pytest.fixture(autouse=True)
def two(here: Path) -> None:
    """Two runs that are the same."""
    for folder in (A, B):
        run = write_run(folder, nodes=8)
        run.attributes(threads=1, versions={"torch": "2.9"}, pinn_version="0.1.0", machine="node, a processor")
        run.replace({"source": {"problems.mine": TEXT}, "data": DATA})


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["diff", *words]) == 0
    return capsys.readouterr().out.rstrip("\n")


def test_equal_runs_get_one_line_that_says_what_was_compared(capsys) -> None:
    assert printed(capsys, "mine/a", "mine/b") == (
        "nothing differs between outputs/mine/a and outputs/mine/b: 5 settings, the text of 1 module, 2 data files, "
        "device, processor, threads, versions, coefficients and measurements"
    )


def test_everything_that_differs_is_shown_in_its_own_table(capsys) -> None:
    run = Results(B / "results.h5")
    run.attributes(threads=4, versions={"torch": "2.10"})
    config = run.read_config().replace("a1: 1.0", "a1: 7.0").replace("seed: 0", "seed: 3")
    run.replace({"source": {"problems.mine": TEXT.replace("+", "-"), "mine.helper": "k = 1\n"}, "config": config,
                 "data": DATA.replace("2" * 64, "3" * 64)})  # fmt: skip
    assert printed(capsys, "mine/a", "mine/b") == """\
a  outputs/mine/a
b  outputs/mine/b

setting     a    b
seed        0    3
problem.a1  1.0  7.0

data file   a         b
data/v.csv  22222222  33333333

trained with  a    b
threads       1    4
torch         2.9  2.10

--- a/problems.mine
+++ b/problems.mine
@@ -2,4 +2,4 @@


 def pde(u_xx):
-    return u_xx + 2
+    return u_xx - 2

--- a/mine.helper
+++ b/mine.helper
@@ -0,0 +1 @@
+k = 1"""
    found = json.loads(printed(capsys, "mine/a", "mine/b", "--json"))
    assert (found["equal"], found["settings"]) == (False, {"seed": [0, 3], "problem.a1": [1.0, 7.0]})
    assert found["environment"] == {"threads": ["1", "4"], "torch": ["2.9", "2.10"]}


def test_a_part_that_one_run_lacks_and_a_changed_resume(capsys) -> None:
    run = Results(B / "results.h5")
    config = run.read_config()
    run.replace({"config": f"{config}stop: {{steps: 9}}\n", "begun": f"{config}stop: {{steps: 3}}\n"})
    lines = printed(capsys, "mine/a", "mine/b").splitlines()
    assert [" ".join(line.split()) for line in lines[3:6]] == [
        "setting a b", "stop.steps – 9", "stop.steps before the resume – 3"]  # fmt: skip
    assert lines[-1].startswith("the same: the text of 1 module")


def test_text_from_somebody_else_cannot_write_to_the_terminal_and_fits_it() -> None:
    Results(B / "results.h5").replace({"source": {"problems.mine": "\033[2J" + TEXT}})
    Results(B / "results.h5").attributes(machine=f"node, {'a processor with a long name ' * 5}")
    shown = text(diff(A, B), 80)
    assert "\033" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert tables.NONE not in shown


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["mine/a"], "the following arguments are required: run"),
        (["mine/a", "zz"], "there is no run `zz`"),
        (["mine/a", "ab/6"], f"was refused: {REASON}"),
        (["mine/a", "damaged"], "is damaged"),
    ],
)
def test_runs_that_cannot_be_compared_get_one_line(words: list[str], says: str, one_line) -> None:
    write_sweep()
    write_run(Path("outputs/mine/damaged"), nodes=8)
    Path("outputs/mine/damaged/results.h5").write_bytes(b"no results")
    assert main(["diff", *words]) == 2
    assert says in one_line()


def test_runs_of_a_sweep_go_by_their_numbers(capsys) -> None:
    write_sweep()
    assert f"a  {FOLDER}/0" in printed(capsys, "ab/0", "ab/4")
