"""An API server in memory, as far as the operator's own requests go: versions, owners, refusals on demand.

It has no schema, no admission and no garbage collector: what depends on those is tested on a real API server.
"""

import copy
import itertools
from collections.abc import Mapping
from typing import Any

from joulebench_operator.errors import ApiRefusalError
from joulebench_operator.kinds import Key
from joulebench_operator.objects import Object, key_of


def refusal(status: int, words: str = "no") -> ApiRefusalError:
    """What the API server says when it does not want to."""
    return ApiRefusalError(words, remedy="See the API server's words.", status=status)


class FakeKube:
    """The requests of `joulebench_operator.kube.Kube`; `writes` tells those that change something."""

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self.paths: dict[str, Object] = {}
        self.events: list[Object] = []
        self.writes: list[tuple[str, Key]] = []
        self.refuses: dict[str, ApiRefusalError] = {}
        """By verb."""
        self._versions = itertools.count(1)

    def put(self, item: Object) -> Object:
        """Somebody else writes an object."""
        return self._store(item)

    async def apply(self, body: Object) -> Object:
        self._note("apply", key_of(body))
        return self._store(body)

    async def create(self, body: Object) -> Object | None:
        if key_of(body) in self.objects:
            return None
        self._note("create", key_of(body))
        return self._store(body)

    async def get(self, key: Key) -> Object | None:
        return copy.deepcopy(self.objects.get(key))

    async def delete(self, item: Object) -> None:
        self._note("delete", key_of(item))
        self.objects.pop(key_of(item), None)

    async def apply_status(self, item: Object, status: Mapping[str, Any]) -> Object:
        self._note("status", key_of(item))
        return self._store({**self.objects[key_of(item)], "status": dict(status)})

    async def emit(self, event: Object) -> None:
        if "emit" in self.refuses:
            raise self.refuses["emit"]
        self.events.append(event)

    async def read(self, path: str) -> Object:
        if "read" in self.refuses:
            raise self.refuses["read"]
        if path not in self.paths:
            raise refusal(404)
        return copy.deepcopy(self.paths[path])

    async def post(self, path: str, body: Object) -> Object:
        path = f"{path}/{body['metadata']['name']}"
        if path in self.paths:
            raise refusal(409)
        self.paths[path] = {**body, "metadata": {**body["metadata"], "resourceVersion": str(next(self._versions))}}
        return self.paths[path]

    async def merge(self, path: str, body: Object) -> Object:
        if "merge" in self.refuses:
            raise self.refuses["merge"]
        found = self.paths[path]
        if found["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise refusal(409)
        spec = {name: value for name, value in {**found["spec"], **body["spec"]}.items() if value is not None}
        metadata = {**found["metadata"], "resourceVersion": str(next(self._versions))}
        self.paths[path] = {**found, "metadata": metadata, "spec": spec}
        return self.paths[path]

    def _note(self, verb: str, key: Key) -> None:
        if verb in self.refuses:
            raise self.refuses[verb]
        self.writes.append((verb, key))

    def _store(self, item: Object) -> Object:
        key = key_of(item)
        known = self.objects.get(key, {}).get("metadata", {})
        metadata = {"uid": f"uid-{key.name}", "generation": 1, **known, **copy.deepcopy(item["metadata"])}
        metadata["resourceVersion"] = str(next(self._versions))
        status = self.objects.get(key, {}).get("status")
        kept = {"status": status} if status is not None and "status" not in item else {}
        self.objects[key] = {**copy.deepcopy(item), **kept, "metadata": metadata}
        return copy.deepcopy(self.objects[key])
