"""`joulebench-exporter doctor`: what was found, what is missing and why, and how the counters tick."""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from joulebench_exporter.clock import Clock
from joulebench_exporter.errors import SensorReadError, SensorUnavailableError
from joulebench_exporter.pod_groups import folders_of_pods, no_pods_in
from joulebench_exporter.sampler import Channel, Sampler
from joulebench_exporter.sensors import simulated
from joulebench_exporter.sensors.base import Diagnosing, Sensor
from joulebench_exporter.sensors.detect import AUTO, SENSOR_NAMES, SensorOptions, open_sensors
from joulebench_exporter.ticks import TickFlag

_TIMED_READS: Final = 100
_TIMED_LOOKS: Final = 5
_FINDING_SECONDS: Final = 2.0
_NOT_SOUGHT: Final = (AUTO, simulated.NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sensor that was looked for."""

    name: str
    sensor: Sensor | None
    said: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubelet:
    """How owners of devices would be known; see the options of these names."""

    socket: Path | None
    pod_groups: Path | None


def examine(options: SensorOptions, *, names: Sequence[str]) -> list[Finding]:
    """Look for sensors, one by one; `auto` for all that exist, the simulated one only where its files are named."""
    wanted = [name for name in SENSOR_NAMES if name not in _NOT_SOUGHT] if AUTO in names else names
    files = [simulated.NAME] if options.device_files and AUTO in names else []
    return [_look_for(name, options) for name in (*wanted, *files)]


def report(findings: Sequence[Finding], *, clock: Clock, seconds: float, kubelet: Kubelet) -> Iterator[str]:
    """The lines to print; measures while it yields."""
    yield "sensors"
    for finding in findings:
        yield from _finding_lines(finding)
    yield ""
    yield from _kubelet_lines(kubelet)
    sensors = [finding.sensor for finding in findings if finding.sensor is not None]
    if not sensors:
        return
    yield ""
    yield f"ticks, measured for {seconds:g} s"
    yield from _table(_tick_rows(sensors, clock=clock, seconds=seconds))


def _look_for(name: str, options: SensorOptions) -> Finding:
    try:
        (sensor,) = open_sensors([name], options).sensors
    except SensorUnavailableError as error:
        return Finding(name=name, sensor=None, said=[error.message, *([error.remedy] if error.remedy else [])])
    return Finding(name=name, sensor=sensor, said=sensor.notes)


def _finding_lines(finding: Finding) -> Iterator[str]:
    yield f"  {finding.name}: {'not here' if finding.sensor is None else 'found'}"
    if finding.sensor is not None:
        for device in finding.sensor.devices():
            info = device.info
            yield f"    {info.uuid}  {info.name}, {info.domain} ({info.scope}), {info.sensor_kind}: {info.source}"
            for part in info.partitions:
                yield f"      {part.uuid}  {part.name} (part of it, without a counter of its own)"
    for line in finding.said:
        yield f"    {line}"


def _kubelet_lines(kubelet: Kubelet) -> Iterator[str]:
    if kubelet.socket is None:
        yield "kubelet: not asked (no folder /var/lib/kubelet/pod-resources here); owners of devices stay unknown"
        return
    yield f"kubelet: {kubelet.socket} {_socket_state(kubelet.socket)}"
    yield f"pods: {_pods_state(kubelet.pod_groups)}"


def _pods_state(root: Path | None) -> str:
    if root is None:
        return "not seen to come and go (--pod-groups off); owners are known by --owners-period only"
    folders = folders_of_pods(root)
    if folders:
        return f"seen to come and go by {folders[0]}; owners are known at once"
    why = f"{no_pods_in(root)} (mount the node's, read-only)"
    return f"not seen to come and go, {why}; owners are known by --owners-period only"


def _socket_state(socket: Path) -> str:
    try:
        present = socket.is_socket()
    except PermissionError:
        return "may not be reached by this user: the exporter needs uid 0 (no capability) to ask who has which device"
    return "is there" if present else "is not there: mount the folder /var/lib/kubelet/pod-resources, read-only"


def _tick_rows(sensors: Sequence[Sensor], *, clock: Clock, seconds: float) -> Iterator[Sequence[str]]:
    failures: list[Exception] = []
    sampler = Sampler(sensors=sensors, clock=clock, period_ns=100_000_000)
    latencies = {uuid: _latencies(channel) for uuid, channel in sampler.channels.items()}
    sampler.start(on_failure=failures.append)
    time.sleep(_FINDING_SECONDS)
    reads = {uuid: channel.reads for uuid, channel in sampler.channels.items()}
    marks = {uuid: channel.ring.newest for uuid, channel in sampler.channels.items()}
    time.sleep(seconds)
    yield (
        *("device", "ticks", "missed", "period ms", "jitter ms", "bracket p50 ms", "p99 ms"),
        *("reads/s", "read p50 us", "p99 us", "look ms", "watts"),
    )
    for uuid, channel in sampler.channels.items():
        read_rate = (channel.reads - reads[uuid]) / seconds
        cells = _tick_cells(channel, since=marks[uuid])
        yield (*cells, f"{read_rate:.0f}", *latencies[uuid], _watts(channel, marks[uuid]))
    sampler.stop()
    if failures:
        raise failures[0]


def _tick_cells(channel: Channel, *, since: int) -> Iterator[str]:
    ticks = channel.ring.after(since, limit=1_000_000)
    pairs = zip(ticks.bracket_ns, ticks.flags, strict=True)
    brackets = [bracket for bracket, flags in pairs if not flags & TickFlag.GAP]
    finder = channel.finder
    yield channel.info.uuid
    yield str(len(ticks))
    yield "-" if finder is None else str(finder.missed)
    yield f"{channel.info.tick_period_seconds * 1000:.2f}"
    yield "-" if finder is None else f"{finder.jitter_ns / 1e6:.2f}"
    yield from _percentiles(brackets, unit_ns=1_000_000)


def _latencies(channel: Channel) -> tuple[str, ...]:
    """How long reads and looks of this device take."""
    sensor = channel.sensor
    try:
        reads = [_timed_ns(lambda: sensor.read(channel.device)) for _ in range(_TIMED_READS)]
        if not isinstance(sensor, Diagnosing):
            return (*_percentiles(reads, unit_ns=1000), "-")
        looks = [_timed_ns(lambda: sensor.diagnose(channel.device)) for _ in range(_TIMED_LOOKS)]
    except SensorReadError as error:
        return ("-", "-", error.message)
    return (*_percentiles(reads, unit_ns=1000), f"{statistics.median(looks) / 1e6:.2f}")


def _timed_ns(call: Callable[[], object]) -> int:
    began_ns = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - began_ns


def _percentiles(values: Sequence[int], *, unit_ns: int) -> tuple[str, str]:
    ordered = sorted(values)
    if not ordered:
        return "-", "-"
    median, high = (ordered[min(len(ordered) - 1, int(part * len(ordered)))] for part in (0.5, 0.99))
    return f"{median / unit_ns:.1f}", f"{high / unit_ns:.1f}"


def _watts(channel: Channel, since: int) -> str:
    ticks = channel.ring.after(since, limit=1_000_000)
    if len(ticks) < 2:
        return "-"
    millijoules = ticks.energy_mj[-1] - ticks.energy_mj[0]
    return f"{millijoules * 1e6 / (ticks.time_ns[-1] - ticks.time_ns[0]):.1f}"


def _table(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    kept = list(rows)
    widths = [max(len(row[column]) for row in kept) for column in range(len(kept[0]))]
    for row in kept:
        first, *others = (text.rjust(width) for text, width in zip(row, widths, strict=True))
        yield "  " + "  ".join([first.strip().ljust(widths[0]), *others])
