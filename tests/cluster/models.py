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


def simulator(
    name: str,
    gpus: int,
    *,
    image: str,
    flags: Sequence[str] = (),
    server: str | None = None,
    log: Object | None = None,
    **more: Any,
) -> Object:
    """A model server with so many GPUs; `server`: whose replica it is, `log`: the volume for its account."""
    process: Object = {
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
    volume = {"name": "log", **({"emptyDir": {}} if log is None else log)}
    container_more = {**gpu_limits(gpus), **process}
    return pod(name, labels={"app": server or name}, container_more=container_more, volumes=[volume], **more)


@dataclass(frozen=True)
class Model:
    """A running model server."""

    namespace: Namespace
    name: str
    """Of its pod."""
    address: str
    gpus: list[FakeGpu]
    """Its own."""
    server: str
    """Whose replica it is: the label `app` of its pod."""
    node: str

    def log(self) -> list[dict[str, Any]]:
        """Its own account of each request."""
        return [json.loads(line) for line in self.namespace.kubectl("exec", self.name, "--", "cat", LOG).splitlines()]


def model_server(namespace: Namespace, name: str, gpus: list[FakeGpu]) -> Model:
    """The model server of a pod, once it is ready; `gpus` are those of its node."""
    namespace.ready(name)
    own = namespace.kubectl("exec", name, "--", "printenv", "NVIDIA_VISIBLE_DEVICES").split(",")
    found = namespace.get("pod", name)
    return Model(
        namespace,
        name,
        address=found["status"]["podIP"],
        gpus=[gpu for gpu in gpus if gpu.uuid in own],
        server=found["metadata"]["labels"]["app"],
        node=found["spec"]["nodeName"],
    )
