"""Asks the kubelet who has which device, over the socket of its PodResources API."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from grpc import aio

from joulebench_exporter.devices import DeviceInfo, Owners
from joulebench_exporter.listen import unix_path
from joulebench_exporter.ownership import Given, OwnerBook, cdi_names, resolve
from joulebench_exporter.pod_groups import PodChanges
from joulebench_exporter.proto import podresources_pb2 as pb
from joulebench_exporter.proto.podresources_pb2_grpc import PodResourcesListerStub

_LEAST_SECONDS: Final = 0.1
"""Between two questions, however many pods come and go."""
_AGAIN_SECONDS: Final = 0.1
"""Where a pod came or went and the answer is as before: the kubelet drops a pod 55 ms or so after its sandbox ended."""
_TIMEOUT_SECONDS: Final = 5.0
_CHANNEL_OPTIONS: Final = (
    # One answer covers all pods of the node; the usual limit of 4 MiB is too little for a full one.
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.default_authority", "localhost"),
    ("grpc.enable_http_proxy", 0),
    # A kubelet that was restarted is found again at the next poll.
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 2000),
)

_log = logging.getLogger(__name__)


class KubeletFollower:
    """Asks the kubelet and writes the book. It does not tell of changes; that pods come and go is the sign of them."""

    def __init__(
        self,
        *,
        socket: Path,
        devices: Sequence[DeviceInfo],
        book: OwnerBook,
        changes: PodChanges,
        period_seconds: float,
    ) -> None:
        self._target = f"unix:{socket}"
        self._devices = devices
        self._book = book
        self._changes = changes
        self._period_seconds = period_seconds
        self._unknown: Sequence[str] = ()

    async def run(self) -> None:
        """Ask until cancelled: whenever a pod came or went, and each period."""
        while True:
            told, version = self._changes.taken(), self._book.version
            self._look()
            await self.poll()
            again = told and version == self._book.version
            await self._pause(_AGAIN_SECONDS if again else self._period_seconds)

    def _look(self) -> None:
        """First look for changes, then ask: what changes from here on is told, and what changed before is answered."""
        self._changes.look()
        problem = self._changes.problem
        if problem and problem != self._book.late:
            late = {"problem": problem, "period_seconds": self._period_seconds}
            _log.warning("changes of owners are seen each period only", extra=late)
        self._book.late = problem

    async def _pause(self, longest_seconds: float) -> None:
        await asyncio.sleep(_LEAST_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_seconds - _LEAST_SECONDS):
                await self._changes.wait()

    async def poll(self) -> None:
        """Ask once. A kubelet that does not answer is written down, never raised."""
        before = self._book.problem
        try:
            ownership = resolve(self._devices, given(await self._list()))
        except aio.AioRpcError as error:
            problem = f"the kubelet does not answer at {unix_path(self._target)}: {_reason(error)}"
            self._book.fail(problem)
            if not before:
                _log.warning("owners are not known", extra={"problem": problem})
            return
        if before:
            _log.info("owners are known again")
        self._note_unknown(ownership.unknown)
        self._book.write(
            {
                device.uuid: Owners(containers=ownership.owners.get(device.uuid, ()), known=True)
                for device in self._devices
            }
        )

    async def _list(self) -> pb.ListPodResourcesResponse:
        # A channel of its own for each question: the socket may be another kubelet's by then, and it costs 2 ms.
        async with aio.insecure_channel(self._target, options=_CHANNEL_OPTIONS) as channel:
            return await PodResourcesListerStub(channel).List(pb.ListPodResourcesRequest(), timeout=_TIMEOUT_SECONDS)

    def _note_unknown(self, unknown: Sequence[str]) -> None:
        if unknown and unknown != self._unknown:
            _log.warning("containers have devices that are not measured here", extra={"devices": list(unknown)})
        self._unknown = unknown


def given(response: pb.ListPodResourcesResponse) -> Iterator[Given]:
    """All devices that containers of this node were given, by device plugins and by claims."""
    for pod in response.pod_resources:
        for container in pod.containers:
            place = {"namespace": pod.namespace, "pod": pod.name, "container": container.name}
            for devices in container.devices:
                for name in devices.device_ids:
                    yield Given(**place, resource=devices.resource_name, names=(name,))
            for claim in container.dynamic_resources:
                for one in claim.claim_resources:
                    names = (*cdi_names(device.name for device in one.cdi_devices), one.device_name)
                    yield Given(**place, resource=one.driver_name, names=names, claim=claim.claim_name)


def _reason(error: aio.AioRpcError) -> str:
    return f"{error.details() or 'no details'} ({error.code().name})"
