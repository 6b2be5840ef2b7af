"""The exporter on eight stub boards: its CPU time, its memory, and which ticks it sees, by the stub's own account.

Four subscribers follow all boards and /metrics is scraped every 15 s, as on a node. Beside it, on the same boards and
at the same time, what is usually done: a loop that reads NVML's power ten times a second and sums it up.

    python -m tests.bench.exporter [SECONDS]
"""

import asyncio
import ctypes
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tests import nvml_stub
from tests.nvml_stub import StubNvml

from joulebench_exporter.client import ExporterClient

BOARDS, STREAMS = 8, 4
SECONDS = 60.0
SETTLE_SECONDS = 5.0
SCRAPE_SECONDS = 15.0
JITTER_NS = 2_000_000
DRIFT_PPM = 100
CPU_BAR_PERCENT = {100: 2.0, 20: 4.0}
MEMORY_BAR_MIB = 64
SEEN_BAR = 0.999
TIME_BAR_MS = 5.0
SCRAPE_BAR_MS = 5.0
PEER_PERIOD_SECONDS = 0.1


@dataclass(kw_only=True)
class Followed:
    """Ticks of one board as a subscriber got them."""

    time_ns: list[int] = field(default_factory=list)
    bracket_ns: list[int] = field(default_factory=list)
    energy_mj: list[int] = field(default_factory=list)


@dataclass(kw_only=True)
class Measured:
    """One exporter, followed for a while."""

    cpu_percent: float
    driver_percent: float
    memory_mib: float
    scrape_ms: list[float]
    calls_per_second: float
    boards: list[Followed]
    window_ns: tuple[int, int]


async def _follow(address: str, boards: dict[str, Followed] | None) -> None:
    async with ExporterClient(address) as client:
        await client.describe()
        async for batch in client.watch():
            if boards is not None and batch.device in boards:
                followed = boards[batch.device]
                followed.time_ns.extend(batch.time_ns)
                followed.bracket_ns.extend(batch.bracket_ns)
                followed.energy_mj.extend(batch.energy_mj)


def _scrape(url: str, times_ms: list[float]) -> None:
    began = time.perf_counter()
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        answer.read()
    times_ms.append((time.perf_counter() - began) * 1000)


async def _measure(address: str, url: str, process: psutil.Process, stub: StubNvml, seconds: float) -> Measured:
    boards = {board.uuid: Followed() for board in stub.boards}
    watchers = [asyncio.create_task(_follow(address, boards if index == 0 else None)) for index in range(STREAMS)]
    await asyncio.sleep(SETTLE_SECONDS)
    # The first one makes this client load what it needs.
    await asyncio.to_thread(_scrape, url, [])
    scrapes: list[float] = []
    cpu, calls, begin_ns = process.cpu_times(), stub.control.calls, time.monotonic_ns()
    while time.monotonic_ns() < begin_ns + seconds * 1e9:
        await asyncio.to_thread(_scrape, url, scrapes)
        left = begin_ns / 1e9 + seconds - time.monotonic()
        await asyncio.sleep(max(0.0, min(SCRAPE_SECONDS, left)))
    used, end_ns, made = process.cpu_times(), time.monotonic_ns(), stub.control.calls - calls
    for _ in range(200):
        await asyncio.to_thread(_scrape, url, scrapes)
    await asyncio.sleep(0.5)
    for watcher in watchers:
        watcher.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)
    elapsed = (end_ns - begin_ns) / 1e9
    driver_seconds = made * _seconds_per_call(stub)
    return Measured(
        cpu_percent=100 * (used.user + used.system - cpu.user - cpu.system) / elapsed,
        driver_percent=100 * driver_seconds / elapsed,
        memory_mib=process.memory_info().rss / 2**20,
        scrape_ms=scrapes,
        calls_per_second=made / elapsed,
        boards=list(boards.values()),
        window_ns=(begin_ns, end_ns),
    )


def _seconds_per_call(stub: StubNvml) -> float:
    """What the stub itself takes for a read of the counter, called from C's side of the binding."""
    library = ctypes.CDLL(str(stub.library))
    library.stub_open(str(stub.folder).encode())
    began, number = time.perf_counter(), 20_000
    for _ in range(number):
        library.stub_latest_tick(0, ctypes.c_int64(time.monotonic_ns()))
    return (time.perf_counter() - began) / number


def _run(period_ms: int, seconds: float, library: Path, folder: Path) -> None:
    stub = StubNvml(
        folder, library=library, boards=BOARDS, watts=100, tick_period_ns=period_ms * 1_000_000,
        jitter_ns=JITTER_NS, drift_ppm=DRIFT_PPM,
    )  # fmt: skip
    address = f"unix:{folder / 'energy.sock'}"
    command = [sys.executable, "-m", "joulebench_exporter", "--listen", address, "--sensor", "nvml"]
    command += ["--http", "127.0.0.1:0", "--pod-resources", "off"]
    peer = Peer(stub)
    with subprocess.Popen(command, env=stub.environment(), stderr=subprocess.PIPE, text=True) as process:
        try:
            url = _url(process)
            stop = threading.Event()
            load = threading.Thread(target=_square_wave, args=(stub, stop))
            load.start()
            peer.start()
            measured = asyncio.run(_measure(address, url, psutil.Process(process.pid), stub, seconds))
            peer.stop()
            stop.set()
            load.join()
        finally:
            process.kill()
    _report(period_ms, measured, stub, peer)


