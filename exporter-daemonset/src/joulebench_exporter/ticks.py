"""A tick: one observed change of one device's energy counter."""

from dataclasses import dataclass
from enum import IntFlag


class TickFlag(IntFlag):
    """What is special about a tick (the bits of `energy.proto`)."""

    NONE = 0
    GAP = 1
    """Between the tick before and this one, reads failed, came late, or ticks were lost."""
    RESET = 2
    """The counter went back: what was used since the tick before is unknown; the cumulative energy stays as it was."""
    WRAPPED = 4
    """The counter wrapped around; the cumulative energy takes account of it."""
    INTEGRATED = 8
    """Summed up from power readings, not from an energy counter."""


@dataclass(slots=True)
class Tick:
    """The counter moved to a new value within (time_ns - bracket_ns, time_ns].

    `energy_mj` is cumulative since the exporter's start, in whole millijoules, and never falls. Sequence 1 is the
    first read: 0 mJ, nothing lies before it. Never changed once it is made; `frozen` would make that five times slower.
    """

    sequence: int
    time_ns: int
    bracket_ns: int
    energy_mj: int
    flags: int = 0
    """TickFlag bits."""
