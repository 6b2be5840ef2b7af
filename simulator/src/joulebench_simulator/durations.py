"""Durations as people write them: `6ms`, `40us`, `1.5s`."""

import re
from typing import Final

_UNITS_NS: Final = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000}
_FORM: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m)")


def parse_ns(text: str) -> int:
    """A duration in nanoseconds. Raises ValueError for text without a number and a unit."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration; write a number and a unit (ns, us, ms, s, m), such as 6ms")
    return round(float(match[1]) * _UNITS_NS[match[2]])
