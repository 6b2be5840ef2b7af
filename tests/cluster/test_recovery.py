"""kill -9 of each component: what runs goes on, and after a restart new work is done."""

import pytest
from tests.cluster.cluster import Cluster
from tests.cluster.objects import deployment, pod, service
from tests.cluster.session import Namespace

NEW_POD_SECONDS = 90

PARTS = [
    *("kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler"),
    *("kubelet", "containerd", "kube-proxy"),
]


def _container_id(namespace: Namespace) -> str:
    return namespace.kubectl(
        "get", "pods", "--selector=app=web", "--output=jsonpath={.items[*].status.containerStatuses[*].containerID}"
    )


@pytest.mark.parametrize("component", PARTS)
def test_the_cluster_survives_the_death_of(cluster: Cluster, namespace: Namespace, component: str) -> None:
    namespace.apply(deployment("web"), service("web"))
    namespace.available("web")
    address = f"http://{namespace.get('service', 'web')['spec']['clusterIP']}/"
    cluster.wait(lambda: namespace.fetched(address), what="an answer before the death")
    before = _container_id(namespace)

    cluster.kill(component)
    try:
        assert namespace.fetched(address) is not None, "running pods serve on"
    finally:
        cluster.restart(component)

    cluster.wait_ready()
    cluster.wait(lambda: cluster.node_ready("node0"), what="node0 to be Ready")
    cluster.wait(lambda: cluster.kubectl("version"), what="an answer to kubectl")
    assert namespace.said(pod("after", "say", "alive"), timeout_seconds=NEW_POD_SECONDS) == "alive"
    assert _container_id(namespace) == before
    assert namespace.fetched(address) is not None


def test_what_was_stored_is_there_after_etcd_and_api_server_died_together(
    cluster: Cluster, namespace: Namespace
) -> None:
    namespace.kubectl("create", "configmap", "kept", "--from-literal=key=value")

    cluster.kill("kube-apiserver")
    cluster.kill("etcd")
    cluster.restart("etcd")
    cluster.restart("kube-apiserver")

    cluster.wait_ready()
    assert namespace.get("configmap", "kept")["data"] == {"key": "value"}


def test_a_deployment_made_while_the_controllers_are_dead_is_carried_out_later(
    cluster: Cluster, namespace: Namespace
) -> None:
    cluster.kill("kube-controller-manager")
    try:
        namespace.apply(deployment("late"))
    finally:
        cluster.restart("kube-controller-manager")

    namespace.available("late")
