"""Reads an exporter: the only module of this package that programs elsewhere import. It knows no sensors.

async with ExporterClient("unix:/tmp/energy.sock") as exporter:
    print((await exporter.describe()).devices)
    async for batch in exporter.watch():
        ...
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Never, Self, TypeVar

import grpc
from grpc import aio

from joulebench_api.contracts.energy import Domain, Scope, SensorKind
from joulebench_exporter.devices import DeviceInfo, Owner, Owners, Partition
from joulebench_exporter.diagnostics import Diagnostics
from joulebench_exporter.errors import (
    ExporterAccessError,
    ExporterError,
    ExporterProtocolError,
    ExporterRequestError,
    ExporterUnavailableError,
    SubscriberTooSlowError,
)
from joulebench_exporter.proto import PROTOCOL_VERSION
from joulebench_exporter.proto import energy_pb2 as pb
from joulebench_exporter.proto.energy_pb2_grpc import EnergyStub
from joulebench_exporter.ticks import TickFlag

__all__ = [
    "Description",
    "DeviceInfo",
    "Diagnostics",
    "ExporterAccessError",
    "ExporterClient",
    "ExporterError",
    "ExporterProtocolError",
    "ExporterRequestError",
    "ExporterUnavailableError",
    "Owner",
    "Owners",
    "Partition",
    "PingSample",
    "SubscriberTooSlowError",
    "TickBatch",
    "TickFlag",
    "TickWindow",
]

Response = TypeVar("Response")

_LOOK_FIELDS: Final = frozenset(field.name for field in fields(Diagnostics)) - {"time_ns"}
_NOBODY_KNOWS: Final = Owners()
_TIMEOUT_SECONDS: Final = 5.0
_CHANNEL_OPTIONS: Final = (
    # A stream that nobody reads would grow to megabytes on its way; a reader that falls behind shall be noticed.
    ("grpc.http2.bdp_probe", 0),
    # An exporter that was restarted is found again at once, not after minutes of back-off.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A node that is cut off sends no end: without these a stream from it waits for ever.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_http_proxy", 0),
)
_REQUEST_CODES: Final = frozenset(
    {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION}
)
_ACCESS_CODES: Final = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
_UNAVAILABLE_CODES: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What an exporter measures."""

    instance_id: str
    """New with every start of the exporter; sequence numbers belong to it."""
    boot_id: str
    devices: list[DeviceInfo]
    notes: list[str]
    """What a reader should know, such as why a better sensor was not used."""
    exporter_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PingSample:
    """One exchange of clocks: t0 and t3 on ours, t1 and t2 on the exporter's, all monotonic nanoseconds."""

    instance_id: str
    boot_id: str
    t0_ns: int
    t1_ns: int
    t2_ns: int
    t3_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TickBatch:
    """Ticks of one device in columns of the same length; the n-th has sequence number first_sequence + n.

    Tick n: the counter moved to `energy_mj[n]` (cumulative) within (time_ns[n] - bracket_ns[n], time_ns[n]] of the
    exporter's CLOCK_MONOTONIC. `flags` are TickFlag bits.
    """

    exporter: str
    """Instance id."""
    boot_id: str
    device: str
    """UUID."""
    first_sequence: int
    time_ns: list[int]
    bracket_ns: list[int]
    energy_mj: list[int]
    flags: list[int]
    missed_ticks: int = 0
    """Ticks right before the first one that were asked for but are no longer in the exporter's memory."""
    monotonic_ns: int = 0
    """When the batch was sent, on the exporter's clock ..."""
    realtime_ns: int = 0
    """... and what its wall clock said then (since 1970)."""
    owners: Owners = _NOBODY_KNOWS
    """Who has the device, as far as the exporter knew when it sent this."""
    look: Diagnostics | None = None
    """The newest look at power, load, memory, heat and clocks, if there was one since the batch before."""
    suspect: tuple[str, ...] = ()
    """Fields of the look whose values cannot be true."""

    @property
    def last_sequence(self) -> int:
        """The number to resume after."""
        return self.first_sequence + len(self.time_ns) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TickWindow:
    """All ticks between two times, with the last one at or before and the first one at or after them."""

    ticks: TickBatch
    covers_start: bool
    """False: the exporter's memory does not reach back to the window's start."""
    covers_end: bool
    """False: no tick has been seen at or after the window's end (yet)."""


