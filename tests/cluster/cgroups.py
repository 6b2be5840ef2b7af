"""Control groups as the record of what a cluster owns: all its processes, and no others, are in trees of its name.

Of cgroups(7), version 1 is needed. Whoever is in one of our trees was started by us or is in a container of ours.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.waiting import until

ROOT = Path("/sys/fs/cgroup")
OWNERS = ROOT / "systemd"
"""The named hierarchy without a controller, in which our own daemons are kept."""
NEEDED = ("cpu", "cpuacct", "cpuset", "devices", "memory", "pids", "systemd")


def hierarchies() -> list[Path]:
    """The mounted v1 hierarchies, and the v2 one beside them if it is there; none if v2 is all there is."""
    if not ROOT.is_dir() or (ROOT / "cgroup.controllers").exists():
        return []
    # Links such as `cpu -> cpu,cpuacct` are hierarchies that are counted already.
    found = [path for path in sorted(ROOT.iterdir()) if path.is_dir() and not path.is_symlink()]
    return [path for path in found if (path / "cgroup.procs").exists()]


def make(group: str) -> None:
    """Make the group in every hierarchy, all the way down."""
    for hierarchy in hierarchies():
        folder = hierarchy
        for part in Path(group).parts:
            folder = folder / part
            folder.mkdir(exist_ok=True)
            _inherit_cpus(folder)


def _inherit_cpus(folder: Path) -> None:
    # A new cpuset is empty, and an empty one takes no process.
    for name in ("cpuset.cpus", "cpuset.mems"):
        file = folder / name
        if file.exists() and not file.read_text().strip():
            file.write_text((folder.parent / name).read_text())


def pids(group: str) -> set[int]:
    """All processes in the group's trees, that still run."""
    return {pid for hierarchy in hierarchies() for pid in _pids_below(hierarchy / group)}


def pids_in(container: str, *, below: str) -> set[int]:
    """The processes of a container, by its id, among those of a group."""
    return {pid for pid in pids(below) if container in _groups_of(pid)}


def _groups_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        # It ended while we looked.
        return ""


def _pids_below(folder: Path) -> Iterator[int]:
    for file in sorted(folder.rglob("cgroup.procs")):
        try:
            yield from (int(word) for word in file.read_text().split())
        except OSError:
            # The group went away while we looked.
            continue


def remove(group: str, *, timeout_seconds: float) -> None:
    """Kill every process in the group's trees, and remove the trees."""
    until(lambda: not _killed(group), what=f"the end of all processes in {group}", timeout_seconds=timeout_seconds)
    until(lambda: not _left(group), what=f"the removal of the groups in {group}", timeout_seconds=timeout_seconds)


def _killed(group: str) -> set[int]:
    """Kill what is there; who it was."""
    found = pids(group)
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return found


def _left(group: str) -> bool:
    """Remove the trees; whether something is still there, as right after the last process died."""
    for hierarchy in hierarchies():
        for folder in sorted((hierarchy / group).rglob("*"), reverse=True):
            if folder.is_dir():
                _remove_folder(folder)
        _remove_folder(hierarchy / group)
    return any((hierarchy / group).exists() for hierarchy in hierarchies())


def _remove_folder(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        # Gone already, or still in use: `_left` looks again.
        return
