"""What a manifest may hold: it may come from somebody else, or be damaged. Each function raises ValueError."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

FORMAT = 1
TEXTS = ("command", "launcher", "created", "cwd")
WORD = re.compile(r"[+~]*(?!hydra\b)[A-Za-z_]\w*([./@:-]\w+)*(=.*)?")  # of a run; Hydra would build all it is told to
JOB = re.compile(r"[0-9]+(_[0-9]+)?")  # what Slurm takes for a job: a word would be one of its options


def texts(about: Mapping[str, Any]) -> dict[str, str]:
    """What was typed, how, when and where, of a manifest of this format."""
    if about["format"] != FORMAT:
        raise ValueError(f"format {about['format']}, expected {FORMAT}")
    found = {key: line(about[key]) for key in TEXTS}
    shlex.split(found["command"])  # what no shell has had raises
    return found


def jobs(about: Mapping[str, Any]) -> tuple[str, ...]:
    """The numbers of a cluster's jobs."""
    found = tuple(map(str, about["jobs"]))
    if wrong := [job for job in found if not JOB.fullmatch(job)]:
        raise ValueError(f"{wrong[0]!a} is no number of a job")
    return found


def run(number: int, words: Any, refused: Any) -> tuple[list[str], str | None]:
    """Words of a run, and why it was refused."""
    if not isinstance(words, list) or not (refused is None or isinstance(refused, str)):
        raise ValueError(f"run {number} is {str(words)[:40]}, refused: {str(refused)[:40]}")
    for word in words:
        if not isinstance(word, str) or not word.isprintable() or not WORD.fullmatch(word):
            raise ValueError(f"run {number} has the word {ascii(word)[:60]}, which no run has")
    return words, refused


def line(text: Any) -> str:
    """A text that can be printed and stays in its line. Nothing else speaks to a terminal."""
    if not isinstance(text, str) or not text.isprintable():
        raise ValueError(f"{ascii(text)[:80]} is no line of text")
    return text
