"""The device plugin: gives a node's fake GPUs to the containers that ask for `nvidia.com/gpu`.

As https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/ says: it serves at a socket
of its own, announces that to the kubelet, and does so again for each new kubelet, which removes all plugins' sockets
when it starts.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc
from grpc import aio
from tests.cluster.fakegpu import deviceplugin_pb2 as pb
from tests.cluster.fakegpu import gpus
from tests.cluster.fakegpu.deviceplugin_pb2_grpc import (
    DevicePluginServicer,
    RegistrationStub,
    add_DevicePluginServicer_to_server,
)
from tests.cluster.fakegpu.gpus import RESOURCE, FakeGpu

SOCKETS: Final = Path("/var/lib/kubelet/device-plugins")
ENDPOINT: Final = "fake-gpu.sock"
CONTAINER_FOLDER: Final = Path("/run/fake-gpus")
"""Where a container finds the device files of its GPUs."""

_KUBELET: Final = SOCKETS / "kubelet.sock"
_VERSION: Final = "v1beta1"
_NUMA_NODES: Final = 2
_LOOK_SECONDS: Final = 0.1
_LOCAL: Final = (("grpc.default_authority", "localhost"), ("grpc.enable_http_proxy", 0))


class Plugin(DevicePluginServicer):
    """Answers the kubelet."""

    def __init__(self, owned: Sequence[FakeGpu]) -> None:
        self._gpus = {gpu.uuid: gpu for gpu in owned}

    async def GetDevicePluginOptions(self, request: pb.Empty, context: Any) -> pb.DevicePluginOptions:  # noqa: N802 - gRPC
        """No wishes: the kubelet chooses."""
        return pb.DevicePluginOptions()

    async def ListAndWatch(self, request: pb.Empty, context: Any) -> AsyncIterator[pb.ListAndWatchResponse]:  # noqa: N802
        """All GPUs, now and whenever the health of one has changed."""
        told: list[bool] = []
        while True:
            healthy = [gpu.healthy for gpu in self._gpus.values()]
            if healthy != told:
                told = healthy
                yield listed(self._gpus, healthy)
            # Whoever changes a GPU does so in memory, which tells nobody.
            await asyncio.sleep(_LOOK_SECONDS)

    async def Allocate(self, request: pb.AllocateRequest, context: Any) -> pb.AllocateResponse:  # noqa: N802
        """What each container gets with its GPUs."""
        asked = [list(one.devices_ids) for one in request.container_requests]
        if unknown := {uuid for uuids in asked for uuid in uuids} - self._gpus.keys():
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no GPU {', '.join(sorted(unknown))}")
        return pb.AllocateResponse(container_responses=[given([self._gpus[uuid] for uuid in uuids]) for uuids in asked])


def listed(uuids: Iterable[str], healthy: Sequence[bool]) -> pb.ListAndWatchResponse:
    """The GPUs as the kubelet is told of them; each half is at a memory of its own."""
    return pb.ListAndWatchResponse(
        devices=[
            pb.Device(
                ID=uuid,
                health="Healthy" if good else "Unhealthy",
                topology=pb.TopologyInfo(nodes=[pb.NUMANode(ID=index * _NUMA_NODES // len(healthy))]),
            )
            for index, (uuid, good) in enumerate(zip(uuids, healthy, strict=True))
        ]
    )


def given(chosen: Sequence[FakeGpu]) -> pb.ContainerAllocateResponse:
    """What a container with these GPUs gets: their files, and the variables that say which they are."""
    inside = [str(CONTAINER_FOLDER / f"{gpu.uuid}.device") for gpu in chosen]
    return pb.ContainerAllocateResponse(
        envs={
            "NVIDIA_VISIBLE_DEVICES": ",".join(gpu.uuid for gpu in chosen),
            "JOULEBENCH_SIMULATOR_DEVICES": ":".join(inside),
        },
        mounts=[
            pb.Mount(container_path=path, host_path=str(gpu.file)) for gpu, path in zip(chosen, inside, strict=True)
        ],
    )


async def run(plugin: Plugin) -> None:
    """Serve each kubelet that comes, until cancelled."""
    while True:
        kubelet = _inode(_KUBELET)
        if kubelet is None:
            await asyncio.sleep(_LOOK_SECONDS)
            continue
        async with _serving(plugin):
            announced = False
            while _inode(_KUBELET) == kubelet and _inode(SOCKETS / ENDPOINT) is not None:
                announced = announced or await _announced()
                await asyncio.sleep(_LOOK_SECONDS)
        print("the kubelet is gone, or another one", flush=True)


@asynccontextmanager
async def _serving(plugin: Plugin) -> AsyncIterator[None]:
    (SOCKETS / ENDPOINT).unlink(missing_ok=True)
    server = aio.server()
    add_DevicePluginServicer_to_server(plugin, server)
    server.add_insecure_port(f"unix:{SOCKETS / ENDPOINT}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


async def _announced() -> bool:
    request = pb.RegisterRequest(version=_VERSION, endpoint=ENDPOINT, resource_name=RESOURCE)
    async with aio.insecure_channel(f"unix:{_KUBELET}", options=_LOCAL) as channel:
        try:
            await RegistrationStub(channel).Register(request, timeout=5)
        except aio.AioRpcError as error:
            # It has just come, or has just gone.
            print(f"the kubelet did not take us: {error.code().name} {error.details()}", flush=True)
            return False
    print("announced", flush=True)
    return True


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    asyncio.run(run(Plugin(gpus.read(Path(sys.argv[1])))))
