"""Seeds of random numbers, one for each purpose."""

from hashlib import sha256


def seed_for(seed: int, *purpose: str | int) -> int:
    """A seed for one purpose, from the seed of the run; the same on every machine."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(sha256(text.encode()).digest()[:7], "big")