class ExporterClient:
    """One connection to one exporter, such as `unix:/run/joulebench/exporter.sock`. Errors are ExporterError.

    Each call waits for the exporter to come up for as long as its time limit allows.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        token_file: Path | None = None,
        ca_file: Path | None = None,
        tls_server_name: str | None = None,
    ) -> None:
        """`token_file`: a service-account token for the exporter's audience, read anew for each call, as it is rotated.

        `ca_file`: the PEM file of who signed the exporter's certificate; without it the connection is not encrypted.
        `tls_server_name`: the name in that certificate, if it is not the target's (pods have addresses).
        """
        self._target = target
        self._timeout_seconds = timeout_seconds
        self._token_file = token_file
        self._channel = _channel(target, ca_file, tls_server_name)
        self._stub = EnergyStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection and all watches on it."""
        await self._channel.close(None)

    async def describe(self) -> Description:
        """Ask what is measured there."""
        call = self._stub.Describe(
            pb.DescribeRequest(), timeout=self._timeout_seconds, wait_for_ready=True, metadata=self._metadata()
        )
        response = await self._answer(call)
        self._check_version(response.exporter)
        return Description(
            instance_id=response.exporter.instance_id,
            boot_id=response.exporter.boot_id,
            devices=[self._device(device) for device in response.devices],
            notes=list(response.notes),
            exporter_version=response.exporter_version,
        )

    async def ping(self) -> PingSample:
        """Exchange clocks once. Take several; the one with the shortest round trip is the best."""
        request, metadata = pb.PingRequest(), self._metadata()
        t0_ns = time.monotonic_ns()
        response = await self._answer(
            self._stub.Ping(request, timeout=self._timeout_seconds, wait_for_ready=True, metadata=metadata)
        )
        t3_ns = time.monotonic_ns()
        return PingSample(
            instance_id=response.exporter.instance_id,
            boot_id=response.exporter.boot_id,
            t0_ns=t0_ns,
            t1_ns=response.receive_ns,
            t2_ns=response.send_ns,
            t3_ns=t3_ns,
        )

    async def watch(
        self,
        after: Mapping[str, int] | None = None,
        *,
        instance_id: str | None = None,
        devices: Sequence[str] = (),
    ) -> AsyncIterator[TickBatch]:
        """Follow the ticks of `devices` (all, if none is named), oldest first. Ends only by an error, never silently.

        `after` holds the last sequence number received per device UUID; a device that is not in it is replayed from the
        oldest tick in memory. With `instance_id` (whose numbers those are) an exporter that was restarted sends all it
        has, under its new id; without it, numbers ahead of the exporter's raise ExporterRequestError.
        """
        request = pb.WatchRequest(devices=devices, after_sequence=after or {}, instance_id=instance_id or "")
        call = self._stub.Watch(request, metadata=self._metadata())
        owners: dict[str, Owners] = {}
        try:
            async for response in call:
                self._check_version(response.exporter)
                for batch in response.batches:
                    if batch.HasField("owners"):
                        owners[batch.device] = _owners(batch.owners)
                    owned_by = owners.get(batch.device, _NOBODY_KNOWS)
                    yield _tick_batch(response.exporter, response.clock, batch, owners=owned_by)
        except aio.AioRpcError as error:
            self._raise(error)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # gRPC cancels open streams when their channel is closed; to the reader that is an end, not a cancellation.
            raise ExporterUnavailableError("this client was closed while it watched", remedy=None) from None
        finally:
            call.cancel()
        raise ExporterUnavailableError(f"the exporter at {self._target} ended the stream", remedy="Watch again.")

    async def window(self, device: str, from_ns: int, to_ns: int) -> TickWindow:
        """The ticks around and between two times of the exporter's clock."""
        request = pb.WindowRequest(device=device, from_ns=from_ns, to_ns=to_ns)
        response = await self._answer(
            self._stub.Window(request, timeout=self._timeout_seconds, wait_for_ready=True, metadata=self._metadata())
        )
        return TickWindow(
            ticks=_tick_batch(response.exporter, response.clock, response.ticks),
            covers_start=response.covers_start,
            covers_end=response.covers_end,
        )

    def _metadata(self) -> aio.Metadata | None:
        if self._token_file is None:
            return None
        try:
            token = self._token_file.read_text(encoding="ascii").strip()
        except OSError as error:
            message = f"cannot read the token {self._token_file}: {error.strerror}"
            raise ExporterAccessError(message, remedy="Mount a service-account token there.") from error
        return aio.Metadata(("authorization", f"Bearer {token}"))

    async def _answer(self, call: Awaitable[Response]) -> Response:
        try:
            return await call
        except aio.AioRpcError as error:
            self._raise(error)

    def _raise(self, error: aio.AioRpcError) -> Never:
        code, details = error.code(), error.details() or "no details"
        message = f"exporter at {self._target}: {details} ({code.name})"
        if code in _REQUEST_CODES:
            raise ExporterRequestError(message, remedy="Ask `describe` which devices there are.") from error
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            remedy = "Watch again from the last tick received, and read without long pauses."
            raise SubscriberTooSlowError(message, remedy=remedy) from error
        if code in _ACCESS_CODES:
            remedy = "Give the client a service-account token that is bound to the exporter's audience."
            raise ExporterAccessError(message, remedy=remedy) from error
        if code in _UNAVAILABLE_CODES:
            raise ExporterUnavailableError(message, remedy="Does the exporter run, and listen there?") from error
        raise ExporterError(message, remedy="See the exporter's log.") from error

    def _check_version(self, exporter: pb.Exporter) -> None:
        if exporter.protocol_version != PROTOCOL_VERSION:
            raise ExporterProtocolError(
                f"the exporter at {self._target} speaks protocol {exporter.protocol_version}, "
                f"this client {PROTOCOL_VERSION}",
                remedy="Use the same release of joulebench on both sides.",
            )

    def _device(self, device: pb.Device) -> DeviceInfo:
        try:
            return DeviceInfo(
                uuid=device.uuid,
                name=device.name,
                domain=Domain(device.domain),
                scope=Scope(device.scope),
                sensor=device.sensor,
                sensor_kind=SensorKind(device.sensor_kind),
                source=device.source,
                tick_period_seconds=device.tick_period_ns / 1e9,
                counter_origin_uj=device.counter_origin_uj if device.HasField("counter_origin_uj") else None,
                counter_wraps_uj=device.counter_wraps_uj if device.HasField("counter_wraps_uj") else None,
                partitions=tuple(Partition(uuid=part.uuid, name=part.name) for part in device.partitions),
                owners=_owners(device.owners),
                index=device.index if device.HasField("index") else None,
                minor=device.minor if device.HasField("minor") else None,
                pci_bus_id=device.pci_bus_id,
                driver_version=device.driver_version,
            )
        except ValueError as error:
            message = f"the exporter at {self._target} describes device {device.uuid!r} in unknown words: {error}"
            raise ExporterProtocolError(message, remedy="Use the same release of joulebench on both sides.") from error


