"""Model servers on fake GPUs: pods of the simulator, whose devices are the GPUs that their container is given."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.cluster.fakegpu.gpus import RESOURCE, FakeGpu
from tests.cluster.objects import PORT, Object, pod
from tests.cluster.session import Namespace

RESTING_WATTS: Final = 0.01
LOG: Final = "/log/requests.jsonl"
"""What each request truly cost, in the server's container."""


def gpu_limits(count: int) -> Object:
    """What a container says that wants GPUs."""
    return {"resources": {"limits": {RESOURCE: str(count)}}}


def with_gpus(name: str, count: int) -> Object:
    """A pod that has GPUs and lets them rest."""
    return pod(name, "rest", container_more=gpu_limits(count))


def simulator(name: str, gpus: int, *, image: str, flags: Sequence[str] = ()) -> Object:
    """A model server with so many GPUs."""
    server: Object = {
        "image": image,
        "args": ["--host=0.0.0.0", f"--port={PORT}", f"--log={LOG}", f"--resting-watts={RESTING_WATTS}", *flags],
        "readinessProbe": {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": 1},
        "securityContext": {
            "runAsUser": 65532,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "log", "mountPath": "/log"}],
    }
    return pod(name, container_more={**gpu_limits(gpus), **server}, volumes=[{"name": "log", "emptyDir": {}}])


@dataclass(frozen=True)
class Model:
    """A running model server."""

    namespace: Namespace
    name: str
    """Of its pod."""
    address: str
    gpus: list[FakeGpu]
    """Its own."""

    def log(self) -> list[dict[str, Any]]:
        """Its own account of each request."""
        return [json.loads(line) for line in self.namespace.kubectl("exec", self.name, "--", "cat", LOG).splitlines()]


def model_server(namespace: Namespace, name: str, gpus: list[FakeGpu]) -> Model:
    """The model server of a pod, once it is ready; `gpus` are those of its node."""
    namespace.ready(name)
    own = namespace.kubectl("exec", name, "--", "printenv", "NVIDIA_VISIBLE_DEVICES").split(",")
    address = namespace.get("pod", name)["status"]["podIP"]
    return Model(namespace, name, address, [gpu for gpu in gpus if gpu.uuid in own])
