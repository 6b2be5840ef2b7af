"""The command, as a real process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from joulebench_api.contracts.device_file import DeviceFileWriter, DeviceIdentity
from joulebench_api.contracts.energy import Domain, SensorKind
from joulebench_exporter.cli import main
from joulebench_exporter.client import ExporterClient

DEADLINE_SECONDS = 20.0
COMMAND = [sys.executable, "-m", "joulebench_exporter"]


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Poll another process until it has done something."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:g} s: {what}"
        time.sleep(0.005)


@dataclass(kw_only=True)
class Running:
    """A started exporter."""

    process: "subprocess.Popen[str]"
    socket: Path
    ready: Path

    @property
    def target(self) -> str:
        return f"unix:{self.socket}"

    def wait_until_ready(self) -> None:
        eventually(lambda: self.ready.exists() or self.process.poll() is not None, "ready file")
        assert self.process.poll() is None, self.process.stderr.read() if self.process.stderr else ""

    def ended(self) -> tuple[int, str]:
        """Exit status and log; fails if it does not end."""
        _, log = self.process.communicate(timeout=DEADLINE_SECONDS)
        return self.process.returncode, log


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Running]:
    socket, ready = folder / "energy.sock", folder / "ready.json"
    command = [*COMMAND, "--listen", f"unix:{socket}", "--ready-file", str(ready), *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        try:
            exporter = Running(process=process, socket=socket, ready=ready)
            exporter.wait_until_ready()
            yield exporter
        finally:
            if process.poll() is None:
                process.kill()


def rapl_tree(root: Path) -> Path:
    zone = root / "intel-rapl:0"
    zone.mkdir(parents=True)
    for name, content in {"name": "package-0", "energy_uj": "5000", "max_energy_range_uj": "1000000000"}.items():
        (zone / name).write_text(content)
    return root


async def test_it_starts_describes_itself_and_ends_on_sigterm(tmp_path: Path) -> None:
    with running(tmp_path, "--sensor", "modelled", "--idle-watts", "12.5") as exporter:
        async with ExporterClient(exporter.target) as client:
            description = await client.describe()
            ping = await client.ping()
        ready = json.loads(exporter.ready.read_text())
        exporter.process.send_signal(signal.SIGTERM)
        status, log = exporter.ended()
    assert status == 0
    (device,) = description.devices
    assert (device.domain, device.sensor_kind) == (Domain.CPU, SensorKind.MODELLED)
    assert "12.5 W x uptime" in device.source
    assert ready == {
        "address": exporter.target,
        "instance_id": description.instance_id,
        "boot_id": description.boot_id,
        "pid": exporter.process.pid,
    }
    assert ping.t0_ns <= ping.t1_ns <= ping.t2_ns <= ping.t3_ns  # one machine, one clock
    assert not exporter.socket.exists()
    assert not exporter.ready.exists()
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line["message"] for line in lines] == ["device", "listening", "stopping"]
    assert lines[-1]["reason"] == "SIGTERM"


async def test_it_streams_the_counters_of_a_rapl_tree(tmp_path: Path) -> None:
    root = rapl_tree(tmp_path / "powercap")
    with running(
        tmp_path, "--sensor", "rapl", "--rapl-root", str(root), "--period", "5ms", "--batch", "5ms"
    ) as exporter:
        async with ExporterClient(exporter.target) as client:
            (device,) = (await client.describe()).devices
            batches = client.watch()
            first = await anext(batches)
            (root / "intel-rapl:0" / "energy_uj").write_text("2005000")
            second = await anext(batches)
    assert (device.name, device.sensor_kind) == ("package-0", SensorKind.MEASURED)
    assert (first.device, first.energy_mj) == (device.uuid, [0])
    assert (second.first_sequence, second.energy_mj) == (2, [2000])


async def test_it_streams_the_counter_of_a_simulated_device(tmp_path: Path) -> None:
    file = tmp_path / "0.device"
    writer = DeviceFileWriter(file, identity=DeviceIdentity(uuid="GPU-1"), resting_power_mw=1_000_000)
    options = (
        "--sensor",
        "simulated",
        "--device-file",
        str(file),
        "--tick",
        "20ms",
        "--period",
        "5ms",
        "--batch",
        "5ms",
    )
    with running(tmp_path, *options) as exporter:
        async with ExporterClient(exporter.target) as client:
            (device,) = (await client.describe()).devices
            batches = client.watch()
            ticks = [batch for batch in [await anext(batches) for _ in range(4)] if batch.first_sequence > 1]
    assert (device.uuid, device.domain, device.sensor_kind) == ("GPU-1", Domain.GPU, SensorKind.SIMULATED)
    assert ticks[-1].energy_mj[-1] > 0
    assert ticks[-1].energy_mj[-1] % 20_000 == 0  # whole ticks of 20 ms at 1 kW
    writer.close()


def test_it_ends_with_its_stdin(tmp_path: Path) -> None:
    with running(tmp_path, "--sensor", "modelled", "--exit-with-stdin") as exporter:
        assert exporter.process.stdin is not None
        exporter.process.stdin.close()
        exporter.process.stdin = None
        status, log = exporter.ended()
    assert status == 0
    assert json.loads(log.splitlines()[-1])["reason"] == "stdin was closed"
    assert not exporter.socket.exists()


def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    socket, ready = tmp_path / "energy.sock", tmp_path / "ready.json"
    command = [*COMMAND, "--listen", f"unix:{socket}", "--ready-file", str(ready), "--exit-with-stdin"]
    program = f"import subprocess; subprocess.Popen({command!r}, stdin=subprocess.PIPE).wait()"
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL) as parent:
        eventually(ready.exists, "ready file")
        exporter_pid = json.loads(ready.read_text())["pid"]
        parent.kill()
    try:
        eventually(lambda: not socket.exists(), "socket removed")
    finally:
        with suppress(ProcessLookupError):
            os.kill(exporter_pid, signal.SIGKILL)


def test_it_takes_over_the_socket_of_a_dead_exporter(tmp_path: Path) -> None:
    with running(tmp_path, "--sensor", "modelled") as exporter:
        exporter.process.kill()
        exporter.ended()
    assert exporter.socket.exists()
    exporter.ready.unlink()
    with running(tmp_path, "--sensor", "modelled"):
        pass


def test_it_does_not_take_over_the_socket_of_a_living_exporter(tmp_path: Path) -> None:
    with running(tmp_path, "--sensor", "modelled") as exporter:
        command = [*COMMAND, "--listen", exporter.target, "--sensor", "modelled"]
        second = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
        assert exporter.socket.exists()
    assert second.returncode == 2
    assert "another process listens" in second.stderr


def test_its_socket_is_for_this_user_alone(tmp_path: Path) -> None:
    with running(tmp_path, "--sensor", "modelled") as exporter:
        assert exporter.socket.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sensor", "raple"], "Did you mean 'rapl'?"),
        (["--sensor", "rapl", "--rapl-root", "/nonexistent"], "no RAPL counter under /nonexistent"),
        (["--sensor", "modelled", "--idle-watts", "-3"], "--idle-watts is '-3.0'"),
        (["--sensor", "simulated"], "Give --device-file once for each device"),
        (["--sensor", "simulated", "--device-file", "/dev/null"], "is not a device file"),
        (["--sensor", "modelled", "--listen", "0.0.0.0:9780"], "power is a side channel"),
        (["--sensor", "modelled", "--listen", "unix:/nonexistent/x.sock"], "folder of the socket"),
        (["--sensor", "modelled", "--listen", "unix:/" + 120 * "x"], "longer than 103 bytes"),
        (["--sensor", "modelled", "--listen", "unix:/dev/null"], "is no socket"),
        (["--sensor", "modelled", "--listen", "somewhere"], "unix:/path/to/socket"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_starts(
    tmp_path: Path, options: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["--listen", f"unix:{tmp_path / 'energy.sock'}", *options]) == 2
    assert said in capfd.readouterr().err
    assert not (tmp_path / "energy.sock").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--listen"),
        (["--listen", "unix:/x", "--period", "fast"], "'fast' is no duration"),
        (["--listen", "unix:/x", "--period", "100"], "'100' is no duration"),
        (["--listen", "unix:/x", "--batch", "1m"], "outside"),
        (["--listen", "unix:/x", "--bacth", "1s"], "--bacth"),
    ],
)
def test_wrong_options_are_refused_by_name(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(options)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for word in (
        "examples:",
        "rapl",
        "modelled",
        "simulated",
        "--jitter",
        "JOULEBENCH_MODELLED_IDLE_WATTS",
        "exit status",
    ):
        assert word in text
