"""Words typed wrongly: one line that says what to type, exit code 2, nothing made."""

from pathlib import Path

import pytest
from hydra import compose as hydra_compose

from pinn_cli import cli
from pinn_cli.configuration.compose import compose, read
from pinn_cli.records.results import Results

HELMHOLTZ = "problem=helmholtz"

# words of `pinn train`, and a part of the line that answers them
REFUSED = [
    ("problem=helmholz", "did you mean `helmholtz`?"),
    ("problme=helmholtz", "did you mean `problem`?"),
    ("seed=1", "problem=helmholtz (pinn list problems)"),
    ("problem=", "expected a name"),
    ("helmholtz", "e.g. problem=helmholtz"),
    (f"{HELMHOLTZ} architecture=mpl", "did you mean `mlp`?"),
    (f"{HELMHOLTZ} architecture=[mlp,mlp]", "takes one name"),
    (f"{HELMHOLTZ} architecture.widht=3", "did you mean `width`?"),
    (f"{HELMHOLTZ} +architecture.widht=3", "did you mean `width`?"),
    (f"{HELMHOLTZ} architecture.width=abc", "architecture.width=abc: expected int"),
    (f"{HELMHOLTZ} architecture.activation=tahn", "tanh"),
    (f"{HELMHOLTZ} problem.a3=1", "in `problem`: expected one of a1, a2, k"),
    (f"{HELMHOLTZ} problem.a1=one", "problem.a1=one: expected float"),
    (f"{HELMHOLTZ} nonsense=3", "unknown key `nonsense`"),
    (f"{HELMHOLTZ} +nonsense=3", "unknown key `nonsense`"),
    (f"{HELMHOLTZ} seed=abc", "seed=abc: expected a whole number"),
    (f"{HELMHOLTZ} seed=1,2", "multirun"),
    (f"{HELMHOLTZ} dtype=float16", "float64 | float32"),
    (f"{HELMHOLTZ} compile=maybe", "auto | on | off"),
    (f"{HELMHOLTZ} stop.steps=ten", "stop.steps=ten: expected a whole number above 0"),
    (f"{HELMHOLTZ} stop.steps=0", "expected a whole number above 0"),
    (f"{HELMHOLTZ} stop.stesp=10", "did you mean `steps`?"),
    (f"{HELMHOLTZ} stop=3", "e.g. stop.steps=100"),
    (f"{HELMHOLTZ} points.interior=0", "points.interior=0: expected a whole number of points above 0"),
    (f"{HELMHOLTZ} points.interior=-7", "expected a whole number of points above 0"),
    (f"{HELMHOLTZ} points.interior=many", "expected a whole number of points above 0"),
    (f"{HELMHOLTZ} points=7", "e.g. points.interior=1000"),
    (f"{HELMHOLTZ} points=null", "e.g. points.interior=1000"),
    (f"{HELMHOLTZ} optimizer.levenberg_marquardt.sampler=rad", "expected parts by name (pinn list samplers)"),
    (f"{HELMHOLTZ} weights=null", "e.g. weights.interior=1"),
    (f"{HELMHOLTZ} points.wal=7", "did you mean `wall`?"),
    (f"{HELMHOLTZ} weights.wal=7", "did you mean `wall`?"),
    (f"{HELMHOLTZ} weights.wall=-7", "expected a number from 0 on"),
    (f"{HELMHOLTZ} periodic=[z]", "periodic=[z]"),
    (f"{HELMHOLTZ} weighting=[fixed,fixed]", "is twice in weighting"),
    (f"{HELMHOLTZ} weighting=lr_annealing weighting.alpha=0.5", "weighting.lr_annealing.alpha"),
    (f"{HELMHOLTZ} weighting.lr_annealing.alpha=0.5", "add weighting=lr_annealing"),
    (f"{HELMHOLTZ} optimizer.adam.lr=0.5", "add optimizer=adam"),
    (f"{HELMHOLTZ} optimizer=adam optimizer.adam.lr=fast", "expected float"),
    (f"{HELMHOLTZ} optimizer=adam optimizer.adam.optimizer=Adm", "Adam"),
    (f"{HELMHOLTZ} optimizer=adam optimizer.adam.steps=-1", "optimizer.adam.steps=-1"),
    (f"{HELMHOLTZ} optimizer=[]", "optimizer=[]: expected at least one"),
    (f"{HELMHOLTZ} sampler=[]", "sampler=[]: expected at least one"),
    (f"{HELMHOLTZ} device=gpu", "auto | cpu | cuda"),
    (f"{HELMHOLTZ} problem._target_=os.system", "expected a class of pinn_cli"),
    (f"{HELMHOLTZ} problem._target_=torch.load", "expected a class of pinn_cli"),
    (f"{HELMHOLTZ} problem._target_=torch.nn.ReLU", "_target_"),
    (f"{HELMHOLTZ} a=[1,2", "quote it for the shell"),
    (f"{HELMHOLTZ} folder=/proc/run", "type folder=ANOTHER"),
    (f"{HELMHOLTZ} --steps 100", "unknown flag `--steps`; settings have no dashes: type stop.steps=100"),
    ("--steps=100", "type stop.steps=100"),
    ("--problem helmholtz", "type problem=helmholtz"),
    (f"{HELMHOLTZ} --width 9", "type architecture.width=9"),
    (f"{HELMHOLTZ} --info all", "unknown flag `--info`"),
    (f"{HELMHOLTZ} seed = 1", "`seed = 1`: expected no spaces around the `=`; type seed=1"),
    (f"{HELMHOLTZ} seed= 1", "type seed=1"),
    (f"{HELMHOLTZ} seed =1", "type seed=1"),
    (f"{HELMHOLTZ} lr=1e-3", "unknown key `lr`; type optimizer=adam optimizer.adam.lr=1e-3"),
    (f"{HELMHOLTZ} recipe=adam lr=1e-3", "unknown key `lr`; type optimizer.adam.lr=1e-3"),
    (f"{HELMHOLTZ} steps=100", "type stop.steps=100"),
    (f"{HELMHOLTZ} init=latest", "to train latest further type pinn resume latest"),
    ("-m problem=helmholtz,helmholz", "did you mean `helmholtz`?"),
    (f"-m {HELMHOLTZ} seed=0,1 weighting=fixed,lr_anealing", "did you mean `lr_annealing`?"),
]


