"""Do the watches still tell everything? Every minute the API server is asked for the versions of all objects.

A watch that falls silent is begun anew (`watching`); one that talks and leaves something out is found here. A version
that our picture still lacks half a minute later was never told: then the process is not healthy, and is started anew.

A watch that was away too long (410 Gone) is begun anew by kopf with a list, and no list tells what has gone meanwhile.
What our picture still has half a minute later is taken out of it here.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import aiohttp

from joulebench_operator import metrics
from joulebench_operator.cache import Cache
from joulebench_operator.errors import ApiRefusalError
from joulebench_operator.kinds import OWN, WATCHED, Key, Kind
from joulebench_operator.kube import Kube
from joulebench_operator.objects import Object, key_of
from joulebench_operator.watching import OURS

_LOG: Final = logging.getLogger(__name__)

ROUND_SECONDS: Final = 60.0
GRACE_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.05
_REFUSED_SECONDS: Final = 1.0
_LIST_AGAIN_SECONDS: Final = 5.0
"""What was listed, and then went before the watches began, is never told of."""


class Audit:
    """Compares our picture with the API server's, kind by kind.

    Args:
        gone: is told what has gone without a word, as it was last.
    """

    def __init__(
        self, *, cache: Cache, kube: Kube, namespaces: Sequence[str], gone: Callable[[Object], None] = lambda _: None
    ) -> None:
        self._gone = gone
        self._cache = cache
        self._kube = kube
        self._namespaces: Sequence[str | None] = namespaces or [None]
        self._missed: dict[str, set[Key]] = {}

    @property
    def missed(self) -> list[Key]:
        """Objects whose last change was not told."""
        return sorted(key for keys in self._missed.values() for key in keys)

    async def until_whole(self) -> None:
        """Wait until our picture has all that there is: no decision is good before."""
        while True:
            try:
                missing = {key: version for kind in WATCHED for key, version in (await self._listed(kind)).items()}
            except (ApiRefusalError, aiohttp.ClientError, TimeoutError) as error:
                _LOG.warning("what there is could not be listed", extra={"error": str(error)})
                await asyncio.sleep(_REFUSED_SECONDS)
                continue
            if await self._is_told(missing):
                return

    async def _is_told(self, missing: Mapping[Key, str]) -> bool:
        """Whether the watches tell all of these before it is time to list again."""
        for _ in range(round(_LIST_AGAIN_SECONDS / _LOOK_SECONDS)):
            missing = {key: version for key, version in missing.items() if self._behind(key, version)}
            if not missing:
                return True
            await asyncio.sleep(_LOOK_SECONDS)
        return False

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            await self.round(grace_seconds=GRACE_SECONDS)

    async def round(self, *, grace_seconds: float) -> None:
        """Look once: what is stale now must not be after the grace. A server that is away is no dead watch."""
        try:
            suspects = {kind: await self._suspects(kind) for kind in WATCHED}
            await asyncio.sleep(grace_seconds)
            for kind, (stale, vanished) in suspects.items():
                self._judge(kind, await self._still_stale(kind, stale))
                self._bury(vanished)
        except (ApiRefusalError, aiohttp.ClientError, TimeoutError) as error:
            _LOG.warning("the watches could not be checked", extra={"error": str(error)})

    async def _suspects(self, kind: Kind) -> tuple[Mapping[Key, str], list[Object]]:
        """What our picture has not, or has in an older version; and what it has alone."""
        known = [item for item in self._cache.everywhere(kind) if self._is_watched(item)]
        listed = await self._listed(kind)
        stale = {key: version for key, version in listed.items() if self._behind(key, version)}
        return stale, [item for item in known if key_of(item) not in listed]

    async def _still_stale(self, kind: Kind, stale: Mapping[Key, str]) -> set[Key]:
        """Which of these are no newer in our picture, and were not removed meanwhile."""
        behind = {key for key, version in stale.items() if self._behind(key, version)}
        return behind & (await self._listed(kind)).keys() if behind else set()

    def _bury(self, vanished: Sequence[Object]) -> None:
        """Take out of our picture what it still has as it was, though it was not listed."""
        for item in vanished:
            known = self._cache.get(key_of(item))
            if known is not None and _mark(known) == _mark(item):
                _LOG.warning("an object had gone without a word", extra={"object": str(key_of(item))})
                self._gone(known)

    def _is_watched(self, item: Object) -> bool:
        return self._namespaces == [None] or item["metadata"]["namespace"] in self._namespaces

    async def _listed(self, kind: Kind) -> Mapping[Key, str]:
        found: dict[Key, str] = {}
        for namespace in self._namespaces:
            found |= await self._kube.versions(kind, namespace, selector=None if kind in OWN else OURS)
        return found

    def _behind(self, key: Key, version: str) -> bool:
        known = self._cache.get(key)
        return known is None or int(known["metadata"]["resourceVersion"]) < int(version)

    def _judge(self, kind: Kind, missed: set[Key]) -> None:
        self._missed[kind.name] = missed
        metrics.MISSED_EVENTS.labels(kind=kind.name).set(len(missed))
        if missed:
            objects = [str(key) for key in sorted(missed)[:5]]
            _LOG.error("a watch does not tell changes", extra={"kind": kind.name, "objects": objects})


def _mark(item: Object) -> tuple[str | None, str]:
    return item["metadata"].get("uid"), item["metadata"]["resourceVersion"]
