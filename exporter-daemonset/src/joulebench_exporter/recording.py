"""A plain log: one row of CSV per device and sample, for people who want no more than that."""

import asyncio
import csv
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

from joulebench_exporter.diagnosing import Looks
from joulebench_exporter.errors import BadOptionError
from joulebench_exporter.metrics import Source
from joulebench_exporter.sampler import Channel

_SHOWN: Final = (
    "power_watts",
    "power_average_watts",
    "power_limit_watts",
    "utilisation_percent",
    "memory_utilisation_percent",
    "memory_used_bytes",
    "memory_total_bytes",
    "temperature_celsius",
    "clock_mhz",
    "memory_clock_mhz",
    "clock_reasons",
    "fan_percent",
)
COLUMNS: Final = ("time", "monotonic_ns", "device", "index", "name", "domain", "kind", "energy_joules", *_SHOWN)
"""`energy_joules` counts from the exporter's start. Empty: not known."""

_log = logging.getLogger(__name__)


def open_record(path: Path) -> TextIO:
    """Open a file to record into; a file that is there goes on. Raises BadOptionError."""
    try:
        file = path.open("a", encoding="utf-8", newline="")
    except OSError as error:
        raise BadOptionError(
            f"--record cannot write {path}: {error.strerror}", remedy="Name a file in a folder that you may write to."
        ) from error
    if file.tell() == 0:
        csv.writer(file).writerow(COLUMNS)
    return file


async def record(source: Source, file: TextIO, *, period_seconds: float) -> None:
    """Write a row per device and period until cancelled. A file that cannot be written any more ends the log alone."""
    rows = csv.writer(file)
    while True:
        try:
            rows.writerows(rows_now(source))
            file.flush()
        except OSError as error:
            _log.exception("recording ends: the file cannot be written", extra={"problem": error.strerror})
            return
        await asyncio.sleep(period_seconds)


def rows_now(source: Source) -> Iterator[list[object]]:
    """One row per device, from memory."""
    time = datetime.fromtimestamp(source.clock.realtime_ns() / 1e9, UTC).isoformat(timespec="milliseconds")
    monotonic_ns = source.clock.monotonic_ns()
    for channel in source.sampler.channels.values():
        looks = source.diagnostician.looks.get(channel.info.uuid)
        yield [time, monotonic_ns, *_identity(channel), channel.joules, *_diagnostics(looks)]


def _identity(channel: Channel) -> Iterator[object]:
    info = channel.info
    yield from (info.uuid, info.index, info.name, str(info.domain), str(info.sensor_kind))


def _diagnostics(looks: Looks | None) -> Iterator[object]:
    latest = None if looks is None else looks.latest
    for name in _SHOWN:
        yield None if latest is None else getattr(latest, name)
