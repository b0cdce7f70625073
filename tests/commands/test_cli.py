"""Words typed wrongly: one line that says what to type, exit code 2, nothing made."""

from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from omegaconf import OmegaConf

from pinn_cli import cli
from pinn_cli.configuration.compose import compose, read, spread
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
    (f"{HELMHOLTZ} seed=1,2", "type pinn train -m"),
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
    (f"{HELMHOLTZ} optimizer=first_order optimizer.first_order.optimizer=Adm", "Adam"),
    (f"{HELMHOLTZ} optimizer=adam optimizer.adam.steps=-1", "optimizer.adam.steps=-1"),
    (f"{HELMHOLTZ} optimizer=[]", "optimizer=[]: expected at least one"),
    (f"{HELMHOLTZ} sampler=[]", "sampler=[]: expected at least one"),
    (f"{HELMHOLTZ} device=gpu", "auto | cpu | cuda"),
    (f"{HELMHOLTZ} problem._target_=os.system", "expected a class of pinn_cli"),
    (f"{HELMHOLTZ} problem._target_=torch.load", "expected a class of pinn_cli"),
    (f"{HELMHOLTZ} problem._target_=torch.nn.ReLU", "_target_"),
    (f"{HELMHOLTZ} a=[1,2", "close each bracket"),
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
    # removed and added keys
    (f"{HELMHOLTZ} ~stop.steps", "this cannot be removed; type e.g. stop.steps=null"),
    (f"{HELMHOLTZ} ~stop", "type e.g. stop.steps=null"),
    (f"{HELMHOLTZ} ~record", "type e.g. record.every=null"),
    (f"{HELMHOLTZ} ~seed", "type e.g. seed=VALUE (a whole number"),
    (f"{HELMHOLTZ} ~points", "type e.g. points.interior=1"),
    (f"{HELMHOLTZ} ~problem", "pinn list problems"),
    (f"{HELMHOLTZ} ~weighting", "pinn list weightings"),
    (f"{HELMHOLTZ} ~hydra", "of Hydra's settings"),
    (f"{HELMHOLTZ} +stop.nope=1", "unknown key `stop.nope`; in `stop`: expected one of steps"),
    (f"{HELMHOLTZ} ++record.evry=1", "did you mean `every`?"),
    (f"{HELMHOLTZ} +a.b.c=1", "unknown key `a.b.c`"),
    (f"{HELMHOLTZ} optimizer.adam.points.interior=3", "add optimizer=adam"),
    (f"{HELMHOLTZ} optimizer.nope.points.interior=3", "in `optimizer`: expected one of levenberg_marquardt"),
    (f"{HELMHOLTZ} optimizer.levenberg_marquardt.sampler.raff.k=3", "unknown key `sampler.raff.k`"),
    (f"{HELMHOLTZ} optimizer.levenberg_marquardt=null", "expected a table with the name of a class"),
    (f"{HELMHOLTZ} optimizer.levenberg_marquardt=3", "expected a table with the name of a class"),
    # references
    (f"{HELMHOLTZ} seed=${{nope}}", "seed: Interpolation key 'nope' not found"),
    (f"{HELMHOLTZ} seed=${{seed}}", "seed: Recursive interpolation"),
    (f"{HELMHOLTZ} weights.wall=${{nope.k}}", "weights.wall: Interpolation key"),
    (f"{HELMHOLTZ} problem.k=${{problem}}", "problem.k: Interpolation to parent node"),
    (f"{HELMHOLTZ} seed=${{oc.env:NO_SUCH}}", "'NO_SUCH' not found"),
    (f"{HELMHOLTZ} seed=${{", "close each bracket"),
    # numbers
    (f"{HELMHOLTZ} seed=1.5", "seed=1.5: expected a whole number"),
    (f"{HELMHOLTZ} seed=", "seed=: expected a whole number"),
    (f"{HELMHOLTZ} seed=[1]", "seed=[1]: expected a whole number"),
    (f'{HELMHOLTZ} seed="1"', 'seed="1": expected a whole number'),
    (f"{HELMHOLTZ} seed=99999999999999999999", "from 0 to 2^63 - 1"),
    (f"{HELMHOLTZ} problem.k=nan", "problem.k=nan: expected a finite number"),
    (f"{HELMHOLTZ} problem.k=1e400", "problem.k=inf: expected a finite number"),
    (f"{HELMHOLTZ} optimizer=adam optimizer.adam.lr=inf", "optimizer.adam.lr=inf: expected a finite number"),
    (f"{HELMHOLTZ} sampler.held_out.every=nan", "sampler.held_out.every=nan: expected a finite number"),
    (f"{HELMHOLTZ} stop.seconds=inf", "expected a number above 0"),
    # settings of a part: the message names it
    (f"{HELMHOLTZ} sampler=[grid_subset] sampler.grid_subset.nodes=3", "nodes=3: expected list of int"),
    (f"{HELMHOLTZ} sampler=[grid_subset] sampler.grid_subset.nodes=[3,a]", "expected list of int"),
    (f"{HELMHOLTZ} sampler=[sobol,rad] sampler.rad.pool=-5", "sampler.rad: found pool=-5; expected a whole number"),
    (f"{HELMHOLTZ} sampler=[sobol,rar] sampler.rar.add=0", "sampler.rar: found add=0; expected a whole number"),
    (f"{HELMHOLTZ} sampler.held_out.every=0", "sampler.held_out: found every=0; expected a whole number above 0"),
    (f"{HELMHOLTZ} sampler.held_out.ratio=-1", "sampler.held_out: found ratio=-1; expected a number above 0"),
    (f"{HELMHOLTZ} sampler=[sobol] sampler.sobol.every=0", "sampler.sobol: found every=0; expected a positive"),
    (f"{HELMHOLTZ} sampler=[sobol,adaptive_residual] sampler.adaptive_residual.patience=0",
     "sampler.adaptive_residual: found patience=0"),
    (f"{HELMHOLTZ} strategy=restarts strategy.restarts.patience=0", "strategy.restarts: found patience=0"),
    (f"{HELMHOLTZ} strategy=restarts strategy.restarts.memory=some", "found memory=some; expected one of keep, "),
    (f"{HELMHOLTZ} weights.wall=nan", "expected a number from 0 on"),
    (f"{HELMHOLTZ} points.interior=1e30", "expected a whole number of points above 0"),
    (f"{HELMHOLTZ} threads=1000000", "threads=1000000: expected a whole number from 1 to 4096"),
    (f"{HELMHOLTZ} threads=-1", "expected a whole number from 1 to 4096"),
    (f"{HELMHOLTZ} architecture.depth=0", "architecture.depth=0: expected a whole number above 0"),
    (f"{HELMHOLTZ} architecture=modified_mlp architecture.depth=-1", "architecture.depth=-1: expected a whole"),
    (f"{HELMHOLTZ} weights=[1,2]", "found a list where a table is expected"),
    (f"{HELMHOLTZ} weights={{wal:1}}", "did you mean `wall`?"),
    (f"{HELMHOLTZ} stop={{nope:1}}", "stop.nope: Key 'nope'"),
    # flags and settings of Hydra's
    (f"{HELMHOLTZ} --resolve", "unknown flag `--resolve`; pinn train has -m, --dry-run, --cfg job and --help"),
    (f"{HELMHOLTZ} --package a", "unknown flag `--package`; pinn train has"),
    (f"{HELMHOLTZ} --config-dir=conf", "unknown flag `--config-dir=conf`; pinn train has"),
    (f"{HELMHOLTZ} --config-name x", "unknown flag `--config-name`; pinn train has"),
    (f"{HELMHOLTZ} --experimental-rerun x", "unknown flag `--experimental-rerun`; pinn train has"),
    (f"{HELMHOLTZ} --", "unknown flag `--`; pinn train has"),
    (f"{HELMHOLTZ} hydra.job.chdir=true", "of Hydra's settings a sweep expects hydra/launcher=NAME"),
    (f"{HELMHOLTZ} hydra=1", "of Hydra's settings a sweep expects"),
    (f"{HELMHOLTZ} hydra/launcher=local", "type pinn train -m ..."),
    (f"-m {HELMHOLTZ} --resolve seed=0", "unknown flag `--resolve`; pinn train has"),
    (f"-m {HELMHOLTZ} hydra.job.chdir=true seed=0", "of Hydra's settings a sweep expects"),
    (f"-m {HELMHOLTZ} hydra.sweep.dir=sw seed=0", "of Hydra's settings a sweep expects"),
    (f"-m {HELMHOLTZ} hydra/sweeper=basic seed=0", "of Hydra's settings a sweep expects"),
    (f"-m {HELMHOLTZ} hydra=1 seed=0", "of Hydra's settings a sweep expects"),
    (f"-m {HELMHOLTZ} ~hydra seed=0", "of Hydra's settings a sweep expects"),
    # words that cannot be read
    (f"{HELMHOLTZ} folder=läufe/a", "'folder=\"läufe/a\"'"),
    (f"{HELMHOLTZ} folder=a=b", "'folder=\"a=b\"'"),
    (f"{HELMHOLTZ} folder=a#b", "'folder=\"a#b\"'"),
    (f"{HELMHOLTZ} periodic=[x, y]", "quote it for the shell: 'periodic=[x, y]'"),
    (f"{HELMHOLTZ} seed=0,,1", "close each bracket"),
    (f"{HELMHOLTZ} =x", "`=x`: expected key=value, e.g. problem=helmholtz"),
    (f"{HELMHOLTZ} .a=1", "cannot read `.a=1`"),
    # values of a sweep
    ("problem=glob(*)", "type pinn train -m"),
    (f"-m {HELMHOLTZ} seed=range(0)", "`seed=range(0)` has no value"),
    (f"-m {HELMHOLTZ} seed=range(0,3,0)", "has more than 100000 values"),
    (f"-m {HELMHOLTZ} seed=range(1000000000000)", "has more than 100000 values"),
    (f"-m {HELMHOLTZ} seed=range(1000) threads=range(1,1001)", "these are 1000000 runs; expected at most 100000"),
    (f"-m {HELMHOLTZ} seed=range(a)", "mismatch type argument"),
    (f"-m {HELMHOLTZ} seed=sort(2,a)", "cannot read `seed=sort(2,a)`"),
    (f"-m {HELMHOLTZ} seed=interval(0,1)", "expected a list of values, e.g. seed=1,2,3"),
    (f"-m {HELMHOLTZ} seed=glob(*)", "expected a list of values, e.g. seed=1,2,3"),
    (f"-m {HELMHOLTZ} weighting=glob(zz*)", "has no value"),
    (f"-m {HELMHOLTZ} seed=${{nope}},${{seed}}", "Interpolation key 'nope' not found"),
    (f"-m {HELMHOLTZ} seed=0,1 folder=", "`folder=`: expected the name of a folder"),
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
        (["show", "a", "b"], "unrecognized arguments: b; pinn show --help"),
        (["compare", "--figure"], "expected one argument; pinn compare --help"),
        (["predict"], "required: --grid, --out; pinn predict --help"),
        (["check", "-m", HELMHOLTZ], "unrecognized arguments: -m"),
        (["check", HELMHOLTZ, "hydra.job.chdir=true"], "a run has no settings of Hydra's"),
        (["check", "helmholtz"], "e.g. problem=helmholtz"),
        (["new", "problem", "helmholtz"], "already"),
    ],
)
def test_other_commands_answer_in_a_line(words, says, here, capsys):
    assert cli.main(words) == cli.USAGE
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
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
              "recipe=adam optimizer.adam.lr=1e-3", "folder=\"läufe/a\"", "stop.steps=null", "weights={wall:2}",
              "points.wall=${points.interior}", "sampler.held_out.every=${stop.steps}"]
)  # fmt: skip
def test_the_settings_that_these_lines_name_work(words, capsys):
    assert cli.main(["train", HELMHOLTZ, *words.split(), "--cfg", "job"]) == 0


def test_a_reference_to_another_setting_is_its_value(here):
    config = compose([HELMHOLTZ, "points.interior=32", "points.wall=${points.interior}", "weights={wall: 2}",
                      "sampler.held_out.every=${points.interior}"])  # fmt: skip
    assert (config.points.wall, config.weights.wall, config.sampler.held_out["every"]) == (32, 2, 32)
    assert "${" not in OmegaConf.to_yaml(config)


def test_a_sweep_takes_parts_by_a_pattern():
    assert spread("weighting=glob([f*,grad*],exclude=fi*)") == ["weighting=grad_norm"]
    assert spread("seed=sort(range(3),reverse=true)") == ["seed=2", "seed=1", "seed=0"]


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
