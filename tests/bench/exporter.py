"""The exporter on eight stub boards: its CPU time, its memory, and which ticks it sees, by the stub's own account.

Four subscribers follow all boards and /metrics is scraped every 15 s, as on a node. Beside it, on the same boards and
at the same time, what is usually done: a loop that reads NVML's power ten times a second and sums it up. And, for what
a machine charges for waking up at all: a loop in Python that only sleeps, as often as the exporter's sampler wakes up.

    python -m tests.bench.exporter [SECONDS]
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
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
FLOOR_SECONDS = 10.0
SLEEPER = """
import sys, time
period, number = float(sys.argv[1]), int(sys.argv[2])
due = time.monotonic()
began = time.process_time()
for _ in range(number):
    due += period
    time.sleep(max(0.0, due - time.monotonic()))
print(100 * (time.process_time() - began) / (number * period))
"""

SCRAPER = """
import json, sys, time, urllib.request
for line in sys.stdin:
    times_ms = []
    for _ in range(int(line)):
        began = time.perf_counter()
        with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:
            answer.read()
        times_ms.append((time.perf_counter() - began) * 1000)
    print(json.dumps(times_ms), flush=True)
"""


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
    shares_percent: Mapping[str, float]
    """CPU of one core by what the threads do."""
    wakes_per_second: float
    """Of the sampler's thread."""
    floor_percent: float
    """CPU of a loop that does nothing else than wake up that often."""
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


class Scraper:
    """Asks for /metrics from a process of its own: beside subscribers, a thread would time its own interpreter too."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SCRAPER, f"{url}/metrics"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.scrape(1)  # makes it load what it needs

    def scrape(self, times: int) -> list[float]:
        """How long each took, in milliseconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{times}\n")
        self._process.stdin.flush()
        found: list[float] = json.loads(self._process.stdout.readline())
        return found

    def close(self) -> None:
        """Ends it."""
        self._process.communicate(timeout=10)


@dataclass(frozen=True, kw_only=True)
class Thread:
    """What one kind of thread has used so far."""

    cpu_seconds: float = 0.0
    wakes: int = 0


def _threads(process: psutil.Process) -> dict[str, Thread]:
    """By what they do: the sampler and the looks have names, the others but the main one are gRPC's own."""
    threads: dict[str, Thread] = {}
    for folder in Path(f"/proc/{process.pid}/task").iterdir():
        name = (folder / "comm").read_text().strip()
        if name not in {"sampler", "diagnostics"}:
            name = "main" if int(folder.name) == process.pid else "gRPC's own"
        nanoseconds = int((folder / "schedstat").read_text().split()[0])
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        before = threads.get(name, Thread())
        threads[name] = Thread(
            cpu_seconds=before.cpu_seconds + nanoseconds / 1e9,
            wakes=before.wakes + int(status["voluntary_ctxt_switches"]),
        )
    return threads


def _floor_percent(wakes_per_second: float) -> float:
    """CPU of one core that Python takes to sleep that often and to do nothing."""
    command = [sys.executable, "-c", SLEEPER, str(1 / wakes_per_second), str(round(FLOOR_SECONDS * wakes_per_second))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


async def _measure(address: str, url: str, process: psutil.Process, stub: StubNvml, seconds: float) -> Measured:
    boards = {board.uuid: Followed() for board in stub.boards}
    watchers = [asyncio.create_task(_follow(address, boards if index == 0 else None)) for index in range(STREAMS)]
    await asyncio.sleep(SETTLE_SECONDS)
    scraper, scrapes = await asyncio.to_thread(Scraper, url), list[float]()
    cpu, threads, begin_ns = process.cpu_times(), _threads(process), time.monotonic_ns()
    account = stub.account(process.pid)
    calls, driver_ns = account.calls, account.cpu_ns
    while time.monotonic_ns() < begin_ns + seconds * 1e9:
        scrapes += await asyncio.to_thread(scraper.scrape, 1)
        left = begin_ns / 1e9 + seconds - time.monotonic()
        await asyncio.sleep(max(0.0, min(SCRAPE_SECONDS, left)))
    used, threads_now, end_ns = process.cpu_times(), _threads(process), time.monotonic_ns()
    made, driver_ns = account.calls - calls, account.cpu_ns - driver_ns
    elapsed = (end_ns - begin_ns) / 1e9
    wakes_per_second = (threads_now["sampler"].wakes - threads["sampler"].wakes) / elapsed
    floor_percent = await asyncio.to_thread(_floor_percent, wakes_per_second)
    scrapes += await asyncio.to_thread(scraper.scrape, 200)
    scraper.close()
    await asyncio.sleep(0.5)
    for watcher in watchers:
        watcher.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)
    return Measured(
        cpu_percent=100 * (used.user + used.system - cpu.user - cpu.system) / elapsed,
        driver_percent=driver_ns / 1e7 / elapsed,
        shares_percent={
            name: 100 * (now.cpu_seconds - threads.get(name, Thread()).cpu_seconds) / elapsed
            for name, now in threads_now.items()
        },
        wakes_per_second=wakes_per_second,
        floor_percent=floor_percent,
        memory_mib=process.memory_info().rss / 2**20,
        scrape_ms=scrapes,
        calls_per_second=made / elapsed,
        boards=list(boards.values()),
        window_ns=(begin_ns, end_ns),
    )


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
    own_percent = measured.cpu_percent - measured.driver_percent
    _line("CPU of one core, the driver's time apart", own_percent, CPU_BAR_PERCENT[period_ms], "%")
    print(
        f"    {measured.cpu_percent:.2f} % in all, less {measured.driver_percent:.2f} % within the driver's stub: CPU "
        f"time from begin to end of {measured.calls_per_second:.0f} calls/s, by its own account of this process"
    )
    shares = sorted(measured.shares_percent.items(), key=lambda share: -share[1])
    print(f"    by thread: {', '.join(f'{name} {percent:.2f} %' for name, percent in shares)}")
    print(
        f"    the sampler wakes up {measured.wakes_per_second:.0f} times a second, for which a loop that does nothing "
        f"else takes {measured.floor_percent:.2f} %: all is {own_percent / measured.floor_percent:.1f} x that"
    )
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