def contents(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize(("words", "says"), REFUSED, ids=[words for words, _ in REFUSED])
def test_one_line_exit_code_2_and_nothing_made(words, says, here, capsys):
    assert cli.main(["train", *words.split()]) == cli.USAGE
    out, err = capsys.readouterr()
    assert says in err
    assert err.count("\n") == 1
    assert err.startswith("pinn: ")
    assert not out
    assert contents(here) == []


@pytest.mark.skipif("__import__('torch').cuda.is_available()")
def test_a_missing_gpu_gets_one_line(here, capsys):
    assert cli.main(["train", HELMHOLTZ, "device=cuda"]) == cli.USAGE
    assert "type device=cpu" in capsys.readouterr().err
    assert contents(here) == []


def test_a_file_in_the_users_conf_must_not_have_the_name_of_one_of_pinns(here, capsys):
    own = here / "conf" / "problem" / "helmholtz.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("_target_: problems.helmholtz.Helmholtz\n")
    assert cli.main(["train", HELMHOLTZ]) == cli.USAGE
    assert "give it another name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trian"], "did you mean `train`?"),
        (["resume"], "cd to the folder where you typed pinn train, or start one, e.g. pinn train problem=helmholtz"),
        (["train", "problem=my_heat"], "your own problems go into ./conf/problem, and there is none in"),
        (["train", "problem=my_heat"], "pinn new problem my_heat"),
        (["predict", "--grid", "50,40", "--out", "f.npz"], "type --grid 50x40"),
        (["predict", "--grid", "50", "--out", "f.npz"], "and none at all in"),
        (["list", "problms"], "did you mean `problems`?"),
        (["new", "problem", "My-Heat"], "lower-case"),
        (["new", "problem", "helmholtz"], "already"),
    ],
)
def test_other_commands_answer_in_a_line(words, says, here, capsys):
    assert cli.main(words) == cli.USAGE
    assert says in capsys.readouterr().err
    assert contents(here) == []


def test_list_names_every_choice_with_a_description(capsys):
    assert cli.main(["list", "recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("gradient_pathologies/helmholtz_m4") and "annealing" in line for line in lines)


def test_help_and_version(capsys):
    assert cli.main([]) == cli.main(["--help"]) == cli.main(["--version"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in cli.COMMANDS)


def test_hydra_composes_once_and_the_results_file_says_what_was_typed(here, monkeypatch, capsys):
    composed = []

    def count(*arguments, **keywords):
        composed.append(arguments)
        return hydra_compose(*arguments, **keywords)

    monkeypatch.setattr("pinn_cli.configuration.compose.hydra_compose", count)
    words = [HELMHOLTZ, "stop.steps=1", "points.interior=16", "points.face=4", "figures=off", "folder=run"]
    assert cli.main(["train", *words]) == 0
    assert len(composed) == 1
    assert Results("run/results.h5").read_attributes()["command"] == " ".join(["pinn", "train", *words])
    capsys.readouterr()
    assert cli.main(["train", *words, "--cfg", "job"]) == 0
    assert capsys.readouterr().out == Path("run/config.yaml").read_text()


@pytest.mark.parametrize("words", [["--cfg"], ["--cfg", "hydra"], ["-m", "--cfg", "job"]])
def test_only_the_configuration_of_one_run_is_printed(words, here, capsys):
    assert cli.main(["train", HELMHOLTZ, *words]) == cli.USAGE
    assert "`--cfg`" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", ["stop.steps=100", "architecture.width=9", "seed=1", "optimizer=adam optimizer.adam.lr=1e-3",
              "recipe=adam optimizer.adam.lr=1e-3"]
)  # fmt: skip
def test_the_settings_that_these_lines_name_work(words, capsys):
    assert cli.main(["train", HELMHOLTZ, *words.split(), "--cfg", "job"]) == 0


OWN = """_target_: pinn_cli.methods.architectures.mlp.MLP
_partial_: true
width: 40
depth: 3
activation: tanh
initialiser: glorot_normal
"""


@pytest.mark.parametrize("recipe", ["accurate", "adam"])
def test_a_width_in_the_users_yaml_overrules_the_recipe(recipe, here):
    for name, text in {"architecture/mine": OWN, "recipe/wide": "# @package _global_\narchitecture: {width: 60}\n",
                       "weighting/own": "# @package weighting.own\n_target_: pinn_cli.methods.weightings.fixed.Fixed\n"
                       }.items():  # fmt: skip
        file = here / "conf" / f"{name}.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    words = [HELMHOLTZ, f"recipe={recipe}", "architecture=mine"]
    request = read(words)
    assert request.config.architecture.width == 40
    before = compose(words[:2]).architecture.width
    assert request.notes == (f"architecture.width=40, as in ./conf; the recipe's {before} is left out",)
    assert compose([*words, "architecture.width=7"]).architecture.width == 7
    assert compose([HELMHOLTZ, f"recipe=[{recipe},wide]", "architecture=mine"]).architecture.width == 60
    assert list(compose([*words, "weighting=own"]).weighting) == ["own"]
    assert compose([HELMHOLTZ, f"recipe={recipe}", "architecture=modified_mlp"]).architecture.width == before
