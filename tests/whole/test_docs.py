"""The pages tell the truth: measured numbers come from result files, commands compose, examples run, files exist."""

import importlib
import re
import shlex
import sys
from importlib import import_module
from math import nan
from pathlib import Path

import pytest

import pinn_cli
from pinn_cli import cli, load
from pinn_cli.commands.list import KINDS
from pinn_cli.configuration import catalogue
from pinn_cli.configuration.assemble import assemble
from pinn_cli.configuration.compose import compose
from pinn_cli.configuration.plan import preview
from pinn_cli.studies.grid import combinations
from pinn_cli.training.verdict import Verdict
from tests.conftest import ROOT
from tests.whole.test_wings import WINGS

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "outputs/README.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
FILE = re.compile(r"^`([\w./-]+\.(?:py|yaml|csv))`:\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
MEASURED = re.compile(r"\d(\.\d+)?e-\d|\d (s|ms|seconds|minutes)\b|\d(\.\d+)? times")
M4 = "recipe=gradient_pathologies/helmholtz_m4"


def tables():
    """The module benchmarks/tables.py."""
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)  # it imports a neighbour
    try:
        return importlib.import_module("tables")
    finally:
        sys.path.remove(folder)


def commands() -> list[str]:
    """Every `pinn ...` of the pages: lines of code blocks without a language, and code in a sentence."""
    typed = []
    for page in PAGES:
        text = re.sub(r"<!-- begin.*?<!-- end[^\n]*", "", page.read_text(), flags=re.DOTALL)
        blocks = [body for language, body in FENCE.findall(text) if language in ("", "console")]
        lines = [line.removeprefix("$ ") for body in blocks for line in body.replace("\\\n", " ").splitlines()]
        inline = re.findall(r"`(pinn [^`]+)`", FENCE.sub("", text))
        typed += [re.split(r"\s+[#>]", line)[0].strip() for line in [*lines, *inline] if line.startswith("pinn ")]
    names = ("pinn train", "pinn train -m", "pinn check")  # a sentence names the command alone
    return [command for command in dict.fromkeys(typed) if command not in names]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """A folder with every file that the pages show, and what `pinn new problem my_heat` writes."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("workshop")
        patch.chdir(folder)
        patch.setenv("PYTHONPATH", "")
        for page in PAGES:
            for name, text in FILE.findall(page.read_text()):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text)
        assert cli.main(["new", "problem", "my_heat"]) == 0
        elsewhere = [place for place in sys.path if Path(place).resolve() not in (ROOT, folder)]
        patch.setattr(sys, "path", [str(folder), *elsewhere])  # the checkout has a folder `problems` too
        others = [name for name in sys.modules if name.partition(".")[0] == "problems"]
        for name in others:
            patch.delitem(sys.modules, name)
        yield folder
        for name in [name for name in sys.modules if re.match(r"problems(\.|$)|my_", name)]:
            del sys.modules[name]


def make(job):
    """Every part of a run that is typed with these words."""
    config = compose(job)
    config.device = "cpu"
    assemble(config, [word.partition("=")[0] for word in job])


def with_each_value(jobs):
    """As few of the runs of a sweep as have every value once; one seed serves for all."""
    chosen, known = [], set()
    for job in jobs:
        words = {word for word in job if not word.startswith("seed=")}
        if not chosen or not words <= known:
            chosen.append(job)
            known |= words
    return chosen


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in commands() if command.startswith("pinn train -m ")])
def test_every_run_of_every_sweep_can_be_typed(command, workshop):
    overrides = [word for word in shlex.split(command)[3:] if "=" in word and not word.startswith("hydra")]
    jobs = [job for job, _ in combinations(overrides)]
    for job in {tuple(word for word in job if not word.startswith("seed=")): job for job in jobs}.values():
        make(job)


def keys_of(command):
    """Its name, flags and keys, which other commands may have too."""
    return {word.partition("=")[0] for word in shlex.split(command)}


def and_slow_ones(found):
    """The commands as parameters. All are slow but a few that together have every key: those with most."""
    left = {command: keys_of(command) for command in found}
    fast = set()
    while any(left.values()):
        most = max(left, key=lambda command: len(left[command]))
        fast.add(most)
        taken = left[most]
        left = {command: keys - taken for command, keys in left.items()}
    return [pytest.param(command, marks=() if command in fast else pytest.mark.slow) for command in found]


@pytest.mark.parametrize("command", and_slow_ones(commands()))
def test_every_command_can_be_typed(command, workshop):
    name, *words = shlex.split(command)[1:]
    if name in ("train", "check"):
        overrides = [word for word in words if "=" in word and not word.startswith("hydra")]
        jobs = list(combinations(overrides)) if "-m" in words else [(overrides, None)]
        assert not [refused for _, refused in jobs if refused is not None]
        for job in with_each_value([job for job, _ in jobs]):
            make(job)
    elif name == "list":
        assert not words or words[0] in ("runs", *KINDS)
    elif not name.startswith("-"):
        cli._parser(name, import_module(f"pinn_cli.commands.{name}")).parse_intermixed_args(words)


def test_every_choice_of_a_command_exists(workshop):
    groups = catalogue.groups()
    chosen = set()
    for command in commands():
        for key, _, value in (word.partition("=") for word in shlex.split(command)):
            if key in groups and value.isascii():
                chosen |= {(key, name) for name in re.split(",", value.strip("[]")) if name}
    assert len(chosen) > 50
    for group, name in chosen:
        catalogue.check(group, name)


@pytest.mark.parametrize("words", [
    "problem=rod problem.seed=3", "problem=fisher", "problem=sound", "problem=cooling", "problem=ring", "problem=bratu",
    "problem=fisher recipe=adam weighting=ramp",
    "problem=fisher architecture=sine", "problem=fisher sampler=[latin,held_out]", "problem=fisher optimizer=descent",
])  # fmt: skip
def test_the_files_of_the_guide_work(words, workshop):
    """One step on few points; the whole commands are for people."""
    few = ["points.interior=32", "points.face=8"]
    parts = assemble(compose([*words.split(), *few]))
    objective, phase = preview(parts), parts.schedule[0]
    sampler = phase.sampler()
    sampler.begin_stage(parts.problem)
    objective.begin(sampler.draw(0, parts.problem, objective))
    parts.weighting.update(0, objective)
    optimizer = phase.optimizer()
    before = float(objective.loss().detach())
    report = optimizer.step(objective)
    optimizer.load_state_dict(optimizer.state_dict())
    assert report.stop is None
    assert float(objective.loss().detach()) != before


SCRIPTS = [
    (page.name, body)
    for page in PAGES
    for language, body in FENCE.findall(FILE.sub("", page.read_text()))
    if language == "python" and re.search("^from pinn_cli import (load|train)$", body, re.MULTILINE)
]


@pytest.mark.parametrize("script", [body for _, body in SCRIPTS], ids=[name for name, _ in SCRIPTS])
def test_every_script_runs(script, workshop, monkeypatch):
    """After one step on few points, which is also all that `train` does here; the words themselves are composed."""

    def short(*words):
        assert cli.main(["train", *words, "stop.steps=1", "points.interior=16", "points.face=8", "figures=off"]) == 0
        return load("latest")

    def train(*words):
        assemble(compose(list(words)))
        return short(*(word for word in words if not word.startswith("stop.")))

    monkeypatch.setattr(pinn_cli, "train", train)
    for problem in re.findall(r"outputs/(\w+)/latest", script):
        short(f"problem={problem}")
    exec(compile(script, "script", "exec"), {})


def test_the_diagnostic_of_the_guide_draws_its_figure(workshop):
    words = ["problem=fisher", "diagnostics=length", "stop.steps=1", "points.interior=16", "points.face=8"]
    assert cli.main(["train", *words, "figures=off", "folder=looked"]) == 0
    assert cli.main(["plot", "looked", "--only", "length"]) == 0
    assert (workshop / "looked" / "figures" / "length.png").exists()


def test_blocks_are_what_the_result_files_say():
    module = tables()
    for page in PAGES:
        assert module.rewritten(page.read_text()) == page.read_text(), f"{page.name}: run python benchmarks/tables.py"


def test_every_block_has_a_source_and_an_end():
    module = tables()
    for page in PAGES:
        text = page.read_text()
        begun, ended = re.findall(r"<!-- begin: (.*?) -->", text), re.findall(r"<!-- end: (.*?) -->", text)
        assert begun == ended
        assert set(begun) <= set(module.BLOCKS)
        assert len(begun) == len(module.BLOCK.findall(text))


def test_a_block_without_results_is_marked(tmp_path):
    text = "<!-- begin: accuracy -->\nold\n<!-- end: accuracy -->"
    assert "not measured yet: `pinn reproduce default/accuracy`" in tables().rewritten(text, tmp_path)


def test_no_measured_number_is_typed_by_hand():
    text = (ROOT / "README.md").read_text()
    section = text.partition("\n## Measured")[2].partition("\n## ")[0]
    assert section
    typed = re.sub(r"<!-- begin.*?<!-- end[^\n]*", "", section, flags=re.DOTALL)
    assert not MEASURED.search(typed), MEASURED.search(typed)


def test_every_number_of_the_three_facts_stands_in_a_measured_table_of_its_source():
    rows = re.findall(r"^\| \*\*(.*)\| \[[^\]]+\]\(([^)]+)\) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(rows) == 3
    for words, source in rows:
        measured = "".join(body for _, _, body, _ in tables().BLOCK.findall((ROOT / source).read_text()))
        cells = {cell.strip() for cell in measured.replace("\n", "|").split("|")}
        numbers = re.findall(r"\d\.\d+e[-+]\d+|[\d.]+(?= m?s\b)", words)
        assert len(numbers) > 1
        assert set(numbers) <= cells


def test_times_marked_2_in_the_readme_are_those_of_the_table_of_the_default():
    text = (ROOT / "README.md").read_text()
    line = re.compile(r"^\| `(problem=.+?)`(?: \\\*)? \|" + r"([^|]+)\|" * 4, re.MULTILINE)
    table = text.partition("<!-- begin: accuracy -->")[2].partition("<!-- end: accuracy -->")[0]
    rows = [[cell.strip() for cell in row] for row in line.findall(table)]
    seconds = {words: float(whole) for words, _, _, whole, _ in rows}
    marked = re.findall(r"^pinn train (.+?) +# (\d+) s \[2\]", text, re.MULTILINE)
    assert len(marked) > 1
    assert all(seconds[words] == float(said) for words, said in marked)
    default = {words.split()[0]: goal for words, _, goal, _, _ in rows if "exact" not in words and "sobol" not in words}
    reached = [int(goal) for goal in default.values() if goal.isdecimal()]
    counted = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    assert f"{counted[len(reached)]} of the {counted[len(default)]} problems" in text
    assert f"in {min(reached)} to {max(reached)} seconds" in " ".join(text.split())


@pytest.mark.slow
def test_the_first_equation_of_the_readme_is_learnt(workshop):
    few = ["points.interior=256", "points.face=32", "stop.steps=12", "figures=off", "device=cpu", "folder=learnt"]
    assert cli.main(["train", "problem=front", *few]) == 0
    assert load("learnt").history["error/u"][-1] < 1e-2


STATED = re.compile(r"^(pinn train problem=.+?) +# relative L2 error ([\d.e-]+)", re.MULTILINE)
ERRORS = [pair for page in PAGES for pair in STATED.findall(page.read_text())]


@pytest.mark.slow
@pytest.mark.parametrize(("command", "error"), ERRORS)
def test_a_command_reaches_the_error_beside_it(command, error, workshop):
    """Within a factor of three: other processors round differently."""
    folder = re.search(r"problem=(\w+)", command)[1]
    assert cli.main([*shlex.split(command)[1:], "figures=off", "device=cpu", "threads=1", f"folder={folder}"]) == 0
    run = load(folder)
    assert run.history[f"error/{run.fields[0]}"][-1] < 3 * float(error)


def anchors(page: Path) -> set[str]:
    """The names by which links find the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text()):
        if target.startswith("http"):
            continue
        file, _, heading = target.partition("#")
        there = page.parent / file if file else page
        assert there.exists(), target
        assert not heading or heading in anchors(there), target


