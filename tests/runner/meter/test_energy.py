"""Following an exporter: nothing is lost over breaks, and the live figures are right."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any

import pytest

from joulebench_api.contracts.energy import Domain
from joulebench_exporter.client import Owners
from joulebench_exporter.diagnostics import Diagnostics
from joulebench_runner.config import EnergySettings
from joulebench_runner.errors import EnergyError
from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import FIELDS, Kind
from joulebench_runner.journal.writer import Journal
from joulebench_runner.meter.clock import best_offset_ns, round_trip_ns
from joulebench_runner.meter.energy import BURST_PINGS, Energy, LiveDevice, select_devices

OFFSET_NS = 1_000_000
"""The scripted exporter's clock is ahead by this."""


@dataclass(frozen=True)
class FakeDevice:
    uuid: str = "cpu-0"
    domain: Domain = Domain.CPU
    name: str = "package-0"
    scope: str = "Package"
    sensor: str = "rapl"
    sensor_kind: str = "measured"
    source: str = "intel-rapl:0"
    tick_period_seconds: float | None = 0.001
    counter_origin_uj: int | None = 5_000_000
    counter_wraps_uj: int | None = None


@dataclass(frozen=True)
class FakePing:
    t0_ns: int
    t1_ns: int
    t2_ns: int
    t3_ns: int
    instance_id: str = "e1"
    boot_id: str = "b1"


@dataclass(frozen=True)
class FakeTicks:
    first_sequence: int
    time_ns: list[int]
    energy_mj: list[int]
    device: str = "cpu-0"
    exporter: str = "e1"
    missed_ticks: int = 0
    monotonic_ns: int = 0
    owners: Owners = field(default_factory=Owners)
    look: Diagnostics | None = None
    suspect: tuple[str, ...] = ()

    @property
    def bracket_ns(self) -> list[int]:
        return [10] * len(self.time_ns)

    @property
    def flags(self) -> list[int]:
        return [0] * len(self.time_ns)


def ticks(first: int, last: int, **more: Any) -> FakeTicks:
    """Ticks first..last, one a second, 2 J each."""
    numbers = range(first, last + 1)
    return FakeTicks(first, [n * 1_000_000_000 for n in numbers], [n * 2000 for n in numbers], **more)


@dataclass
class FakeExporter:
    """One life of an exporter: what it sends until its connection breaks (or for ever, after the last batch)."""

    batches: Sequence[FakeTicks] = ()
    breaks: bool = False
    instance_id: str = "e1"
    devices: Sequence[FakeDevice] = (FakeDevice(),)
    silent: bool = False
    asked_after: dict[str, int] = field(default_factory=dict)
    asked_devices: list[str] = field(default_factory=list)
    boot_id: str = "b1"
    pings: int = 0
    closed: bool = False

    async def describe(self) -> "FakeExporter":
        if self.silent:
            raise EnergyError("nobody there")
        return self

    async def ping(self) -> FakePing:
        self.pings += 1
        return FakePing(0, OFFSET_NS + 5, OFFSET_NS + 6, 11, instance_id=self.instance_id)

    async def watch(
        self, *, after: Mapping[str, int], instance_id: str, devices: Sequence[str]
    ) -> AsyncIterator[FakeTicks]:
        self.asked_after, self.asked_devices = dict(after), list(devices)
        for batch in self.batches:
            yield batch
        if not self.breaks:
            await asyncio.Event().wait()
        raise EnergyError("broken")

    async def close(self) -> None:
        self.closed = True


@dataclass
class Scene:
    """An Energy whose connections are the scripted exporters, one after the other."""

    energy: Energy
    journal: Journal
    slept: list[float]
    exporters: list[FakeExporter]

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(10_000):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError("it did not come to that")

    async def run_until(self, condition: Callable[[], bool]) -> None:
        following = asyncio.create_task(self.energy.run())
        try:
            await self.until(lambda: condition() or following.done())
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    async def rows(self, kind: Kind, folder: Any) -> list[dict[str, Any]]:
        await self.journal.commit()
        rows: list[dict[str, Any]] = read(folder).table(kind).to_pylist()
        return rows


