"""The exporter's process: sensors, sampler, service and socket, from start to clean end."""

import asyncio
import json
import logging
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final, TextIO

from grpc import aio

from joulebench_exporter import __version__
from joulebench_exporter.access import Gate, GateInterceptor, MetricsGuard
from joulebench_exporter.clock import SystemClock
from joulebench_exporter.diagnosing import Diagnostician
from joulebench_exporter.host import boot_id
from joulebench_exporter.kube_api import KubeApi
from joulebench_exporter.kubelet import KubeletFollower
from joulebench_exporter.lifeline import on_end_of_input
from joulebench_exporter.listen import bound, unix_path
from joulebench_exporter.metrics import Source
from joulebench_exporter.options import ExporterOptions
from joulebench_exporter.ownership import OwnerBook
from joulebench_exporter.pod_groups import PodChanges
from joulebench_exporter.proto.energy_pb2_grpc import add_EnergyServicer_to_server
from joulebench_exporter.recording import open_record, record
from joulebench_exporter.sampler import Sampler
from joulebench_exporter.sensors.detect import Detected, SensorOptions, open_sensors
from joulebench_exporter.service import EnergyService
from joulebench_exporter.tls import Tls
from joulebench_exporter.web import Pages, serving_pages

_OPTIONS: Final = (
    # Without SO_REUSEPORT off, two exporters would share one port and each get half of the calls.
    ("grpc.so_reuseport", 0),
    # Subscribers ask every ten seconds whether we are still there, also while no device has a tick to tell.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)
# Streams end within one batch interval of a stop; who does not take the rest by then is left behind.
_GRACE_SECONDS: Final = 1.0
_SIMULATOR_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.02

_log = logging.getLogger(__name__)


@asynccontextmanager
async def serving(
    service: EnergyService, target: str, *, gate: Gate | None = None, tls: Tls | None = None
) -> AsyncIterator[str]:
    """Serve on a target (see `listen`) and yield the target to connect to; in the end let the streams finish."""
    interceptors = [] if gate is None else [GateInterceptor(gate)]
    server = aio.server(options=_OPTIONS, interceptors=interceptors)
    add_EnergyServicer_to_server(service, server)
    with bound(server, target, guarded=gate is not None, tls=tls) as address:
        await server.start()
        try:
            yield address
        finally:
            service.stop()
            await server.stop(_GRACE_SECONDS)


async def run(options: ExporterOptions) -> None:
    """Run until SIGTERM, SIGINT, the end of stdin (if asked for) or a failure of the sampler, which is raised."""
    stop = _Stop()
    stop.listen(with_stdin=options.exit_with_stdin)
    clock, boot, instance_id = SystemClock(ahead_ns=options.boot_offset_ns), _boot_id(options), uuid.uuid4().hex
    if not await _simulator_started(options.device_files, stop):
        return
    gate, guard = _access(options, clock)
    detected = _open_sensors(options, boot=boot, clock=clock)
    sampler = Sampler(sensors=detected.sensors, clock=clock, period_ns=options.period_ns, sleeps_when_idle=True)
    diagnostician = Diagnostician(channels=sampler.channels.values(), clock=clock)
    owners = OwnerBook(monotonic_ns=clock.monotonic_ns)
    service = EnergyService(
        sampler=sampler,
        clock=clock,
        instance_id=instance_id,
        boot_id=boot,
        notes=list(detected.notes),
        owners=owners,
        looks=diagnostician.looks,
        batch_seconds=options.batch_seconds,
    )
    with ExitStack() as stack:
        stack.callback(sampler.stop)
        recording = None if options.record is None else stack.enter_context(open_record(options.record))
        stack.callback(diagnostician.stop)
        source = Source(sampler=sampler, diagnostician=diagnostician, owners=owners, clock=clock)
        sampler.start(on_failure=stop.fail)
        diagnostician.start(on_failure=stop.fail)
        async with (
            _recording(recording, source, options),
            _serving_http(options, source, guard),
            _following_owners(options, sampler, owners),
            serving(service, options.listen, gate=gate, tls=options.tls) as address,
        ):
            _log_start(address, detected, sampler)
            with _ready_file(options.ready_file, address=address, instance_id=instance_id, boot=boot):
                reason = await stop.wait()
            _log.info("stopping", extra={"reason": reason})
    stop.raise_failure()


async def _simulator_started(device_files: Sequence[Path], stop: "_Stop") -> bool:
    """Give a simulator that starts beside us the time to make its files; False: we were stopped meanwhile."""
    deadline = time.monotonic() + _SIMULATOR_SECONDS
    while not all(path.exists() for path in device_files) and time.monotonic() < deadline:
        if stop.set:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


def _access(options: ExporterOptions, clock: SystemClock) -> tuple[Gate | None, MetricsGuard | None]:
    """Who is asked for a token. Over a Unix socket nobody: its permissions are enough."""
    for_streams = options.ask_for_tokens and unix_path(options.listen) is None
    if not for_streams and not options.ask_scrapers_for_tokens:
        return None, None
    if options.tls is None:
        _log.warning("tokens travel unencrypted: give --tls-cert and --tls-key, or trust the network")
    api = KubeApi.of_this_pod()
    gate = Gate(api, clock=clock, audience=options.audience, namespaces=options.namespaces) if for_streams else None
    return gate, MetricsGuard(api, clock=clock) if options.ask_scrapers_for_tokens else None


@asynccontextmanager
async def _serving_http(options: ExporterOptions, source: Source, guard: MetricsGuard | None) -> AsyncIterator[None]:
    """Metrics and health, if an address was given."""
    if options.http is None:
        yield
        return
    tls = None if options.tls is None else options.tls.context()
    async with serving_pages(Pages(source, guard=guard), options.http, tls=tls) as url:
        _log.info("serving HTTP", extra={"url": url})
        yield


@asynccontextmanager
async def _recording(file: TextIO | None, source: Source, options: ExporterOptions) -> AsyncIterator[None]:
    """The plain log, if one is wanted."""
    if file is None:
        yield
        return
    async with _in_background(record(source, file, period_seconds=options.record_seconds)):
        yield


@asynccontextmanager
async def _following_owners(options: ExporterOptions, sampler: Sampler, book: OwnerBook) -> AsyncIterator[None]:
    """Keep the book of owners while the exporter runs."""
    if options.pod_resources is None:
        yield
        return
    with PodChanges(options.pod_groups) as changes:
        follower = KubeletFollower(
            socket=options.pod_resources,
            devices=[channel.info for channel in sampler.channels.values()],
            book=book,
            changes=changes,
            period_seconds=options.owners_seconds,
        )
        async with _in_background(follower.run()):
            yield


@asynccontextmanager
async def _in_background(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _boot_id(options: ExporterOptions) -> str:
    """Of this machine, or of the other one that tests make of it."""
    boot = boot_id()
    return str(uuid.uuid5(uuid.UUID(boot), str(options.boot_offset_ns))) if options.boot_offset_ns else boot


def _open_sensors(options: ExporterOptions, *, boot: str, clock: SystemClock) -> Detected:
    sensor_options = SensorOptions(
        boot_id=boot,
        uptime_ns=clock.boottime_ns,
        rapl_root=options.rapl_root,
        idle_watts=options.idle_watts,
        watts_per_core=options.watts_per_core,
        device_files=options.device_files,
        simulated_rhythm=options.simulated_rhythm,
        monotonic_ns=clock.monotonic_ns,
        ahead_ns=clock.ahead_ns,
    )
    return open_sensors(options.sensors, sensor_options)


class _Stop:
    """The first of several reasons to stop, from signals and from threads."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reason: asyncio.Future[str] = self._loop.create_future()
        self._failure: Exception | None = None

    def listen(self, *, with_stdin: bool) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._set, number.name)
        if with_stdin:
            on_end_of_input(lambda: self._set_from_thread("stdin was closed"))

    def fail(self, error: Exception) -> None:
        self._failure = error
        self._set_from_thread("the sampler failed")

    @property
    def set(self) -> bool:
        return self._reason.done()

    async def wait(self) -> str:
        return await self._reason

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _set(self, reason: str) -> None:
        if not self._reason.done():
            self._reason.set_result(reason)

    def _set_from_thread(self, reason: str) -> None:
        with suppress(RuntimeError):  # the loop is closed: there is nothing left to stop
            self._loop.call_soon_threadsafe(self._set, reason)


def _log_start(address: str, detected: Detected, sampler: Sampler) -> None:
    for note in detected.notes:
        _log.warning(note)
    for channel in sampler.channels.values():
        info = channel.info
        _log.info("device", extra={"device": info.uuid, "kind": str(info.sensor_kind), "source": info.source})
    _log.info("listening", extra={"address": address, "version": __version__, "devices": len(sampler.channels)})


@contextmanager
def _ready_file(path: Path | None, *, address: str, instance_id: str, boot: str) -> Iterator[None]:
    """A file that is there, complete, for as long as the exporter listens."""
    if path is None:
        yield
        return
    content = {"address": address, "instance_id": instance_id, "boot_id": boot, "pid": os.getpid()}
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content) + "\n", encoding="utf-8")
    draft.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
