"""Do the watches still tell everything? Every minute the API server is asked for the versions of all objects.

A watch can die without a word, and kopf's own liveness endpoint does not notice. A version that our picture still lacks
at the next look, half a minute later, was never told: then the process is not healthy, and is started anew.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

import aiohttp

from joulebench_operator import metrics
from joulebench_operator.cache import Cache
from joulebench_operator.errors import ApiRefusalError
from joulebench_operator.kinds import OWN, WATCHED, Key, Kind
from joulebench_operator.kube import Kube
from joulebench_operator.watching import OURS

_LOG: Final = logging.getLogger(__name__)

ROUND_SECONDS: Final = 60.0
GRACE_SECONDS: Final = 30.0


class Audit:
    """Compares our picture with the API server's, kind by kind."""

    def __init__(self, *, cache: Cache, kube: Kube, namespaces: Sequence[str]) -> None:
        self._cache = cache
        self._kube = kube
        self._namespaces: Sequence[str | None] = namespaces or [None]
        self._missed: dict[str, set[Key]] = {}

    @property
    def missed(self) -> list[Key]:
        """Objects whose last change was not told."""
        return sorted(key for keys in self._missed.values() for key in keys)

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            await self.round(grace_seconds=GRACE_SECONDS)

    async def round(self, *, grace_seconds: float) -> None:
        """Look once: what is stale now must not be after the grace. A server that is away is no dead watch."""
        try:
            suspects = {kind: await self._stale(kind) for kind in WATCHED}
            await asyncio.sleep(grace_seconds)
        except (ApiRefusalError, aiohttp.ClientError, TimeoutError) as error:
            _LOG.warning("the watches could not be checked", extra={"error": str(error)})
            return
        for kind, stale in suspects.items():
            self._judge(kind, {key for key, version in stale.items() if self._behind(key, version)})

    async def _stale(self, kind: Kind) -> Mapping[Key, str]:
        found: dict[Key, str] = {}
        for namespace in self._namespaces:
            found |= await self._kube.versions(kind, namespace, selector=None if kind in OWN else OURS)
        return {key: version for key, version in found.items() if self._behind(key, version)}

    def _behind(self, key: Key, version: str) -> bool:
        known = self._cache.get(key)
        return known is None or int(known["metadata"]["resourceVersion"]) < int(version)

    def _judge(self, kind: Kind, missed: set[Key]) -> None:
        self._missed[kind.name] = missed
        metrics.MISSED_EVENTS.labels(kind=kind.name).set(len(missed))
        if missed:
            objects = [str(key) for key in sorted(missed)[:5]]
            _LOG.error("a watch does not tell changes", extra={"kind": kind.name, "objects": objects})
