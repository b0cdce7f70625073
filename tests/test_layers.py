"""The picture of who may import whom (docs/architecture.md), as one dictionary."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# From the ground up: a room imports only rooms that stand further up in this list. Rooms of one line know nothing of
# each other.
FLOORS = [
    # words
    {"errors", "reports", "formatting", "typeset", "descriptions"},
    # the ground: torch only
    {"memory"},
    {"symbols", "domains", "architectures"},
    {"jets"},
    # physics
    {"derivatives", "problem"},
    {"model", "jacobian", "terms", "window"},
    {"exact_conditions", "solution"},
    {"objective"},
    # parts: they speak to the objective they are given
    {"stages", "tables"},
    {"references"},
    {"weighting", "samplers", "optimizers", "strategies", "metrics", "diagnostics"},
    # training and records
    {"clock", "stopping", "interruption", "atomic", "plain_yaml", "pickled", "soundness", "signature"},
    {"lock"},
    {"train", "results", "checkpoint", "console"},
    {"finish", "screens", "diagnosis", "dashboard"},
    {"recorder"},
    # what reads a configuration
    {"catalogue"},
    {"settings", "build", "device", "checkout"},
    {"composition", "refusals", "streams", "sources"},
    {"assembly", "compiler", "cost", "provenance", "run_folder", "combinations"},
    # what a person uses
    {"sweep"},
    {"plan", "runs", "checks", "plots"},
    {"names", "comparison"},
    {"job", "predict", "cluster"},
    {"states", "start"},
    {"launching", "collection"},
    {"reproduction"},
    {"commands"},
    {"cli"},
    {"problems"},
]
ONLY_IMPORTERS = {
    "h5py": {"results", "soundness", "tables"},
    "rich": {"console", "dashboard"},
    "matplotlib": {"plots"},
    "hydra": {"commands", "launching", "composition", "build"},
}
READ_CONFIGURATIONS = FLOORS[FLOORS.index({"catalogue"}) :]


def rooms() -> dict[str, list[Path]]:
    """Files of pinn_cli by room: a module, or a folder of parts."""
    found: dict[str, list[Path]] = {}
    for file in (ROOT / "pinn_cli").rglob("*.py"):
        found.setdefault(file.relative_to(ROOT / "pinn_cli").parts[0].removesuffix(".py"), []).append(file)
    found["problems"] = list((ROOT / "problems").rglob("*.py"))
    del found["__init__"]
    return found


def imports(files: list[Path]) -> set[str]:
    """Every absolute module name that the files import, also inside functions; relative imports are not used here."""
    names = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}: relative import"
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def ours(files: list[Path]) -> set[str]:
    """The rooms that the files import."""
    parts = [name.split(".") for name in imports(files)]
    return {p[1] for p in parts if p[0] == "pinn_cli" and len(p) > 1} - {"__version__", "load"}


LEVEL = {room: level for level, floor in enumerate(FLOORS) for room in floor}


def test_the_picture_shows_every_room():
    assert set(rooms()) <= set(LEVEL), "a new room: give it a floor here and in docs/architecture.md"


@pytest.mark.parametrize("room", sorted(rooms()))
def test_a_room_imports_only_from_below(room):
    assert ours(rooms()[room]) <= {other for other, level in LEVEL.items() if level < LEVEL[room]} | {room}


def test_the_package_never_imports_problems():
    for room, files in rooms().items():
        assert room == "problems" or "problems" not in ours(files)


def test_problems_know_only_the_grammar_and_references():
    assert ours(rooms()["problems"]) <= {"problem", "domains", "references", "problems"}


@pytest.mark.parametrize("library", ONLY_IMPORTERS)
def test_a_library_has_its_door(library):
    doors = {room for room, files in rooms().items() if any(name.split(".")[0] == library for name in imports(files))}
    assert doors <= ONLY_IMPORTERS[library]


def test_nothing_below_the_builder_reads_a_configuration():
    readers = {room for floor in READ_CONFIGURATIONS for room in floor}
    for room, files in rooms().items():
        assert room in readers or not any(name.split(".")[0] in ("omegaconf", "hydra") for name in imports(files))


def test_parts_speak_to_the_objective_they_are_given():
    """Weightings, samplers, optimizers and strategies import nothing above the objective, and no other kind of part."""
    for room in ("weighting", "samplers", "optimizers", "strategies"):
        assert not ours(rooms()[room]) & ({"objective", "weighting", "samplers", "optimizers", "strategies"} - {room})
