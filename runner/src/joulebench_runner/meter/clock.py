"""From an exporter's clock to ours. Pure."""

from collections.abc import Iterable

from joulebench_runner.meter.exporter import Ping


def round_trip_ns(ping: Ping) -> int:
    """Time on the way, there and back; the offset's error is at most half of it."""
    return (ping.t3_ns - ping.t0_ns) - (ping.t2_ns - ping.t1_ns)


def offset_ns(ping: Ping) -> int:
    """The exporter's clock minus ours."""
    return ((ping.t1_ns - ping.t0_ns) + (ping.t2_ns - ping.t3_ns)) // 2


def best_offset_ns(pings: Iterable[Ping]) -> int | None:
    """The offset by the ping with the shortest round trip; None without pings."""
    best = min(pings, key=round_trip_ns, default=None)
    return None if best is None else offset_ns(best)
