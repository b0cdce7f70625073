"""What is installed is what is here."""

import configparser
import os
import subprocess
import sys

from tests.conftest import ROOT


def settings() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_every_package_is_listed():
    listed = set(settings()["options"]["packages"].split())
    inside = {".".join(f.parent.relative_to(ROOT).parts) for f in (ROOT / "pinn_cli").rglob("*.py")}
    assert listed == inside | {"pinn_cli.conf", "pinn_cli.problems"}


def test_configuration_lies_no_deeper_than_what_is_packaged():
    depths = {len(f.relative_to(ROOT / "conf").parts) for f in (ROOT / "conf").rglob("*.yaml")}
    patterns = settings()["options.package_data"]["pinn_cli.conf"].split()
    assert depths <= {pattern.count("/") + 1 for pattern in patterns}


def test_the_data_of_the_references_is_packaged():
    (folder,) = {f.parent for f in (ROOT / "pinn_cli").rglob("*.csv")}
    patterns = settings()["options.package_data"]["pinn_cli.physics.references.cavity"].split()
    packaged = {f for pattern in patterns for f in folder.parent.glob(pattern)}
    assert {folder / "ghia.csv", folder / "ldc_reference.csv"} <= packaged == set(folder.iterdir())


def test_every_requirement_is_pinned():
    options = settings()
    required = [*options["options"]["install_requires"].split(), *options["options.extras_require"]["test"].split()]
    names = {r.partition(">")[0].partition("=")[0].lower() for r in required}
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().split()}
    assert names <= pinned
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text().split()


def test_pyproject_is_the_build_system_only():
    lines = [line for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("[")]
    assert lines == ["[build-system]"]


def test_import_alone_brings_no_torch_every_public_name_is_there_and_a_run_starts_without_scipy():
    code = "import sys, pinn_cli; assert 'torch' not in sys.modules; assert set(pinn_cli.__all__) <= set(dir(pinn_cli))"
    code += "; from pinn_cli import *; assert Interval.__mro__[1] is Box and callable(load) and callable(on)"
    code += "; assert not hasattr(pinn_cli, 'Boxes')"
    code += "; import pinn_cli.runs.start; assert not {'scipy', 'matplotlib', 'torch._dynamo'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_submission_of_a_sweep_imports_no_torch():
    """It would take longer than all the rest."""
    code = "import sys, pinn_cli.studies.launch, pinn_cli.studies.launchers.slurm.array"
    code += "; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_help_is_fast_and_imports_neither_torch_nor_hydra():
    heavy = "{'torch', 'hydra', 'numpy'} & set(sys.modules)"
    code = f"import sys; from pinn_cli.cli import main; main(['--help']); assert not {heavy}"
    before = os.times()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = os.times()
    spent = after.children_user - before.children_user + after.children_system - before.children_system
    assert spent < 2  # 0.05 s; of the processor, since a busy machine lets a process wait