@pytest.fixture
def scene(journal: Journal) -> Callable[..., Scene]:
    def make(*exporters: FakeExporter, **options: Any) -> Scene:
        left = list(exporters)
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            if seconds >= 5 and len(slept) > 20:
                await asyncio.Event().wait()
            slept.append(seconds)
            await asyncio.sleep(0)

        settings = EnergySettings.model_validate({"exporters": ["unix:/e"], "domains": ["CPU", "DRAM"]} | options)
        energy = Energy(
            settings,
            connect=lambda _target: left.pop(0) if len(left) > 1 else left[0],
            journal=journal,
            sleep=sleep,
        )
        return Scene(energy, journal, slept, list(exporters))

    return make


@pytest.fixture
def folder(tmp_path: Any) -> Any:
    return tmp_path / "journal"


async def test_devices_pings_and_ticks_are_journalled(scene: Callable[..., Scene], folder: Any) -> None:
    exporter = FakeExporter([ticks(1, 3), ticks(4, 4)])
    made = scene(exporter)
    await made.run_until(lambda: made.energy.state().watts is not None)
    (device,) = await made.rows(Kind.DEVICE, folder)
    assert (device["exporter"], device["boot_id"], device["row_boot_id"] != "b1") == ("e1", "b1", True)
    assert (device["device"], device["domain"], device["sensor"], device["sensor_kind"]) == (
        "cpu-0",
        "CPU",
        "rapl",
        "measured",
    )
    assert (device["counter_origin_uj"], device["counter_wraps_uj"]) == (5_000_000, None)
    pings = await made.rows(Kind.PING, folder)
    assert len(pings) >= BURST_PINGS
    assert [pings[0][f"t{i}_ns"] for i in range(4)] == [0, OFFSET_NS + 5, OFFSET_NS + 6, 11]
    first, second = await made.rows(Kind.TICKS, folder)
    assert (first["first_sequence"], first["energy_mj"]) == (1, [2000, 4000, 6000])
    assert first["time_ns"] == [1_000_000_000, 2_000_000_000, 3_000_000_000]
    assert (second["first_sequence"], second["bracket_ns"], second["flags"]) == (4, [10], [0])
    assert exporter.closed


@pytest.mark.parametrize(
    ("since_ns", "counts_from_ns"),
    [(2_500_000_000, 2_500_000_000), (500_000_000, 1_000_000_000), (None, 3_200_000_000)],
    ids=["between two of the ticks", "before all of them", "by an exporter that does not say"],
)
async def test_a_change_of_owners_counts_from_when_the_exporter_learned_it(
    scene: Callable[..., Scene], folder: Any, since_ns: int | None, counts_from_ns: int
) -> None:
    owners = Owners(known=True, since_ns=since_ns)
    made = scene(FakeExporter([ticks(1, 3, owners=owners, monotonic_ns=3_200_000_000)]))
    await made.run_until(lambda: made.energy.state().watts is not None)
    assert [row["time_ns"] for row in await made.rows(Kind.OWNERS, folder)] == [counts_from_ns]


async def test_after_a_break_it_goes_on_where_it_stopped(scene: Callable[..., Scene], folder: Any) -> None:
    first, second = FakeExporter([ticks(1, 3)], breaks=True), FakeExporter([ticks(4, 6)])
    made = scene(first, second)
    await made.run_until(lambda: second.asked_after != {} and made.energy.state().problem is None)
    assert (first.asked_after, second.asked_after) == ({}, {"cpu-0": 3})
    rows = await made.rows(Kind.TICKS, folder)
    sequences = [row["first_sequence"] + step for row in rows for step in range(len(row["time_ns"]))]
    assert sequences == [1, 2, 3, 4, 5, 6]
    assert first.closed


