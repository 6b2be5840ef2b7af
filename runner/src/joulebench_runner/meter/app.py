"""The meter put together: what runs from its start until nothing more comes. `__main__` starts and ends it."""

import asyncio
import contextlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from joulebench_api.contracts.meter import DriverDone, Finalise, MeterStatus, Stage, StageEvent
from joulebench_api.contracts.topology import Topology
from joulebench_runner.config import EnergySettings, MeterSettings, StoreSettings, Upstream
from joulebench_runner.errors import BadInputError, JournalError, RunnerError
from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import Kind
from joulebench_runner.journal.writer import Journal
from joulebench_runner.meter import status
from joulebench_runner.meter.attendance import Attendance
from joulebench_runner.meter.client import AiohttpClient
from joulebench_runner.meter.control import Control
from joulebench_runner.meter.discovery import Discovery
from joulebench_runner.meter.energy import Energy
from joulebench_runner.meter.exporter import Access, GrpcExporter
from joulebench_runner.meter.http import serve_tcp, serve_unix
from joulebench_runner.meter.prior import prior_of
from joulebench_runner.meter.proxy import Proxy
from joulebench_runner.meter.readiness import wait_found, wait_ready
from joulebench_runner.meter.replicas import Replicas
from joulebench_runner.meter.scrape import Scraper
from joulebench_runner.meter.scraping import Scrapers
from joulebench_runner.meter.sleep import SleepWatch
from joulebench_runner.meter.state import MeterState
from joulebench_runner.meter.topology import TopologyWatch
from joulebench_runner.meter.upstream import UpstreamServer
from joulebench_runner.store.copier import Copier
from joulebench_runner.store.opening import open_store

LAST_TICKS_SECONDS: Final = 2.0
"""How long the meter waits for ticks past the end of the measured window."""


