"""GPUs that are not there, on the way that real ones go: device plugin, kubelet, scheduler, container."""

import time

from tests.cluster.api import Api
from tests.cluster.cluster import Cluster
from tests.cluster.fakegpu.gpus import FakeGpu
from tests.cluster.figures import FIGURES
from tests.cluster.objects import Object, pod
from tests.cluster.session import Namespace

_TELL = "import os, glob; print(*sorted(os.path.basename(p) for p in glob.glob('/run/fake-gpus/*'))); "
_TELL += (
    "print(os.environ.get('NVIDIA_VISIBLE_DEVICES', '')); print(os.environ.get('JOULEBENCH_SIMULATOR_DEVICES', ''))"
)


def with_gpus(name: str, count: int, *command: str) -> Object:
    """A pod with GPUs; without a command it rests."""
    limits: Object = {"resources": {"limits": {"nvidia.com/gpu": str(count)}}}
    return pod(name, "rest", container_more={**limits, **({"command": list(command)} if command else {})})


def visible_gpus(namespace: Namespace, name: str) -> list[str]:
    """The GPUs of a running pod, by its own account."""
    return namespace.kubectl("exec", name, "--", "printenv", "NVIDIA_VISIBLE_DEVICES").split(",")


def what_it_was_given(namespace: Namespace, name: str, count: int) -> tuple[list[str], list[str], list[str]]:
    """Of a pod with GPUs: its files, and what the two variables say."""
    files, uuids, paths = namespace.said(with_gpus(name, count, "python3", "-c", _TELL)).split("\n")
    return files.split(), uuids.split(","), paths.split(":")


def test_a_node_shows_its_gpus(api: Api, gpus: list[FakeGpu]) -> None:
    status = api.get("/api/v1/nodes/node0")["status"]

    assert len({gpu.uuid for gpu in gpus}) == 8
    assert (status["capacity"]["nvidia.com/gpu"], status["allocatable"]["nvidia.com/gpu"]) == ("8", "8")


def test_a_pod_with_two_gpus_sees_exactly_these_two(namespace: Namespace, gpus: list[FakeGpu]) -> None:
    files, uuids, paths = what_it_was_given(namespace, "pair", 2)

    assert len(set(uuids)) == 2
    assert set(uuids) <= {gpu.uuid for gpu in gpus}
    assert files == sorted(f"{uuid}.device" for uuid in uuids)
    assert paths == [f"/run/fake-gpus/{uuid}.device" for uuid in uuids]


def test_a_pod_that_wants_nine_waits_and_says_why(cluster: Cluster, namespace: Namespace, gpus: list[FakeGpu]) -> None:
    namespace.apply(with_gpus("greedy", 9))

    reason = '--output=jsonpath={.status.conditions[?(@.type=="PodScheduled")].message}'
    words = cluster.wait(lambda: namespace.kubectl("get", "pod", "greedy", reason), what="the scheduler's words")

    assert "1 Insufficient nvidia.com/gpu" in words
    assert namespace.get("pod", "greedy")["status"]["phase"] == "Pending"


def test_an_unhealthy_gpu_is_given_to_no_pod_until_it_is_well_again(
    cluster: Cluster, namespace: Namespace, gpus: list[FakeGpu]
) -> None:
    ill = gpus[3]
    ill.break_down()
    began = time.monotonic()
    cluster.wait(lambda: cluster.gpus_for_pods() == 7, what="seven GPUs")
    FIGURES["GPU ill to one less for pods (s)"] = time.monotonic() - began

    _, uuids, _ = what_it_was_given(namespace, "healthy", 7)
    assert sorted([ill.uuid, *uuids]) == sorted(gpu.uuid for gpu in gpus)

    ill.recover()
    cluster.wait(lambda: cluster.gpus_for_pods() == 8, what="all GPUs")


def test_after_a_restart_of_the_kubelet_new_pods_get_the_gpus_that_others_do_not_have(
    cluster: Cluster, namespace: Namespace, gpus: list[FakeGpu]
) -> None:
    namespace.apply(with_gpus("stays", 5))
    namespace.ready("stays")
    announced = cluster.logs("gpu-plugin").count("announced")

    cluster.kill("kubelet")
    cluster.restart("kubelet")

    cluster.wait(lambda: cluster.logs("gpu-plugin").count("announced") > announced, what="another announcement")
    cluster.wait(lambda: cluster.node_ready("node0") and cluster.gpus_for_pods() == 8, what="all GPUs")
    # A kubelet that has just come does not know its pods at once.
    kept = cluster.wait(lambda: visible_gpus(namespace, "stays"), what="the pod's word")
    _, others, _ = what_it_was_given(namespace, "later", 3)
    assert sorted(kept + others) == sorted(gpu.uuid for gpu in gpus)


def test_without_its_plugin_a_node_has_no_gpus_and_pods_keep_theirs(
    cluster: Cluster, namespace: Namespace, gpus: list[FakeGpu]
) -> None:
    namespace.apply(with_gpus("stays", 2))
    namespace.ready("stays")

    cluster.kill("gpu-plugin")
    try:
        cluster.wait(lambda: cluster.gpus_for_pods() == 0, what="no GPUs")
        assert namespace.get("pod", "stays")["status"]["phase"] == "Running"
    finally:
        cluster.restart("gpu-plugin")

    cluster.wait(lambda: cluster.gpus_for_pods() == 8, what="all GPUs")
