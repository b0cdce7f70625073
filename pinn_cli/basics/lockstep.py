"""Computations that go on in parts, so that several can take turns.

Such a computation is a generator. It yields nothing: where it yields, it waits for the others.
"""

from collections.abc import Generator, Iterator, Mapping
from typing import TypeVar

Result = TypeVar("Result")
Key = TypeVar("Key")
Going = Generator[None, None, Result]


def to_the_end(going: Going[Result]) -> Result:
    """Carry out one computation alone; what it returns."""
    while True:
        try:
            next(going)
        except StopIteration as end:
            return end.value


def in_turn(going: Mapping[Key, Going[Result]]) -> Iterator[tuple[Key, Result]]:
    """Carry out several computations, all to their next part before any goes further; yields each that ends."""
    left = dict(going)
    while left:
        for key, one in list(left.items()):
            try:
                next(one)
            except StopIteration as end:
                del left[key]
                yield key, end.value
