"""An API server that refuses everything that somebody asks for: 429 Too Many Requests, by its own means
(https://kubernetes.io/docs/concepts/cluster-administration/flow-control/).
"""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from tests.cluster.api import Api
from tests.cluster.cluster import Cluster
from tests.cluster.waiting import until

_NAME: Final = "storm"
_API_VERSION: Final = "flowcontrol.apiserver.k8s.io/v1"
_REFUSED: Final = re.compile(
    rf'^apiserver_flowcontrol_rejected_requests_total{{flow_schema="{_NAME}".*}} (\S+)$', re.MULTILINE
)
_TOO_MANY: Final = 429
_PROBES: Final = 10
_GROUPS: Final = ("", "apps", "batch", "policy", "events.k8s.io", "joulebench.dev")
"""All that the operator asks for but Leases: clusters that are busy keep room for elections."""


@contextmanager
def storm(cluster: Cluster, *, account: str, namespace: str) -> Iterator[None]:
    """Refuse what a ServiceAccount, which may make ConfigMaps, asks for. Watches that are open stay so."""
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
        with _client(cluster, account, namespace) as busy, _client(cluster, account, namespace) as probe:
            until(lambda: _is_shut(busy, probe), what="a level without room", timeout_seconds=20)
            yield
            assert _refuses(probe), "the storm ended early"
    finally:
        cluster.kubectl("delete", f"flowschema/{_NAME}", f"prioritylevelconfiguration/{_NAME}")


def _client(cluster: Cluster, account: str, namespace: str) -> closing[Api]:
    return closing(cluster.api_of(account, namespace=namespace))


def _is_shut(busy: Api, probe: Api) -> bool:
    """A level without room takes one request at a time; `busy` makes one that does not end."""
    busy.begin("POST", "/api/v1/namespaces/default/configmaps")
    # Others may be in its place for a moment.
    return all(_refuses(probe) for _ in range(_PROBES))


def _refuses(probe: Api) -> bool:
    return probe.request("GET", "/api/v1/pods?limit=1").status == _TOO_MANY


def refusals(cluster: Cluster) -> int:
    """How many requests were refused since the API server started."""
    return sum(int(float(value)) for value in _REFUSED.findall(cluster.kubectl("get", "--raw", "/metrics")))
