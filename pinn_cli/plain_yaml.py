"""YAML as plain data, also from somebody else: broken syntax is one line, and nothing in it multiplies itself."""

from collections import Counter

import yaml

from pinn_cli.errors import UsageError

LARGEST = 1_000_000  # characters of a file
MOST = 100_000  # values, once what is repeated by reference (&name, *name) is written out
REFERENCES = 20  # like ${seed}: each may hold several others
DEEPEST = 50  # tables and lists inside each other
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def check(text: str, where: object, foreign: str | None = None) -> str:
    """The text, if it is YAML of a usual size, no name in it twice and none `foreign` (Raises UsageError)."""
    if len(text) > LARGEST:
        raise UsageError(f"{where}: {len(text)} characters; expected a YAML of a few lines")
    try:
        _count(text, foreign)
        _refuse_twice(yaml.compose(text, Loader=Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{where}{line}: no YAML: {' '.join(str(error.problem or error.context).split())}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{where}: no YAML: {' '.join(str(error).split())}") from None
    return text


def scalars(text: str) -> list[str]:
    """The names and values of a checked file as YAML reads them, which may be otherwise than they are written."""
    return [event.value for event in yaml.parse(text, Loader=Loader) if isinstance(event, yaml.ScalarEvent)]


def _count(text: str, foreign: str | None) -> None:
    """Walk through the file without building anything. Raises ValueError where it would grow out of proportion."""
    sizes: dict[str, int] = {}  # values by anchor
    opened: list[tuple[str | None, int]] = []  # anchors of the tables and lists around, and how much came before them
    total = references = 0
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"*{event.anchor} stands for nothing that comes before it")
            total += sizes[event.anchor]
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, total))
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.ScalarEvent):
            total, references = total + 1, references + event.value.count("${")
            if foreign is not None and foreign in event.value:
                raise ValueError(f"line {event.start_mark.line + 1} speaks to {foreign}, which only a command may do")
            if event.anchor is not None:
                sizes[event.anchor] = 1
        if getattr(event, "tag", None) not in (None, "!"):
            raise ValueError(f"the tag {event.tag}; expected plain values")
        if total > MOST or len(opened) > DEEPEST or references > REFERENCES:
            most = f"{MOST} values, {REFERENCES} references like ${{seed}}, or {DEEPEST} tables inside each other"
            raise ValueError(f"more than {most}")


def _refuse_twice(node: yaml.Node | None) -> None:
    """Raises ValueError for a table in which a name stands twice: nobody knows which of the two would count."""
    if isinstance(node, yaml.MappingNode):
        names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice := next((name for name in names if names[name] > 1), None):
            raise ValueError(f"`{twice}` is there twice in the table that begins at line {node.start_mark.line + 1}")
    inner = [value for _, value in node.value] if isinstance(node, yaml.MappingNode) else getattr(node, "value", None)
    for value in inner if isinstance(inner, list) else []:
        _refuse_twice(value)