class Meter:
    """One meter. Create it inside the event loop, `start()`, wait for `ended()`, then `stop()`."""

    def __init__(self, settings: MeterSettings, *, environ: Mapping[str, str]) -> None:
        """Opens the journal and reads what lies in it. Raises RunnerError for settings that cannot work."""
        folder = settings.journal_folder
        prior = prior_of(read(folder))
        self.settings = settings
        self.copier = None if settings.store is None else _copier(settings.store, settings.run_dir, environ)
        self.journal = Journal(
            folder,
            run_id=settings.run_id,
            run_name=settings.run_name,
            instance_id=secrets.token_hex(8),
            on_closed=self._segment_closed,
        )
        self.state = MeterState(
            run_id=settings.run_id,
            aliases=[upstream.alias for upstream in settings.upstreams],
            prior=prior,
            on_finding=self._note_finding,
        )
        self.energy = Energy(
            settings.energy,
            connect=partial(GrpcExporter.connect, access=_access(settings.energy)),
            journal=self.journal,
            from_topology=settings.topology_file is not None,
        )
        self._client = AiohttpClient()
        self._replicas = {upstream.alias: _replicas(upstream, settings) for upstream in settings.upstreams}
        self._discoveries = {
            upstream.alias: Discovery(
                self._replicas[upstream.alias],
                routing=upstream.routing,
                on_gone=partial(self._note_finding, upstream.alias),
            )
            for upstream in settings.upstreams
            if not upstream.base_urls
        }
        self._topology = (
            None
            if settings.topology_file is None
            else TopologyWatch(settings.topology_file, journal=self.journal, on_change=self._on_topology)
        )
        self._servers = {
            upstream.alias: UpstreamServer(
                upstream,
                client=self._client,
                journal=self.journal,
                state=self.state,
                environ=environ,
                replicas=self._replicas[upstream.alias],
            )
            for upstream in settings.upstreams
        }
        self.driver_missing = False
        """Whether the run ends because its driver died, or never came."""
        self._attendance = Attendance()
        self._stopping: asyncio.Task[None] | None = None
        self._ending: asyncio.Future[Finalise] = asyncio.get_running_loop().create_future()
        self._ready: dict[str, asyncio.Task[None]] = {}
        self._background: list[asyncio.Task[None]] = []
        self._copying: list[asyncio.Task[None]] = []
        self._cleanup = contextlib.AsyncExitStack()
        self._proxy_stack = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Listen everywhere, write the ready file, then begin to follow servers and exporters."""
        settings = self.settings
        self._enter(Stage.STARTUP)
        control = Control(journal=self.journal, state=self.state, run=self, ready=self._all_ready, status=self.status)
        proxy = Proxy(self._servers, client=self._client).application()
        read_only = status.application(self.state, status=self.status)
        proxy_runner, proxy_url = await serve_tcp(
            proxy, host=settings.proxy_host, port=settings.proxy_port, name="proxy"
        )
        self._proxy_stack.push_async_callback(proxy_runner.cleanup)
        status_runner, status_url = await serve_tcp(
            read_only, host=settings.status_host, port=settings.status_port, name="status page"
        )
        self._cleanup.push_async_callback(status_runner.cleanup)
        self._ready = {
            alias: asyncio.create_task(self._become_ready(server), name=f"ready {alias}")
            for alias, server in self._servers.items()
        }
        control_runner = await serve_unix(control.application(), path=settings.control_socket)
        self._cleanup.push_async_callback(control_runner.cleanup)
        _write_atomically(settings.ready_file, {"proxy_url": proxy_url, "status_url": status_url})
        self._follow()

    async def ended(self) -> Finalise:
        """Wait until nothing more comes. Raises JournalError if the journal cannot be written any more."""
        failed = asyncio.create_task(self.journal.failed.wait())
        try:
            await asyncio.wait(list[asyncio.Future[Any]]([self._ending, failed]), return_when=asyncio.FIRST_COMPLETED)
        finally:
            failed.cancel()
        if self.journal.error is not None:
            raise self.journal.error
        return self._ending.result()

    def interrupt(self, reason: str) -> None:
        """End early. A driver that decides when the run is over is asked to end, and ends first."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._interrupt(reason), name="interrupt")

    async def stop_measuring(self) -> None:
        """Take no more calls, wait for the last ticks, stop following, close the journal. `/status` goes on."""
        await self._proxy_stack.aclose()
        self._leave_stage()
        end_ns = self.state.run_ended_ns
        if end_ns is not None and not await self.energy.wait_past(end_ns, timeout_seconds=LAST_TICKS_SECONDS):
            self._note("energy", "last ticks", "no tick came past the end of the measured window in time")
        await _cancelled([*self._background, *self._ready.values()])
        self._attendance.dismiss("the run is over")
        self._enter(Stage.EXPORT)
        await self._client.close()
        await self.journal.close()

    async def copy_rest(self) -> None:
        """Copy what the store still lacks of the run's folder. Raises StoreError if it is away for too long."""
        if self.copier is not None:
            await _cancelled(self._copying)
            await self.copier.finish()

    async def close(self) -> None:
        """Stop everything that is left; safe to call at any point."""
        await _cancelled(self._copying)
        if self._stopping is not None:
            await _cancelled([self._stopping])
        if self.copier is not None:
            self.copier.close()
        await _cancelled([*self._background, *self._ready.values()])
        await self._proxy_stack.aclose()
        await self._cleanup.aclose()
        await self._client.close()
        with contextlib.suppress(JournalError):  # whoever waited for the journal was told
            await self.journal.close()
        self.settings.control_socket.unlink(missing_ok=True)

    def status(self) -> MeterStatus:
        """What others may see."""
        store = None if self.copier is None else self.copier.state()
        return self.state.status(self.energy.state(), store=store)

    def driver_done(self, done: DriverDone) -> None:
        """See control.Run."""
        if self.settings.finalise_on == "driver-done":
            self.finalise(Finalise(outcome=done.outcome, message=done.message, remedy=done.remedy))

    def finalise(self, finalise: Finalise) -> None:
        """See control.Run. The first one counts."""
        if not self._ending.done():
            self._ending.set_result(finalise)

    def on_stage(self, event: StageEvent) -> None:
        """See control.Run."""
        if event.stage is Stage.RUN and event.event == "start":
            self.energy.mark_run()

    async def attend(self) -> str:
        """See control.Run."""
        return await self._attendance.attend()

    async def _interrupt(self, reason: str) -> None:
        if self.settings.finalise_on == "driver-done":
            self._attendance.dismiss(reason)
            await self._attendance.left(within_seconds=self.settings.driver_stop_seconds)
        self.finalise(Finalise(outcome="interrupted", message=reason))

    async def _miss_driver(self) -> None:
        """End the run if there is no driver: what was answered is kept, and another pod can go on."""
        settings = self.settings
        words = await self._attendance.missed(
            first_seconds=settings.driver_start_seconds, again_seconds=settings.driver_gone_seconds
        )
        if not self._ending.done():
            self.driver_missing = True
            self.finalise(Finalise(outcome="interrupted", message=words, remedy="See the log of the driver."))

    async def _all_ready(self) -> None:
        for task in self._ready.values():
            await asyncio.shield(task)

    async def _become_ready(self, server: UpstreamServer) -> None:
        upstream = server.settings
        try:
            for note in await self._wait_ready(server):
                self.state.find(upstream.alias, note)
        except RunnerError as error:
            self.state.on_server(upstream.alias, "failed", message=error.message)
            raise
        self.state.on_server(upstream.alias, "ready")

    async def _wait_ready(self, server: UpstreamServer) -> list[str]:
        upstream = server.settings

        def on_waiting(reason: str) -> None:
            self.state.on_server(upstream.alias, "waiting", message=reason)

        async def check(urls: Sequence[str]) -> list[str]:
            return await wait_ready(
                upstream, client=self._client, credentials=server.credentials, on_waiting=on_waiting, urls=urls
            )

        discovery = self._discoveries.get(upstream.alias)
        if discovery is None:
            return await check(upstream.base_urls)
        return await wait_found(
            upstream,
            replicas=server.replicas,
            check=check,
            problem=lambda: self._topology_problem() or discovery.problem,
            on_waiting=on_waiting,
        )

    def _topology_problem(self) -> str | None:
        return None if self._topology is None else self._topology.problem

    def _on_topology(self, topology: Topology) -> None:
        servers = {server.alias: server for server in topology.servers}
        for alias, discovery in self._discoveries.items():
            discovery.on_server(servers.get(alias))
        self.energy.on_topology(topology)

    def _follow(self) -> None:
        self._background = [asyncio.create_task(self.energy.run(), name="energy")]
        self._background.append(asyncio.create_task(SleepWatch(self.journal).run(), name="sleep"))
        if self.settings.finalise_on == "driver-done":
            self._background.append(asyncio.create_task(self._miss_driver(), name="miss the driver"))
        scrapers = Scrapers(self.settings.upstreams, replicas=self._replicas, make=self._scraper)
        self._background.append(asyncio.create_task(scrapers.run(), name="scrape"))
        if self._topology is not None:
            self._background.append(asyncio.create_task(self._topology.run(), name="topology"))
        self._background += [
            asyncio.create_task(discovery.run(), name="discovery") for discovery in self._discoveries.values()
        ]
        if self.copier is not None:
            self._copying = [asyncio.create_task(self.copier.run(), name="copier")]
        for task in (*self._background, *self._copying):
            task.add_done_callback(_report_crash)

    def _scraper(self, upstream: Upstream, url: str) -> Scraper:
        return Scraper(
            upstream,
            base_url=url,
            client=self._client,
            journal=self.journal,
            in_flight=self.state.in_flight,
            credentials=self._servers[upstream.alias].credentials,
            interval_seconds=self.settings.scrape_interval_seconds,
        )

    def _enter(self, stage: Stage) -> None:
        self._stage_event(StageEvent(stage=stage, event="start"))

    def _leave_stage(self) -> None:
        """A stage that its driver could not leave ends here: no more questions can come."""
        if self.state.stage_open:
            self._stage_event(StageEvent(stage=self.state.stage, event="end"))

    def _stage_event(self, event: StageEvent) -> None:
        self.state.on_stage(event)
        self.journal.append(Kind.STAGE, stage=event.stage.value, event=event.event)

    def _segment_closed(self, path: Path) -> None:
        if self.copier is not None:
            self.copier.segment_closed(path)

    def _note_finding(self, alias: str, message: str) -> None:
        self._note("server", alias, message)

    def _note(self, topic: str, subject: str, message: str) -> None:
        self.journal.append(Kind.NOTE, topic=topic, subject=subject, message=message)