def _channel(target: str, ca_file: Path | None, tls_server_name: str | None) -> aio.Channel:
    if ca_file is None:
        return aio.insecure_channel(target, options=_CHANNEL_OPTIONS)
    try:
        credentials = grpc.ssl_channel_credentials(ca_file.read_bytes())
    except OSError as error:
        message = f"cannot read the certificate {ca_file}: {error.strerror}"
        raise ExporterAccessError(message, remedy="Give the PEM file of who signed the exporter's.") from error
    name = () if tls_server_name is None else (("grpc.ssl_target_name_override", tls_server_name),)
    return aio.secure_channel(target, credentials, options=(*_CHANNEL_OPTIONS, *name))


def _owners(owners: pb.Owners) -> Owners:
    containers = (
        Owner(namespace=one.namespace, pod=one.pod, container=one.container, partition=one.partition, claim=one.claim)
        for one in owners.containers
    )
    return Owners(
        containers=tuple(containers),
        known=owners.known,
        problem=owners.problem,
        since_ns=owners.since_monotonic_ns if owners.HasField("since_monotonic_ns") else None,
    )


def _tick_batch(
    exporter: pb.Exporter, clock: pb.ClockPair, batch: pb.TickBatch, *, owners: Owners = _NOBODY_KNOWS
) -> TickBatch:
    return TickBatch(
        exporter=exporter.instance_id,
        boot_id=exporter.boot_id,
        device=batch.device,
        first_sequence=batch.first_sequence,
        time_ns=list(batch.monotonic_ns),
        bracket_ns=list(batch.bracket_ns),
        energy_mj=list(batch.energy_mj),
        flags=list(batch.flags),
        missed_ticks=batch.missed_ticks,
        monotonic_ns=clock.monotonic_ns,
        realtime_ns=clock.realtime_ns,
        owners=owners,
        look=_look(batch.look) if batch.HasField("look") else None,
        suspect=tuple(batch.look.suspect),
    )


def _look(look: pb.Look) -> Diagnostics:
    told = {field.name: value for field, value in look.ListFields() if field.name in _LOOK_FIELDS}
    return Diagnostics(time_ns=look.monotonic_ns, **told)
