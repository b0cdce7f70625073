"""Numbers, durations, trends and foreign text as they are printed; lines wrapped for the terminal."""

import json
import math
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

BARS = "▁▂▃▄▅▆▇█"
LABEL = 9  # columns of the labels of a page


def scientific(value: float, digits: int = 3) -> str:
    """``1.23e-04``, with the given number of significant digits."""
    return f"{value:.{digits - 1}e}"


def rate(steps_per_second: float) -> str:
    """Steps per second: a whole number from 10 on, two digits below."""
    return f"{steps_per_second:.0f}" if steps_per_second >= 10 else f"{steps_per_second:.2g}"


def duration(seconds: float) -> str:
    """``0:26``, ``12:05``, ``3:07:41``; ``?`` if it is not finite."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def ranges(numbers: Sequence[int]) -> str:
    """Whole numbers as ranges: ``0-4 7 9-11``."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return " ".join(f"{first}-{last}" if last > first else str(first) for first, last in spans)


def shortest(keys: Sequence[str]) -> list[str]:
    """The shortest endings that tell the keys apart; ``points.wall`` and ``weights.wall`` always stay whole."""
    def ending(key: str) -> str:
        words = key.split(".")
        if words[0] in ("points", "weights"):
            return key
        endings = [".".join(words[-n:]) for n in range(1, len(words) + 1)]
        return next((e for e in endings if sum(k == e or k.endswith(f".{e}") for k in keys) == 1), key)

    return [ending(key) for key in keys]


def trend(values: Sequence[float], width: int) -> str:
    """The logarithms of positive values as at most `width` bars, between the smallest and the largest of them."""
    last = len(values) - 1
    picked = [values[round(k * last / (width - 1))] for k in range(width)] if len(values) > width else values
    logs = [math.log10(value) if value > 0 and math.isfinite(value) else None for value in picked]
    known = [log for log in logs if log is not None]
    low, span = (min(known), max(known) - min(known)) if known else (0.0, 0.0)
    levels = [None if log is None else round((log - low) / span * 7) if span else 0 for log in logs]
    return "".join(" " if level is None else BARS[level] for level in levels)


def terminal_width() -> int | None:
    """Columns of the terminal on standard output; None for a pipe or a file, where lines keep their length."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def wrap(text: str, width: int | None) -> list[str]:
    """A text as lines of at most `width` characters (None: one line).

    It breaks at double spaces, and at single ones only where a part between double ones is itself too long. A word
    that is longer than the width stays whole, and so does ``[1.00e-03, 2.00e-03]``.
    """
    if width is None or len(text) <= width:
        return [text]
    lines = [""]
    for part in text.split("  "):
        for k, word in enumerate([part] if len(part) <= width else words(part)):
            longer = f"{lines[-1]}{' ' if k else '  '}{word}" if lines[-1] else word
            if len(longer) <= width or not lines[-1]:
                lines[-1] = longer
            else:
                lines.append(word.lstrip())
    return lines


def words(text: str) -> list[str]:
    """The parts of a text between single spaces; square brackets keep theirs."""
    return re.split(r" (?![^\[\]]*\])", text)


def page(lines: Iterable[tuple[str, str]], width: int | None = None) -> str:
    """A label and a text on each line; a text too long for the width continues below its own beginning."""
    rows, lines = [], list(lines)
    indent = max([LABEL, *(len(label) + 2 for label, _ in lines)])
    for label, text in lines:
        first, *rest = wrap(text, width and max(1, width - indent))
        rows += [f"{label:<{indent}}{first}", *(" " * indent + line for line in rest)]
    return "\n".join(row.rstrip() for row in rows)


def in_shell(path: object) -> str:
    """A path as it is typed in a shell: in quotes if its name has spaces or special signs."""
    return shlex.quote(str(path))


def printable(text: str) -> str:
    """The text with control characters, which a terminal would obey, replaced."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def as_json(data: Any) -> str:
    """Plain values as JSON. NaN and infinity, which JSON does not have, become null."""
    return json.dumps(_finite(data), indent=2, allow_nan=False)


def _finite(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
