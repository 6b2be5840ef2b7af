"""NetworkPolicy, tested by packets: what is not allowed does not arrive."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.cluster.cluster import Cluster
from tests.cluster.objects import network_policy, pod, service
from tests.cluster.session import Namespace

PORTS = {"ports": [{"name": "http", "containerPort": 8000}]}
EVERYBODY: dict[str, Any] = {"policyTypes": ["Ingress"]}


@pytest.fixture
def web(namespace: Namespace) -> Namespace:
    """A namespace with a server, a client that is a friend, and one that is a stranger."""
    namespace.apply(
        pod("web", "serve", "8000", container_more=PORTS),
        service("web"),
        pod("friend", "rest", labels={"role": "friend"}),
        pod("stranger", "rest", labels={"role": "stranger"}),
    )
    for name in ("web", "friend", "stranger"):
        namespace.ready(name)
    for client in ("friend", "stranger"):
        _until(namespace, client, reaches=True)
    return namespace


def _reaches(namespace: Namespace, client: str, url: str) -> bool:
    return namespace.in_pod(client, "fetch", url, "1")


def _until(namespace: Namespace, client: str, *, reaches: bool, url: str = "http://web") -> None:
    namespace.cluster.wait(
        lambda: _reaches(namespace, client, url) is reaches,
        what=f"{client} {'reaching' if reaches else 'not reaching'} {url}",
    )


def _address(namespace: Namespace, name: str) -> str:
    return str(namespace.get("pod", name)["status"]["podIP"])


def test_without_a_policy_everybody_may(web: Namespace) -> None:
    assert _reaches(web, "stranger", f"http://{_address(web, 'web')}:8000")


def test_a_policy_that_allows_nothing_stops_all(web: Namespace) -> None:
    web.apply(network_policy("none", EVERYBODY))

    _until(web, "friend", reaches=False)
    assert not _reaches(web, "friend", f"http://{_address(web, 'web')}:8000"), "nor past the Service"

    web.kubectl("delete", "networkpolicy", "none")
    _until(web, "friend", reaches=True)


@pytest.mark.parametrize(
    "ports", [[{"port": 8000}], [{"port": "http"}], [{"port": 7000, "endPort": 9000}]], ids=["number", "name", "range"]
)
def test_only_those_whom_a_policy_names_get_in(web: Namespace, ports: list[Mapping[str, Any]]) -> None:
    friends = {"podSelector": {"matchLabels": {"role": "friend"}}}
    spec = {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"from": [friends], "ports": ports}]}
    web.apply(network_policy("friends", spec))

    _until(web, "stranger", reaches=False)
    assert _reaches(web, "friend", "http://web")


def test_a_port_that_is_not_named_stays_shut(web: Namespace) -> None:
    web.apply(network_policy("other-port", {"ingress": [{"ports": [{"port": 9999}]}]}))

    _until(web, "friend", reaches=False)


def test_another_namespace_gets_in_by_its_labels(cluster: Cluster, web: Namespace) -> None:
    own = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}}}
    web.apply(network_policy("elsewhere", {"ingress": [{"from": [own]}]}))
    _until(web, "friend", reaches=False)
    cluster.kubectl("create", "namespace", "elsewhere")
    try:
        guest = Namespace(cluster, "elsewhere")
        cluster.kubectl("wait", "--for=create", "serviceaccount/default", "--namespace=elsewhere", "--timeout=20s")
        guest.apply(pod("guest", "rest"))
        guest.ready("guest")

        _until(guest, "guest", reaches=True, url=f"http://{_address(web, 'web')}:8000")
    finally:
        cluster.kubectl("delete", "namespace", "elsewhere", "--wait=false")


def test_egress_is_kept_to_what_is_named(web: Namespace) -> None:
    dns = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}
    to_web = {"to": [{"podSelector": {"matchLabels": {"app": "web"}}}]}
    friend = {"podSelector": {"matchLabels": {"role": "friend"}}, "policyTypes": ["Egress"]}
    server = "https://kubernetes.default"
    assert web.in_pod("friend", "connect", "kubernetes.default", "443"), f"{server} answers without a policy"

    web.apply(network_policy("only-web", {**friend, "egress": [dns, to_web]}))

    web.cluster.wait(
        lambda: not web.in_pod("friend", "connect", "kubernetes.default", "443"), what="no way to the API server"
    )
    assert _reaches(web, "friend", "http://web")
    assert web.in_pod("stranger", "connect", "kubernetes.default", "443")


def test_blocks_of_addresses_count_with_their_exceptions(web: Namespace) -> None:
    block = {"cidr": "10.244.0.0/16", "except": [f"{_address(web, 'stranger')}/32"]}
    web.apply(network_policy("block", {"ingress": [{"from": [{"ipBlock": block}]}]}))

    _until(web, "stranger", reaches=False)
    assert _reaches(web, "friend", "http://web")


def test_probes_of_the_kubelet_always_get_in(web: Namespace) -> None:
    web.apply(network_policy("none", EVERYBODY))
    _until(web, "friend", reaches=False)
    probe = {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1}

    web.apply(pod("probed", "serve", "8000", container_more={"readinessProbe": probe}))

    web.ready("probed")
