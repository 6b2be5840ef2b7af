"""The cluster itself: what it costs, and that it is a whole one."""

import pytest
from tests.cluster.api import Api
from tests.cluster.cluster import Cluster
from tests.cluster.figures import FIGURES
from tests.cluster.objects import pod
from tests.cluster.session import Namespace
from tests.cluster.settings import KUBERNETES_VERSION


def test_the_node_is_ready_and_says_its_version(api: Api) -> None:
    (node,) = api.items("/api/v1/nodes?labelSelector=type!=kwok")

    assert node["metadata"]["name"] == "node0"
    assert node["status"]["nodeInfo"]["kubeletVersion"] == f"v{KUBERNETES_VERSION}"


def test_the_idle_cluster_takes_little_memory(cluster: Cluster) -> None:
    FIGURES["memory of everything, idle (MiB)"] = cluster.memory_mib()

    assert FIGURES["memory of everything, idle (MiB)"] <= 1536


def test_it_started_within_its_bar(cluster: Cluster) -> None:
    assert cluster.figures["start to node Ready (s)"] <= 10


def test_a_pod_runs_to_its_end(namespace: Namespace) -> None:
    import time

    began = time.monotonic()

    assert namespace.said(pod("first", "say", "hello")) == "hello"

    FIGURES["first pod, created to read log (s)"] = time.monotonic() - began
