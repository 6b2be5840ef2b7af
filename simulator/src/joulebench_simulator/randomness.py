"""Chance that can be repeated: the same parts give the same draw on every machine, in any order of asking."""

import hashlib
from random import Random

_SCALE = 1 << 64


def digest(*parts: object) -> int:
    """64 bits that depend on all parts."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def fraction(*parts: object) -> float:
    """A number from 0 up to, not including, 1."""
    return digest(*parts) / _SCALE


def generator(*parts: object) -> Random:
    """A generator of its own for these parts."""
    return Random(digest(*parts))  # noqa: S311 - simulation, not cryptography
