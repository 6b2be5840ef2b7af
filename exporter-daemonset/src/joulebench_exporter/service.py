"""The gRPC service: hands out what the sampler has kept. It never touches a sensor."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from typing import Final, Never, TypeVar

import grpc
from grpc import aio

from joulebench_exporter import __version__
from joulebench_exporter.beat import Beat
from joulebench_exporter.clock import Clock
from joulebench_exporter.devices import Owners
from joulebench_exporter.diagnosing import Looks
from joulebench_exporter.messages import Messages, Place, Position, clock_pair, fill, owners_message
from joulebench_exporter.ownership import OwnerBook
from joulebench_exporter.proto import PROTOCOL_VERSION
from joulebench_exporter.proto import energy_pb2 as pb
from joulebench_exporter.proto import energy_pb2_grpc as pb_grpc
from joulebench_exporter.sampler import Channel, Sampler

_log = logging.getLogger(__name__)

Request = TypeVar("Request")
Response = TypeVar("Response")

DEFAULT_BATCH_SECONDS: Final = 0.25
DEFAULT_SLOW_SECONDS: Final = 10.0

_FINDING_NS: Final = 2_500_000_000
_FINDING_POLL_SECONDS: Final = 0.05


class EnergyService(pb_grpc.EnergyServicer):
    """`energy.proto` over one sampler.

    A subscriber costs its place, not a queue: each takes from the rings what is new since its last message. All are
    served at the same beat, so those who are at the same place (as all are who keep up) share one message. One whose
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
        self._beat = Beat(period_seconds=batch_seconds)
        self._slow_seconds = slow_seconds
        self._stopping = False
        self._finding_until_ns = clock.monotonic_ns() + _FINDING_NS
        self._exporter = pb.Exporter(instance_id=instance_id, boot_id=boot_id, protocol_version=PROTOCOL_VERSION)
        self._messages = Messages(
            channels=self._channels,
            owners=self._owners,
            looks={} if looks is None else looks,
            exporter=self._exporter,
            clock=clock,
        )

    def stop(self) -> None:
        """Let all streams end after what they still have to send."""
        self._stopping = True
        self._beat.strike()

    async def Describe(  # noqa: N802 - named by the protocol
        self,
        request: pb.DescribeRequest,  # noqa: ARG002 - empty
        context: aio.ServicerContext[pb.DescribeRequest, Awaitable[pb.DescribeResponse]],  # noqa: ARG002 - not needed
    ) -> pb.DescribeResponse:
        """What is measured here."""
        await self._first_ticks_found()
        return pb.DescribeResponse(
            exporter=self._exporter,
            clock=clock_pair(self._clock),
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
            clock=clock_pair(self._clock),
            ticks=fill(pb.TickBatch(), request.device, ticks),
            covers_start=len(ticks) > 0 and ticks.time_ns[0] <= request.from_ns,
            covers_end=len(ticks) > 0 and ticks.time_ns[-1] >= request.to_ns,
        )

    async def Watch(  # type: ignore[override]  # noqa: N802 - the stub knows only generators; those cannot time a write
        self,
        request: pb.WatchRequest,
        context: aio.ServicerContext[pb.WatchRequest, pb.WatchResponse],
    ) -> None:
        """Replay, then live; ends only by an error status or when the subscriber goes."""
        place = await self._first_place(request, context)
        await context.send_initial_metadata(())
        self._sampler.listen(1)
        try:
            await self._stream(place, context)
        finally:
            self._sampler.listen(-1)

    async def _stream(self, place: Place, context: aio.ServicerContext[pb.WatchRequest, pb.WatchResponse]) -> None:
        while True:
            stopping = self._stopping  # read first: what was sampled before the stop is still sent
            place, message, more = self._messages.after(place, beat=self._beat.number)
            if message is not None:
                await self._send(message, context)
            elif stopping:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the exporter is stopping")
            if not more and not self._stopping:
                await self._beat.wait()

    async def _send(
        self, message: pb.WatchResponse, context: aio.ServicerContext[pb.WatchRequest, pb.WatchResponse]
    ) -> None:
        try:
            async with asyncio.timeout(self._slow_seconds):
                await context.write(message)
        except TimeoutError:
            why = (
                f"this subscriber took no message for {self._slow_seconds:g} s and was cut off; "
                "watch again with after_sequence = the last tick received"
            )
            _log.warning("slow subscriber cut off", extra={"peer": context.peer()})
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, why)

    async def _first_place(
        self, request: pb.WatchRequest, context: aio.ServicerContext[pb.WatchRequest, pb.WatchResponse]
    ) -> Place:
        """Where this subscriber begins on each device it wants."""
        same_instance = request.instance_id in {"", self._exporter.instance_id}
        after = dict(request.after_sequence) if same_instance else {}
        for device in (*request.devices, *after):
            if device not in self._channels:
                await self._abort_unknown(device, context)
        positions = []
        for device in request.devices or self._channels:
            ring = self._channels[device].ring
            sequence = after.get(device, ring.oldest - 1)
            if sequence > ring.newest:
                message = (
                    f"after_sequence of device {device!r} is {sequence}, but the newest tick here is {ring.newest}: "
                    "the number belongs to another instance; describe again, then watch from the beginning"
                )
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, message)
            positions.append(Position(device, sequence))
        return tuple(positions)

    async def _abort_unknown(self, device: str, context: aio.ServicerContext[Request, Response]) -> Never:
        known = ", ".join(self._channels) or "none"
        await context.abort(grpc.StatusCode.NOT_FOUND, f"no device {device!r} here; there are: {known}")


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
        owners=owners_message(owners),
        index=info.index,
        minor=info.minor,
        pci_bus_id=info.pci_bus_id,
        driver_version=info.driver_version,
    )
