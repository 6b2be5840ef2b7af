"""The gRPC service: hands out what the sampler has kept. It never touches a sensor."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from typing import Final, NamedTuple, Never, TypeVar

import grpc
from grpc import aio

from joulebench_exporter import __version__
from joulebench_exporter.beat import Beat
from joulebench_exporter.clock import Clock
from joulebench_exporter.devices import Owners
from joulebench_exporter.diagnosing import Looks
from joulebench_exporter.diagnostics import Diagnostics, suspects
from joulebench_exporter.ownership import OwnerBook
from joulebench_exporter.proto import PROTOCOL_VERSION
from joulebench_exporter.proto import energy_pb2 as pb
from joulebench_exporter.proto import energy_pb2_grpc as pb_grpc
from joulebench_exporter.ring import Columns
from joulebench_exporter.sampler import Channel, Sampler
from joulebench_exporter.ticks import TickFlag

_log = logging.getLogger(__name__)

Request = TypeVar("Request")
Response = TypeVar("Response")

DEFAULT_BATCH_SECONDS: Final = 0.25
DEFAULT_SLOW_SECONDS: Final = 10.0

_FINDING_NS: Final = 2_500_000_000
_FINDING_POLL_SECONDS: Final = 0.05
_LARGEST_NUMBER: Final = 2**31 - 1
_MAX_BATCH_TICKS: Final = 1024
"""Per device and message, so that a long replay neither fills a message nor holds up others."""


class _Position(NamedTuple):
    """How far a subscriber is with one device."""

    device: str
    sequence: int
    """Of the last tick it was sent."""
    owners_version: int = -1
    """Of the owner book, when it was told of owners last."""
    look_ns: int = -1
    """Time of the look that it was told of last."""


_Place = tuple[_Position, ...]
"""How far a subscriber is with all its devices."""


class _Step(NamedTuple):
    """From one place to the next."""

    place: _Place
    message: pb.WatchResponse | None
    """What lies between; None: nothing new."""
    more: bool
    """Whether this message was not enough for all."""


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
        self._looks = {} if looks is None else looks
        self._beat = Beat(period_seconds=batch_seconds)
        self._slow_seconds = slow_seconds
        self._stopping = False
        self._shared: tuple[int, _Place, _Step] | None = None
        """The newest step, with the beat at which, and the place from which, it was made."""
        self._finding_until_ns = clock.monotonic_ns() + _FINDING_NS
        self._exporter = pb.Exporter(instance_id=instance_id, boot_id=boot_id, protocol_version=PROTOCOL_VERSION)

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
            ticks=_fill(pb.TickBatch(), request.device, ticks),
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

    async def _stream(self, place: _Place, context: aio.ServicerContext[pb.WatchRequest, pb.WatchResponse]) -> None:
        while True:
            stopping = self._stopping  # read first: what was sampled before the stop is still sent
            place, message, more = self._step_from(place)
            if message is not None:
                await self._send(message, context)
            elif stopping:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the exporter is stopping")
            if not more and not self._stopping:
                await self._beat.wait()

    def _step_from(self, place: _Place) -> _Step:
        """The next step, made once for all who are at the same place at the same beat."""
        if self._shared is not None and self._shared[:2] == (self._beat.number, place):
            return self._shared[2]
        step = self._make_step(place)
        self._shared = (self._beat.number, place, step)
        return step

    def _make_step(self, place: _Place) -> _Step:
        message = pb.WatchResponse(exporter=self._exporter, clock=self._clock_pair())
        positions, more = [], False
        for position in place:
            ticks = self._channels[position.device].ring.after(position.sequence, limit=_MAX_BATCH_TICKS)
            positions.append(self._add_batch(message, position, ticks) if len(ticks) else position)
            more = more or len(ticks) == _MAX_BATCH_TICKS
        return _Step(place=tuple(positions), message=message if message.batches else None, more=more)

    def _add_batch(self, message: pb.WatchResponse, position: _Position, ticks: Columns) -> _Position:
        """Put one device's new ticks into a message; the position after them."""
        device, sequence, owners_version, look_ns = position
        batch = message.batches.add()
        _fill(batch, device, ticks)
        batch.missed_ticks = ticks.first_sequence - sequence - 1
        if batch.missed_ticks:
            batch.flags[0] |= TickFlag.GAP
        if owners_version != self._owners.version:
            owners_version = self._owners.version
            batch.owners.CopyFrom(_owners(self._owners.of(device)))
        look = self._looks[device].latest if device in self._looks else None
        if look is not None and look.time_ns != look_ns:
            look_ns = look.time_ns
            batch.look.CopyFrom(_look(look))
        return _Position(device, ticks.first_sequence + len(ticks) - 1, owners_version, look_ns)

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
    ) -> _Place:
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
            positions.append(_Position(device, sequence))
        return tuple(positions)

    async def _abort_unknown(self, device: str, context: aio.ServicerContext[Request, Response]) -> Never:
        known = ", ".join(self._channels) or "none"
        await context.abort(grpc.StatusCode.NOT_FOUND, f"no device {device!r} here; there are: {known}")

    def _clock_pair(self) -> pb.ClockPair:
        return pb.ClockPair(monotonic_ns=self._clock.monotonic_ns(), realtime_ns=self._clock.realtime_ns())


def _fill(batch: pb.TickBatch, device: str, ticks: Columns) -> pb.TickBatch:
    batch.device = device
    batch.first_sequence = ticks.first_sequence
    batch.monotonic_ns.extend(ticks.time_ns)
    batch.bracket_ns.extend(ticks.bracket_ns)
    batch.energy_mj.extend(ticks.energy_mj)
    batch.flags.extend(ticks.flags)
    return batch


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
