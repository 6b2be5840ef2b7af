"""The doctor and the plain log, on the stub."""

import asyncio
import csv
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.nvml_stub import VERSION_MISMATCH, StubNvml

from joulebench_exporter.cli import main
from joulebench_exporter.diagnosing import Diagnostician
from joulebench_exporter.errors import BadOptionError
from joulebench_exporter.metrics import Source
from joulebench_exporter.ownership import OwnerBook
from joulebench_exporter.recording import COLUMNS, open_record, record, rows_now
from joulebench_exporter.sampler import Sampler
from joulebench_exporter.sensors.nvml import NvmlSensor

if TYPE_CHECKING:
    from tests.exporter.conftest import FakeClock

BuildStub = Callable[..., StubNvml]
DEADLINE_SECONDS = 20.0


def examine(capsys: pytest.CaptureFixture[str], folder: Path, *options: str) -> tuple[int, str]:
    status = main(["doctor", "--seconds", "300ms", "--rapl-root", str(folder), *options])
    return status, capsys.readouterr().out


def test_the_doctor_says_what_was_found_and_how_it_ticks(
    nvml: BuildStub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stub = nvml(boards=2, tick_period_ns=20_000_000)
    stub.boards[0].control.instances = 1
    status, said = examine(capsys, tmp_path)
    assert status == 0
    assert "nvml: found" in said
    assert "rapl: not here" in said
    assert "MIG-" in said
    rows = [line.split() for line in said.splitlines() if line.startswith(f"  {stub.boards[1].uuid}  ")]
    _, ticks, missed, period_ms, *_ = rows[-1]
    assert int(ticks) >= 10
    assert float(period_ms) == pytest.approx(20, rel=0.05)
    assert missed.isdecimal()


def test_the_doctor_says_what_is_wrong_with_a_driver(
    nvml: BuildStub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nvml().control.init_error = VERSION_MISMATCH
    status, said = examine(capsys, tmp_path, "--sensor", "nvml")
    assert status == 1
    assert "LIB_RM_VERSION_MISMATCH" in said
    assert "restart the machine" in said


def test_the_doctor_looks_at_the_kubelets_socket(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, said = examine(capsys, tmp_path, "--sensor", "modelled", "--pod-resources", str(tmp_path / "kubelet.sock"))
    assert "is not there: mount the folder" in said


def test_the_doctor_says_how_soon_a_change_of_owners_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kubepods.slice").mkdir()
    (tmp_path / "cgroup.procs").touch()
    asked = ("--sensor", "modelled", "--pod-resources", str(tmp_path / "kubelet.sock"))
    _, with_groups = examine(capsys, tmp_path, *asked, "--pod-groups", str(tmp_path))
    _, without = examine(capsys, tmp_path, *asked, "--pod-groups", str(tmp_path / "nothing"))
    _, unwanted = examine(capsys, tmp_path, *asked, "--pod-groups", "off")
    assert f"pods: seen to come and go by {tmp_path}/kubepods.slice; owners are known at once" in with_groups
    assert "mount the node's, read-only" in without
    assert "(--pod-groups off)" in unwanted


def test_the_doctor_knows_its_sensors_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--sensor", "nvmk"]) == 2
    assert "Did you mean 'nvml'?" in capsys.readouterr().err


@pytest.fixture
def source(nvml: BuildStub, clock: "FakeClock") -> Source:
    stub = nvml(boards=2)
    stub.boards[1].draw(200, utilisation_percent=87, temperature_celsius=61)
    sampler = Sampler(sensors=[NvmlSensor()], clock=clock, period_ns=100_000_000)
    diagnostician = Diagnostician(channels=sampler.channels.values(), clock=clock)
    sampler.sample()
    diagnostician.look()
    return Source(sampler=sampler, diagnostician=diagnostician, owners=OwnerBook(), clock=clock)


def test_the_log_has_a_row_per_device(source: Source) -> None:
    first, second = (dict(zip(COLUMNS, row, strict=True)) for row in rows_now(source))
    assert (first["index"], second["index"]) == (0, 1)
    assert (second["utilisation_percent"], second["temperature_celsius"]) == (87, 61)
    assert second["fan_percent"] is None
    assert (second["energy_joules"], second["kind"]) == (0.0, "simulated")
    assert str(second["time"]).startswith("2023-11-14T22:13:21")
    source.sampler.stop()


async def test_the_log_goes_on_where_it_was_and_has_one_header(source: Source, tmp_path: Path) -> None:
    path = tmp_path / "gpus.csv"
    for _ in range(2):
        with open_record(path) as file:
            task = asyncio.create_task(record(source, file, period_seconds=60))
            while not path.read_text().endswith("\n") or not file.tell():  # noqa: ASYNC110 - one step
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    rows = list(csv.reader(path.read_text().splitlines()))
    assert rows[0] == list(COLUMNS)
    assert len(rows) == 1 + 2 * 2
    source.sampler.stop()


def test_a_log_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadOptionError, match="--record"):
        open_record(tmp_path / "missing" / "gpus.csv")


def test_the_process_serves_metrics_writes_its_log_and_drains(nvml: BuildStub, tmp_path: Path) -> None:
    stub = nvml(boards=2)
    log = tmp_path / "gpus.csv"
    command = [sys.executable, "-m", "joulebench_exporter", "--listen", f"unix:{tmp_path / 'energy.sock'}"]
    command += ["--sensor", "nvml", "--http", "127.0.0.1:0", "--record", str(log), "--record-period", "50ms"]
    with subprocess.Popen(command, env=stub.environment(), stderr=subprocess.PIPE, text=True) as process:
        guard = threading.Timer(DEADLINE_SECONDS, process.kill)
        guard.start()
        try:
            assert process.stderr is not None
            lines = (json.loads(line) for line in process.stderr)
            url = next(line["url"] for line in lines if line["message"] == "serving HTTP")
            next(line for line in lines if line["message"] == "listening")
            with urllib.request.urlopen(f"{url}/metrics", timeout=DEADLINE_SECONDS) as answer:
                metrics = answer.read().decode()
            with urllib.request.urlopen(f"{url}/readyz", timeout=DEADLINE_SECONDS) as answer:
                assert answer.status == 200
            deadline = time.monotonic() + DEADLINE_SECONDS
            while len(log.read_text().splitlines()) < 5:
                assert time.monotonic() < deadline
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_SECONDS) == 0
        finally:
            guard.cancel()
            process.kill()
    assert f'joulebench_gpu_energy_joules_total{{UUID="{stub.boards[1].uuid}",gpu="1",kind="simulated"}}' in metrics
