"""The simulator's streaming rate: chunks a second of its own CPU time, with a client in another process."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

BAR_CHUNKS_PER_SECOND = 20_000
STREAMS, TOKENS, ROUNDS = 64, 500, 3
START_SECONDS = 20.0


class Client(asyncio.Protocol):
    """Asks for one long stream after the other and counts the events in what comes."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.events = 0
        self.reads = 0
        self.done = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        body = json.dumps(
            {
                "messages": [{"role": "user", "content": "count"}],
                "stream": True,
                "max_tokens": TOKENS,
                "ignore_eos": True,
            }
        ).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n"
        self._request = head.encode() + body

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's
        self._ask()

    def data_received(self, data: bytes) -> None:
        self.reads += 1
        self.events += data.count(b"data: {")
        # Each answer ends with an empty chunk, and chunks are small enough not to be torn often: the last bytes tell.
        if data.endswith(b"0\r\n\r\n"):
            self.rounds -= 1
            if self.rounds:
                self._ask()
            else:
                self.done.set_result(None)

    def _ask(self) -> None:
        assert self._transport is not None
        self._transport.write(self._request)


@contextmanager
def server() -> Iterator[tuple[psutil.Process, int]]:
    """A simulator with unlimited speed and one device; its process and port."""
    with tempfile.TemporaryDirectory() as name:
        ready = Path(name) / "ready.json"
        command = [
            *(sys.executable, "-m", "joulebench_simulator", "--port", "0", "--speed", "unlimited"),
            *("--ready-file", str(ready), "--device-file", f"{name}/0.device", "--log", f"{name}/log.jsonl"),
            "--exit-with-stdin",
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + START_SECONDS
            while not ready.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            yield psutil.Process(process.pid), int(json.loads(ready.read_text())["url"].rpartition(":")[2])
            process.terminate()


async def load(port: int) -> tuple[int, int]:
    """All streams at once; gives the number of events that came, and of the reads they came in."""
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(lambda: Client(ROUNDS), "127.0.0.1", port))[1] for _ in range(STREAMS)]
    await asyncio.gather(*(client.done for client in clients))
    return sum(client.events for client in clients), sum(client.reads for client in clients)


def main() -> None:
    """Print the rate beside the bar."""
    with server() as (process, port):
        before, began = process.cpu_times(), time.perf_counter()
        events, reads = asyncio.run(load(port))
        seconds, after = time.perf_counter() - began, process.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    print(f"simulator, {STREAMS} streams of {TOKENS} tokens, speed unlimited, {events:,} events")
    print(
        f"  {events / cpu:>10,.0f} chunks/s of a core   bar {BAR_CHUNKS_PER_SECOND:,}  {1e6 * cpu / events:.1f} us each"
    )
    print(f"  {events / seconds:>10,.0f} chunks/s as seen by the client, {events / reads:.1f} in a read")
    print(f"  {events / cpu / BAR_CHUNKS_PER_SECOND:>10.2f} x the bar")


if __name__ == "__main__":
    main()
