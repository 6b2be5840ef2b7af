"""The operator's process: who starts what, and how it ends."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiohttp
import kopf
from kubernetes.aio import config as kube_config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from joulebench_api.configuration import OperatorConfiguration
from joulebench_operator import metrics, watching, web
from joulebench_operator.auditing import Audit
from joulebench_operator.cache import Cache
from joulebench_operator.decision import Context, Controller, Settings
from joulebench_operator.errors import ApiRefusalError, BadOptionError
from joulebench_operator.exporter_pods import ExporterPods
from joulebench_operator.health import Health
from joulebench_operator.inquiring import Inquirer
from joulebench_operator.kinds import OWN, Key
from joulebench_operator.kube import Kube
from joulebench_operator.leadership import Election, lead
from joulebench_operator.objects import key_of
from joulebench_operator.options import Options
from joulebench_operator.reconciling import Reconciler
from joulebench_operator.work_queue import WorkQueue

_LOG: Final = logging.getLogger(__name__)

_WORKERS: Final = 8
_RESYNC_SECONDS: Final = 600.0
"""Everything is looked at again so often, whether or not something happened."""
_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


async def run(options: Options, configuration: OperatorConfiguration, *, controllers: Sequence[Controller]) -> int:
    """Run until SIGTERM or SIGINT, or until the Lease is lost; the exit status.

    Raises BadOptionError for an address that cannot be listened at, and without a way to the API server.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def take_signals() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)

    take_signals()
    health = Health()
    async with (
        _client() as client,
        web.serving(metrics_listen=options.metrics_listen, probes_listen=options.probes_listen, health=health),
    ):
        operator = _Operator(
            options, configuration, controllers, client=client, health=health, take_signals=take_signals
        )
        election = _election(options, client)
        leading = operator.work() if election is None else lead(election, name=_name(options), work=operator.work)
        working = asyncio.create_task(leading)
        stopping = asyncio.create_task(stopped.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        failed = working.done()
        for task in (working, stopping):
            task.cancel()
        outcome, _ = await asyncio.gather(working, stopping, return_exceptions=True)
        await operator.close()
        if election is not None:
            await election.resign()
        if isinstance(outcome, Exception):
            raise outcome
        return 1 if failed else 0


def _election(options: Options, client: ApiClient) -> Election | None:
    if options.candidacy is None:
        return None
    return Election(options.candidacy, kube=Kube(client), clock=time.monotonic)


def _name(options: Options) -> str:
    return "" if options.candidacy is None else options.candidacy.name


@asynccontextmanager
async def _client() -> AsyncIterator[ApiClient]:
    """A client with the pod's own rights, or those of the kubeconfig (KUBECONFIG)."""
    chosen = Configuration()
    try:
        if _SERVICE_ACCOUNT.exists():
            kube_config.load_incluster_config(client_configuration=chosen)  # type: ignore[no-untyped-call]
        else:
            await kube_config.load_kube_config(client_configuration=chosen)  # type: ignore[no-untyped-call]
    except kube_config.ConfigException as error:
        raise BadOptionError(f"no way to the API server: {error}", remedy="Set KUBECONFIG, or run in a pod.") from error
    # Like kopf's watches: no proxy, and no .netrc, which would be read anew by a thread for each request.
    chosen.client_session_kwargs = {"trust_env": False}
    client = ApiClient(configuration=chosen)
    try:
        yield client
    finally:
        await client.close()  # type: ignore[no-untyped-call]  # the library has no types here


class _Operator:
    """The part that only the leader runs: watches, workers, inquiries, audit."""

    def __init__(
        self,
        options: Options,
        configuration: OperatorConfiguration,
        controllers: Sequence[Controller],
        *,
        client: ApiClient,
        health: Health,
        take_signals: Callable[[], None],
    ) -> None:
        self._take_signals = take_signals
        self._options = options
        self._controllers = controllers
        self._configuration = configuration
        self._kube = Kube(client)
        self._health = health
        self._cache = Cache()
        self._tasks: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None
        self._inquirer: Inquirer | None = None

    async def work(self) -> None:
        """Work until cancelled; ends by itself only if a part of it died."""
        queue = WorkQueue(waited=metrics.QUEUE_SECONDS.observe)
        self._http = aiohttp.ClientSession()
        self._inquirer = Inquirer(
            cache=self._cache,
            kube=self._kube,
            http=self._http,
            changed=queue.add,
            exporter_token=self._options.exporter_token_file,
        )
        reconciler = Reconciler(
            self._controllers,
            cache=self._cache,
            kube=self._kube,
            inquirer=self._inquirer,
            context=self._context,
            clock=time.monotonic,
            identity=self._options.identity,
        )
        audit = Audit(
            cache=self._cache,
            kube=self._kube,
            namespaces=self._options.watch_namespaces,
            gone=lambda item: watching.forget(item, self._cache, queue.add),
        )
        self._health.queue, self._health.audit = queue, audit
        parts = [
            self._watch(queue),
            audit.run(),
            self._resync(queue),
            *self._exporters(queue),
            _visit_all(queue, reconciler, audit),
        ]
        self._tasks = {asyncio.create_task(part) for part in parts}
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        _LOG.error("a part of the operator ended")

    async def close(self) -> None:
        """End all parts."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._inquirer is not None:
            await self._inquirer.close()
        if self._http is not None:
            await self._http.close()

    def _context(self) -> Context:
        options = self._options
        settings = Settings(
            images=options.images,
            exporter_namespace=options.exporter_namespace,
            exporter_audience=options.exporter_audience,
            exporter_port=options.exporter_port,
        )
        return Context(cache=self._cache, configuration=self._configuration, now=datetime.now(UTC), settings=settings)

    async def _watch(self, queue: WorkQueue) -> None:
        def add(key: Key, *, is_new: bool = False) -> None:
            metrics.QUEUE_ADDS.inc()
            queue.add(key, is_new=is_new)

        others = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=watching.registry(self._cache, add),
            settings=watching.settings(),
            # A type that kopf does not publish; without it, kopf asks for the user's name, and may find none.
            identity=self._options.identity,  # type: ignore[arg-type]
            standalone=True,
            **watching.scope(self._options.watch_namespaces),
        )
        # kopf has just taken them; it would end its own tasks alone.
        self._take_signals()
        await kopf.run_tasks(tasks, ignored=others)

    def _exporters(self, queue: WorkQueue) -> list[Coroutine[None, None, None]]:
        namespace, watched = self._options.exporter_namespace, self._options.watch_namespaces
        if namespace is None or not watched or namespace in watched:
            return []
        return [ExporterPods(namespace, cache=self._cache, kube=self._kube, changed=queue.add).run()]

    async def _resync(self, queue: WorkQueue) -> None:
        while True:
            await asyncio.sleep(_RESYNC_SECONDS)
            for kind in OWN:
                for item in self._cache.everywhere(kind):
                    queue.add(key_of(item))


async def _visit_all(queue: WorkQueue, reconciler: Reconciler, audit: Audit) -> None:
    """Look at whatever the queue gives, once the picture is whole."""
    await audit.until_whole()
    async with asyncio.TaskGroup() as workers:
        for _ in range(_WORKERS):
            workers.create_task(_worker(queue, reconciler))


async def _worker(queue: WorkQueue, reconciler: Reconciler) -> None:
    while True:
        key = await queue.get()
        began = time.monotonic()
        try:
            again = await reconciler.visit(key)
        except Exception as error:  # noqa: BLE001 - told with its traceback
            # One object's trouble must not end the others' work; it is told, counted, and tried again.
            _failed(queue, key, error)
        else:
            queue.succeeded(key)
            metrics.VISITS.labels(controller=key.kind, result="success").inc()
            if again is not None:
                queue.add_after(key, again)
        finally:
            metrics.VISIT_SECONDS.labels(controller=key.kind).observe(time.monotonic() - began)
            queue.done(key)


def _failed(queue: WorkQueue, key: Key, error: Exception) -> None:
    wait = error.retry_after_seconds if isinstance(error, ApiRefusalError) else None
    delay = queue.failed(key, at_least_seconds=wait or 0.0)
    metrics.VISITS.labels(controller=key.kind, result="error").inc()
    metrics.QUEUE_RETRIES.inc()
    expected = isinstance(error, ApiRefusalError | aiohttp.ClientError | TimeoutError)
    _LOG.warning(
        "a visit failed",
        extra={"object": str(key), "error": f"{type(error).__name__}: {error}", "again_in_seconds": delay},
        exc_info=None if expected else error,
    )


def identity() -> str:
    """This replica's name: the pod's, or the machine's and the process's."""
    return os.environ.get("POD_NAME") or f"{os.uname().nodename}-{os.getpid()}"
