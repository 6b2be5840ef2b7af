"""What a raw count of an energy counter means."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """Unit, range and finder of one cumulative energy counter.

    `microjoules_per_count` is exact: 1 for RAPL, 1000 for NVML, a fraction where the hardware counts in its own unit.
    """

    microjoules_per_count: Fraction = Fraction(1)
    wraps_at: int | None = None
    """The counter begins at 0 again after so many counts; None: it does not in practice."""
    update_period_ns: int | None = None
    """How often the hardware moves the counter: 0 where it is computed when read, None where it is not known."""
    max_watts: int | None = None
    """More than this device can draw. Tells a wrap-around from a reset, and when a silence hid more than one wrap."""
    integrated: bool = False
    """Summed up from power readings, because the device has no energy counter."""
    find_ticks: bool = False
    """The counter moves in steps so long apart that the sampler shall find out when, instead of reading on its grid."""

    def microjoules(self, count: int) -> int:
        """So many counts in whole microjoules, rounded down."""
        return count * self.microjoules_per_count.numerator // self.microjoules_per_count.denominator

    def millijoules(self, count: int) -> int:
        """So many counts in whole millijoules, rounded down."""
        return self.microjoules(count) // 1000

    def exceeds_max_power(self, count: int, *, elapsed_ns: int) -> bool:
        """Whether so many counts in that time are more than the device can have drawn."""
        return self.max_watts is not None and self.microjoules(count) * 1000 > self.max_watts * elapsed_ns
