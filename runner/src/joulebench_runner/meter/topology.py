"""Follows `topology.json`, which the operator may write anew at any time."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from joulebench_api.contracts.topology import Topology
from joulebench_runner.journal.schema import Kind
from joulebench_runner.journal.writer import Journal

POLL_SECONDS: Final = 2.0


class TopologyWatch:
    """Reads the file whenever its content has changed. A ConfigMap's volume swaps a link, so no event tells of it."""

    def __init__(
        self,
        path: Path,
        *,
        journal: Journal,
        on_change: Callable[[Topology], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`on_change` is told each new topology; it is journalled already."""
        self.current: Topology | None = None
        self.problem: str | None = f"topology_file: {path} has not been read yet"
        self._path = path
        self._journal = journal
        self._on_change = on_change
        self._sleep = sleep
        self._content = b""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await self._sleep(POLL_SECONDS)

    def look(self) -> None:
        """Look once. A file that cannot be read changes nothing."""
        try:
            content = self._path.read_bytes()
            if content != self._content:
                self._content = content
                self._take(Topology.model_validate_json(content))
        except (OSError, ValidationError) as error:
            if isinstance(error, OSError):
                self._content = b""
            self._fail(f"topology_file: {self._path} cannot be read: {_in_words(error)}")

    def _take(self, topology: Topology) -> None:
        self.problem = None
        if self.current is not None and topology.generation < self.current.generation:
            return  # an older one, by a mount that lags
        self.current = topology
        self._journal.append(Kind.TOPOLOGY, json=topology.model_dump_json())
        self._on_change(topology)

    def _fail(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            self._journal.append(Kind.NOTE, topic="topology", subject=self._path.name, message=problem)


def _in_words(error: OSError | ValidationError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"{field or 'the file'}: {first['msg']}"
