"""One replica works, the others wait: a Lease, renewed by whoever holds it, in client-go's manner
(https://pkg.go.dev/k8s.io/client-go/tools/leaderelection): times in the Lease are for people, each replica judges by
its own clock how long the Lease has not changed.

The client library has an election of its own; its release 37 cannot create a Lease, and one refused connection ends it.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp

from joulebench_operator import metrics
from joulebench_operator.errors import ApiRefusalError
from joulebench_operator.kinds import LEASE
from joulebench_operator.kube import Kube
from joulebench_operator.objects import Object

_LOG: Final = logging.getLogger(__name__)

LEASE_SECONDS: Final = 12
"""How long a Lease that nobody renews is respected; whole seconds, as the Lease has them."""
RENEW_SECONDS: Final = 8.0
"""How long its holder goes on without having renewed it."""
RETRY_SECONDS: Final = 2.0

_NOT_FOUND: Final = 404


@dataclass(frozen=True)
class Candidacy:
    """Which Lease is contended for, and under what name."""

    namespace: str
    name: str
    identity: str

    @property
    def path(self) -> str:
        """Of the Lease."""
        return LEASE.path(self.namespace, self.name)


class Election:
    """One candidate's view of the Lease.

    Args:
        clock: seconds; never the time of day.
    """

    def __init__(self, candidacy: Candidacy, *, kube: Kube, clock: Callable[[], float]) -> None:
        self._candidacy = candidacy
        self._kube = kube
        self._clock = clock
        self._seen: tuple[str, float] | None = None
        """The Lease's last resource version, and when it was first seen."""

    async def won(self) -> None:
        """Until this candidate holds the Lease."""
        while not await self._tried():  # noqa: ASYNC110 - the Lease is no event of ours
            await asyncio.sleep(RETRY_SECONDS)

    async def lost(self) -> None:
        """Renew it until that fails for too long."""
        renewed = self._clock()
        while self._clock() - renewed < RENEW_SECONDS:
            await asyncio.sleep(RETRY_SECONDS)
            if await self._tried():
                renewed = self._clock()

    async def resign(self) -> None:
        """Give it back, so that others need not wait for its end; nothing happens if that cannot be done."""
        try:
            lease = await self._kube.read(self._candidacy.path)
            if lease["spec"].get("holderIdentity") == self._candidacy.identity:
                await self._write(lease, {"holderIdentity": None})
        except (ApiRefusalError, aiohttp.ClientError, TimeoutError) as error:
            _LOG.warning("the lease was not given back; it ends by itself", extra={"error": str(error)})

    async def _tried(self) -> bool:
        """Take or renew the Lease; whether it is this candidate's now."""
        try:
            return await asyncio.wait_for(self._take(), RENEW_SECONDS / 2)
        except (ApiRefusalError, aiohttp.ClientError, TimeoutError) as error:
            # Somebody was faster, or the API server is away: both look the same from here, and pass.
            _LOG.info("the lease was not written", extra={"error": f"{type(error).__name__}: {error}"})
            return False

    async def _take(self) -> bool:
        try:
            lease = await self._kube.read(self._candidacy.path)
        except ApiRefusalError as error:
            if error.status != _NOT_FOUND:
                raise
            await self._kube.post(LEASE.path(self._candidacy.namespace), self._new())
            return True
        if not self._may_take(lease):
            return False
        await self._write(lease, self._terms(lease))
        return True

    def _may_take(self, lease: Object) -> bool:
        holder, version = lease["spec"].get("holderIdentity"), lease["metadata"]["resourceVersion"]
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, self._clock())
        respected = lease["spec"].get("leaseDurationSeconds") or LEASE_SECONDS
        return holder in (None, "", self._candidacy.identity) or self._clock() - self._seen[1] >= respected

    def _new(self) -> Object:
        metadata = {"name": self._candidacy.name, "namespace": self._candidacy.namespace}
        return {"apiVersion": LEASE.api_version, "kind": LEASE.name, "metadata": metadata, "spec": self._terms(None)}

    def _terms(self, lease: Object | None) -> Object:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {} if lease is None else lease["spec"]
        stays = spec.get("holderIdentity") == self._candidacy.identity
        return {
            "holderIdentity": self._candidacy.identity,
            "leaseDurationSeconds": LEASE_SECONDS,
            "acquireTime": spec.get("acquireTime") if stays else now,
            "renewTime": now,
            "leaseTransitions": spec.get("leaseTransitions", 0) + (0 if stays or lease is None else 1),
        }

    async def _write(self, lease: Object, spec: Object) -> None:
        # With the version that was read: if somebody else has written it meanwhile, this is refused.
        metadata = {"resourceVersion": lease["metadata"]["resourceVersion"]}
        await self._kube.merge(self._candidacy.path, {"metadata": metadata, "spec": spec})


async def lead(election: Election, *, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Wait for the Lease, then work; returns when it is lost or when the work ends, and both are over then."""
    gauge = metrics.LEADER.labels(name=name)
    gauge.set(0)
    await election.won()
    gauge.set(1)
    _LOG.info("leading", extra={"lease": name})
    working, losing = asyncio.create_task(work()), asyncio.create_task(election.lost())
    try:
        await asyncio.wait({working, losing}, return_when=asyncio.FIRST_COMPLETED)
        if losing.done():
            _LOG.error("the lease was lost", extra={"lease": name})
    finally:
        gauge.set(0)
        for task in (working, losing):
            task.cancel()
        outcome, _ = await asyncio.gather(working, losing, return_exceptions=True)
    if isinstance(outcome, Exception):
        raise outcome
