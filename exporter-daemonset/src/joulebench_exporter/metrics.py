"""The Prometheus metrics: declared once, filled from what is in memory. A scrape touches no sensor.

Label names join with others: `namespace`, `pod` and `container` with kube-state-metrics, `gpu` and `UUID` with
dcgm-exporter. Owners are a metric of their own, so that a change of owners breaks no energy series:

    joulebench_gpu_power_watts * on (UUID) group_left (namespace, pod, container) joulebench_gpu_owner_info
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from joulebench_api.contracts.energy import Domain
from joulebench_exporter import __version__
from joulebench_exporter.clock import Clock
from joulebench_exporter.devices import DeviceInfo
from joulebench_exporter.diagnosing import Diagnostician, Looks
from joulebench_exporter.diagnostics import CLOCK_REASONS, THROTTLING
from joulebench_exporter.ownership import OwnerBook
from joulebench_exporter.sampler import Channel, Sampler

MOST_OWNERS: Final = 16
"""Owner series per device at most; joulebench_gpu_owners counts all."""

_COUNTER: Final = "counter"
_GAUGE: Final = "gauge"
_GPU: Final = ("gpu", "UUID")
_DEVICE: Final = ("device", "domain")
_HERTZ_PER_MEGAHERTZ: Final = 1_000_000

Row = tuple[Sequence[str], float]
"""Label values and the number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """All that a scrape is answered from."""

    sampler: Sampler
    diagnostician: Diagnostician
    owners: OwnerBook
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric family. Counters get `_total` when they are shown."""

    name: str
    kind: str
    help: str
    unit: str = ""
    labels: tuple[str, ...] = ()
    rows: Callable[[Source], Iterable[Row]]


def _channels(source: Source, *domains: Domain) -> Iterator[Channel]:
    return (one for one in source.sampler.channels.values() if not domains or one.info.domain in domains)


def _gpu_labels(info: DeviceInfo) -> tuple[str, str]:
    return ("" if info.index is None else str(info.index), info.uuid)


def _gpu_energy(source: Source) -> Iterator[Row]:
    for one in _channels(source, Domain.GPU):
        yield (*_gpu_labels(one.info), str(one.info.sensor_kind)), one.joules


def _energy_of(domain: Domain) -> Callable[[Source], Iterator[Row]]:
    def rows(source: Source) -> Iterator[Row]:
        for one in _channels(source, domain):
            yield (one.info.uuid, one.info.name, str(one.info.sensor_kind)), one.joules

    return rows


def _of_device(value: Callable[[Channel], float | None]) -> Callable[[Source], Iterator[Row]]:
    def rows(source: Source) -> Iterator[Row]:
        for one in _channels(source):
            number = value(one)
            if number is not None:
                yield (one.info.uuid, str(one.info.domain)), number

    return rows


def _of_look(value: Callable[[Looks], float | None]) -> Callable[[Source], Iterator[Row]]:
    def rows(source: Source) -> Iterator[Row]:
        for looks in source.diagnostician.looks.values():
            number = value(looks)
            if number is not None:
                yield _gpu_labels(looks.channel.info), number

    return rows


def _shown(field: str, *, factor: float = 1.0) -> Callable[[Source], Iterator[Row]]:
    def value(looks: Looks) -> float | None:
        number = None if looks.latest is None else getattr(looks.latest, field)
        return None if number is None else number * factor

    return _of_look(value)


def _throttled(source: Source) -> Iterator[Row]:
    for looks in source.diagnostician.looks.values():
        if looks.latest is None or looks.latest.clock_reasons is None:
            continue
        for bit, reason in CLOCK_REASONS.items():
            if bit & THROTTLING:
                yield (*_gpu_labels(looks.channel.info), reason), looks.reason_ns.get(bit, 0) / 1e9


def _info(source: Source) -> Iterator[Row]:
    for one in _channels(source):
        info = one.info
        yield (
            (
                *(*_gpu_labels(info), info.uuid, info.name, str(info.domain), str(info.scope), info.sensor),
                *(str(info.sensor_kind), info.pci_bus_id, info.driver_version),
            ),
            1,
        )


def _partitions(source: Source) -> Iterator[Row]:
    for one in _channels(source, Domain.GPU):
        for part in one.info.partitions:
            yield (*_gpu_labels(one.info), part.uuid, part.name), 1


def _owner_info(source: Source) -> Iterator[Row]:
    for one in _channels(source, Domain.GPU):
        owners = source.owners.of(one.info.uuid)
        shared = str(owners.shared).lower()
        for owner in owners.containers[:MOST_OWNERS]:
            yield (*_gpu_labels(one.info), owner.namespace, owner.pod, owner.container, owner.partition, shared), 1


def _owner_count(source: Source) -> Iterator[Row]:
    for one in _channels(source, Domain.GPU):
        owners = source.owners.of(one.info.uuid)
        if owners.known:
            yield _gpu_labels(one.info), len(owners.containers)


def _age(source: Source) -> Iterator[Row]:
    now_ns = source.clock.monotonic_ns()
    for one in _channels(source):
        if one.last_tick_ns is not None:
            yield (one.info.uuid, str(one.info.domain)), (now_ns - one.last_tick_ns) / 1e9


METRICS: Final[Sequence[Metric]] = (
    Metric(
        name="joulebench_gpu_energy_joules",
        kind=_COUNTER,
        unit="joules",
        labels=(*_GPU, "kind"),
        help="Energy of the board (or module) since the exporter's start, from its own energy counter unless "
        "joulebench_device_info says otherwise. Never integrated from a scrape.",
        rows=_gpu_energy,
    ),
    Metric(
        name="joulebench_cpu_energy_joules",
        kind=_COUNTER,
        unit="joules",
        labels=("device", "name", "kind"),
        help="Energy of processor packages since the exporter's start; of the whole machine where it is modelled.",
        rows=_energy_of(Domain.CPU),
    ),
    Metric(
        name="joulebench_dram_energy_joules",
        kind=_COUNTER,
        unit="joules",
        labels=("device", "name", "kind"),
        help="Energy of the main memory since the exporter's start.",
        rows=_energy_of(Domain.DRAM),
    ),
    Metric(
        name="joulebench_psys_energy_joules",
        kind=_COUNTER,
        unit="joules",
        labels=("device", "name", "kind"),
        help="Energy of the whole platform since the exporter's start. It contains the packages: never add the two.",
        rows=_energy_of(Domain.PSYS),
    ),
    Metric(
        name="joulebench_gpu_power_watts",
        kind=_GAUGE,
        unit="watts",
        labels=_GPU,
        help="Power of the board now, over the shortest time that its sensor averages. A diagnostic: joules do not "
        "come from it.",
        rows=_shown("power_watts"),
    ),
    Metric(
        name="joulebench_gpu_power_average_watts",
        kind=_GAUGE,
        unit="watts",
        labels=_GPU,
        help="Power of the board, averaged by its driver over a second or so.",
        rows=_shown("power_average_watts"),
    ),
    Metric(
        name="joulebench_gpu_power_limit_watts",
        kind=_GAUGE,
        unit="watts",
        labels=_GPU,
        help="Power limit in force.",
        rows=_shown("power_limit_watts"),
    ),
    Metric(
        name="joulebench_gpu_utilization_ratio",
        kind=_GAUGE,
        unit="ratio",
        labels=_GPU,
        help="Part of the last period in which a kernel ran (0 to 1).",
        rows=_shown("utilisation_percent", factor=0.01),
    ),
    Metric(
        name="joulebench_gpu_memory_utilization_ratio",
        kind=_GAUGE,
        unit="ratio",
        labels=_GPU,
        help="Part of the last period in which memory was read or written (0 to 1).",
        rows=_shown("memory_utilisation_percent", factor=0.01),
    ),
    Metric(
        name="joulebench_gpu_memory_used_bytes",
        kind=_GAUGE,
        unit="bytes",
        labels=_GPU,
        help="Memory in use.",
        rows=_shown("memory_used_bytes"),
    ),
    Metric(
        name="joulebench_gpu_memory_bytes",
        kind=_GAUGE,
        unit="bytes",
        labels=_GPU,
        help="Memory in all.",
        rows=_shown("memory_total_bytes"),
    ),
    Metric(
        name="joulebench_gpu_temperature_celsius",
        kind=_GAUGE,
        unit="celsius",
        labels=_GPU,
        help="Temperature of the chip.",
        rows=_shown("temperature_celsius"),
    ),
    Metric(
        name="joulebench_gpu_clock_hertz",
        kind=_GAUGE,
        unit="hertz",
        labels=_GPU,
        help="Clock of the processors (SM).",
        rows=_shown("clock_mhz", factor=_HERTZ_PER_MEGAHERTZ),
    ),
    Metric(
        name="joulebench_gpu_memory_clock_hertz",
        kind=_GAUGE,
        unit="hertz",
        labels=_GPU,
        help="Clock of the memory.",
        rows=_shown("memory_clock_mhz", factor=_HERTZ_PER_MEGAHERTZ),
    ),
    Metric(
        name="joulebench_gpu_fan_ratio",
        kind=_GAUGE,
        unit="ratio",
        labels=_GPU,
        help="Speed of the board's own fan, as a part of its highest.",
        rows=_shown("fan_percent", factor=0.01),
    ),
    Metric(
        name="joulebench_gpu_throttled_seconds",
        kind=_COUNTER,
        unit="seconds",
        labels=(*_GPU, "reason"),
        help="Time in which the clocks were held down, by reason, as seen once a second.",
        rows=_throttled,
    ),
    Metric(
        name="joulebench_gpu_suspect_readings",
        kind=_COUNTER,
        labels=_GPU,
        help="Looks at the board with a value that cannot be true, such as a utilisation above 100 %.",
        rows=_of_look(lambda looks: looks.suspect),
    ),
    Metric(
        name="joulebench_gpu_owner_info",
        kind=_GAUGE,
        labels=(*_GPU, "namespace", "pod", "container", "partition", "shared"),
        help=f"1 for each container that has the board or a part of it, by the kubelet; at most {MOST_OWNERS} a board.",
        rows=_owner_info,
    ),
    Metric(
        name="joulebench_gpu_owners",
        kind=_GAUGE,
        labels=_GPU,
        help="Number of containers that have the board or a part of it; absent while the kubelet has not told.",
        rows=_owner_count,
    ),
    Metric(
        name="joulebench_gpu_partition_info",
        kind=_GAUGE,
        labels=(*_GPU, "partition", "name"),
        help="1 for each MIG instance. Its energy is its board's; no instance has a counter of its own.",
        rows=_partitions,
    ),
    Metric(
        name="joulebench_device_info",
        kind=_GAUGE,
        labels=(*_GPU, "device", "name", "domain", "scope", "sensor", "kind", "pci_bus_id", "driver_version"),
        help="1 for each energy counter: what it covers, who reads it, and whether it is measured.",
        rows=_info,
    ),
    Metric(
        name="joulebench_exporter_ticks",
        kind=_COUNTER,
        labels=_DEVICE,
        help="Ticks of the counter that were seen.",
        rows=_of_device(lambda channel: channel.ring.newest),
    ),
    Metric(
        name="joulebench_exporter_ticks_missed",
        kind=_COUNTER,
        labels=_DEVICE,
        help="Ticks that went by between two reads. Their energy is in the tick after them.",
        rows=_of_device(lambda channel: None if channel.finder is None else channel.finder.missed),
    ),
    Metric(
        name="joulebench_exporter_tick_period_seconds",
        kind=_GAUGE,
        unit="seconds",
        labels=_DEVICE,
        help="Time between two ticks, as found.",
        rows=_of_device(lambda channel: channel.info.tick_period_seconds),
    ),
    Metric(
        name="joulebench_exporter_tick_jitter_seconds",
        kind=_GAUGE,
        unit="seconds",
        labels=_DEVICE,
        help="Mean distance between when ticks were foretold and when they were seen.",
        rows=_of_device(lambda channel: None if channel.finder is None else channel.finder.jitter_ns / 1e9),
    ),
    Metric(
        name="joulebench_exporter_tick_age_seconds",
        kind=_GAUGE,
        unit="seconds",
        labels=_DEVICE,
        help="Time since the last tick.",
        rows=_age,
    ),
    Metric(
        name="joulebench_exporter_poll_lag_seconds",
        kind=_GAUGE,
        unit="seconds",
        labels=_DEVICE,
        help="How late the last read of the counter was.",
        rows=_of_device(lambda channel: channel.lag_ns / 1e9),
    ),
    Metric(
        name="joulebench_exporter_reads",
        kind=_COUNTER,
        labels=_DEVICE,
        help="Reads of the counter.",
        rows=_of_device(lambda channel: channel.reads),
    ),
    Metric(
        name="joulebench_exporter_read_failures",
        kind=_COUNTER,
        labels=_DEVICE,
        help="Reads that failed. Each is a gap, never a zero.",
        rows=_of_device(lambda channel: channel.failures),
    ),
    Metric(
        name="joulebench_exporter_counter_resets",
        kind=_COUNTER,
        labels=_DEVICE,
        help="Times that the counter went back; what was used then is unknown.",
        rows=_of_device(lambda channel: channel.resets),
    ),
    Metric(
        name="joulebench_exporter_subscribers",
        kind=_GAUGE,
        help="Streams that are open now.",
        rows=lambda source: [((), source.sampler.listeners)],
    ),
    Metric(
        name="joulebench_exporter_idle",
        kind=_GAUGE,
        help="1 while nobody listens and counters are read twice a second only.",
        rows=lambda source: [((), source.sampler.idle)],
    ),
    Metric(
        name="joulebench_exporter_owners_stale",
        kind=_GAUGE,
        help="1 while the kubelet does not answer, and owners may be out of date.",
        rows=lambda source: [((), bool(source.owners.problem))],
    ),
    Metric(
        name="joulebench_exporter_owners_late",
        kind=_GAUGE,
        help="1 while pods are not seen to come and go, and a change of owners is known by --owners-period only.",
        rows=lambda source: [((), bool(source.owners.late))],
    ),
    Metric(
        name="joulebench_exporter_build_info",
        kind=_GAUGE,
        labels=("version",),
        help="1, with the exporter's version.",
        rows=lambda _source: [((__version__,), 1)],
    ),
)


class Collector:
    """Hands the metrics to prometheus_client."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def describe(self) -> Iterable[Family]:
        """Nothing beforehand: the registry need not look for doublets."""
        return ()

    def collect(self) -> Iterator[Family]:
        """All families that have rows now."""
        for metric in METRICS:
            family = _family(metric)
            for labels, value in metric.rows(self._source):
                family.add_metric(labels, float(value))
            if family.samples:
                yield family


def _family(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if metric.kind == _COUNTER else GaugeMetricFamily
    return kind(metric.name, metric.help, labels=metric.labels, unit=metric.unit)
