"""Durations as people write them: `100ms`, `0.5s`, `2m`."""

import re
from typing import Final

_UNITS_NS: Final = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000}
_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|m)")


def parse_ns(text: str) -> int:
    """A duration in nanoseconds. Raises ValueError for text without a number and a unit."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration; write a number and a unit (us, ms, s, m), such as 100ms")
    return round(float(match[1]) * _UNITS_NS[match[2]])
