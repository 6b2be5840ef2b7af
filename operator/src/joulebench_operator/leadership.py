"""One replica works, the others wait: a Lease, renewed by whoever holds it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

from joulebench_operator import metrics
from joulebench_operator.errors import ApiRefusalError
from joulebench_operator.kinds import LEASE
from joulebench_operator.kube import Kube

_LOG: Final = logging.getLogger(__name__)

LEASE_SECONDS: Final = 12.0
RENEW_SECONDS: Final = 8.0
RETRY_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Candidacy:
    """Which Lease is contended for, and under what name."""

    namespace: str
    name: str
    identity: str


class _PatientLock(LeaseLock):
    """A lock for which an API server that is away is a failure like any other, and not the end."""

    async def get(self, name: str, namespace: str) -> Any:
        try:
            return await super().get(name, namespace)
        except (aiohttp.ClientError, TimeoutError) as error:
            return False, ApiException(status=0, reason=str(error))

    async def create(self, name: str, namespace: str, election_record: Any) -> bool:
        try:
            return bool(await super().create(name, namespace, election_record))
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def update(self, name: str, namespace: str, updated_record: Any) -> bool:
        try:
            return bool(await super().update(name, namespace, updated_record))
        except (aiohttp.ClientError, TimeoutError):
            return False


async def lead(candidacy: Candidacy, *, client: ApiClient, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Wait for the Lease, then work; returns when it is lost or when the work ends, and both are over then."""
    gauge = metrics.LEADER.labels(name=candidacy.name)
    gauge.set(0)
    elected = asyncio.Event()

    async def tell() -> None:
        elected.set()

    election = asyncio.create_task(LeaderElection(_config(candidacy, client, tell)).run())
    try:
        await _first(election, elected.wait())
        if not elected.is_set():
            return
        gauge.set(1)
        _LOG.info("leading", extra={"lease": candidacy.name, "identity": candidacy.identity})
        await _first(election, work())
        if election.done():
            _LOG.error("the lease was lost", extra={"lease": candidacy.name, "identity": candidacy.identity})
    finally:
        gauge.set(0)
        election.cancel()
        await asyncio.gather(election, return_exceptions=True)


async def _first(election: asyncio.Task[None], other: Coroutine[Any, Any, Any]) -> None:
    """Until one of them ends; then the other coroutine is over too. Raises what it raised."""
    task = asyncio.create_task(other)
    try:
        await asyncio.wait({election, task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not task.done():
            task.cancel()
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
    if isinstance(outcome, Exception):
        raise outcome


def _config(candidacy: Candidacy, client: ApiClient, tell: Callable[[], Coroutine[Any, Any, None]]) -> Config:
    return Config(
        _PatientLock(candidacy.name, candidacy.namespace, candidacy.identity, client),
        lease_duration=LEASE_SECONDS,
        renew_deadline=RENEW_SECONDS,
        retry_period=RETRY_SECONDS,
        onstarted_leading=tell,
        onstopped_leading=tell,
    )


async def resign(candidacy: Candidacy, kube: Kube) -> None:
    """Give the Lease back, so that another replica need not wait for its end; nothing happens if it cannot be done."""
    path = LEASE.path(candidacy.namespace, candidacy.name)
    try:
        await _if_held(candidacy, kube, path)
    except (ApiRefusalError, aiohttp.ClientError, TimeoutError) as error:
        _LOG.warning("the lease was not given back; it ends by itself", extra={"error": str(error)})


async def _if_held(candidacy: Candidacy, kube: Kube, path: str) -> None:
    lease = await kube.read(path)
    if lease["spec"].get("holderIdentity") == candidacy.identity:
        version = lease["metadata"]["resourceVersion"]
        await kube.merge(path, {"metadata": {"resourceVersion": version}, "spec": {"holderIdentity": None}})
