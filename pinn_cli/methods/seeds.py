"""One number for every purpose."""

from hashlib import sha256


def seed_for(seed: int, *purpose: str | int) -> int:
    """A seed that depends on the run's and on what it is for; the same on every machine."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(sha256(text.encode()).digest()[:7], "big")
