"""Whether this machine can run the cluster, and what it lacks."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import binaries, cgroups
from tests.cluster.commands import attempt, last_lines
from tests.cluster.errors import NotPossibleHereError
from tests.cluster.settings import NEEDED_DISK_MIB, NEEDED_DISK_MIB_TO_BUILD, NEEDED_MEMORY_MIB, cache_folder

PACKAGES = {
    "runc": "/usr/sbin/runc",
    "containernetworking-plugins": "/usr/lib/cni/ptp",
    "nftables": "/usr/sbin/nft",
    "conntrack": "/usr/sbin/conntrack",
    "iproute2": "/usr/sbin/ip",
    "openssl": "/usr/bin/openssl",
    "buildah": "/usr/bin/buildah",
    "mmdebstrap": "/usr/bin/mmdebstrap",
    "util-linux": "/usr/bin/nsenter",
}
"""The Debian packages that are needed, and a file of each by which it is known to be there."""

_INSTALL_SECONDS = 900
_SERVICE_POLICY = Path("/usr/sbin/policy-rc.d")
_HIDDEN = ("/run", "/var/lib", "/var/log")
"""What a node's processes see another folder at: nothing of ours can be below."""

_KERNEL_PROBES = {
    "network namespaces (CONFIG_NET_NS)": "true",
    "bridge devices (CONFIG_BRIDGE)": "ip link add probe0 type bridge",
    "veth devices (CONFIG_VETH)": "ip link add probe0 type veth peer name probe1",
    "nftables in the inet family (CONFIG_NF_TABLES_INET)": "nft add table inet probe",
    "address translation by nftables (CONFIG_NFT_NAT, CONFIG_NFT_MASQ)": (
        "nft 'add table ip p; add chain ip p c { type nat hook postrouting priority 100; }; add rule ip p c masquerade'"
    ),
    "connection tracking in nftables (CONFIG_NFT_CT)": (
        "nft 'add table inet p; add chain inet p c; add rule inet p c ct state new accept'"
    ),
}


def shortcomings() -> list[str]:
    """Everything that keeps the cluster from running here; empty if it can."""
    if sys.platform != "linux":
        return [f"needs Linux, and this is {sys.platform}"]
    if os.geteuid() != 0:
        return [f"needs root (namespaces, mounts, control groups), and this is user {os.geteuid()}"]
    return [*_commands(), *_compiler(), *_groups(), *_space(), *_memory(), *_folders()] or list(_kernel())


def require() -> None:
    """Raise unless the cluster can run here.

    Raises:
        NotPossibleHereError: it cannot; names everything that is missing.
    """
    if found := shortcomings():
        raise NotPossibleHereError(
            "the test cluster cannot run here: it " + "; it ".join(found), remedy="see `make cluster`"
        )


def missing_packages() -> list[str]:
    """The Debian packages that are needed and not there."""
    return [package for package, file in PACKAGES.items() if not Path(file).exists()]


def _commands() -> Iterator[str]:
    if missing := missing_packages():
        yield f"needs the Debian packages {', '.join(missing)} (`python -m tests.cluster prepare` installs them)"


def _compiler() -> Iterator[str]:
    if shutil.which("go") is None:
        yield "needs Go 1.26 or newer (no `go` in PATH)"


def _groups() -> Iterator[str]:
    present = {name for path in cgroups.hierarchies() for name in path.name.split(",")}
    if missing := [name for name in cgroups.NEEDED if name not in present]:
        yield f"needs cgroup v1 hierarchies in {cgroups.ROOT} (missing: {', '.join(missing)})"


def _space() -> Iterator[str]:
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    needed = NEEDED_DISK_MIB_TO_BUILD if binaries.missing() else NEEDED_DISK_MIB
    free = shutil.disk_usage(folder).free // 2**20
    if free < needed:
        yield f"needs {needed} MiB of disk in {folder} ({free} MiB are free; JOULEBENCH_CACHE moves it)"


def _memory() -> Iterator[str]:
    available = _available_mib(Path("/proc/meminfo").read_text())
    if available < NEEDED_MEMORY_MIB:
        yield f"needs {NEEDED_MEMORY_MIB} MiB of memory ({available} MiB are available)"


def _available_mib(meminfo: str) -> int:
    return next(int(line.split()[1]) // 1024 for line in meminfo.splitlines() if line.startswith("MemAvailable:"))


def _folders() -> Iterator[str]:
    folder = cache_folder().resolve()
    if any(folder.is_relative_to(hidden) for hidden in _HIDDEN):
        yield f"keeps its files in {folder}, which its nodes hide from themselves (set JOULEBENCH_CACHE elsewhere)"


def _kernel() -> Iterator[str]:
    for feature, probe in _KERNEL_PROBES.items():
        finished = attempt(["unshare", "--net", "sh", "-c", probe])
        if finished.returncode != 0:
            yield f"needs a kernel with {feature}: {last_lines(finished.stderr, 2)}"
    if "\toverlay" not in Path("/proc/filesystems").read_text():
        yield "needs a kernel with the overlay file system (CONFIG_OVERLAY_FS)"


def install_packages() -> list[str]:
    """Install the Debian packages that are missing, without starting a service; what was installed.

    Raises:
        NotPossibleHereError: no root, no apt-get, or the packages cannot be had.
    """
    missing = missing_packages()
    if not missing:
        return []
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NotPossibleHereError(
            f"the Debian packages {', '.join(missing)} are missing", remedy="install them, as root on Debian or Ubuntu"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _no_service_starts():
        for words in (["update"], ["install", "--yes", "--no-install-recommends", *missing]):
            finished = attempt(["apt-get", "-qq", *words], environment=environment, timeout_seconds=_INSTALL_SECONDS)
            if finished.returncode != 0:
                raise NotPossibleHereError(
                    f"apt-get {words[0]} failed: {last_lines(finished.stderr, 3)}", remedy="check the network"
                )
    return missing


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Debian's own way to keep packages from starting services; an administrator's own policy stays as it is."""
    if _SERVICE_POLICY.exists():
        yield
        return
    _SERVICE_POLICY.write_text("#!/bin/sh\nexit 101\n")
    _SERVICE_POLICY.chmod(0o755)
    try:
        yield
    finally:
        _SERVICE_POLICY.unlink()
