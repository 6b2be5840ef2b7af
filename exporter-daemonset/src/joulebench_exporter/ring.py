"""The last ticks of one device, in flat arrays of fixed size."""

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass
from typing import Final

from joulebench_exporter.ticks import Tick

_MOST_FRESH: Final = 64
"""Ticks that are put aside; then they are filed, whether or not somebody reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Ticks in columns of the same length; the n-th has sequence number first_sequence + n."""

    first_sequence: int
    time_ns: "array[int]"
    bracket_ns: "array[int]"
    energy_mj: "array[int]"
    flags: "array[int]"

    def __len__(self) -> int:
        return len(self.time_ns)


class Ring:
    """Keeps `capacity` ticks (28 bytes each). One thread appends, others read.

    A tick is only put aside when it comes, without a lock; readers, who come more seldom, file all that lie there.
    """

    def __init__(self, *, capacity: int) -> None:
        self._fresh: deque[Tick] = deque()
        """Put aside."""
        self._newest = 0
        self._filed = 0
        """The newest of those in the columns."""
        self._first = 1
        self._allocate(capacity)
        self._lock = threading.Lock()

    @property
    def newest(self) -> int:
        """Sequence number of the newest tick; 0 when there is none."""
        return self._newest

    @property
    def oldest(self) -> int:
        """Sequence number of the oldest tick that is kept; 1 when there is none."""
        return max(self._first, self._newest - self._capacity + 1)

    def grow(self, *, capacity: int) -> None:
        """Keep more ticks from now on. A ring never shrinks."""
        with self._lock:
            if capacity <= self._capacity:
                return
            self._file()
            kept = self._columns(self._oldest(), self._filed)
            self._first = kept.first_sequence
            self._allocate(capacity)
            for offset, row in enumerate(zip(kept.time_ns, kept.bracket_ns, kept.energy_mj, kept.flags, strict=True)):
                self._put(self._index(kept.first_sequence + offset), *row)

    def append(self, tick: Tick) -> None:
        """Add the next tick; the oldest one makes room."""
        self._fresh.append(tick)
        self._newest = tick.sequence
        if tick.sequence % _MOST_FRESH == 0:
            with self._lock:
                self._file()

    def after(self, sequence: int, *, limit: int) -> Columns:
        """The oldest ticks that are newer than `sequence`, at most `limit` of them.

        Where `first_sequence` is more than `sequence + 1`, those between are no longer kept.
        """
        with self._lock:
            self._file()
            first = max(sequence + 1, self._oldest())
            return self._columns(first, min(self._filed, first + limit - 1))

    def window(self, *, from_ns: int, to_ns: int) -> Columns:
        """The ticks between two times, with the last one at or before and the first one at or after them."""
        with self._lock:
            self._file()
            kept = range(self._oldest(), self._filed + 1)
            before = bisect_right(kept, from_ns, key=self._time_of) - 1
            after = bisect_left(kept, to_ns, key=self._time_of)
            return self._columns(kept.start + max(before, 0), min(kept.start + after, self._filed))

    def _allocate(self, capacity: int) -> None:
        self._capacity = capacity
        self._time_ns = array("q", bytes(8 * capacity))
        self._bracket_ns = array("q", bytes(8 * capacity))
        self._energy_mj = array("q", bytes(8 * capacity))
        self._flags = array("i", bytes(4 * capacity))

    def _file(self) -> None:
        """Put what lies aside into the columns; the oldest ones make room."""
        fresh = self._fresh
        while fresh:
            tick = fresh.popleft()
            self._put(self._index(tick.sequence), tick.time_ns, tick.bracket_ns, tick.energy_mj, tick.flags)
            self._filed = tick.sequence

    def _oldest(self) -> int:
        """Of those in the columns."""
        return max(self._first, self._filed - self._capacity + 1)

    def _put(self, index: int, time_ns: int, bracket_ns: int, energy_mj: int, flags: int) -> None:
        self._time_ns[index] = time_ns
        self._bracket_ns[index] = bracket_ns
        self._energy_mj[index] = energy_mj
        self._flags[index] = flags

    def _time_of(self, sequence: int) -> int:
        return self._time_ns[self._index(sequence)]

    def _index(self, sequence: int) -> int:
        return (sequence - 1) % self._capacity

    def _columns(self, first: int, last: int) -> Columns:
        return Columns(
            first_sequence=first,
            time_ns=self._cut(self._time_ns, first, last),
            bracket_ns=self._cut(self._bracket_ns, first, last),
            energy_mj=self._cut(self._energy_mj, first, last),
            flags=self._cut(self._flags, first, last),
        )

    def _cut(self, column: "array[int]", first: int, last: int) -> "array[int]":
        if last < first:
            return column[:0]
        start, stop = self._index(first), self._index(last) + 1
        return column[start:stop] if start < stop else column[start:] + column[:stop]
