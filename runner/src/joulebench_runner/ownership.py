"""Which pods are a run's own servers, by name alone: exporters tell owners of devices by namespace and pod. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from joulebench_api.contracts.energy import Domain
from joulebench_api.contracts.topology import Server, Topology

OWNED: Final = frozenset({Domain.GPU})
"""Domains whose devices are given to pods. A processor's counter is everybody's on its machine."""

Pod = tuple[str, str]
"""Namespace and name."""

_SUFFIX: Final = "[bcdfghjklmnpqrstvwxz2456789]"  # SafeEncodeString of k8s.io/apimachinery/pkg/util/rand
_DEPLOYED: Final = rf"-{_SUFFIX}{{1,10}}-{_SUFFIX}{{5}}"
"""What a Deployment adds to its name: its ReplicaSet's hash, and five characters a pod."""


@dataclass(frozen=True)
class OwnPods:
    """The pods of all servers that were named, by alias. One that was listed stays a server's for the whole run."""

    listed: Mapping[str, frozenset[Pod]] = field(default_factory=dict)
    deployments: Mapping[str, frozenset[Pod]] = field(default_factory=dict)
    """Namespaces and names of Deployments."""
    by_address: Mapping[str, Pod] = field(default_factory=dict)

    def seen(self, topology: Topology) -> "OwnPods":
        """With what another topology says."""
        listed, deployments, by_address = dict(self.listed), dict(self.deployments), dict(self.by_address)
        for server in topology.servers:
            listed[server.alias] = listed.get(server.alias, frozenset()) | set(_listed(server))
            deployments[server.alias] = deployments.get(server.alias, frozenset()) | set(_deployments(server))
            by_address |= {one.ip: (server.namespace or "", one.name) for one in server.pods if one.ip is not None}
        return OwnPods(listed, deployments, by_address)

    def aliases_of(self, pod: Pod) -> frozenset[str]:
        """The aliases that a pod serves; none for pods of others."""
        by_list = {alias for alias, pods in self.listed.items() if pod in pods}
        by_name = {
            alias
            for alias, found in self.deployments.items()
            if any(namespace == pod[0] and is_pod_of(name, pod[1]) for namespace, name in found)
        }
        return frozenset(by_list | by_name)

    def are_one_server(self, one: str, other: str) -> bool:
        """Whether two aliases name the same Deployment."""
        return bool(self.deployments.get(one)) and self.deployments[one] == self.deployments.get(other)

    def pod_at(self, url: str) -> Pod | None:
        """The pod behind the address of a replica, if it was listed with that address."""
        return self.by_address.get(urlsplit(url).hostname or "")

    def own(self, pods: Iterable[Pod]) -> frozenset[Pod]:
        """Those that are ours."""
        return frozenset(pod for pod in pods if self.aliases_of(pod))


@lru_cache(maxsize=4096)
def is_pod_of(deployment: str, pod: str) -> bool:
    """Whether a name is one that a Deployment gives its pods (of names that are not cut for their length)."""
    return re.fullmatch(re.escape(deployment) + _DEPLOYED, pod) is not None


def _listed(server: Server) -> Iterable[Pod]:
    return ((server.namespace or "", one.name) for one in server.pods)


def _deployments(server: Server) -> Iterable[Pod]:
    return [] if server.deployment is None else [(server.namespace or "", server.deployment)]
