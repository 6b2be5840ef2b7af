"""What a caller asked for, and what the server is asked instead so that the call can be timed. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from joulebench_api.contracts.identity import REQUEST_ID_HEADER
from joulebench_runner.config import Upstream
from joulebench_runner.meter.credentials import Credentials

STREAMED_ENDPOINTS: Final = frozenset({"chat/completions", "completions"})
# Connection-level headers (RFC 9110 section 7.6.1), those we set anew, and the caller's key (never the server's).
_DROPPED_HEADERS: Final = frozenset({
    "accept-encoding", "authorization", "connection", "content-length", "expect", "host", "keep-alive",
    "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip


@dataclass(slots=True)
class Abilities:
    """What is known of a server: whether it can stream, and report usage in a stream. Found out by asking."""

    stream: bool = True
    stream_options: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerRequest:
    """A request as it came from the caller."""

    endpoint: str
    """Such as `chat/completions`."""
    headers: Mapping[str, str]
    body: bytes
    payload: Mapping[str, Any] | None
    """The body as JSON; None if it is no JSON object (it is passed on untouched: the server says what is wrong)."""

    @property
    def streams(self) -> bool:
        """Whether the caller asked for a stream."""
        return self.payload is not None and bool(self.payload.get("stream"))

    @property
    def wants_usage(self) -> bool:
        """Whether the caller asked for usage in its stream."""
        options = (self.payload or {}).get("stream_options")
        return self.streams and isinstance(options, Mapping) and bool(options.get("include_usage"))

    @property
    def model(self) -> str | None:
        """The model that the caller named."""
        model = (self.payload or {}).get("model")
        return model if isinstance(model, str) else None


def parse(*, endpoint: str, headers: Mapping[str, str], body: bytes) -> CallerRequest:
    """Look into a caller's request."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        payload = None
    return CallerRequest(
        endpoint=endpoint, headers=headers, body=body, payload=payload if isinstance(payload, dict) else None
    )


def asks_for_stream(request: CallerRequest, *, abilities: Abilities) -> bool:
    """Whether the server is asked for a stream: always if it can, or if the caller wants one anyway."""
    if request.payload is None or request.endpoint not in STREAMED_ENDPOINTS:
        return False
    return abilities.stream or request.streams


def upstream_body(request: CallerRequest, *, upstream: Upstream, abilities: Abilities) -> bytes:
    """The body for the server: model name, stream and usage as `upstream` needs them, everything else untouched."""
    if request.payload is None:
        return request.body
    payload = dict(request.payload)
    payload["model"] = served_model(request.model, upstream=upstream)
    if asks_for_stream(request, abilities=abilities):
        payload["stream"] = True
        if abilities.stream_options or request.wants_usage:
            payload["stream_options"] = {**(payload.get("stream_options") or {}), "include_usage": True}
    return request.body if payload == request.payload else orjson.dumps(payload)


def served_model(name: str | None, *, upstream: Upstream) -> str:
    """The server's name for the model that the caller means: its own unless it named one that only we know."""
    return upstream.model if name in {None, "", "default", upstream.alias} else str(name)


def upstream_headers(
    headers: Mapping[str, str], *, credentials: Credentials, request_id: str | None = None
) -> dict[str, str]:
    """The caller's headers without those that belong to its connection, with those that the server wants of us.

    `request_id` is sent along, so that the server's log can be joined with ours, unless the caller has its own.
    """
    dropped = _DROPPED_HEADERS | {name.lower() for name in credentials.headers}
    kept = {name: value for name, value in headers.items() if name.lower() not in dropped} | dict(credentials.headers)
    has_id = any(name.lower() == REQUEST_ID_HEADER.lower() for name in kept)
    return kept | ({REQUEST_ID_HEADER: request_id} if request_id and not has_id else {})


def caller_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The server's headers without those that belong to its connection."""
    return {name: value for name, value in headers.items() if name.lower() not in _DROPPED_HEADERS}


def lesser_abilities(refusal: bytes, *, request: CallerRequest, abilities: Abilities) -> Abilities | None:
    """What to try after a 4xx: without the option that its text names, if it was we who added it; None: nothing."""
    text = refusal.lower()
    if b"stream_options" in text and abilities.stream_options and not request.wants_usage:
        return Abilities(stream=abilities.stream, stream_options=False)
    if b"stream" in text and abilities.stream and not request.streams:
        return Abilities(stream=False, stream_options=False)
    return None
