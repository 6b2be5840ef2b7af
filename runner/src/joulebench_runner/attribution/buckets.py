"""Where the energy of a tick can go."""

from enum import IntEnum
from typing import Final


class Bucket(IntEnum):
    """Columns of the tick matrix, in the order in which ties of the rounding are resolved."""

    QUERIES = 0
    JUDGE = 1
    SHARED = 2
    """What no query can be charged with; 0 except for `Marginal`."""
    IDLE = 3
    """No call was in flight."""
    FOREIGN = 4
    """Requests on the same server that are not this run's."""
    BOUNDARY = 5
    """The parts of the first and last tick that lie outside the measured window."""
    UNJOINED = 6
    """Calls that carried no query's id."""
    ABANDONED = 7
    """Calls of attempts that never finished."""
    SUPERSEDED = 8
    """Calls of attempts that finished, where a later attempt counts."""
    COUNTER_RESET = 9
    MISSED_TICKS = 10


UNATTRIBUTED: Final = (
    Bucket.UNJOINED,
    Bucket.ABANDONED,
    Bucket.SUPERSEDED,
    Bucket.COUNTER_RESET,
    Bucket.MISSED_TICKS,
)
"""Reported together as `unattributed`, each under its own reason."""


def reason(bucket: Bucket) -> str:
    """The name under which an unattributed bucket is reported, such as `missed_ticks`."""
    return bucket.name.lower()
