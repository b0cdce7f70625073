"""Who may import whom: the table of docs/architecture.md as one dictionary, and what follows from it."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "pinn_cli"

# A wing imports itself and the wings named here. Imports under TYPE_CHECKING and inside functions count too.
WINGS = {
    "basics": [],
    "derivatives": ["basics"],
    "physics": ["basics", "derivatives"],
    "methods": ["basics", "derivatives", "physics"],
    "records": ["basics"],
    "training": ["basics", "derivatives", "physics", "records", "methods.contracts", "methods.corrections",
                 "methods.linear_algebra", "methods.pointwise_equations", "methods.random_features", "methods.seeds",
                 "methods.symmetric"],
    "reports": ["basics", "records"],
    "configuration": ["basics", "derivatives", "physics", "methods", "records", "training"],
    "runs": ["basics", "derivatives", "physics", "methods", "records", "training", "reports", "configuration"],
    "studies": ["basics", "records", "reports", "configuration", "runs"],
    "commands": ["basics", "derivatives", "physics", "methods", "records", "training", "reports", "configuration",
                 "runs", "studies"],
    "problems": ["physics"],
}  # fmt: skip
METHODS = ("architectures", "weightings", "samplers", "optimizers", "strategies", "diagnostics")
# The only modules that import a heavy library, as they begin.
DOORS = {
    "h5py": ["records.results", "physics.references.table"],
    "rich": ["training.console", "studies.status_view"],
    "matplotlib": ["reports.figures"],
    "hydra": ["configuration", "studies", "commands"],
}


def modules() -> dict[str, Path]:
    """Every module of the package and of problems/ by its dotted name behind `pinn_cli.`; the two flat files apart."""
    files = [(file, PACKAGE) for file in PACKAGE.rglob("*.py") if file.parent != PACKAGE]
    files += [(file, ROOT) for file in (ROOT / "problems").rglob("*.py")]
    return {".".join(f.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): f for f, root in files}


@cache
def imported(file: Path) -> set[str]:
    """Every absolute name that a file imports, wherever the import stands."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def ours(file: Path) -> set[str]:
    """The modules of the package that a file imports, dotted behind `pinn_cli.`."""
    return {name.removeprefix("pinn_cli.") for name in imported(file) if name.startswith("pinn_cli.")}


def begins(name: str, prefix: str) -> bool:
    """Whether a dotted name is the prefix or lies below it."""
    return f"{name}.".startswith(f"{prefix}.")


MODULES = modules()
FACE = {"Problem", "Box", "Family", "Field", "Interval", "on", "periodic", "observable", "load", "train", "__version__"}


def test_every_module_lies_in_a_wing():
    assert {name.partition(".")[0] for name in MODULES} == set(WINGS)


def test_the_package_shows_at_most_fourteen_names_and_two_flat_modules():
    shown = [path.name for path in PACKAGE.iterdir() if path.name not in ("__pycache__", "py.typed")]
    assert len(shown) <= 14
    assert sorted(name for name in shown if name.endswith(".py")) == ["__init__.py", "cli.py"]


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_imports_only_the_wings_of_its_row(wing):
    allowed = [wing, *WINGS[wing]]
    wrong = {
        f"{module} -> {name}"
        for module, file in MODULES.items() if begins(module, wing)
        for name in ours(file) - FACE
        if not any(begins(name, one) for one in allowed)
    }  # fmt: skip
    assert not wrong


def test_no_wing_is_imported_by_one_that_it_imports():
    order = list(WINGS)
    for wing, others in WINGS.items():
        for other in others:
            assert order.index(other.partition(".")[0]) < order.index(wing)


def test_no_two_modules_import_each_other_in_a_circle():
    """Modules form no circle: whatever is left after taking away modules that import nothing left is one."""
    names = sorted(MODULES, key=len, reverse=True)

    def module_of(name: str) -> str | None:
        return next((module for module in names if begins(name, module)), None)

    arrows = {m: {module_of(name) for name in ours(file)} - {m, None} for m, file in MODULES.items()}
    left = set(arrows)
    while free := {m for m in left if not arrows[m] & left}:
        left -= free
    assert not left


@pytest.mark.parametrize("kind", METHODS)
def test_no_kind_of_method_imports_another_kind(kind):
    for module, file in MODULES.items():
        if begins(module, f"methods.{kind}"):
            assert not [n for n in ours(file) if any(begins(n, f"methods.{k}") for k in METHODS if k != kind)]


def test_the_package_never_imports_problems():
    inside = {m: file for m, file in MODULES.items() if not begins(m, "problems")}
    assert not [m for m, file in inside.items() for name in imported(file) if "problems" in name.split(".")[:2]]


@pytest.mark.parametrize("library", DOORS)
def test_a_heavy_library_is_imported_only_behind_its_doors(library):
    users = {m for m, file in MODULES.items() if any(begins(name, library) for name in imported(file))}
    assert not [m for m in users if not any(begins(m, door) for door in DOORS[library])]


def test_no_wing_below_the_configuration_reads_a_configuration():
    below = ("basics", "derivatives", "physics", "methods", "records", "training", "reports", "problems")
    for module, file in MODULES.items():
        if module.partition(".")[0] in below:
            assert not [n for n in imported(file) if begins(n, "omegaconf") or begins(n, "hydra")], module
