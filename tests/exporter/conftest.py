"""A clock that is wound by hand, a sensor that plays a script, and an exporter in this process made from both."""

import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests import nvml_stub
from tests.nvml_stub import StubNvml

from joulebench_api.contracts.energy import Domain, Scope, SensorKind
from joulebench_exporter.client import ExporterClient
from joulebench_exporter.counter import Counter
from joulebench_exporter.devices import DeviceInfo
from joulebench_exporter.diagnosing import Looks
from joulebench_exporter.errors import SensorReadError
from joulebench_exporter.ownership import OwnerBook
from joulebench_exporter.sampler import Sampler
from joulebench_exporter.sensors.base import Reading, SensorDevice
from joulebench_exporter.server import serving
from joulebench_exporter.service import EnergyService

PERIOD_NS = 100_000_000
REALTIME_OFFSET_NS = 1_700_000_000_000_000_000


@dataclass
class FakeClock:
    """Time stands still unless somebody waits, or winds it."""

    now_ns: int = 1_000_000_000
    slept_ns: int = 0
    """How long the machine was suspended."""
    oversleeps_ns: list[int] = field(default_factory=list)
    """By how much the next waits come late; waiting on after the last of them stops the waiter."""
    waits: list[int] = field(default_factory=list)

    def monotonic_ns(self) -> int:
        return self.now_ns

    def realtime_ns(self) -> int:
        return self.now_ns + REALTIME_OFFSET_NS

    def boottime_ns(self) -> int:
        return self.now_ns + self.slept_ns

    def wait_until(self, deadline_ns: int, stop: threading.Event) -> bool:
        if not self.oversleeps_ns:
            return True
        self.waits.append(deadline_ns)
        self.now_ns = max(self.now_ns, deadline_ns) + self.oversleeps_ns.pop(0)
        return stop.is_set()


class ScriptedSensor:
    """Reads whatever `counts` says at the moment; None fails."""

    name = "scripted"
    kind = SensorKind.SIMULATED
    notes: Sequence[str] = ()

    def __init__(self, counts: Mapping[str, int | None], *, clock: FakeClock, counter: Counter | None = None) -> None:
        self.counts = dict(counts)
        self.closed = False
        self.read_duration_ns = 0
        self._clock = clock
        counter = counter or Counter(microjoules_per_count=Fraction(1000))
        self._devices = [SensorDevice(info=_info(uuid), counter=counter) for uuid in counts]

    def devices(self) -> Sequence[SensorDevice]:
        return self._devices

    def read(self, device: SensorDevice) -> Reading:
        self._clock.now_ns += self.read_duration_ns
        count = self.counts[device.info.uuid]
        if count is None:
            raise SensorReadError("the script says so")
        return Reading(count=count)

    def close(self) -> None:
        self.closed = True


def _info(uuid: str) -> DeviceInfo:
    return DeviceInfo(
        uuid=uuid,
        name=uuid.upper(),
        domain=Domain.GPU,
        scope=Scope.BOARD,
        sensor="scripted",
        sensor_kind=SensorKind.SIMULATED,
        source="a script",
        tick_period_seconds=0.0,
    )


@dataclass(kw_only=True)
class Exporter:
    """An exporter in this process, on a real Unix socket, whose samples are taken by the test."""

    clock: FakeClock
    sensor: ScriptedSensor
    sampler: Sampler
    service: EnergyService
    address: str

    def tick(self, *, times: int = 1, device: str = "gpu-0", millijoules: int = 10) -> None:
        """Let one device use energy, a sample each time."""
        for _ in range(times):
            self.clock.now_ns += PERIOD_NS
            self.sensor.counts[device] = (self.sensor.counts[device] or 0) + millijoules
            self.sampler.sample()

    def client(self) -> ExporterClient:
        return ExporterClient(self.address)


ServeExporter = Callable[..., AbstractAsyncContextManager[Exporter]]


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stub of libnvidia-ml.so.1, built."""
    if (reason := nvml_stub.why_not()) is not None:
        pytest.skip(reason)
    return nvml_stub.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def nvml(tmp_path: Path, nvml_library: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., StubNvml]:
    """`nvml(boards=2)`: boards that nvidia-ml-py in this process, and in its children, finds."""

    def build(**options: Any) -> StubNvml:
        stub = StubNvml(tmp_path / "boards", library=nvml_library, **options)
        for name, value in stub.variables().items():
            monkeypatch.setenv(name, value)
        stub.load()
        return stub

    return build


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def scripted_sensor(clock: FakeClock) -> Callable[..., ScriptedSensor]:
    def build(**counts: int | None) -> ScriptedSensor:
        return ScriptedSensor({uuid.replace("_", "-"): count for uuid, count in counts.items()}, clock=clock)

    return build


@pytest.fixture
def serve(tmp_path: Path, clock: FakeClock) -> ServeExporter:
    """`async with serve(devices=2) as exporter` (names gpu-0, gpu-1; counts in millijoules, beginning at 5)."""

    @asynccontextmanager
    async def serve(
        *,
        devices: int = 1,
        keep_ticks: int = 1000,
        slow_seconds: float = 10.0,
        instance_id: str = "instance-1",
        socket: str = "energy.sock",
        owners: OwnerBook | None = None,
        looks: Mapping[str, Looks] | None = None,
    ) -> AsyncIterator[Exporter]:
        sensor = ScriptedSensor({f"gpu-{index}": 5 for index in range(devices)}, clock=clock)
        keep_seconds = (keep_ticks - 1) * PERIOD_NS / 1e9
        sampler = Sampler(sensors=[sensor], clock=clock, period_ns=PERIOD_NS, keep_seconds=keep_seconds)
        service = EnergyService(
            sampler=sampler,
            clock=clock,
            instance_id=instance_id,
            boot_id="boot-1",
            notes=["a note"],
            owners=owners,
            looks=looks,
            batch_seconds=0.005,
            slow_seconds=slow_seconds,
        )
        sampler.sample()
        async with AsyncExitStack() as stack:
            address = await stack.enter_async_context(serving(service, f"unix:{tmp_path / socket}"))
            yield Exporter(clock=clock, sensor=sensor, sampler=sampler, service=service, address=address)

    return serve