def _replicas(upstream: Upstream, settings: MeterSettings) -> Replicas:
    if upstream.base_urls:
        return Replicas(upstream.base_urls, routing=upstream.routing)
    if settings.topology_file is None:
        raise BadInputError(
            f"upstreams: {upstream.alias!r} has no base_urls, and there is no topology_file",
            remedy="Name the server's addresses, or the file that says where its pods are.",
        )
    return Replicas(routing=upstream.routing, changing=True)


def _access(settings: EnergySettings) -> Access:
    return Access(token_file=settings.token_file, ca_file=settings.ca_file, tls_server_name=settings.tls_server_name)


def _copier(settings: StoreSettings, folder: Path, environ: Mapping[str, str]) -> Copier:
    return Copier(lambda: open_store(settings, environ=environ), folder, url=settings.url)


def _write_atomically(path: Path, content: Mapping[str, str]) -> None:
    """Whoever sees the file sees all of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content) + "\n")
    draft.replace(path)


def _report_crash(task: asyncio.Task[None]) -> None:
    """What follows servers and exporters never ends by itself; if it does, that is a defect to be seen in the log."""
    if not task.cancelled() and task.exception() is not None:
        context = {"message": f"the meter's task {task.get_name()!r} died", "exception": task.exception()}
        task.get_loop().call_exception_handler(context)


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
