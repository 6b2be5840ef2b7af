"""The one place that talks to the API server, besides the watches: server-side apply, create, delete, status, logs."""

from collections.abc import Mapping
from typing import Any, Final

from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.dynamic import DynamicClient
from kubernetes.aio.dynamic.exceptions import DynamicApiError

from joulebench_operator.errors import ApiRefusalError
from joulebench_operator.kinds import BY_NAME, EVENT, Key, Kind
from joulebench_operator.names import FIELD_MANAGER, STATUS_MANAGER
from joulebench_operator.objects import Object, key_of

_REQUEST_SECONDS: Final = 30.0
_MERGE_PATCH: Final = "application/merge-patch+json"
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_MAX_WORDS: Final = 512
_PAGE: Final = 200
"""Objects of one answer to a list: they come with what each field's manager is, which is most of them."""


def _as_is(_: object, data: Object) -> Object:
    """Answers stay plain JSON."""
    return data


class Kube:
    """Requests to the API server. All raise ApiRefusalError for refusals, aiohttp.ClientError without a connection."""

    def __init__(self, client: ApiClient) -> None:
        # Paths are known, so nothing needs to be discovered: the client is not awaited.
        self._dynamic: Any = DynamicClient(client)  # type: ignore[no-untyped-call]  # the library has no types here

    async def apply(self, body: Object) -> Object:
        """Server-side apply of a whole intended object; as it is afterwards."""
        return await self._apply(_path(key_of(body)), body, manager=FIELD_MANAGER)

    async def apply_status(self, item: Object, status: Mapping[str, Any]) -> Object:
        """Write the status of one of our objects; the object as it is afterwards."""
        identity = {"name": item["metadata"]["name"], "namespace": item["metadata"]["namespace"]}
        # With its uid, so that the status of an object is never written to another one of the same name.
        metadata = {**identity, "uid": item["metadata"]["uid"]}
        body = {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": metadata, "status": dict(status)}
        return await self._apply(f"{_path(key_of(item))}/status", body, manager=STATUS_MANAGER)

    async def create(self, body: Object) -> Object | None:
        """Create an object; None if there is one of its name already."""
        key = key_of(body)
        try:
            return await self._request("post", BY_NAME[key.kind].path(key.namespace), body, field_manager=FIELD_MANAGER)
        except ApiRefusalError as error:
            if error.status == _CONFLICT:
                return None
            raise

    async def get(self, key: Key) -> Object | None:
        """An object; None if it is not there."""
        try:
            return await self._request("get", _path(key))
        except ApiRefusalError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    async def delete(self, item: Object) -> None:
        """Delete this very object, and what it owns; nothing happens if it is gone."""
        preconditions = {"uid": item["metadata"]["uid"]}
        body = {"propagationPolicy": "Background", "preconditions": preconditions}
        try:
            await self._request("delete", _path(key_of(item)), body)
        except ApiRefusalError as error:
            if error.status not in (_NOT_FOUND, _CONFLICT):
                raise

    async def pods(self, namespace: str, selector: str) -> list[Object]:
        """The pods of a namespace that a label selector finds."""
        listed = await self._request("get", BY_NAME["Pod"].path(namespace), label_selector=selector)
        found: list[Object] = listed["items"]
        return found

    async def versions(self, kind: Kind, namespace: str | None, *, selector: str | None) -> dict[Key, str]:
        """The resource version of every object of a kind, without the objects.

        Raises ApiRefusalError (410) also when it takes so long that the pages do not fit together any more.
        """
        path = kind.path(namespace) if namespace is not None else kind.path("").replace("/namespaces/", "", 1)
        found: dict[Key, str] = {}
        following: str | None = None
        while following != "":
            # A dictionary of its own for each request: the client adds to it.
            header = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
            listed = await self._request(
                "get", path, label_selector=selector, header_params=header, limit=_PAGE, _continue=following
            )
            for one in listed["items"] or ():
                metadata = one["metadata"]
                found[Key(kind.name, metadata["namespace"], metadata["name"])] = metadata["resourceVersion"]
            following = listed["metadata"].get("continue") or ""
        return found

    async def log(self, key: Key, *, container: str, previous: bool, lines: int) -> str:
        """The last lines of a container's log."""
        query = [("container", container), ("tailLines", lines), ("previous", str(previous).lower())]
        response = await self._raw("get", f"{_path(key)}/log", query_params=query)
        text: str = await response.text()
        return text

    async def emit(self, event: Object) -> None:
        """Write an event of events.k8s.io."""
        await self.post(EVENT.path(event["metadata"]["namespace"]), event)

    async def post(self, path: str, body: Object) -> Object:
        """Create an object below a path."""
        return await self._request("post", path, body)

    async def _apply(self, path: str, body: Object, *, manager: str) -> Object:
        options: dict[str, Any] = {"field_manager": manager, "force_conflicts": True}
        return await self._request("patch", path, body, content_type="application/apply-patch+yaml", **options)

    async def read(self, path: str) -> Object:
        """Whatever is at a path."""
        return await self._request("get", path)

    async def merge(self, path: str, body: Object) -> Object:
        """A JSON merge patch."""
        return await self._request("patch", path, body, content_type=_MERGE_PATCH)

    async def _request(self, method: str, path: str, body: Object | None = None, **options: Any) -> Object:
        try:
            answer: Object = await self._dynamic.request(
                method, path, body, serializer=_as_is, _request_timeout=_REQUEST_SECONDS, **options
            )
        except DynamicApiError as error:
            raise _refusal(method, path, error) from error
        return answer

    async def _raw(self, method: str, path: str, **options: Any) -> Any:
        try:
            return await self._dynamic.request(
                method, path, serialize=False, _request_timeout=_REQUEST_SECONDS, **options
            )
        except DynamicApiError as error:
            raise _refusal(method, path, error) from error


def _path(key: Key) -> str:
    return BY_NAME[key.kind].path(key.namespace, key.name)


def _refusal(method: str, path: str, error: DynamicApiError) -> ApiRefusalError:
    words = str(error.summary())[:_MAX_WORDS]  # type: ignore[no-untyped-call]  # the library has no types here
    after = (error.headers or {}).get("Retry-After")
    return ApiRefusalError(
        f"{method.upper()} {path}: {error.status} {words}",
        remedy="See the API server's words.",
        status=int(error.status or 0),
        retry_after_seconds=float(after) if after and after.isdigit() else None,
    )
