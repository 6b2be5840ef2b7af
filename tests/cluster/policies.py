"""An enforcer of NetworkPolicy: all policies become one nftables table in the network of every node.

Every packet between pods is routed through its nodes (see `node`), after Services' addresses were replaced by pods'; so
one table that drops what no policy allows is enough. What is allowed:
https://kubernetes.io/docs/concepts/services-networking/network-policies/. Packets of open connections always pass.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster import record
from tests.cluster.api import Api
from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.layout import Layout
from tests.cluster.network import enter
from tests.cluster.selectors import matches

Object = Mapping[str, Any]
TABLE = "joulebench_policies"
_LOOK_SECONDS = 0.3


@dataclass(frozen=True)
class Pod:
    """What matters of a pod."""

    namespace: str
    address: str
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Named ports: (name, protocol) to number."""


@dataclass(frozen=True)
class _Direction:
    """Ingress or egress: where its rules are in a policy, and how nftables calls the two ends."""

    type: str
    rules: str
    peers: str
    own: str
    other: str


_DIRECTIONS = (
    _Direction("Egress", "egress", "to", own="saddr", other="daddr"),
    _Direction("Ingress", "ingress", "from", own="daddr", other="saddr"),
)


def pods_of(objects: Iterable[Object]) -> list[Pod]:
    """The pods that policies are about: with an address of their own, and not ended."""
    return [
        _pod(one)
        for one in objects
        if one["status"].get("podIP")
        and not one["spec"].get("hostNetwork")
        and one["status"].get("phase") not in {"Succeeded", "Failed"}
    ]


def _pod(one: Object) -> Pod:
    ports = {
        (port["name"], port.get("protocol", "TCP")): port["containerPort"]
        for container in one["spec"]["containers"]
        for port in container.get("ports", ())
        if "name" in port
    }
    metadata = one["metadata"]
    return Pod(metadata["namespace"], one["status"]["podIP"], metadata.get("labels") or {}, ports)


def ruleset(policies: Sequence[Object], pods: Sequence[Pod], namespaces: Mapping[str, Mapping[str, str]]) -> str:
    """The nftables script that enforces the policies; `namespaces` are names with their labels."""
    chains: list[str] = []
    jumps: list[str] = []
    for pod in pods:
        for direction in _DIRECTIONS:
            selected = [policy for policy in policies if _isolates(policy, pod, direction)]
            if selected:
                name = f"{direction.rules}_{pod.address.replace('.', '_')}"
                allowed = [rule for policy in selected for rule in _allowed(policy, pod, direction, pods, namespaces)]
                chains.append(_chain(name, [*dict.fromkeys(allowed), "counter drop"]))
                jumps.append(f"ip {direction.own} {pod.address} jump {name}")
    hooks = [_chain(hook, [f"type filter hook {hook} priority 0; policy accept;", "jump pods"]) for hook in _HOOKS]
    body = "".join([*chains, _chain("pods", ["ct state established,related return", *jumps]), *hooks])
    # Naming the table first makes deleting it possible even if it is not there; all of it happens at once.
    return f"table inet {TABLE}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n{body}}}\n"


# Forward: between pods. Input: from a pod to its own node, such as to the API server.
_HOOKS = ("forward", "input")


def _chain(name: str, lines: Iterable[str]) -> str:
    return f"  chain {name} {{\n" + "".join(f"    {line}\n" for line in lines) + "  }\n"


def _isolates(policy: Object, pod: Pod, direction: _Direction) -> bool:
    spec = policy["spec"]
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    return (
        direction.type in types
        and policy["metadata"]["namespace"] == pod.namespace
        and matches(spec.get("podSelector") or {}, pod.labels)
    )


def _allowed(
    policy: Object,
    pod: Pod,
    direction: _Direction,
    pods: Sequence[Pod],
    namespaces: Mapping[str, Mapping[str, str]],
) -> Iterator[str]:
    """The nftables rules for what a policy lets one of its pods do."""
    for rule in policy["spec"].get(direction.rules) or ():
        peers = rule.get(direction.peers)
        if not peers:
            yield from _to_ports("", rule, [pod] if direction.type == "Ingress" else pods)
        for peer in peers or ():
            if "ipBlock" in peer:
                yield from _to_ports(_block(peer["ipBlock"], direction), rule, [pod])
                continue
            for other in pods:
                if _is_peer(peer, other, policy["metadata"]["namespace"], namespaces):
                    target = pod if direction.type == "Ingress" else other
                    yield from _to_ports(f"ip {direction.other} {other.address} ", rule, [target])


def _block(block: Object, direction: _Direction) -> str:
    without = "".join(f"ip {direction.other} != {inner} " for inner in block.get("except") or ())
    return f"ip {direction.other} {block['cidr']} {without}"


def _is_peer(peer: Object, other: Pod, own_namespace: str, namespaces: Mapping[str, Mapping[str, str]]) -> bool:
    if "namespaceSelector" in peer:
        right_namespace = matches(peer["namespaceSelector"], namespaces.get(other.namespace, {}))
    else:
        right_namespace = other.namespace == own_namespace
    return right_namespace and matches(peer.get("podSelector") or {}, other.labels)


def _to_ports(match: str, rule: Object, targets: Iterable[Pod]) -> Iterator[str]:
    """The rules for the ports of a rule; a port's name means what the target pods call so."""
    if not rule.get("ports"):
        yield f"{match}return"
    for entry in rule.get("ports") or ():
        protocol = entry.get("protocol", "TCP")
        for number in _numbers(entry, protocol, targets):
            yield f"{match}{protocol.lower()} dport {number} return"


def _numbers(entry: Object, protocol: str, targets: Iterable[Pod]) -> list[str]:
    port = entry.get("port")
    if port is None:
        return ["0-65535"]
    if isinstance(port, int):
        return [f"{port}-{entry['endPort']}" if "endPort" in entry else str(port)]
    numbers = {target.ports[port, protocol] for target in targets if (port, protocol) in target.ports}
    return [str(number) for number in sorted(numbers)]


def _wanted(api: Api) -> str:
    policies = api.items("/apis/networking.k8s.io/v1/networkpolicies")
    if not policies:
        # Without policies nobody needs to look at thousands of pods.
        return ruleset((), (), {})
    namespaces = {
        one["metadata"]["name"]: one["metadata"].get("labels") or {} for one in api.items("/api/v1/namespaces")
    }
    return ruleset(policies, pods_of(api.items("/api/v1/pods")), namespaces)


def main(arguments: Sequence[str]) -> None:
    """Enforce the policies of the cluster in this folder on all its real nodes, for ever."""
    layout = Layout(Path(arguments[0]), Path(arguments[0]).name)
    api = Api(layout.kubeconfig("admin"))
    enforced: dict[str, str] = {}
    while True:
        try:
            wanted = _wanted(api)
            for network in _networks(layout):
                if enforced.get(network) != wanted:
                    run([*enter(network), "nft", "-f", "-"], text=wanted)
                    enforced[network] = wanted
        except (ClusterError, OSError) as error:
            # The API server comes and goes in the tests.
            print(error, file=sys.stderr)
        time.sleep(_LOOK_SECONDS)


def _networks(layout: Layout) -> list[str]:
    belongings = record.read_folder(layout.folder)
    return [] if belongings is None else list(belongings.namespaces)


if __name__ == "__main__":
    main(sys.argv[1:])
