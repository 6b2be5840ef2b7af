"""When a counter of a simulated device moves, and what it shows then: as a real one, but known. Pure.

The k-th tick comes at phase + k x tick, later or earlier by chance (a triangular distribution, at most `jitter`), and
shows the energy that the device had used `delay` before. Real boards tick every 20 to 100 ms and show what was true
some ten milliseconds ago (Yang, Adamek, Armour, "Part-time Power Measurements", SC'24, arXiv 2312.02741).
"""

from dataclasses import dataclass
from typing import Final

_MIX = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """All in nanoseconds. A tick of 0: the counter moves all the time."""

    tick_ns: int = 100_000_000
    phase_ns: int = 0
    delay_ns: int = 0
    jitter_ns: int = 0
    seed: int = 0

    def last_tick_ns(self, now_ns: int, *, device: int = 0) -> int:
        """When the counter moved last."""
        if not self.tick_ns:
            return now_ns
        number = (now_ns - self.phase_ns) // self.tick_ns + 1
        while (time_ns := self._tick_ns(number, device)) > now_ns:
            number -= 1
        return time_ns

    def shown_ns(self, now_ns: int, *, device: int = 0) -> int:
        """Of which time the counter shows the energy."""
        return self.last_tick_ns(now_ns, device=device) - self.delay_ns

    def _tick_ns(self, number: int, device: int) -> int:
        offset = (_chance(self.seed, device, number, 0) + _chance(self.seed, device, number, 1) - 1.0) * self.jitter_ns
        return self.phase_ns + number * self.tick_ns + round(offset)


DEFAULT_RHYTHM: Final = Rhythm()


def _chance(*parts: int) -> float:
    """From 0 up to 1, always the same for the same parts (SplitMix64 over each in turn)."""
    state = 0
    for part in parts:
        state = (state + part + _MIX) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state / (1 << 64)
