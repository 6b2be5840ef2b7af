"""From the exporter's clock to the meter's, with a bound on what may be wrong about it.

A ping is sent at t0, received at t1, answered at t2 and back at t3 (t0, t3: meter; t1, t2: exporter). The offset
((t1 - t0) + (t2 - t3)) / 2 is off by at most half the round trip (t3 - t0) - (t2 - t1), whatever the two ways took (RFC
5905, section 8). The ping with the shortest round trip says most; a clock may then drift by DRIFT_PPM.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from joulebench_runner.attribution.arrays import Ints, as_ints

DRIFT_PPM: Final = 100
"""Quartz oscillators of computers stay within this of each other (NTP's own design limit is 500 ppm of correction)."""


@dataclass(frozen=True)
class Pings:
    """P pings of one exporter; int64[P] each, nanoseconds."""

    t0_ns: Ints
    t1_ns: Ints
    t2_ns: Ints
    t3_ns: Ints

    @property
    def offset_ns(self) -> Ints:
        """Exporter minus meter, by each ping."""
        return as_ints(((self.t1_ns - self.t0_ns) + (self.t2_ns - self.t3_ns)) // 2)

    @property
    def bound_ns(self) -> Ints:
        """Half of the round trip, rounded up."""
        return as_ints(np.maximum((self.t3_ns - self.t0_ns - (self.t2_ns - self.t1_ns) + 1) // 2, 0) + 1)


@dataclass(frozen=True)
class ClockOffset:
    """`exporter time - offset_ns` is the meter's time, to within `bound_ns`."""

    offset_ns: int
    bound_ns: int
    basis: str
    """In words: where this is known from."""

    def to_meter(self, exporter_ns: Ints) -> Ints:
        """The exporter's times in the meter's clock."""
        return exporter_ns - self.offset_ns


def clock_offset(pings: Pings, *, same_boot: bool, start_ns: int, end_ns: int) -> ClockOffset | None:
    """The offset that holds over [start, end) of the meter's clock; None without a ping from another boot.

    Processes of one boot share CLOCK_MONOTONIC: the offset is exactly 0, unless a ping rules that out (then the two run
    in different time namespaces).
    """
    if not len(pings.t0_ns):
        return ClockOffset(0, 0, "same boot, no ping") if same_boot else None
    possible = np.abs(pings.offset_ns) <= pings.bound_ns
    if same_boot and possible.all():
        return ClockOffset(0, 0, "same boot, confirmed by pings")
    return _best(pings, start_ns=start_ns, end_ns=end_ns)


def _best(pings: Pings, *, start_ns: int, end_ns: int) -> ClockOffset:
    """The ping whose bound, widened by drift to the far end of the window, is the least."""
    far = np.maximum(np.abs(pings.t0_ns - start_ns), np.abs(pings.t3_ns - end_ns))
    bound = pings.bound_ns + far * DRIFT_PPM // 1_000_000
    best = int(np.argmin(bound))
    return ClockOffset(int(pings.offset_ns[best]), int(bound[best]), "ping with the least bound")
