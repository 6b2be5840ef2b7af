"""The gRPC service and its client, over a real Unix socket. The tests take the samples, so nothing depends on luck."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from joulebench_api.contracts.energy import Domain, Scope, SensorKind
from joulebench_exporter.client import (
    Diagnostics,
    ExporterClient,
    ExporterProtocolError,
    ExporterRequestError,
    ExporterUnavailableError,
    SubscriberTooSlowError,
    TickBatch,
    TickFlag,
)
from joulebench_exporter.diagnosing import Looks
from joulebench_exporter.proto import energy_pb2 as pb
from joulebench_exporter.ticks import Tick

if TYPE_CHECKING:
    from tests.exporter.conftest import ServeExporter

PERIOD_NS = 100_000_000
FIRST_NS = 1_000_000_000
REALTIME_OFFSET_NS = 1_700_000_000_000_000_000


async def take(batches: AsyncIterator[TickBatch], *, ticks: int) -> list[TickBatch]:
    """Read batches until they hold at least so many ticks."""
    taken: list[TickBatch] = []
    async with asyncio.timeout(10):
        while sum(len(batch.time_ns) for batch in taken) < ticks:
            taken.append(await anext(batches))
    return taken


async def drain(batches: AsyncIterator[TickBatch], *, into: list[TickBatch]) -> None:
    """Read until an error."""
    async for batch in batches:
        into.append(batch)  # noqa: PERF401 - what came before the error counts


def sequences(batches: list[TickBatch], device: str = "gpu-0") -> list[int]:
    return [
        batch.first_sequence + index
        for batch in batches
        if batch.device == device
        for index in range(len(batch.time_ns))
    ]


@contextmanager
def event_on_log(logger: str) -> Iterator[asyncio.Event]:
    """An event that is set as soon as that logger says something."""
    event = asyncio.Event()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            event.set()

    handler = Listener()
    logging.getLogger(logger).addHandler(handler)
    try:
        yield event
    finally:
        logging.getLogger(logger).removeHandler(handler)


async def test_describe_says_who_measures_what(serve: "ServeExporter") -> None:
    async with serve(devices=2) as exporter, exporter.client() as client:
        description = await client.describe()
    assert (description.instance_id, description.boot_id) == ("instance-1", "boot-1")
    assert description.notes == ["a note"]
    assert [device.uuid for device in description.devices] == ["gpu-0", "gpu-1"]
    device = description.devices[0]
    assert (device.name, device.domain, device.scope) == ("GPU-0", Domain.GPU, Scope.BOARD)
    assert (device.sensor, device.sensor_kind) == ("scripted", SensorKind.SIMULATED)
    assert (device.source, device.tick_period_seconds) == ("a script", 0.1)
    # The counter stood at 5 mJ at the first tick, and would go on after another start.
    assert (device.counter_origin_uj, device.counter_wraps_uj) == (5000, None)


async def test_ping_brackets_the_exporters_times_with_ours(serve: "ServeExporter") -> None:
    async with serve() as exporter, exporter.client() as client:
        before_ns = time.monotonic_ns()
        ping = await client.ping()
        after_ns = time.monotonic_ns()
    assert before_ns <= ping.t0_ns < ping.t3_ns <= after_ns
    assert (ping.t1_ns, ping.t2_ns) == (FIRST_NS, FIRST_NS)  # of the exporter's clock, which stands still here
    assert (ping.instance_id, ping.boot_id) == ("instance-1", "boot-1")


async def test_watch_replays_what_is_kept_then_goes_live(serve: "ServeExporter") -> None:
    async with serve() as exporter, exporter.client() as client:
        exporter.tick(times=3)
        batches = client.watch()
        (replay,) = await take(batches, ticks=4)
        assert replay == TickBatch(
            exporter="instance-1",
            boot_id="boot-1",
            device="gpu-0",
            first_sequence=1,
            time_ns=[FIRST_NS + n * PERIOD_NS for n in range(4)],
            bracket_ns=[0, PERIOD_NS, PERIOD_NS, PERIOD_NS],
            energy_mj=[0, 10, 20, 30],
            flags=[0, 0, 0, 0],
            missed_ticks=0,
            monotonic_ns=FIRST_NS + 3 * PERIOD_NS,
            realtime_ns=FIRST_NS + 3 * PERIOD_NS + REALTIME_OFFSET_NS,
        )
        exporter.tick()
        (live,) = await take(batches, ticks=1)
        assert (live.first_sequence, live.energy_mj) == (5, [40])


async def test_each_device_has_batches_of_its_own(serve: "ServeExporter") -> None:
    async with serve(devices=3) as exporter, exporter.client() as client:
        exporter.tick(device="gpu-1")
        batches = await take(client.watch(), ticks=4)
        assert {batch.device: batch.energy_mj for batch in batches} == {"gpu-0": [0], "gpu-1": [0, 10], "gpu-2": [0]}


async def test_a_subscriber_may_want_some_devices_only(serve: "ServeExporter") -> None:
    async with serve(devices=3) as exporter, exporter.client() as client:
        batches = client.watch(devices=["gpu-2"])
        await take(batches, ticks=1)
        exporter.tick(device="gpu-0")
        exporter.tick(device="gpu-2")
        (batch,) = await take(batches, ticks=1)
        assert (batch.device, batch.first_sequence) == ("gpu-2", 2)


async def test_resuming_by_sequence_number_loses_and_repeats_nothing(serve: "ServeExporter") -> None:
    async with serve() as exporter, exporter.client() as client:
        first = await take(client.watch(), ticks=1)
        exporter.tick(times=5)
        second_watch = client.watch({"gpu-0": first[-1].last_sequence}, instance_id="instance-1")
        second = await take(second_watch, ticks=5)
        await second_watch.aclose()  # type: ignore[attr-defined]  # an async generator behind its interface
        exporter.tick(times=2)
        third = await take(client.watch({"gpu-0": second[-1].last_sequence}), ticks=2)
    assert sequences(first + second + third) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [batch.missed_ticks for batch in first + second + third] == [0] * len(first + second + third)


async def test_a_long_replay_comes_in_several_batches_without_a_hole(serve: "ServeExporter") -> None:
    async with serve(keep_ticks=5000) as exporter, exporter.client() as client:
        exporter.tick(times=3000)
        batches = await take(client.watch(), ticks=3001)
    assert sequences(batches) == list(range(1, 3002))
    assert len(batches) > 1


async def test_a_resume_point_older_than_what_is_kept_is_said(serve: "ServeExporter") -> None:
    async with serve(keep_ticks=10) as exporter, exporter.client() as client:
        exporter.tick(times=30)  # newest is 31, oldest is 22
        (batch,) = await take(client.watch({"gpu-0": 5}), ticks=10)
        assert (batch.first_sequence, batch.missed_ticks) == (22, 16)
        assert batch.flags == [TickFlag.GAP] + [0] * 9


async def test_a_new_subscriber_has_missed_nothing_though_the_ring_has_turned(serve: "ServeExporter") -> None:
    async with serve(keep_ticks=10) as exporter, exporter.client() as client:
        exporter.tick(times=30)
        (batch,) = await take(client.watch(), ticks=10)
        assert (batch.first_sequence, batch.missed_ticks, batch.flags[0]) == (22, 0, 0)


async def test_a_restarted_exporter_sends_all_it_has_under_its_new_name(serve: "ServeExporter") -> None:
    async with serve(instance_id="instance-2") as exporter, exporter.client() as client:
        exporter.tick(times=2)
        batches = await take(client.watch({"gpu-0": 5000}, instance_id="instance-1"), ticks=3)
    assert sequences(batches) == [1, 2, 3]
    assert {batch.exporter for batch in batches} == {"instance-2"}


async def test_numbers_ahead_of_the_exporter_are_refused(serve: "ServeExporter") -> None:
    async with serve() as exporter, exporter.client() as client:
        with pytest.raises(
            ExporterRequestError, match=r"after_sequence of device 'gpu-0' is 5000.*newest tick here is 1"
        ):
            await anext(client.watch({"gpu-0": 5000}))


async def test_several_subscribers_get_everything_each(serve: "ServeExporter") -> None:
    async with serve() as exporter, exporter.client() as one, exporter.client() as other:
        watches = [one.watch(), one.watch(), other.watch()]
        for batches in watches:
            await take(batches, ticks=1)
        exporter.tick(times=20)
        taken = await asyncio.gather(*(take(batches, ticks=20) for batches in watches))
    assert [sequences(batches) for batches in taken] == [list(range(2, 22))] * 3


async def test_a_subscriber_that_does_not_read_is_cut_off_and_can_resume(serve: "ServeExporter") -> None:
    async with serve(keep_ticks=200_000, slow_seconds=0.3) as exporter, exporter.client() as client:
        many = 120_000
        ring = exporter.sampler.channels["gpu-0"].ring
        for sequence in range(2, many + 1):  # more than what fits between two sockets
            ring.append(Tick(sequence=sequence, time_ns=FIRST_NS + sequence, bracket_ns=1, energy_mj=sequence))
        with event_on_log("joulebench_exporter.service") as cut_off:
            batches = client.watch()
            taken = await take(batches, ticks=1)
            async with asyncio.timeout(10):
                await cut_off.wait()
        with pytest.raises(SubscriberTooSlowError, match=r"took no message for 0.3 s") as caught:
            await drain(batches, into=taken)
        assert "last tick received" in (caught.value.remedy or "")
        assert len(sequences(taken)) < many
        rest = await take(client.watch({"gpu-0": taken[-1].last_sequence}), ticks=many - taken[-1].last_sequence)
    assert sequences(taken + rest) == list(range(1, many + 1))


async def test_a_slow_subscriber_does_not_hold_up_the_others(serve: "ServeExporter") -> None:
    async with serve(keep_ticks=200_000) as exporter, exporter.client() as slow, exporter.client() as quick:
        ring = exporter.sampler.channels["gpu-0"].ring
        for sequence in range(2, 120_001):
            ring.append(Tick(sequence=sequence, time_ns=FIRST_NS + sequence, bracket_ns=1, energy_mj=sequence))
        stuck = slow.watch()
        await take(stuck, ticks=1)
        batches = await take(quick.watch({"gpu-0": 100_000}), ticks=20_000)
    assert sequences(batches)[-1] == 120_000


async def test_failed_reads_travel_as_a_gap(serve: "ServeExporter") -> None:
    async with serve() as exporter, exporter.client() as client:
        exporter.sensor.counts["gpu-0"] = None
        exporter.sampler.sample()
        exporter.sensor.counts["gpu-0"] = 25
        exporter.sampler.sample()
        (batch,) = await take(client.watch(), ticks=2)
        assert (batch.energy_mj, batch.flags) == ([0, 20], [0, TickFlag.GAP])


async def test_a_stopping_exporter_sends_its_last_ticks_and_says_that_it_stops(serve: "ServeExporter") -> None:
    async with serve() as exporter, exporter.client() as client:
        batches = client.watch()
        await take(batches, ticks=1)
        exporter.tick(times=3)
        exporter.service.stop()
        assert sequences(await take(batches, ticks=3)) == [2, 3, 4]
        with pytest.raises(ExporterUnavailableError, match="stopping"):
            await anext(batches)


async def test_a_client_that_is_closed_ends_its_watches_with_an_error(serve: "ServeExporter") -> None:
    async with serve() as exporter:
        client = exporter.client()
        batches = client.watch()
        await take(batches, ticks=1)
        waiting = asyncio.ensure_future(anext(batches))
        await client.close()
        with pytest.raises(ExporterUnavailableError, match="closed"):
            await waiting


async def test_a_reader_that_is_cancelled_is_cancelled(serve: "ServeExporter") -> None:
    async with serve() as exporter, exporter.client() as client:
        batches = client.watch()
        await take(batches, ticks=1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(batches)


async def test_a_window_has_its_edges(serve: "ServeExporter") -> None:
    async with serve() as exporter, exporter.client() as client:
        exporter.tick(times=9)
        window = await client.window("gpu-0", FIRST_NS + 250_000_000, FIRST_NS + 450_000_000)
    assert sequences([window.ticks]) == [3, 4, 5, 6]
    assert window.ticks.energy_mj == [20, 30, 40, 50]
    assert (window.covers_start, window.covers_end) == (True, True)


async def test_a_window_beyond_what_is_known_says_which_end_is_open(serve: "ServeExporter") -> None:
    async with serve(keep_ticks=5) as exporter, exporter.client() as client:
        exporter.tick(times=9)
        early = await client.window("gpu-0", FIRST_NS, FIRST_NS + 700_000_000)
        late = await client.window("gpu-0", FIRST_NS + 800_000_000, FIRST_NS + 2_000_000_000)
    assert (sequences([early.ticks]), early.covers_start, early.covers_end) == ([6, 7, 8], False, True)
    assert (sequences([late.ticks]), late.covers_start, late.covers_end) == ([9, 10], True, False)


async def test_a_window_of_a_device_that_has_not_been_read_yet_is_empty(serve: "ServeExporter") -> None:
    async with serve() as exporter, exporter.client() as client:
        exporter.sampler.channels["gpu-0"].ring.__init__(capacity=3)  # type: ignore[misc]  # as if nothing was read
        window = await client.window("gpu-0", 0, 1)
    assert (window.ticks.time_ns, window.covers_start, window.covers_end) == ([], False, False)


async def test_a_window_that_ends_before_it_begins_is_refused(serve: "ServeExporter") -> None:
    async with serve() as exporter, exporter.client() as client:
        with pytest.raises(ExporterRequestError, match="from_ns 2 is after to_ns 1"):
            await client.window("gpu-0", 2, 1)


async def test_an_unknown_device_is_refused_with_those_that_there_are(serve: "ServeExporter") -> None:
    async with serve(devices=2) as exporter, exporter.client() as client:
        for call in (
            client.window("gpu-7", 0, 1),
            anext(client.watch({"gpu-7": 1})),
            anext(client.watch(devices=["gpu-7"])),
        ):
            with pytest.raises(ExporterRequestError, match="no device 'gpu-7' here; there are: gpu-0, gpu-1"):
                await call


async def test_an_exporter_that_is_not_there_is_said_in_time(tmp_path: Path) -> None:
    async with ExporterClient(f"unix:{tmp_path / 'nobody.sock'}", timeout_seconds=0.1) as client:
        with pytest.raises(ExporterUnavailableError, match=r"nobody\.sock") as caught:
            await client.ping()
    assert caught.value.remedy is not None


async def test_an_exporter_that_goes_away_ends_its_watches(serve: "ServeExporter") -> None:
    async with serve() as exporter:
        client = exporter.client()
        batches = client.watch()
        await take(batches, ticks=1)
    async with client:
        with pytest.raises(ExporterUnavailableError):
            await anext(batches)


async def test_a_client_finds_an_exporter_that_was_restarted(serve: "ServeExporter") -> None:
    async with serve(instance_id="instance-1") as exporter:
        client = exporter.client()
        assert (await client.ping()).instance_id == "instance-1"
    async with serve(instance_id="instance-2"), client:
        assert (await client.ping()).instance_id == "instance-2"


async def test_an_exporter_of_another_protocol_is_not_misread(
    serve: "ServeExporter", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("joulebench_exporter.service.PROTOCOL_VERSION", 2)
    async with serve() as exporter, exporter.client() as client:
        with pytest.raises(ExporterProtocolError, match="speaks protocol 2, this client 1"):
            await client.describe()


def test_the_flags_of_the_protocol_are_those_of_the_code() -> None:
    assert {name.removeprefix("TICK_FLAG_"): value for name, value in pb.TickFlag.items()} == {
        str(flag.name): flag.value for flag in (TickFlag.NONE, *TickFlag)
    }


def test_what_a_newer_exporter_adds_is_ignored() -> None:
    unknown_field = bytes([15 << 3 | 0, 1])
    assert pb.TickBatch.FromString(pb.TickBatch(device="gpu-0").SerializeToString() + unknown_field).device == "gpu-0"


async def test_two_hundred_subscribers_get_every_tick(serve: "ServeExporter") -> None:
    async with serve(devices=2) as exporter, exporter.client() as client:
        exporter.tick(times=3)
        taken = await asyncio.gather(*(take(client.watch(), ticks=5) for _ in range(200)))
        assert {tuple(sequences(batches)) for batches in taken} == {(1, 2, 3, 4)}


async def test_subscribers_are_counted_while_they_watch(serve: "ServeExporter") -> None:
    async with serve() as exporter, exporter.client() as client:
        batches = client.watch()
        await take(batches, ticks=1)
        listening = exporter.sampler.listeners
        await batches.aclose()  # type: ignore[attr-defined]  # an async generator behind its interface
        async with asyncio.timeout(10):
            while exporter.sampler.listeners:  # noqa: ASYNC110 - the server has no event for it
                await asyncio.sleep(0)
        assert listening == 1


async def test_junk_on_the_port_does_not_disturb_others(serve: "ServeExporter") -> None:
    async with serve() as exporter, exporter.client() as client:
        for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", 10_000 * b"\xff"):
            _, writer = await asyncio.open_unix_connection(exporter.address.removeprefix("unix:"))
            writer.write(junk)
            writer.close()
        assert (await client.describe()).instance_id == "instance-1"
        await take(client.watch(), ticks=1)


async def test_a_wall_clock_that_is_set_does_not_move_ticks(
    serve: "ServeExporter", monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve() as exporter, exporter.client() as client:
        batches = client.watch()
        (before,) = await take(batches, ticks=1)
        monkeypatch.setattr(exporter.clock, "realtime_ns", lambda: 5)  # NTP steps it by decades
        exporter.tick()
        (after,) = await take(batches, ticks=1)
    assert after.time_ns[0] - before.time_ns[0] == PERIOD_NS
    assert after.realtime_ns == 5
    assert after.flags == [0]


async def test_a_look_at_a_device_is_told_once_and_its_nonsense_is_marked(serve: "ServeExporter") -> None:
    looks: dict[str, Looks] = {}
    async with serve(looks=looks) as exporter, exporter.client() as client:
        channel = exporter.sampler.channels["gpu-0"]
        first_look = Diagnostics(time_ns=7, power_watts=300.5, utilisation_percent=140, clock_reasons=4)
        looks["gpu-0"] = Looks(channel=channel, latest=first_look)
        batches = client.watch()
        (first,) = await take(batches, ticks=1)
        exporter.tick()
        (second,) = await take(batches, ticks=1)
        looks["gpu-0"].latest = Diagnostics(time_ns=8, temperature_celsius=0)
        exporter.tick()
        (third,) = await take(batches, ticks=1)
    assert (first.look, first.suspect) == (first_look, ("utilisation_percent",))
    assert (second.look, second.suspect) == (None, ())
    assert third.look == Diagnostics(time_ns=8, temperature_celsius=0)  # 0 is told, and is not unknown


async def test_a_number_that_fits_nowhere_is_marked_and_ends_no_stream(serve: "ServeExporter") -> None:
    looks: dict[str, Looks] = {}
    async with serve(looks=looks) as exporter, exporter.client() as client:
        wild = Diagnostics(time_ns=7, temperature_celsius=2**32 - 1, memory_total_bytes=2**64 - 1, clock_mhz=2**32 - 1)
        looks["gpu-0"] = Looks(channel=exporter.sampler.channels["gpu-0"], latest=wild)
        (batch,) = await take(client.watch(), ticks=1)
    assert batch.look is not None
    told = [name for name, _ in wild.known()]
    assert [name for name, _ in batch.look.known()] == told
    assert set(batch.suspect) == set(told)