def _url(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    for line in process.stderr:
        said = json.loads(line)
        if "url" in said:
            # Whatever else it says must not fill the pipe.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return str(said["url"])
    raise RuntimeError("the exporter ended before it served anything")


def _square_wave(stub: StubNvml, stop: threading.Event) -> None:
    """All boards between 100 and 600 W, for 70 ms and 180 ms: shorter than what averaged power shows."""
    while not stop.is_set():
        for watts, seconds in ((600, 0.07), (100, 0.18)):
            for board in stub.boards:
                board.draw(watts)
            stop.wait(seconds)


class Peer:
    """The usual loop: power of every board ten times a second, summed up by the time between two reads."""

    def __init__(self, stub: StubNvml) -> None:
        program = (
            "import pynvml, sys, time\n"
            "pynvml.nvmlInit()\n"
            "handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]\n"
            "print('ready', flush=True)\n"
            "sys.stdin.readline()\n"
            "began = last = time.monotonic(); joules = 0.0\n"
            "import threading\n"
            "end = threading.Event()\n"
            "threading.Thread(target=lambda: (sys.stdin.readline(), end.set()), daemon=True).start()\n"
            f"while not end.wait({PEER_PERIOD_SECONDS}):\n"
            "    wanted = [pynvml.NVML_FI_DEV_POWER_INSTANT]\n"
            "    fields = [pynvml.nvmlDeviceGetFieldValues(handle, wanted)[0] for handle in handles]\n"
            "    now = time.monotonic()\n"
            "    joules += sum(f.value.uiVal for f in fields) / 1000 * (now - last); last = now\n"
            "print(began, last, joules, time.process_time())\n"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            env=stub.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        self._process.stdout.readline()
        self.began = self.ended = self.joules = self.cpu_seconds = 0.0

    def start(self) -> None:
        self._say()

    def stop(self) -> None:
        self._say()
        assert self._process.stdout is not None
        numbers = [float(word) for word in self._process.stdout.readline().split()]
        self.began, self.ended, self.joules, self.cpu_seconds = numbers
        self._process.communicate(timeout=10)

    def _say(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()


def _report(period_ms: int, measured: Measured, stub: StubNvml, peer: Peer) -> None:
    log = stub.load()
    begin_ns, end_ns = measured.window_ns
    errors_ms, brackets_ms, seen, inside, total = [], [], 0, 0, 0
    for index, board in enumerate(measured.boards):
        truth = log.ticks(index, from_ns=begin_ns, to_ns=end_ns)
        total += len(truth)
        found: set[int] = set()
        for at_ns, _ in truth:
            position = bisect_left(board.time_ns, at_ns)
            if position == len(board.time_ns):
                continue
            errors_ms.append((board.time_ns[position] - at_ns) / 1e6)
            brackets_ms.append(board.bracket_ns[position] / 1e6)
            inside += board.time_ns[position] - board.bracket_ns[position] <= at_ns
            found.add(position)
        seen += len(found)
    seconds = (end_ns - begin_ns) / 1e9
    print(f"exporter, {BOARDS} boards with {period_ms} ms counters, {STREAMS} streams, for {seconds:.0f} s")
    _line("CPU of one core", measured.cpu_percent, CPU_BAR_PERCENT[period_ms], "%")
    calls = f"{measured.calls_per_second:.0f} calls/s"
    print(f"    of which in the driver's stub some {measured.driver_percent:.2f} %, {calls}")
    _line("memory", measured.memory_mib, MEMORY_BAR_MIB, "MiB")
    print(f"  ticks seen: {seen} of {total} ({100 * seen / total:.2f} %; bar {100 * SEEN_BAR:g} %)")
    _line("time of a tick off by, p99", _percentile(errors_ms, 0.99), TIME_BAR_MS, "ms")
    print(f"    brackets p50 {_percentile(brackets_ms, 0.5):.2f} ms, p99 {_percentile(brackets_ms, 0.99):.2f} ms; "
          f"ticks within their own: {100 * inside / total:.2f} %")  # fmt: skip
    _line("scrape, p99", _percentile(measured.scrape_ms, 0.99), SCRAPE_BAR_MS, "ms")
    _report_peer(stub, peer)


def _report_peer(stub: StubNvml, peer: Peer) -> None:
    true_joules = (
        sum(
            board.truth.energy_uj_at(round(peer.ended * 1e9)) - board.truth.energy_uj_at(round(peer.began * 1e9))
            for board in stub.boards
        )
        / 1e6
    )
    elapsed = peer.ended - peer.began
    off_percent, cpu_percent = 100 * (peer.joules / true_joules - 1), 100 * peer.cpu_seconds / elapsed
    print(
        f"  beside it, power at 10 Hz summed up: {peer.joules:,.0f} J where {true_joules:,.0f} J were used "
        f"({off_percent:+.1f} %), {cpu_percent:.2f} % of a core"
    )


def _line(what: str, value: float, bar: float, unit: str) -> None:
    print(f"  {what}: {value:.2f} {unit}, {value / bar:.2f} x the bar of {bar:g} {unit}")


def _percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def main(seconds: float = SECONDS) -> None:
    """Measure with 100 ms counters, then with 20 ms ones."""
    if (reason := nvml_stub.why_not()) is not None:
        print(f"exporter: not measured, {reason}")
        return
    with tempfile.TemporaryDirectory() as folder:
        library = nvml_stub.build(Path(folder))
        for period_ms in CPU_BAR_PERCENT:
            _run(period_ms, seconds, library, Path(folder) / f"boards-{period_ms}")


if __name__ == "__main__":
    main(*(float(word) for word in sys.argv[1:]))