async def test_an_exporter_that_was_restarted_is_read_from_its_beginning(
    scene: Callable[..., Scene], folder: Any
) -> None:
    first = FakeExporter([ticks(1, 9)], breaks=True)
    second = FakeExporter([ticks(1, 2, exporter="e2")], instance_id="e2")
    made = scene(first, second)
    await made.run_until(lambda: second.pings >= BURST_PINGS and made.energy.state().problem is None)
    assert second.asked_after == {}
    assert [row["exporter"] for row in await made.rows(Kind.DEVICE, folder)] == ["e1", "e2"]
    assert [row["exporter"] for row in await made.rows(Kind.TICKS, folder)] == ["e1", "e2"]


async def test_breaks_are_waited_out_longer_and_longer(scene: Callable[..., Scene]) -> None:
    made = scene(*[FakeExporter(silent=True)] * 8, FakeExporter([ticks(1, 2)]))
    await made.run_until(lambda: made.energy.state().watts is not None)
    assert made.slept[:8] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


async def test_until_it_answers_the_status_says_what_is_wrong(scene: Callable[..., Scene]) -> None:
    made = scene(FakeExporter(silent=True))
    assert "has not answered yet" in (made.energy.state().problem or "")
    await made.run_until(lambda: len(made.slept) > 2)
    state = made.energy.state()
    assert state.problem == "the energy exporter at unix:/e does not answer: nobody there"
    assert (state.watts, state.joules, state.devices) == (None, None, 0)


async def test_an_exporter_without_a_wanted_device_is_named_and_left(scene: Callable[..., Scene]) -> None:
    made = scene(FakeExporter(devices=[FakeDevice(domain=Domain.GPU)]))
    await asyncio.wait_for(made.energy.run(), timeout=5)
    assert made.energy.state().problem == "the energy exporter at unix:/e measures GPU; wanted is CPU, DRAM"
    assert await made.energy.wait_past(10**18, timeout_seconds=5)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"policy": "Disabled"}, None),
        ({"exporters": []}, "no energy exporter is configured"),
        ({"problem": "the server is on another machine"}, "the server is on another machine"),
    ],
)
async def test_where_nothing_can_be_measured_nothing_is_followed(
    scene: Callable[..., Scene], options: dict[str, Any], problem: str | None
) -> None:
    exporter = FakeExporter()
    made = scene(exporter, **options)
    await asyncio.wait_for(made.energy.run(), timeout=5)
    assert exporter.pings == 0
    assert made.energy.state().problem == problem
    assert await made.energy.wait_past(10**18, timeout_seconds=5)


async def test_only_the_selected_devices_are_watched(scene: Callable[..., Scene], folder: Any) -> None:
    dram, gpu = FakeDevice(uuid="dram-0", domain=Domain.DRAM), FakeDevice(uuid="gpu-0", domain=Domain.GPU)
    exporter = FakeExporter([ticks(1, 2, device="gpu-0"), ticks(1, 2)], devices=[FakeDevice(), dram, gpu])
    made = scene(exporter)
    await made.run_until(lambda: made.energy.state().watts is not None)
    assert exporter.asked_devices == ["cpu-0", "dram-0"]
    assert [row["device"] for row in await made.rows(Kind.TICKS, folder)] == ["cpu-0"]


async def test_ticks_that_are_gone_are_noted(scene: Callable[..., Scene], folder: Any) -> None:
    made = scene(FakeExporter([ticks(50, 51, missed_ticks=46)]))
    await made.run_until(lambda: made.energy.state().watts is not None)
    (note,) = await made.rows(Kind.NOTE, folder)
    assert (note["topic"], note["subject"]) == ("missed_ticks", "cpu-0")
    assert note["message"].startswith("46 ticks before 50")


