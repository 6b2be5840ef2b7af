"""An API server that refuses everything that somebody asks for: 429 Too Many Requests, by its own means
(https://kubernetes.io/docs/concepts/cluster-administration/flow-control/).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.cluster.cluster import Cluster

_NAME: Final = "storm"
_API_VERSION: Final = "flowcontrol.apiserver.k8s.io/v1"
_REFUSED: Final = re.compile(
    rf'^apiserver_flowcontrol_rejected_requests_total{{flow_schema="{_NAME}".*}} (\S+)$', re.MULTILINE
)
_GROUPS: Final = ("", "apps", "batch", "policy", "events.k8s.io", "joulebench.dev")
"""All that the operator asks for but Leases: clusters that are busy keep room for elections."""


@contextmanager
def storm(cluster: Cluster, *, account: str, namespace: str) -> Iterator[None]:
    """Refuse what a ServiceAccount asks for. Watches that are open stay so."""
    no_room = {
        "nominalConcurrencyShares": 0,
        "lendablePercent": 0,
        "borrowingLimitPercent": 0,
        "limitResponse": {"type": "Reject"},
    }
    subject = {"kind": "ServiceAccount", "serviceAccount": {"name": account, "namespace": namespace}}
    everything = {
        "apiGroups": list(_GROUPS),
        "resources": ["*"],
        "verbs": ["*"],
        "namespaces": ["*"],
        "clusterScope": True,
    }
    level = {
        "apiVersion": _API_VERSION,
        "kind": "PriorityLevelConfiguration",
        "metadata": {"name": _NAME},
        "spec": {"type": "Limited", "limited": no_room},
    }
    schema = {
        "apiVersion": _API_VERSION,
        "kind": "FlowSchema",
        "metadata": {"name": _NAME},
        "spec": {
            "priorityLevelConfiguration": {"name": _NAME},
            "matchingPrecedence": 10,
            "rules": [{"subjects": [subject], "resourceRules": [everything]}],
        },
    }
    cluster.apply(level, schema)
    try:
        yield
    finally:
        cluster.kubectl("delete", f"flowschema/{_NAME}", f"prioritylevelconfiguration/{_NAME}")


def refusals(cluster: Cluster) -> int:
    """How many requests were refused since the API server started."""
    return sum(int(float(value)) for value in _REFUSED.findall(cluster.kubectl("get", "--raw", "/metrics")))
