"""Whether the exporter does its work: reads go on, and counters move."""

from collections.abc import Iterable
from typing import Final

from joulebench_exporter.sampler import Channel, Sampler

STALLED_NS: Final = 10_000_000_000
"""No read, or no tick, for so long is too long. Idle counters are read twice a second."""


def hung(sampler: Sampler, *, now_ns: int) -> str | None:
    """Why the process should be restarted; None: it need not be."""
    silent_ns = now_ns - sampler.last_read_ns
    return f"no read has ended for {silent_ns / 1e9:.0f} s" if silent_ns > STALLED_NS else None


def stalled(channels: Iterable[Channel], *, now_ns: int) -> list[str]:
    """Devices whose ticks have stopped, each with why."""
    return [f"{channel.info.uuid}: {_why(channel)}" for channel in channels if _is_stalled(channel, now_ns)]


def _is_stalled(channel: Channel, now_ns: int) -> bool:
    return channel.last_tick_ns is None or now_ns - channel.last_tick_ns > STALLED_NS


def _why(channel: Channel) -> str:
    return channel.problem or "its counter does not move"
