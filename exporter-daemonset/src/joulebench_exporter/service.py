"""The gRPC service: hands out what the sampler has kept. It never touches a sensor."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Final, Never, TypeVar

import grpc
from grpc import aio

from joulebench_exporter import __version__
from joulebench_exporter.clock import Clock
from joulebench_exporter.devices import Owners
from joulebench_exporter.diagnosing import Looks
from joulebench_exporter.diagnostics import Diagnostics, suspects
from joulebench_exporter.ownership import OwnerBook
from joulebench_exporter.proto import PROTOCOL_VERSION
from joulebench_exporter.proto import energy_pb2 as pb
from joulebench_exporter.proto import energy_pb2_grpc as pb_grpc
from joulebench_exporter.ring import Columns, Ring
from joulebench_exporter.sampler import Channel, Sampler
from joulebench_exporter.ticks import TickFlag

_log = logging.getLogger(__name__)

Request = TypeVar("Request")
Response = TypeVar("Response")

DEFAULT_BATCH_SECONDS: Final = 0.2
DEFAULT_SLOW_SECONDS: Final = 10.0

_FINDING_NS: Final = 2_500_000_000
_FINDING_POLL_SECONDS: Final = 0.05
_LARGEST_NUMBER: Final = 2**31 - 1
_MAX_BATCH_TICKS: Final = 1024
"""Per device and message, so that a long replay neither fills a message nor holds up others."""


@dataclass(slots=True, kw_only=True)
class _Cursor:
    """How far one subscriber is with one device."""

    device: str
    ring: Ring
    sequence: int
    owners_version: int = -1
    """Of the owner book, when this subscriber was told of owners last."""
    look_ns: int = -1
    """Time of the look that this subscriber was told of last."""


class EnergyService(pb_grpc.EnergyServicer):
    """`energy.proto` over one sampler.

    A subscriber costs a cursor, not a queue: each takes from the ring what is new since its last batch. One whose
    message is not taken within `slow_seconds` is cut off.
    """

    def __init__(
        self,
        *,
        sampler: Sampler,
        clock: Clock,
        instance_id: str,
        boot_id: str,
        notes: list[str],
        owners: OwnerBook | None = None,
        looks: Mapping[str, Looks] | None = None,
        batch_seconds: float = DEFAULT_BATCH_SECONDS,
        slow_seconds: float = DEFAULT_SLOW_SECONDS,
    ) -> None:
        self._sampler = sampler
        self._channels = sampler.channels
        self._clock = clock
        self._notes = notes
        self._owners = owners or OwnerBook()
        self._looks = {} if looks is None else looks
        self._batch_seconds = batch_seconds
        self._slow_seconds = slow_seconds
        self._stopping = asyncio.Event()
        self._finding_until_ns = clock.monotonic_ns() + _FINDING_NS
        self._exporter = pb.Exporter(instance_id=instance_id, boot_id=boot_id, protocol_version=PROTOCOL_VERSION)

    def stop(self) -> None:
        """Let all streams end after what they still have to send."""
        self._stopping.set()

    async def Describe(  # noqa: N802 - named by the protocol
        self,
        request: pb.DescribeRequest,  # noqa: ARG002 - empty
        context: aio.ServicerContext[pb.DescribeRequest, Awaitable[pb.DescribeResponse]],  # noqa: ARG002 - not needed
    ) -> pb.DescribeResponse:
        """What is measured here."""
        await self._first_ticks_found()
        return pb.DescribeResponse(
            exporter=self._exporter,
            clock=self._clock_pair(),
            devices=[_device(one, self._owners.of(one.info.uuid)) for one in self._channels.values()],
            notes=self._notes,
            exporter_version=__version__,
        )

    async def _first_ticks_found(self) -> None:
        """Right after the start, wait until the tick periods are known: readers judge gaps by them."""
        while self._sampler.finding and self._clock.monotonic_ns() < self._finding_until_ns:  # noqa: ASYNC110 - a thread
            await asyncio.sleep(_FINDING_POLL_SECONDS)

    async def Ping(  # noqa: N802 - named by the protocol
        self,
        request: pb.PingRequest,  # noqa: ARG002 - empty
        context: aio.ServicerContext[pb.PingRequest, Awaitable[pb.PingResponse]],  # noqa: ARG002 - not needed
    ) -> pb.PingResponse:
        """This machine's monotonic clock."""
        receive_ns = self._clock.monotonic_ns()
        response = pb.PingResponse(exporter=self._exporter, receive_ns=receive_ns)
        response.send_ns = self._clock.monotonic_ns()
        return response

    async def Window(  # noqa: N802 - named by the protocol
        self,
        request: pb.WindowRequest,
        context: aio.ServicerContext[pb.WindowRequest, Awaitable[pb.WindowResponse]],
    ) -> pb.WindowResponse:
        """The ticks around and between two times."""
        if request.from_ns > request.to_ns:
            message = f"from_ns {request.from_ns} is after to_ns {request.to_ns}"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
        if request.device not in self._channels:
            await self._abort_unknown(request.device, context)
        ring = self._channels[request.device].ring
        ticks = ring.window(from_ns=request.from_ns, to_ns=request.to_ns)
        return pb.WindowResponse(
            exporter=self._exporter,
            clock=self._clock_pair(),
            ticks=_batch(request.device, ticks),
            covers_start=len(ticks) > 0 and ticks.time_ns[0] <= request.from_ns,
            covers_end=len(ticks) > 0 and ticks.time_ns[-1] >= request.to_ns,
        )

    async def Watch(  # type: ignore[override]  # noqa: N802 - the stub knows only generators; those cannot time a write
        self,
        request: pb.WatchRequest,
        context: aio.ServicerContext[pb.WatchRequest, pb.WatchResponse],
    ) -> None:
        """Replay, then live; ends only by an error status or when the subscriber goes."""
        cursors = await self._cursors(request, context)
        await context.send_initial_metadata(())
        self._sampler.listen(1)
        try:
            await self._stream(cursors, context)
        finally:
            self._sampler.listen(-1)

    async def _stream(
        self, cursors: list[_Cursor], context: aio.ServicerContext[pb.WatchRequest, pb.WatchResponse]
    ) -> None:
        while True:
            stopping = self._stopping.is_set()  # read first: what was sampled before the stop is still sent
            batches = [batch for cursor in cursors if (batch := self._next_batch(cursor)) is not None]
            if batches:
                await self._send(batches, context)
            elif stopping:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the exporter is stopping")
            if all(cursor.sequence >= cursor.ring.newest for cursor in cursors):
                await self._pause()

    def _next_batch(self, cursor: _Cursor) -> pb.TickBatch | None:
        ticks = cursor.ring.after(cursor.sequence, limit=_MAX_BATCH_TICKS)
        if not len(ticks):
            return None
        batch = _batch(cursor.device, ticks)
        batch.missed_ticks = ticks.first_sequence - cursor.sequence - 1
        if batch.missed_ticks:
            batch.flags[0] |= TickFlag.GAP
        cursor.sequence = ticks.first_sequence + len(ticks) - 1
        if cursor.owners_version != self._owners.version:
            cursor.owners_version = self._owners.version
            batch.owners.CopyFrom(_owners(self._owners.of(cursor.device)))
        look = self._looks[cursor.device].latest if cursor.device in self._looks else None
        if look is not None and look.time_ns != cursor.look_ns:
            cursor.look_ns = look.time_ns
            batch.look.CopyFrom(_look(look))
        return batch

    async def _pause(self) -> None:
        """Let ticks gather for one batch; a stop ends it at once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._batch_seconds):
                await self._stopping.wait()

    async def _send(
        self, batches: list[pb.TickBatch], context: aio.ServicerContext[pb.WatchRequest, pb.WatchResponse]
    ) -> None:
        response = pb.WatchResponse(exporter=self._exporter, clock=self._clock_pair(), batches=batches)
        try:
            async with asyncio.timeout(self._slow_seconds):
                await context.write(response)
        except TimeoutError:
            message = (
                f"this subscriber took no message for {self._slow_seconds:g} s and was cut off; "
                "watch again with after_sequence = the last tick received"
            )
            _log.warning("slow subscriber cut off", extra={"peer": context.peer()})
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, message)

    async def _cursors(
        self, request: pb.WatchRequest, context: aio.ServicerContext[pb.WatchRequest, pb.WatchResponse]
    ) -> list[_Cursor]:
        """Where this subscriber begins on each device it wants."""
        same_instance = request.instance_id in {"", self._exporter.instance_id}
        after = dict(request.after_sequence) if same_instance else {}
        for device in (*request.devices, *after):
            if device not in self._channels:
                await self._abort_unknown(device, context)
        cursors = []
        for device in request.devices or self._channels:
            ring = self._channels[device].ring
            sequence = after.get(device, ring.oldest - 1)
            if sequence > ring.newest:
                message = (
                    f"after_sequence of device {device!r} is {sequence}, but the newest tick here is {ring.newest}: "
                    "the number belongs to another instance; describe again, then watch from the beginning"
                )
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, message)
            cursors.append(_Cursor(device=device, ring=ring, sequence=sequence))
        return cursors

    async def _abort_unknown(self, device: str, context: aio.ServicerContext[Request, Response]) -> Never:
        known = ", ".join(self._channels) or "none"
        await context.abort(grpc.StatusCode.NOT_FOUND, f"no device {device!r} here; there are: {known}")

    def _clock_pair(self) -> pb.ClockPair:
        return pb.ClockPair(monotonic_ns=self._clock.monotonic_ns(), realtime_ns=self._clock.realtime_ns())


def _batch(device: str, ticks: Columns) -> pb.TickBatch:
    return pb.TickBatch(
        device=device,
        first_sequence=ticks.first_sequence,
        monotonic_ns=ticks.time_ns,
        bracket_ns=ticks.bracket_ns,
        energy_mj=ticks.energy_mj,
        flags=ticks.flags,
    )


def _device(channel: Channel, owners: Owners) -> pb.Device:
    info, origin_uj = channel.info, channel.ledger.origin_uj
    wraps_at = channel.device.counter.wraps_at
    return pb.Device(
        uuid=info.uuid,
        name=info.name,
        domain=info.domain,
        scope=info.scope,
        sensor=info.sensor,
        sensor_kind=info.sensor_kind,
        source=info.source,
        tick_period_ns=round(info.tick_period_seconds * 1e9),
        counter_origin_uj=origin_uj,
        counter_wraps_uj=None if wraps_at is None else channel.device.counter.microjoules(wraps_at),
        partitions=[pb.Partition(uuid=part.uuid, name=part.name) for part in info.partitions],
        owners=_owners(owners),
        index=info.index,
        minor=info.minor,
        pci_bus_id=info.pci_bus_id,
        driver_version=info.driver_version,
    )


def _look(look: Diagnostics) -> pb.Look:
    message = pb.Look(monotonic_ns=look.time_ns, suspect=suspects(look))
    for name, value in look.known():
        try:
            setattr(message, name, value)
        except ValueError:
            # A driver's unsigned nonsense, which `suspect` names; it must not end the stream.
            setattr(message, name, _LARGEST_NUMBER)
    return message


def _owners(owners: Owners) -> pb.Owners:
    containers = [
        pb.Owner(
            namespace=one.namespace, pod=one.pod, container=one.container, partition=one.partition, claim=one.claim
        )
        for one in owners.containers
    ]
    return pb.Owners(containers=containers, known=owners.known, problem=owners.problem)
