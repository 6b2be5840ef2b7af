"""The cluster itself: what it costs, and that it is a whole one."""

import json
import time

import pytest
from tests.cluster.api import Api
from tests.cluster.cluster import Cluster
from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.figures import BARS, FIGURES, IDLE_MEMORY
from tests.cluster.objects import pod
from tests.cluster.session import Namespace
from tests.cluster.settings import KUBERNETES_VERSION


def test_the_node_is_ready_and_says_its_version(api: Api) -> None:
    (node,) = api.items("/api/v1/nodes?labelSelector=type!=kwok")

    assert node["metadata"]["name"] == "node0"
    assert node["status"]["nodeInfo"]["kubeletVersion"] == f"v{KUBERNETES_VERSION}"


def test_the_idle_cluster_takes_little_memory(cluster: Cluster) -> None:
    assert FIGURES[IDLE_MEMORY] <= BARS[IDLE_MEMORY]


def test_a_pod_runs_to_its_end(namespace: Namespace) -> None:
    began = time.monotonic()

    assert namespace.said(pod("first", "say", "hello")) == "hello"

    FIGURES["first pod, created to read log (s)"] = time.monotonic() - began


def test_nothing_listens_in_the_machine_s_own_network(cluster: Cluster) -> None:
    inside = cluster.run(["ss", "--listening", "--tcp", "--numeric", "--no-header"])
    outside = run(["ss", "--listening", "--tcp", "--numeric", "--no-header"])

    for port in (2379, 6443, 10250, 10257, 10259):
        assert f":{port} " in inside
        assert f":{port} " not in outside


def test_no_packet_leaves_the_cluster_s_network(cluster: Cluster) -> None:
    links = json.loads(cluster.run(["ip", "-json", "link"]))
    (switch,) = [link for link in links if link["ifname"] == "switch"]

    # 192.0.2.0/24 is for documentation (RFC 5737): the default route ends at a switch without a cable to outside.
    assert "switch" in cluster.run(["ip", "route", "get", "192.0.2.1"])
    assert all(link.get("master") != "switch" for link in links)
    assert switch.get("link_netnsid") is None


def test_a_name_in_use_is_told(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match=r"there is a cluster 'test-.*' already"):
        Cluster(cluster.layout.name).start()


def test_an_unknown_component_is_told_with_those_there_are(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match=r"no component 'node0/kubelett'; it has: etcd, kube-apiserver"):
        cluster.kill("kubelett")
