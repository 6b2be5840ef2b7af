"""What a board shows, from the driver to the summary: stub of NVML, exporter, stream, meter, journal, results."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests import nvml_stub
from tests.nvml_stub import StubNvml

from joulebench_api.contracts.energy import Domain
from joulebench_api.contracts.meter import Stage
from joulebench_api.contracts.summary import Gpu
from joulebench_runner.config import EnergySettings
from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import Kind
from joulebench_runner.journal.writer import Journal as JournalWriter
from joulebench_runner.meter.energy import Energy
from joulebench_runner.meter.exporter import GrpcExporter
from joulebench_runner.results.device_looks import all_looks, gpus
from joulebench_runner.results.series import all_series
from joulebench_runner.results.stages import Span
from joulebench_runner.results.tables import Journal

pytestmark = pytest.mark.skipif(nvml_stub.why_not() is not None, reason=str(nvml_stub.why_not()))

DEADLINE_SECONDS = 30.0
HW_THERMAL = 0x40


@contextmanager
def exporter(stub: StubNvml) -> Iterator[str]:
    address = f"unix:{stub.folder / 'energy.sock'}"
    command = [sys.executable, "-m", "joulebench_exporter", "--listen", address, "--sensor", "nvml"]
    with subprocess.Popen(command, env=stub.environment(), stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield address
        finally:
            process.kill()


async def journalled(address: str, folder: Path, *, looks: int) -> Journal:
    """Follow the exporter until so many looks are in the journal."""
    journal = JournalWriter(folder, run_id="run-1", run_name="run", instance_id="meter-1")
    energy = Energy(
        EnergySettings(exporters=[address], domains=[Domain.GPU]), connect=GrpcExporter.connect, journal=journal
    )
    following = asyncio.create_task(energy.run())
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while read(folder).table(Kind.LOOK).num_rows < looks:
                await asyncio.sleep(0.05)
                await journal.commit()
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await journal.close()
    return Journal.of(read(folder))


def shown(journal: Journal) -> list[Gpu]:
    """As a summary would say it, had all this time been measured."""
    boot, now_ns = journal.clocks[0].boot_id, time.monotonic_ns()
    window = Span(Stage.RUN, boot, "meter-1", journal.clocks[0].monotonic_ns - 10**10, now_ns, closed=True)
    return gpus(all_series(journal).series, all_looks(journal), [window])


async def test_what_the_boards_show_comes_into_the_summary_and_nonsense_is_counted(tmp_path: Path) -> None:
    stub = StubNvml(tmp_path / "boards", library=nvml_stub.build(tmp_path), boards=2)
    well, wrong = stub.boards
    well.draw(
        250.5, utilisation_percent=90, memory_used_bytes=5 * 2**30, temperature_celsius=66, clock_reasons=HW_THERMAL
    )
    wrong.draw(100.0, utilisation_percent=255, temperature_celsius=41)
    with exporter(stub) as address:
        first, second = shown(await journalled(address, tmp_path / "journal", looks=4))
    assert (first.device, second.device) == (well.uuid, wrong.uuid)
    assert first.power_watts is not None
    assert (first.power_watts.min, first.power_watts.max) == (250.5, 250.5)
    assert first.utilisation_percent is not None
    assert first.utilisation_percent.mean == 90
    assert first.memory_used_bytes is not None
    assert first.memory_used_bytes.max == 5 * 2**30
    assert first.throttling_seconds == first.throttling_seconds_by_reason["hw_thermal"] > 0
    assert first.suspect_readings == {}
    assert second.utilisation_percent is None
    assert second.suspect_readings == {"utilisation_percent": second.looks}
    assert second.temperature_celsius is not None
    assert second.throttling_seconds == 0
