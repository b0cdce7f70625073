"""What a distribution is, and the random numbers that it draws from.

A draw is a function of the name of the parameter and of a seed, and of nothing else: the same on every machine, however
many threads it has and whatever was drawn before. Numbers come from the generator PCG64 of numpy in double precision.
It gives them one by one, so that a field with more modes begins with the same numbers: it is the same field with finer
details.
"""

from abc import ABC, abstractmethod
from hashlib import sha256
from typing import Any

import numpy as np


class Outside(ValueError):
    """A value of the right kind that a distribution does not draw: the equation makes sense, and it is not trained."""


class Distribution(ABC):
    """A distribution of numbers, or of coefficient fields. `str()` says which, as on `pinn check`."""

    @abstractmethod
    def draw(self, random: np.random.Generator) -> Any:
        """A number or a `CoefficientField`."""

    @abstractmethod
    def refuse(self, value: Any) -> None:
        """Raise ValueError for what is no possible value, and Outside for one that is never drawn: found, expected."""

    def rare(self, value: Any) -> str:
        """What makes a value, which is not refused, far from all that are drawn; "" if nothing does."""
        return ""


def shown(value: Any) -> str:
    """A value that is refused, in one line."""
    text = repr(value)
    return text if len(text) < 80 and "\n" not in text else f"a value of type {type(value).__name__}"


def generator(name: str, seed: int) -> np.random.Generator:
    """The random numbers of the parameter `name` of the instance `seed`."""
    digest = sha256(f"{name}/{seed}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
