"""From the meter's monotonic clock to UTC: for people to read, never for arithmetic."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from joulebench_runner.attribution.arrays import Ints
from joulebench_runner.results.arrow import ArrowColumn
from joulebench_runner.results.tables import UNKNOWN, ClockPair, codes

TIMESTAMP = pa.timestamp("us", tz="UTC")


class WallClock:
    """UTC by the pair of the same meter process that was taken last before the time."""

    def __init__(self, pairs: Sequence[ClockPair]) -> None:
        by_instance: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for pair in pairs:
            by_instance[pair.instance_id].append((pair.monotonic_ns, pair.realtime_ns))
        self._pairs = {name: np.array(sorted(found), dtype=np.int64) for name, found in by_instance.items()}

    def realtime_ns(self, instance_id: str, monotonic_ns: Ints) -> Ints:
        """Nanoseconds since 1970; UNKNOWN where the time is unknown or the process left no pair."""
        pairs = self._pairs.get(instance_id)
        if pairs is None:
            return np.full(len(monotonic_ns), UNKNOWN, dtype=np.int64)
        at = np.maximum(np.searchsorted(pairs[:, 0], monotonic_ns, "right") - 1, 0)
        return np.where(monotonic_ns == UNKNOWN, UNKNOWN, pairs[at, 1] + monotonic_ns - pairs[at, 0])

    def timestamps(self, instances: ArrowColumn, monotonic_ns: Ints) -> ArrowColumn:
        """A column of UTC timestamps."""
        encoded = codes(instances)
        realtime = np.full(len(monotonic_ns), UNKNOWN, dtype=np.int64)
        for code, name in enumerate(encoded.names):
            rows = np.flatnonzero(encoded.codes == code)
            realtime[rows] = self.realtime_ns(name, monotonic_ns[rows])
        return pa.array(realtime // 1000, pa.int64(), mask=realtime == UNKNOWN).cast(TIMESTAMP)

    def text(self, instance_id: str, monotonic_ns: int) -> str:
        """One time in RFC 3339; empty where it is not known."""
        realtime = int(self.realtime_ns(instance_id, np.array([monotonic_ns], dtype=np.int64))[0])
        if realtime == UNKNOWN:
            return ""
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=realtime // 1000)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