def test_the_architecture_page_has_the_table_of_wings():
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE)
    assert {wing: re.findall(r"`([\w.]+)`", allowed) for wing, allowed in rows} == WINGS


def test_the_readme_spells_out_the_recipe_of_m4():
    line = next(c for c in commands() if "architecture=modified_mlp" in c)
    by_parts, published = (compose(words) for words in (shlex.split(line)[2:], [M4]))
    assert by_parts == published


def test_a_wrong_sign_looks_as_the_page_shows_it(workshop, capsys):
    right = (workshop / "problems" / "front.py").read_text()
    (workshop / "problems" / "wrong.py").write_text(right.replace("u_t - u_xx", "u_t + u_xx"))
    (workshop / "conf" / "problem" / "wrong.yaml").write_text("_target_: problems.wrong.Front\n")
    assert cli.main(["check", "problem=wrong"]) == 1
    page = (ROOT / "docs" / "my_error_stays_near_1.md").read_text()
    shown = next(body for language, body in FENCE.findall(page) if language == "text")
    assert " ".join(shown.split()) in " ".join(capsys.readouterr().out.split())


def test_verdicts_are_quoted_as_a_run_prints_them():
    verdicts = [
        Verdict(reached="t"),
        Verdict(relative={"pde": nan}), Verdict(doubts=["u is free"]), Verdict(ratio={"pde": 9.0}),
        Verdict(relative={"pde": 1.0}), Verdict(measured={"seen": 1.0}), Verdict(biased={"seen": 1.0}),
        Verdict(estimated={"u": 1.0}), Verdict(),
    ]  # fmt: skip
    for name in ("my_error_stays_near_1.md", "verdict.md"):
        page = (ROOT / "docs" / name).read_text()
        quoted = re.findall(r"^\| `([^`]+)` \|", page.partition("| verdict |")[2].partition("\n\n")[0], re.MULTILINE)
        assert [str(verdict).partition(":")[0] for verdict in verdicts] == quoted
    assert f"`{Verdict()}`" in (ROOT / "docs" / "verdict.md").read_text()


def named_files(text: str) -> set[str]:
    """Every path from the top of the project that a page names, modules in imports included."""
    paths = set(re.findall(r"`((?:pinn_cli|problems|tests|benchmarks|conf|docs)/[\w./-]*)`", text))
    modules = set(re.findall(r"^\s*(?:from|import) (pinn_cli[\w.]*)", text, re.MULTILINE))
    return paths | {module.replace(".", "/") for module in modules}


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_files_and_modules_named_in_a_page_exist(page):
    shown = {name for other in PAGES for name, _ in FILE.findall(other.read_text())}
    shown |= {"conf/problem/my_heat.yaml", "problems/my_heat.py"}  # written by `pinn new problem my_heat`
    for name in named_files(page.read_text()) - shown:
        assert (ROOT / name).exists() or (ROOT / f"{name}.py").exists(), name


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_python_file_is_named_by_its_whole_path(page):
    shown = {name for other in PAGES for name, _ in FILE.findall(other.read_text())}
    bare = set(re.findall(r"`(\w+\.py)`", page.read_text())) - shown
    assert not {name for name in bare if not (ROOT / name).exists() and not (ROOT / "pinn_cli" / name).exists()}
