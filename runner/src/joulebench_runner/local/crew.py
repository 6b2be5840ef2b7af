"""The processes of a run: started, counted, written down where others find them, and ended together."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from joulebench_runner.errors import ExitCode, StoppedError
from joulebench_runner.local.child import Child
from joulebench_runner.local.folder import LOGS, PROCESSES_FILE, SETTINGS
from joulebench_runner.local.plan import Command

RESTARTED: Final = ("meter", "exporter", "driver")
"""Those that are started again once. A model server is not: its answers before and after could differ."""
_NAMES: Final = {"server": "the model server", "exporter": "the energy exporter"}


class Crew:
    """All children of one run, by name."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._children: dict[str, Child] = {}
        self._restarted: set[str] = set()
        self._killed = False

    def __getitem__(self, name: str) -> Child:
        return self._children[name]

    def __iter__(self) -> Iterator[Child]:
        return iter(self._children.values())

    def get(self, name: str) -> Child | None:
        """A child; None if there never was one of that name."""
        return self._children.get(name)

    async def start(self, command: Command) -> None:
        """Start a process, in the place of one of the same name that has ended. Raises StoppedError after `kill`."""
        if self._killed:
            raise StoppedError("stopped at once")
        log = self._run_dir / LOGS / f"{command.name}.log"
        self._children[command.name] = await Child.start(command.name, command.argv, log=log, env=command.env)
        self._write_down()

    def may_restart(self, child: Child) -> bool:
        """Whether a child that has ended is to be started again: once, and not if it ended by itself with a reason.

        The exporter has no part in the run's outcome, so only its refusal to start as told is a reason.
        """
        if child.name not in RESTARTED or child.name in self._restarted:
            return False
        return child.exit_code != ExitCode.BAD_INPUT if child.name == "exporter" else child.was_killed

    def count_restart(self, name: str) -> None:
        """The one restart of a process is used up."""
        self._restarted.add(name)

    async def stop(self, name: str) -> None:
        """End one process in order, if there is one."""
        if name in self._children:
            await self._children[name].stop()

    async def stop_all(self) -> None:
        """End all that are left, in order."""
        await asyncio.gather(*(child.stop() for child in self))

    def kill(self) -> None:
        """End all at once; nothing is started any more."""
        self._killed = True
        for child in self:
            child.signal(signal.SIGKILL)

    @property
    def was_killed(self) -> bool:
        """Whether `kill` was called."""
        return self._killed

    def died(self, child: Child) -> str:
        """How a child ended, with its last words."""
        again = " after it had been started again" if child.name in self._restarted else ""
        words = f"{called(child.name)} {child.ending()}{again}"
        tail = child.log_tail()
        return f"{words}; the last lines of {child.log}:\n{tail}" if tail else f"{words}, without a word in its log"

    def _write_down(self) -> None:
        path = self._run_dir / SETTINGS / PROCESSES_FILE
        known = {"supervisor": os.getpid(), **{child.name: child.pid for child in self}}
        draft = path.with_name(f".{path.name}.new")
        draft.write_text(json.dumps(known) + "\n")
        draft.replace(path)


def called(name: str) -> str:
    """A process's name in a sentence."""
    return _NAMES.get(name, f"the {name}")
