"""The whole chain on the stub: stub -> NVML sensor -> ledger -> gRPC -> a reader, in real processes."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from tests.nvml_stub import GPU_IS_LOST, StubNvml

from joulebench_api.contracts.energy import Domain, SensorKind
from joulebench_exporter.client import ExporterClient, TickBatch, TickFlag

BuildStub = Callable[..., StubNvml]
DEADLINE_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Running:
    process: "subprocess.Popen[str]"
    address: str


@contextmanager
def exporter(stub: StubNvml, *options: str) -> Iterator[Running]:
    """`joulebench-exporter --sensor nvml` as a process on the stub's boards."""
    address = f"unix:{stub.folder / 'energy.sock'}"
    command = [sys.executable, "-m", "joulebench_exporter", "--listen", address, "--sensor", "nvml", *options]
    with subprocess.Popen(
        command, env=stub.environment(), stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Running(process=process, address=address)
        finally:
            process.kill()


async def follow(client: ExporterClient, uuid: str, *, until: Callable[[list[TickBatch]], bool]) -> list[TickBatch]:
    taken: list[TickBatch] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for batch in client.watch(devices=[uuid]):
            taken.append(batch)
            if until(taken):
                return taken
    raise AssertionError("the stream ended")


async def session_begins(stub: StubNvml, *, after: int) -> None:
    """Wait until the exporter has initialised the library again."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while stub.control.inits <= after:  # noqa: ASYNC110 - another process sets it
            await asyncio.sleep(0.01)


def at_least(ticks: int) -> Callable[[list[TickBatch]], bool]:
    return lambda batches: sum(len(batch.time_ns) for batch in batches) >= ticks


async def test_what_a_reader_gets_is_what_the_board_showed(nvml: BuildStub) -> None:
    stub = nvml(boards=3, watts=321, tick_period_ns=20_000_000, jitter_ns=2_000_000)
    log, uuid = stub.load(), stub.boards[1].uuid
    with exporter(stub) as running:
        async with ExporterClient(running.address, timeout_seconds=DEADLINE_SECONDS) as client:
            description = await client.describe()
            batches = await follow(client, uuid, until=at_least(100))
    device = description.devices[1]
    assert device.tick_period_seconds == pytest.approx(0.02, rel=0.02)  # found before it was told
    assert (device.uuid, device.domain, device.sensor_kind) == (uuid, Domain.GPU, SensorKind.SIMULATED)
    times = [time_ns for batch in batches for time_ns in batch.time_ns]
    brackets = [bracket for batch in batches for bracket in batch.bracket_ns]
    energies = [energy for batch in batches for energy in batch.energy_mj]
    truth = log.ticks(1, from_ns=times[0] - brackets[0] - 40_000_000, to_ns=times[-1])
    shown_first = max(mj for at, mj in truth if at <= times[0])
    shown = {mj - shown_first: at for at, mj in truth}
    for time_ns, bracket_ns, energy_mj in list(zip(times, brackets, energies, strict=True))[1:]:
        assert time_ns - bracket_ns - 1 <= shown[energy_mj] <= time_ns  # each tick within its own bracket


async def test_a_lost_board_is_a_gap_and_no_joule_is_invented(nvml: BuildStub) -> None:
    stub = nvml(boards=2, watts=500, tick_period_ns=20_000_000)
    lost, other = stub.boards
    with exporter(stub) as running:
        async with ExporterClient(running.address, timeout_seconds=DEADLINE_SECONDS) as client:
            await client.describe()
            await follow(client, lost.uuid, until=at_least(5))
            inits = stub.control.inits
            lost.control.error = GPU_IS_LOST
            await session_begins(stub, after=inits)
            seen = await follow(client, other.uuid, until=at_least(30))
            lost.control.error = 0
            gapped = await follow(
                client, lost.uuid, until=lambda batches: any(TickFlag.GAP & flag for b in batches for flag in b.flags)
            )
    assert not any(flag & TickFlag.GAP for batch in seen for flag in batch.flags)
    energies = [energy for batch in gapped for energy in batch.energy_mj]
    assert all(before <= after for before, after in pairwise(energies))


async def test_a_counter_that_was_reset_is_marked_and_never_falls(nvml: BuildStub) -> None:
    stub = nvml(watts=500, tick_period_ns=20_000_000)
    (board,) = stub.boards
    with exporter(stub) as running:
        async with ExporterClient(running.address, timeout_seconds=DEADLINE_SECONDS) as client:
            await client.describe()
            await follow(client, board.uuid, until=at_least(20))
            board.reset_counter()
            batches = await follow(
                client, board.uuid, until=lambda all_: any(TickFlag.RESET & flag for b in all_ for flag in b.flags)
            )
    energies = [energy for batch in batches for energy in batch.energy_mj]
    assert all(before <= after for before, after in pairwise(energies))


async def test_boards_are_measured_beside_the_processors_without_being_asked_for(
    nvml: BuildStub, tmp_path: Path
) -> None:
    stub = nvml()
    with exporter(stub, "--sensor", "auto", "--rapl-root", str(tmp_path)) as running:
        async with ExporterClient(running.address, timeout_seconds=DEADLINE_SECONDS) as client:
            description = await client.describe()
    assert [(device.domain, device.sensor) for device in description.devices] == [
        (Domain.GPU, "nvml"),
        (Domain.CPU, "modelled"),
    ]


async def test_a_driver_of_another_version_does_not_stop_the_others(nvml: BuildStub, tmp_path: Path) -> None:
    stub = nvml()
    stub.control.init_error = 18
    with exporter(stub, "--sensor", "auto", "--rapl-root", str(tmp_path)) as running:
        async with ExporterClient(running.address, timeout_seconds=DEADLINE_SECONDS) as client:
            description = await client.describe()
        running.process.send_signal(signal.SIGTERM)
        _, log = running.process.communicate(timeout=DEADLINE_SECONDS)
    assert [device.sensor for device in description.devices] == ["modelled"]
    assert any("LIB_RM_VERSION_MISMATCH" in note for note in description.notes)
    assert any("NVIDIA boards are not measured" in json.loads(line)["message"] for line in log.splitlines())


@pytest.mark.parametrize("code", [9, 18])
def test_a_sensor_that_was_named_and_does_not_work_is_an_error(nvml: BuildStub, code: int) -> None:
    stub = nvml()
    stub.control.init_error = code
    with exporter(stub) as running:
        _, said = running.process.communicate(timeout=DEADLINE_SECONDS)
    assert running.process.returncode == 2
    assert "NVML cannot be initialised" in said
