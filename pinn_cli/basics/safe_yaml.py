"""YAML as plain data, also from a file of somebody else: errors are one line, and its size stays bounded."""

import re
from collections import Counter
from math import inf

import yaml

from pinn_cli.basics.errors import UsageError

LARGEST = 1_000_000  # characters of a file
MOST = 100_000  # values, with each alias (*name) replaced by what it refers to
REFERENCES = 20  # interpolations like ${seed}; each may contain others
DEEPEST = 50  # levels of nested tables and lists
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # control characters, which a terminal would obey
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def check(text: str, where: object, foreign: str | None = None) -> str:
    """Return the text if it is YAML of a usual size, without duplicate names and without the word `foreign`.

    Raises UsageError otherwise.
    """
    if len(text) > LARGEST:
        raise UsageError(f"{where}: {len(text)} characters; expected a YAML of a few lines")
    try:
        _check_events(text, foreign)
        if _values(yaml.compose(text, Loader=Loader), {}) > MOST:
            raise ValueError(f"more than {MOST} values, once what is repeated by reference is written out")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{where}{line}: no YAML: {' '.join(str(error.problem or error.context).split())}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{where}: no YAML: {' '.join(str(error).split())}") from None
    return text


def scalars(text: str) -> list[str]:
    """The names and values of a checked file after YAML has resolved quotes and escapes."""
    return [event.value for event in yaml.parse(text, Loader=Loader) if isinstance(event, yaml.ScalarEvent)]


def _check_events(text: str, foreign: str | None) -> None:
    """Check tags, depth, references and characters without building any object (Raises ValueError)."""
    depth = references = 0
    for event in yaml.parse(text, Loader=Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        value = event.value if isinstance(event, yaml.ScalarEvent) else ""
        references += value.count("${")
        if foreign is not None and foreign in value:
            raise ValueError(f"line {event.start_mark.line + 1} sets {foreign}, which only the command line may do")
        if CONTROL.search(value):
            raise ValueError(f"line {event.start_mark.line + 1} holds the text {value[:40]!r}, which cannot be printed")
        if getattr(event, "tag", None) not in (None, "!"):
            raise ValueError(f"the tag {event.tag}; expected plain values")
        if depth > DEEPEST or references > REFERENCES:
            raise ValueError(f"more than {REFERENCES} references like ${{seed}}, or {DEEPEST} tables inside each other")


def _values(node: yaml.Node | None, known: dict[int, float]) -> float:
    """The number of values in a node, aliases expanded; infinite if it contains itself (Raises ValueError)."""
    if id(node) not in known:
        known[id(node)] = inf
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        _refuse_twice(pairs)
        parts = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in pairs for part in pair]
        known[id(node)] = 1 + sum(_values(part, known) for part in parts)
    return known[id(node)]


def _refuse_twice(pairs: list[tuple[yaml.Node, yaml.Node]]) -> None:
    """Refuse a table that has a name twice, because it is unclear which of the two counts (Raises ValueError)."""
    names = [(key.value, key.start_mark.line + 1) for key, _ in pairs if isinstance(key, yaml.ScalarNode)]
    count = Counter(name for name, _ in names)
    if twice := [(name, line) for name, line in names if count[name] > 1]:
        raise ValueError(f"`{twice[-1][0]}` stands twice in a table, last in line {twice[-1][1]}")
