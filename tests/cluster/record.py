"""What a cluster owns on this machine, on disk before it is made, so that any later process can take it down."""

import json
import os
import shutil
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster import cgroups, network
from tests.cluster.locks import locked
from tests.cluster.settings import STOP_SECONDS, cache_folder

_FILE = "record.json"


@dataclass
class Daemon:
    """A process that the cluster started."""

    name: str
    pid: int
    start_ticks: int
    """When the kernel started it (proc(5), field 22): with the pid it names one process for good."""
    argv: list[str]

    @property
    def runs(self) -> bool:
        """Whether it still runs; one that ended and was not reaped yet does not."""
        return _start_ticks(self.pid) == self.start_ticks


@dataclass
class Record:
    """One cluster's belongings."""

    name: str
    owner_pid: int
    """The process whose death makes the cluster a leftover; 0: it was started to stay."""
    owner_start_ticks: int
    namespaces: list[str] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    daemons: dict[str, Daemon] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Everything of the cluster that is on disk."""
        return clusters_folder() / self.name

    @property
    def group(self) -> str:
        """The control group of all its processes."""
        return f"joulebench-{self.name}"

    @property
    def is_leftover(self) -> bool:
        """Whether the process that started it is gone."""
        return self.owner_pid != 0 and _start_ticks(self.owner_pid) != self.owner_start_ticks

    def save(self) -> None:
        """Write it, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        scratch = self.folder / f"{_FILE}.new"
        scratch.write_text(json.dumps(asdict(self), indent=1))
        scratch.rename(self.folder / _FILE)

    def take_down(self) -> None:
        """End every process of the cluster and remove every trace of it; nothing else is touched."""
        cgroups.remove(self.group, timeout_seconds=STOP_SECONDS)
        for namespace in self.namespaces:
            network.remove(namespace)
        shutil.rmtree(self.folder)


def clusters_folder() -> Path:
    """Where all clusters of this user are."""
    return cache_folder() / "clusters"


def new_record(name: str, *, stays: bool) -> Record:
    """A record for a cluster that is about to start; not saved yet."""
    pid = 0 if stays else os.getpid()
    return Record(name=name, owner_pid=pid, owner_start_ticks=_start_ticks(pid) or 0)


def daemon(name: str, pid: int, argv: list[str]) -> Daemon:
    """The running process as it is written into the record."""
    return Daemon(name=name, pid=pid, start_ticks=_start_ticks(pid) or 0, argv=argv)


def read(name: str) -> Record | None:
    """The record of a cluster, if there is one."""
    return read_folder(clusters_folder() / name)


def read_folder(folder: Path) -> Record | None:
    """The record in a cluster's folder, if there is one."""
    file = folder / _FILE
    if not file.exists():
        return None
    data: dict[str, Any] = json.loads(file.read_text())
    daemons = {key: Daemon(**value) for key, value in data.pop("daemons").items()}
    return Record(**data, daemons=daemons)


def all_records() -> list[Record]:
    """Every cluster of this user, running or left over."""
    folder = clusters_folder()
    names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    return [record for record in map(read, names) if record is not None]


def claim_lock() -> AbstractContextManager[None]:
    """Hold this while clusters of this user are claimed or swept."""
    return locked(clusters_folder().parent / "clusters.lock")


def take_down_leftovers() -> list[str]:
    """Take down the clusters of dead processes, while holding the claim lock; their names."""
    leftovers = [found for found in all_records() if found.is_leftover]
    for leftover in leftovers:
        leftover.take_down()
    return [leftover.name for leftover in leftovers]


def _start_ticks(pid: int) -> int | None:
    """When the process started; None if it is gone or only waits to be reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in brackets, and may itself hold spaces and brackets.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])
