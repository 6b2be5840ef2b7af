"""Containers of pods as processes of this machine: to kill them, and to see what they cost."""

import os
import signal
from pathlib import Path
from typing import Final

from tests.cluster import cgroups
from tests.cluster.session import Namespace

_ACCOUNTS: Final = "cpuacct"


def main_pid(namespace: Namespace, pod: str, container: str) -> int:
    """The first process of a running container."""
    statuses = namespace.get("pod", pod)["status"]["containerStatuses"]
    (identity,) = (one["containerID"].partition("://")[2] for one in statuses if one["name"] == container)
    return min(cgroups.pids_in(identity, below=namespace.cluster.layout.group))


def kill(namespace: Namespace, pod: str, container: str) -> None:
    """SIGKILL the first process of a container."""
    os.kill(main_pid(namespace, pod, container), signal.SIGKILL)


def environment(namespace: Namespace, pod: str, container: str) -> str:
    """What its first process has for an environment."""
    return Path(f"/proc/{main_pid(namespace, pod, container)}/environ").read_text()


def cpu_seconds(pid: int) -> float:
    """What the control group of a process has used of processors so far."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    controllers, path = next((names, path) for _, names, path in (line.split(":", 2) for line in lines) if _has(names))
    return int((cgroups.ROOT / controllers / path.lstrip("/") / "cpuacct.usage").read_text()) / 1e9


def resident_mib(pid: int) -> float:
    """What a process holds in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def _has(controllers: str) -> bool:
    return _ACCOUNTS in controllers.split(",")
