"""Fake nodes for tests of scale, played by KWOK (https://kwok.sigs.k8s.io) beside the real ones."""

from pathlib import Path
from typing import Any

from tests.cluster.settings import CONTROL_PLANE_ADDRESS, FAKE_POD_RANGE

FAKE_TAINT = {"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}
FAKE_SELECTOR = {"type": "kwok"}
ON_FAKE_NODES: dict[str, Any] = {
    "nodeSelector": FAKE_SELECTOR,
    "tolerations": [{**FAKE_TAINT, "operator": "Equal"}],
}
"""What a pod's spec needs to get onto fake nodes, and only there."""


def kwok_command(kubeconfig: Path, stages: Path) -> list[str]:
    """The command line of KWOK; it looks after nodes with our label only."""
    # A lease is renewed each quarter of its time, and must be younger than the 8 s after which a node counts as lost.
    return [
        *("kwok", f"--kubeconfig={kubeconfig}", f"--config={stages}"),
        *("--manage-nodes-with-label-selector=type=kwok", f"--cidr={FAKE_POD_RANGE}"),
        *(f"--node-ip={CONTROL_PLANE_ADDRESS}", "--node-lease-duration-seconds=8"),
    ]


def fake_node(index: int, *, gpus: int) -> dict[str, Any]:
    """A node with many GPUs that needs no machine."""
    resources = {"cpu": "128", "memory": "1Ti", "pods": "500", "nvidia.com/gpu": str(gpus)}
    name = f"fake{index}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {**FAKE_SELECTOR, "kubernetes.io/hostname": name},
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        "spec": {"taints": [FAKE_TAINT]},
        "status": {"capacity": resources, "allocatable": resources},
    }
