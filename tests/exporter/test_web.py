"""Metrics and health over HTTP, from memory alone."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from tests.nvml_stub import StubNvml

from joulebench_api.contracts.energy import Domain, Scope, SensorKind
from joulebench_exporter.counter import Counter
from joulebench_exporter.devices import DeviceInfo, Owner, Owners, Partition
from joulebench_exporter.diagnosing import Diagnostician
from joulebench_exporter.diagnostics import Diagnostics
from joulebench_exporter.errors import ListenError, SensorReadError
from joulebench_exporter.metrics import METRICS, Metric, Source
from joulebench_exporter.ownership import OwnerBook
from joulebench_exporter.sampler import Sampler
from joulebench_exporter.sensors.base import Reading, SensorDevice
from joulebench_exporter.sensors.nvml import NvmlSensor
from joulebench_exporter.web import Pages, Request, serving_pages

if TYPE_CHECKING:
    from tests.exporter.conftest import FakeClock

OPENMETRICS = {"accept": "application/openmetrics-text; version=1.0.0"}


class TellingSensor:
    """One GPU and one CPU whose every number the test sets."""

    name = "telling"
    kind = SensorKind.SIMULATED
    notes: Sequence[str] = ()

    def __init__(self, clock: "FakeClock") -> None:
        self.clock = clock
        self.count = 0
        self.broken = False
        self.values: dict[str, float | int] = {"utilisation_percent": 50, "clock_mhz": 1000, "power_watts": 300.0}
        gpu = DeviceInfo(
            uuid="GPU-1",
            name="Simulated GPU",
            domain=Domain.GPU,
            scope=Scope.BOARD,
            sensor="telling",
            sensor_kind=SensorKind.SIMULATED,
            source="a test",
            tick_period_seconds=0.1,
            index=0,
            partitions=(Partition(uuid="MIG-1", name="1g.10gb"),),
        )
        self._devices = [SensorDevice(info=gpu, counter=Counter(microjoules_per_count=Fraction(1000)))]

    def devices(self) -> Sequence[SensorDevice]:
        return self._devices

    def read(self, device: SensorDevice) -> Reading:
        if self.broken:
            raise SensorReadError("broken")
        return Reading(count=self.count)

    def diagnose(self, device: SensorDevice) -> Diagnostics:
        if self.broken:
            raise SensorReadError("broken")
        return Diagnostics(time_ns=self.clock.now_ns, **self.values)  # type: ignore[arg-type]  # any field

    def close(self) -> None:
        pass


@pytest.fixture
def sensor(clock: "FakeClock") -> TellingSensor:
    return TellingSensor(clock)


@pytest.fixture
def source(clock: "FakeClock", sensor: TellingSensor) -> Source:
    sampler = Sampler(sensors=[sensor], clock=clock, period_ns=100_000_000)
    diagnostician = Diagnostician(channels=sampler.channels.values(), clock=clock)
    sampler.sample()
    diagnostician.look()
    return Source(sampler=sampler, diagnostician=diagnostician, owners=OwnerBook(), clock=clock)


async def get(source: Source, path: str = "/metrics", headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    answer = await Pages(source).answer(Request(method="GET", path=path, headers=headers or {}))
    return answer.status.value, answer.body.decode()


async def values(source: Source) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    _, text = await get(source, headers=OPENMETRICS)
    samples = chain.from_iterable(family.samples for family in parse_openmetrics(text))  # type: ignore[no-untyped-call]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


GPU = {"gpu": "0", "UUID": "GPU-1"}


def series(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


async def test_energy_is_a_counter_in_joules(source: Source, sensor: TellingSensor) -> None:
    sensor.count = 12_345
    source.sampler.sample()
    energy = series("joulebench_gpu_energy_joules_total", **GPU, kind="simulated")
    assert (await values(source))[energy] == pytest.approx(12.345)


async def test_diagnostics_are_in_base_units(source: Source) -> None:
    found = await values(source)
    assert found[series("joulebench_gpu_utilization_ratio", **GPU)] == 0.5
    assert found[series("joulebench_gpu_clock_hertz", **GPU)] == 1e9
    assert found[series("joulebench_gpu_power_watts", **GPU)] == 300.0
    assert not any(name == "joulebench_gpu_temperature_celsius" for name, _ in found)  # not told: absent, not 0


async def test_throttling_counts_the_seconds_of_each_reason(
    source: Source, sensor: TellingSensor, clock: "FakeClock"
) -> None:
    for reasons in (0, 0x4, 0x4 | 0x40, 0x1):
        sensor.values["clock_reasons"] = reasons
        clock.now_ns += 1_000_000_000
        source.diagnostician.look()
    found = await values(source)
    assert found[series("joulebench_gpu_throttled_seconds_total", **GPU, reason="sw_power_cap")] == 2.0
    assert found[series("joulebench_gpu_throttled_seconds_total", **GPU, reason="hw_thermal")] == 1.0
    assert series("joulebench_gpu_throttled_seconds_total", **GPU, reason="gpu_idle") not in found


async def test_values_that_cannot_be_true_are_shown_and_marked(source: Source, sensor: TellingSensor) -> None:
    sensor.values["utilisation_percent"] = 140
    source.diagnostician.look()
    found = await values(source)
    assert found[series("joulebench_gpu_utilization_ratio", **GPU)] == pytest.approx(1.4)
    assert found[series("joulebench_gpu_suspect_readings_total", **GPU)] == 1


async def test_a_device_that_does_not_answer_has_no_diagnostics_rather_than_old_ones(
    source: Source, sensor: TellingSensor
) -> None:
    sensor.broken = True
    source.sampler.sample()
    source.diagnostician.look()
    found = await values(source)
    assert series("joulebench_gpu_power_watts", **GPU) not in found
    assert found[series("joulebench_exporter_read_failures_total", device="GPU-1", domain="GPU")] == 1


async def test_owners_are_series_of_their_own_and_their_number_is_bounded(source: Source) -> None:
    before = await values(source)
    owners = tuple(Owner(namespace="models", pod=f"llama-{n}", container="server") for n in range(40))
    source.owners.write({"GPU-1": Owners(containers=owners, known=True)})
    found = await values(source)
    one = series(
        "joulebench_gpu_owner_info",
        **GPU,
        namespace="models",
        pod="llama-3",
        container="server",
        partition="",
        shared="true",
    )
    assert found[one] == 1
    assert sum(name == "joulebench_gpu_owner_info" for name, _ in found) == 16
    assert found[series("joulebench_gpu_owners", **GPU)] == 40
    assert series("joulebench_gpu_owners", **GPU) not in before  # nobody knew


async def test_both_formats_are_spoken(source: Source) -> None:
    _, openmetrics = await get(source, headers=OPENMETRICS)
    _, text = await get(source)
    assert openmetrics.endswith("# EOF\n")
    names = {family.name for family in parse_openmetrics(openmetrics)}  # type: ignore[no-untyped-call]
    assert names == {family.name.removesuffix("_total") for family in parse_text(text)}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_rules(metric: Metric) -> None:
    assert re.fullmatch(r"joulebench_(gpu|cpu|dram|psys|device|exporter)_[a-z_]+[a-z]", metric.name)
    assert not metric.unit or metric.name.endswith(f"_{metric.unit}")
    assert metric.help.endswith(".")


async def test_a_thousand_scrapes_make_no_call_of_the_driver(nvml: Callable[..., StubNvml], clock: "FakeClock") -> None:
    stub = nvml(boards=8)
    sampler = Sampler(sensors=[NvmlSensor()], clock=clock, period_ns=100_000_000)
    diagnostician = Diagnostician(channels=sampler.channels.values(), clock=clock)
    sampler.sample()
    diagnostician.look()
    pages = Pages(Source(sampler=sampler, diagnostician=diagnostician, owners=OwnerBook(), clock=clock))
    calls = stub.control.calls
    for _ in range(1000):
        assert (await pages.answer(Request(method="GET", path="/metrics"))).status == 200
    assert stub.control.calls == calls
    sampler.stop()


async def test_it_is_ready_while_a_device_ticks_and_not_when_all_have_stopped(
    source: Source, sensor: TellingSensor, clock: "FakeClock"
) -> None:
    states = [await get(source, "/readyz")]
    clock.now_ns += 11_000_000_000
    sensor.broken = True
    source.sampler.sample()
    states.append(await get(source, "/readyz"))
    sensor.broken, sensor.count = False, 5
    source.sampler.sample()
    states.append(await get(source, "/readyz"))
    assert states == [(200, "ok\n"), (503, "GPU-1: broken\n"), (200, "ok\n")]


async def test_it_is_alive_while_reads_end_and_not_when_the_driver_hangs(source: Source, clock: "FakeClock") -> None:
    alive = await get(source, "/healthz")
    clock.now_ns += 11_000_000_000
    assert alive == (200, "ok\n")
    assert await get(source, "/healthz") == (503, "no read has ended for 11 s\n")


@asynccontextmanager
async def served(source: Source) -> AsyncIterator[tuple[str, int]]:
    async with serving_pages(Pages(source), "127.0.0.1:0") as url:
        host, _, port = url.removeprefix("http://").partition(":")
        yield host, int(port)


async def exchange(address: tuple[str, int], sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(sent)
    writer.write_eof()
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


async def test_it_speaks_http(source: Source) -> None:
    async with served(source) as address:
        got = await exchange(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await exchange(address, b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=")
    assert b"joulebench_gpu_energy_joules_total{" in got
    assert head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"PRI * HTTP/2.0\r\n\r\n", b"400"),
        (b"hello\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + 100_000 * b"x" + b"\r\n\r\n", b"400"),
    ],
)
async def test_junk_on_the_port_is_answered_and_forgotten(source: Source, sent: bytes, status: bytes) -> None:
    async with served(source) as address:
        answer = await exchange(address, sent)
        again = await exchange(address, b"GET /healthz HTTP/1.1\r\n\r\n")
    assert answer.split(b" ")[1] == status
    assert again.startswith(b"HTTP/1.1 200")


async def test_a_caller_that_hangs_up_in_the_middle_is_no_error(source: Source) -> None:
    async with served(source) as address:
        assert await exchange(address, b"GET /met") == b""


@pytest.mark.parametrize("target", ["nowhere", "127.0.0.1:", "127.0.0.1:99999", "192.0.2.1:9781"])
async def test_an_address_that_cannot_be_used_is_refused(source: Source, target: str) -> None:
    with pytest.raises(ListenError):
        async with serving_pages(Pages(source), target):
            pass
