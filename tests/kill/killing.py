"""Kills the processes of a run, one after the other, at moments uniform over the time in which requests are in flight.

The command is started again whenever it has ended, as somebody would who follows what it says. Time counts only while
the model server says that it has requests, so a moment is as likely to fall on any busy instant as on any other.
"""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import psutil

COMMAND: Final = Path(sys.executable).parent / "joulebench"
TARGETS: Final = ("driver", "meter", "exporter", "server", "supervisor")
"""As `settings/processes.json` names them; the supervisor is the command itself, the parent of all others."""
LOOK_SECONDS: Final = 0.02
WAIT_SECONDS: Final = 120
T = TypeVar("T")
_IN_FLIGHT: Final = re.compile(r"^vllm:num_requests_(?:running|waiting)\{.*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Kill:
    """One kill: whom, and after how many busy seconds in all."""

    target: str
    busy_seconds: float


def draw(seed: int, *, each: int, busy_seconds: float) -> list[Kill]:
    """Every process so many times, in any order, at moments uniform over so many busy seconds."""
    chance = random.Random(seed)
    targets = list(TARGETS) * each
    chance.shuffle(targets)
    moments = sorted(chance.uniform(0, busy_seconds) for _ in targets)
    return [Kill(target, moment) for target, moment in zip(targets, moments, strict=True)]


@dataclass
class KilledRun:
    """One run in one folder, with all its accidents. `close` ends what still runs."""

    file: Path
    folder: Path
    temporary: Path
    """Where its sockets are: a kill of the parent leaves their folder behind."""
    say: Callable[[str], None] = print
    busy_seconds: float = 0.0
    starts: int = 0
    killed: list[str] = field(default_factory=list)
    _process: "subprocess.Popen[bytes] | None" = None
    _killed_now: "Counter[str]" = field(default_factory=Counter)
    """Since the last start."""
    _looked_at: float | None = None
    """When requests were last seen in flight; None: they were not, when last looked for."""

    def suffer(self, kills: Sequence[Kill]) -> None:
        """Go through all kills."""
        for kill in kills:
            self._kill(kill.target, self._until(partial(self._due, kill)))

    def finish(self) -> str:
        """Let it go on until it is complete; what it said last."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            code = self._running().wait(max(0.0, deadline - time.monotonic()))
            if code == 0:
                return self._words()
            self._check_end(code)
            self._start()

    def close(self) -> None:
        """Leave nothing behind."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(WAIT_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _due(self, kill: Kill) -> int | None:
        """The process id, once it is time; the process may be away, as it is being started again."""
        if self.busy_seconds < kill.busy_seconds or not self._in_flight():
            return None
        return self._pid(kill.target)

    def _until(self, condition: Callable[[], T | None]) -> T:
        """Look again and again, start what has ended, count busy time; what the condition gave."""
        deadline = time.monotonic() + WAIT_SECONDS
        while (found := condition()) is None:
            assert time.monotonic() < deadline, f"no request was in flight in time; {self._words()}"
            code = self._running().poll()
            if code is not None:
                self._check_end(code)
                self._start()
                deadline = time.monotonic() + WAIT_SECONDS
            self._count_busy_time()
            time.sleep(LOOK_SECONDS)
        return found

    def _count_busy_time(self) -> None:
        now = time.monotonic() if self._in_flight() else None
        if now is not None and self._looked_at is not None:
            self.busy_seconds += now - self._looked_at
        self._looked_at = now

    def _kill(self, target: str, pid: int) -> None:
        everybody = self._pids()
        os.kill(pid, signal.SIGKILL)
        self.killed.append(target)
        self._killed_now[target] += 1
        self._looked_at = None
        self.say(f"kill {len(self.killed)}: {target} after {self.busy_seconds:.3f} busy s, in start {self.starts}")
        if target == "supervisor":
            self._running().wait(WAIT_SECONDS)
            _, left = psutil.wait_procs([found for one in everybody.values() if (found := _process(one))], timeout=20)
            assert not left, f"outlived the command: {left}"

    def _start(self) -> None:
        self.starts += 1
        self._killed_now.clear()
        with self._log.open("ab") as log:
            log.write(f"--- start {self.starts}\n".encode())
            self._process = subprocess.Popen(
                [COMMAND, "run", self.file, "--out", self.folder],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "HF_HUB_OFFLINE": "1", "TMPDIR": str(self.temporary)},
            )

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            self._start()
        assert self._process is not None
        return self._process

    def _check_end(self, code: int) -> None:
        """The command must end only when it may, and say how to go on."""
        if self._killed_now["supervisor"]:
            assert code == -signal.SIGKILL
            return
        assert code != 0, "all questions were answered before all kills were done"
        used_up = self._killed_now["server"] or max(self._killed_now.values(), default=0) > 1
        assert used_up, f"it ended with {code} though everything could be started again: {self._words()}"
        assert code == 1, f"it ended with {code}: {self._words()}"
        assert "to go on: joulebench run" in self._words()

    def _pids(self) -> dict[str, int]:
        """By name; empty as long as this start has not written them down."""
        try:
            found: dict[str, int] = json.loads((self.folder / "settings" / "processes.json").read_bytes())
        except FileNotFoundError:
            return {}
        return found if found.get("supervisor") == self._running().pid else {}

    def _pid(self, target: str) -> int | None:
        """Of a process that lives."""
        pid = self._pids().get(target)
        return pid if pid is not None and _process(pid) is not None else None

    def _in_flight(self) -> bool:
        """Whether the server of this start has requests, as itself says."""
        if not self._pids():
            return False
        settings = json.loads((self.folder / "settings" / "meter.json").read_bytes())
        url = settings["upstreams"][0]["base_urls"][0].removesuffix("/v1")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/metrics", timeout=5) as page:
            return any(float(number) for number in _IN_FLIGHT.findall(page.read().decode()))
        return False

    @property
    def _log(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.log")

    def _words(self) -> str:
        """What the command has said since it was last started."""
        return self._log.read_text().rpartition("--- start")[2] if self._log.exists() else ""


def _process(pid: int) -> psutil.Process | None:
    """A process that lives; one that is dead and not yet waited for does not."""
    try:
        found = psutil.Process(pid)
        return None if found.status() == psutil.STATUS_ZOMBIE else found
    except psutil.NoSuchProcess:
        return None
