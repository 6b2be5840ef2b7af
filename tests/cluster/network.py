"""Network namespaces and links (ip-netns(8)); nothing of the cluster is in the machine's own namespace."""

import re
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.commands import run
from tests.cluster.settings import CONTROL_PLANE_ADDRESS, node_address, pod_range

NAMESPACES = Path("/run/netns")
_BRIDGE = "switch"
_SILENCE = "joulebench_silence"
_LISTENER = re.compile(r"^\S+\s+\S+\s+\S+\s+\S+:(\d+)\s.*\blastrcv:(\d+)", re.MULTILINE)
"""A line of ss: the caller's port, and the milliseconds since data came from it."""


def namespace_path(namespace: str) -> Path:
    """The file that stands for a namespace."""
    return NAMESPACES / namespace


def enter(namespace: str) -> list[str]:
    """The command prefix that runs a command in a namespace.

    Not `ip netns exec`: that mounts another /sys, in which there are no control groups.
    """
    return ["nsenter", f"--net={namespace_path(namespace)}", "--"]


def _ip(namespace: str, *words: str) -> None:
    run(["ip", "-n", namespace, *words])


def add_first(namespace: str) -> None:
    """The namespace of control plane and first node; a bridge is its interface, and the switch for other nodes."""
    _add(namespace)
    _ip(namespace, "link", "add", _BRIDGE, "type", "bridge")
    _ip(namespace, "addr", "add", f"{CONTROL_PLANE_ADDRESS}/24", "dev", _BRIDGE)
    _ip(namespace, "link", "set", _BRIDGE, "up")
    # Components want a default route; this one leads nowhere.
    _ip(namespace, "route", "add", "default", "dev", _BRIDGE)


def add_further(namespace: str, *, first: str, index: int) -> None:
    """The namespace of another node, with a cable to the switch, and routes to and from the pods of all others."""
    _add(namespace)
    _ip(first, "link", "add", _cable(index), "type", "veth", "peer", "name", "eth0", "netns", namespace)
    _ip(first, "link", "set", _cable(index), "master", _BRIDGE, "up")
    _ip(namespace, "addr", "add", f"{node_address(index)}/24", "dev", "eth0")
    _ip(namespace, "link", "set", "eth0", "up")
    # The first node is the router between all nodes' pods.
    _ip(namespace, "route", "add", "default", "via", CONTROL_PLANE_ADDRESS)
    _ip(first, "route", "replace", pod_range(index), "via", node_address(index))


def _add(namespace: str) -> None:
    run(["ip", "netns", "add", namespace])
    _ip(namespace, "link", "set", "lo", "up")
    run([*enter(namespace), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])


def _cable(index: int) -> str:
    return f"to-node{index}"


def set_cable(*, first: str, index: int, plugged: bool) -> None:
    """Cut a node's cable, or mend it."""
    _ip(first, "link", "set", _cable(index), "up" if plugged else "down")
    if plugged:
        # Routes went down with the link.
        _ip(first, "route", "replace", pod_range(index), "via", node_address(index))


def listeners(namespace: str, *, port: int, address: str, since_seconds: float) -> list[int]:
    """The ports of those TCP connections from an address to a port of this namespace on which the caller has sent
    nothing for so long (ss(8))."""
    command = ["ss", "-HtniO", "state", "established", "sport", "=", f":{port}", "and", "dst", address]
    found = _LISTENER.findall(run([*enter(namespace), *command]))
    return sorted(int(caller) for caller, silent_ms in found if int(silent_ms) >= since_seconds * 1000)


def silence(namespace: str, *, address: str, ports: Sequence[int]) -> None:
    """Drop what comes from these ports of an address, and what goes there."""
    listed = ", ".join(map(str, ports))
    script = f"""
    table ip {_SILENCE} {{
        chain in {{ type filter hook input priority -200; ip saddr {address} tcp sport {{ {listed} }} drop; }}
        chain out {{ type filter hook output priority -200; ip daddr {address} tcp dport {{ {listed} }} drop; }}
    }}"""
    run([*enter(namespace), "nft", "-f", "-"], text=script)


def end_silence(namespace: str) -> None:
    """All packets arrive again."""
    run([*enter(namespace), "nft", "delete", "table", "ip", _SILENCE])


def exists(namespace: str) -> bool:
    """Whether there is a namespace of this name."""
    return namespace_path(namespace).exists()


def remove(namespace: str) -> None:
    """Remove the namespace, with all links in it, if it is there."""
    if exists(namespace):
        run(["ip", "netns", "delete", namespace])
