"""More nodes: a second real one whose cable can be cut, and fake ones for scale."""

import json
import time
from collections.abc import Iterator
from functools import partial

import pytest
from tests import nvml_stub
from tests.cluster.cluster import Cluster
from tests.cluster.figures import FIGURES
from tests.cluster.kwok import ON_FAKE_NODES
from tests.cluster.objects import daemon_set, deployment, job, pod, pod_spec, service
from tests.cluster.session import Namespace

FAKE_NODES = 40
PODS = 1000


@pytest.fixture(scope="module")
def second(cluster: Cluster) -> Iterator[str]:
    """A second real node."""
    began = time.monotonic()
    name = cluster.add_node()
    FIGURES["second node to Ready, images loaded (s)"] = time.monotonic() - began
    yield name
    cluster.remove_node(name)


def _on(node: str) -> dict[str, str]:
    return {"kubernetes.io/hostname": node}


def _nodes_of_pods(namespace: Namespace, app: str) -> set[str]:
    # Pods that go away on a lost node stay listed until it is back.
    found = json.loads(namespace.kubectl("get", "pods", f"--selector=app={app}", "--output=json"))["items"]
    staying = [one for one in found if "deletionTimestamp" not in one["metadata"]]
    return {one["spec"]["nodeName"] for one in staying if one["status"]["phase"] == "Running"}


def test_pods_of_both_nodes_reach_each_other_and_services(namespace: Namespace, second: str) -> None:
    namespace.apply(pod("here", "serve", "8000", nodeSelector=_on("node0")), service("here"))
    namespace.apply(pod("there", "serve", "8000", nodeSelector=_on(second)), service("there"))
    namespace.ready("here")
    namespace.ready("there")
    there = namespace.get("pod", "there")["status"]["podIP"]

    # With the namespace: a pod's own short name is its own address, past the Service.
    for target in (f"http://{there}:8000", f"http://there.{namespace.name}", f"http://here.{namespace.name}"):
        for client in ("here", "there"):
            namespace.cluster.wait(
                partial(namespace.in_pod, client, "fetch", target), what=f"an answer of {target} to {client}"
            )
    assert "GET /" in namespace.kubectl("logs", "there")


def test_a_daemon_set_has_a_pod_on_each_node(namespace: Namespace, second: str) -> None:
    namespace.apply(daemon_set("agent", pod_spec("rest")))

    namespace.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")

    assert _nodes_of_pods(namespace, "agent") == {"node0", second}


def test_work_moves_away_from_a_lost_node_and_the_node_comes_back(
    cluster: Cluster, namespace: Namespace, second: str
) -> None:
    # Preferred, not required: it must be able to move.
    wish = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [second]}]}
    affinity = {
        "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": wish}]}
    }
    namespace.apply(deployment("web", spec=pod_spec("rest", affinity=affinity)))
    namespace.available("web")
    assert _nodes_of_pods(namespace, "web") == {second}

    began = time.monotonic()
    cluster.cut_node(second)
    try:
        cluster.wait(lambda: not cluster.node_ready(second), what="the loss of the node to be noticed")
        FIGURES["cut node to NotReady (s)"] = time.monotonic() - began
        cluster.wait(lambda: _nodes_of_pods(namespace, "web") == {"node0"}, what="the pod on the other node")
    finally:
        cluster.mend_node(second)

    cluster.wait(lambda: cluster.node_ready(second), what="the node to be back")
    assert namespace.said(pod("after", "say", "back", nodeSelector=_on(second))) == "back"


def test_a_killed_kubelet_of_the_second_node_comes_back(cluster: Cluster, namespace: Namespace, second: str) -> None:
    cluster.kill("kubelet", on=second)
    cluster.wait(lambda: not cluster.node_ready(second), what="the kubelet to be missed")

    cluster.restart("kubelet", on=second)

    cluster.wait(lambda: cluster.node_ready(second), what="the node to be back")


def test_a_pod_that_wants_a_gpu_goes_where_there_is_one(cluster: Cluster, namespace: Namespace, second: str) -> None:
    if reason := nvml_stub.why_not():
        pytest.skip(reason)
    gpus = cluster.add_gpus(node=second, count=2)
    try:
        limits = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
        command = {"command": ["printenv", "NVIDIA_VISIBLE_DEVICES"]}
        uuid = namespace.said(pod("one", container_more={**limits, **command}))
    finally:
        cluster.remove_gpus(second)

    assert uuid in {gpu.uuid for gpu in gpus}
    assert namespace.get("pod", "one")["spec"]["nodeName"] == second


def test_hundreds_of_fake_gpus_run_a_thousand_pods(cluster: Cluster, namespace: Namespace) -> None:
    nodes = cluster.add_fake_nodes(FAKE_NODES, gpus=8)
    began = time.monotonic()
    try:
        cluster.wait(lambda: all(map(cluster.node_ready, nodes)), what="fake nodes to be Ready")
        gpu = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
        namespace.apply(
            deployment("many", replicas=PODS, spec=pod_spec("rest", **ON_FAKE_NODES)),
            job("gpus", "rest", completions=320, parallelism=320, container_more=gpu, **ON_FAKE_NODES),
        )
        namespace.kubectl("wait", "--for=condition=Complete", "job/gpus", "--timeout=240s", timeout_seconds=250)
        namespace.kubectl("rollout", "status", "deployment/many", "--timeout=240s", timeout_seconds=250)
        FIGURES[f"{PODS} pods and a Job of 320 GPUs on {FAKE_NODES} fake nodes (s)"] = time.monotonic() - began
        assert cluster.node_ready("node0")
    finally:
        namespace.kubectl("delete", "deployment,job", "--all", "--timeout=120s", timeout_seconds=130)
        cluster.kubectl("delete", "nodes", "--selector=type=kwok", timeout_seconds=120)


def test_more_gpus_than_there_are_keep_a_pod_pending_with_the_reason(cluster: Cluster, namespace: Namespace) -> None:
    namespace.apply(pod("greedy", "rest", container_more={"resources": {"limits": {"nvidia.com/gpu": "1"}}}))

    reason = '--output=jsonpath={.status.conditions[?(@.type=="PodScheduled")].message}'
    words = cluster.wait(lambda: namespace.kubectl("get", "pod", "greedy", reason), what="the scheduler's words")

    assert "Insufficient nvidia.com/gpu" in words