async def test_it_waits_until_every_device_is_past_the_end(scene: Callable[..., Scene]) -> None:
    made = scene(FakeExporter([ticks(1, 3)]))
    following = asyncio.create_task(made.energy.run())
    # Tick 3 is at 3 s of the exporter's clock, which is 1 ms ahead of ours.
    assert await made.energy.wait_past(3_000_000_000 - OFFSET_NS, timeout_seconds=5)
    assert not await made.energy.wait_past(3_000_000_001 - OFFSET_NS, timeout_seconds=0.01)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_one_device_that_lags_holds_up_the_end(scene: Callable[..., Scene]) -> None:
    dram = FakeDevice(uuid="dram-0", domain=Domain.DRAM)
    made = scene(FakeExporter([ticks(1, 9), ticks(1, 2, device="dram-0")], devices=[FakeDevice(), dram]))
    following = asyncio.create_task(made.energy.run())
    assert await made.energy.wait_past(1_900_000_000, timeout_seconds=5)
    assert not await made.energy.wait_past(2_500_000_000, timeout_seconds=0.01)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_live_watts_and_joules_since_the_run_began(scene: Callable[..., Scene]) -> None:
    made = scene(FakeExporter([ticks(1, 3)], breaks=True), FakeExporter([ticks(4, 8)]))
    following = asyncio.create_task(made.energy.run())
    await made.until(lambda: made.energy.state().watts is not None)
    assert made.energy.state().joules is None
    made.energy.mark_run()
    await made.until(lambda: (made.energy.state().joules or 0) > 0)
    state = made.energy.state()
    assert state.joules == 10.0
    assert state.watts == pytest.approx(2.0)
    assert (state.sensor, state.kind, state.devices) == ("rapl", "measured", 1)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


def test_a_restarted_exporter_does_not_make_energy_negative() -> None:
    live = LiveDevice()
    live.on_ticks(ticks(5, 6))
    live.mark_run()
    live.restarted()
    live.on_ticks(ticks(1, 3))
    assert live.joules == 4.0


def test_the_whole_platform_is_never_added_to_its_packages() -> None:
    cpu, dram = FakeDevice(uuid="c"), FakeDevice(uuid="d", domain=Domain.DRAM)
    psys = FakeDevice(uuid="p", domain=Domain.PSYS)
    wanted = [Domain.CPU, Domain.DRAM, Domain.PSYS]
    assert [device.uuid for device in select_devices([psys, cpu, dram], wanted)] == ["c", "d"]
    assert [device.uuid for device in select_devices([psys, dram], wanted)] == ["p", "d"]
    assert [device.uuid for device in select_devices([psys, cpu], [Domain.PSYS])] == ["p"]


def test_the_offset_comes_from_the_ping_with_the_shortest_way() -> None:
    slow = FakePing(0, 5_000, 5_010, 9_000)
    quick = FakePing(100, 1_150, 1_160, 210)
    assert round_trip_ns(quick) == 100
    assert best_offset_ns([slow, quick]) == 1_000
    assert best_offset_ns([]) is None


async def test_each_look_is_journalled_as_it_was_told(scene: Callable[..., Scene], folder: Any) -> None:
    look = Diagnostics(time_ns=2_000_000_000, power_watts=-3.5, utilisation_percent=50, clock_reasons=1 << 63)
    made = scene(FakeExporter([ticks(1, 1), ticks(2, 2, look=look, suspect=("power_watts",))]))
    await made.run_until(lambda: made.energy.state().watts is not None)
    (row,) = await made.rows(Kind.LOOK, folder)
    told = {name: value for name, value in row.items() if value is not None}
    assert told.pop("device") == "cpu-0"
    assert {name: told[name] for name in ("exporter", "time_ns", "suspect")} == {
        "exporter": "e1", "time_ns": 2_000_000_000, "suspect": ["power_watts"],
    }  # fmt: skip
    assert dict(look.known()).items() <= told.items()


def test_the_journal_has_a_column_for_whatever_a_device_may_tell() -> None:
    told = {one.name for one in fields(Diagnostics)}
    assert set(FIELDS[Kind.LOOK]) == told | {"exporter", "device", "suspect"}
