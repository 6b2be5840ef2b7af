"""The exporter's pods, where their namespace is not among those that are watched: looked up every few seconds."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import aiohttp

from joulebench_operator.cache import Cache
from joulebench_operator.dependents import touched
from joulebench_operator.errors import ApiRefusalError
from joulebench_operator.kinds import POD, Key
from joulebench_operator.kube import Kube
from joulebench_operator.names import EXPORTER_PART, MANAGED_BY, MANAGER, PART_LABEL
from joulebench_operator.objects import Object, key_of

_LOG: Final = logging.getLogger(__name__)

ROUND_SECONDS: Final = 10.0
_SELECTOR: Final = f"{MANAGED_BY}={MANAGER},{PART_LABEL}={EXPORTER_PART}"


class ExporterPods:
    """Keeps the pods of one namespace in the cache, as a watch would.

    Args:
        changed: puts the key of an object that must be looked at into the queue.
    """

    def __init__(self, namespace: str, *, cache: Cache, kube: Kube, changed: Callable[[Key], None]) -> None:
        self._namespace = namespace
        self._cache = cache
        self._kube = kube
        self._changed = changed

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.round()
            await asyncio.sleep(ROUND_SECONDS)

    async def round(self) -> None:
        """Look once. While the API server is away, what was known stays."""
        try:
            listed = await self._kube.pods(self._namespace, _SELECTOR)
        except (ApiRefusalError, aiohttp.ClientError, TimeoutError) as error:
            _LOG.warning("the exporter's pods were not listed", extra={"error": str(error)})
            return
        # The items of a list do not say what they are.
        now = {key_of(pod): pod for pod in ({"apiVersion": POD.api_version, "kind": POD.name, **one} for one in listed)}
        known = {key_of(pod): pod for pod in self._cache.all(POD, self._namespace)}
        for key in known.keys() - now.keys():
            self._cache.remove(key)
            self._tell(known[key])
        for key, pod in now.items():
            if key not in known or _version(known[key]) != _version(pod):
                self._cache.put(pod)
                self._tell(pod)

    def _tell(self, pod: Object) -> None:
        for key in touched(pod, self._cache):
            self._changed(key)


def _version(pod: Object) -> str:
    return str(pod["metadata"]["resourceVersion"])
