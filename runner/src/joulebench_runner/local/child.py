"""A child process that never outlives its parent and leaves a log."""

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from pathlib import Path

from joulebench_runner.errors import ExitCode

LOG_TAIL_LINES = 12
STOP_SECONDS = 10.0


class Child:
    """One started process.

    Its standard input is a pipe that we hold and never write to: it reaches end-of-file when we are gone, however we
    went, and the child takes that as its end (see `joulebench_runner.processes`).
    """

    def __init__(self, name: str, process: Process, log: Path, *, log_start: int = 0) -> None:
        """`log_start`: where in the log, in bytes, this process's own words begin."""
        self.name = name
        self.log = log
        self._log_start = log_start
        self._process = process
        self._exit: asyncio.Task[int] = asyncio.create_task(process.wait(), name=f"wait for {name}")

    @classmethod
    async def start(cls, name: str, argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> "Child":
        """Start a process in a session of its own, so that Ctrl-C reaches the parent alone."""
        with log.open("ab") as stream:
            log_start = stream.tell()
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=PIPE,
                stdout=stream if log else DEVNULL,
                stderr=stream,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        return cls(name, process, log, log_start=log_start)

    @property
    def exit_code(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        return self._process.returncode

    @property
    def was_killed(self) -> bool:
        """Whether a signal ended it, or it lost what it depends on; it had no say in its end."""
        code = self.exit_code
        return code is not None and (code < 0 or code == ExitCode.INFRASTRUCTURE)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait for the end; cancelling the wait leaves the process alone."""
        return await asyncio.shield(self._exit)

    async def stop(self, *, seconds: float = STOP_SECONDS) -> int:
        """SIGTERM, and SIGKILL to those that do not listen. Fine to call on a process that has ended."""
        self.signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.wait(), seconds)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            return await self.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process; nothing happens if it has ended."""
        if self.exit_code is None:
            self._process.send_signal(number)

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """The last lines of its log, for messages."""
        return tail(self.log, lines, start=self._log_start)

    def ending(self) -> str:
        """How it ended, in words."""
        code = self.exit_code
        if code is None:
            return "is still running"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"


def tail(path: Path, lines: int, *, start: int = 0) -> str:
    """The last lines of a text file, of what follows the first `start` bytes; empty if there is none."""
    if not path.exists():
        return ""
    return "\n".join(path.read_bytes()[start:].decode(errors="replace").splitlines()[-lines:])
