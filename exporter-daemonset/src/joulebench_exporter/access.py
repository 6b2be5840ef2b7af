"""Who may read: power is a side channel, so callers from elsewhere present a service-account token.

gRPC: a token that is bound to our audience, of an allowed namespace. `/metrics`: any token of the cluster whose owner
may GET /metrics (as scrapers of the control plane may). What is refused is told in words that say nothing of the token.
"""

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc import aio

from joulebench_exporter.clock import Clock
from joulebench_exporter.kube_api import Identity, KubeApi, KubeApiError
from joulebench_exporter.web import Answer, Request

DEFAULT_AUDIENCE: Final = "joulebench-exporter"

_REMEMBER_NS: Final = 60_000_000_000
_REMEMBER_REFUSED_NS: Final = 10_000_000_000
_MOST_REMEMBERED: Final = 1024
_LONGEST_TOKEN: Final = 16_384
_BEARER: Final = "bearer "

if TYPE_CHECKING:
    _Interceptor = aio.ServerInterceptor[Any, Any]
else:
    _Interceptor = aio.ServerInterceptor  # generic for the type checker only

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a caller is turned away."""

    code: grpc.StatusCode
    message: str


class TokenCache:
    """Asks the API server once a minute and token. Tokens themselves are not kept, only their hashes."""

    def __init__(self, ask: Callable[[str], Awaitable[Identity | None]], *, clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[int, Identity | None]] = OrderedDict()

    async def identity(self, token: str) -> Identity | None:
        """Whose token it is, as of a minute ago at most. Raises KubeApiError."""
        if not 0 < len(token) <= _LONGEST_TOKEN:
            return None
        key = hashlib.sha256(token.encode()).digest()
        now_ns = self._clock.monotonic_ns()
        until_ns, identity = self._known.get(key, (0, None))
        if now_ns < until_ns:
            return identity
        identity = await self._ask(token)
        remember_ns = _REMEMBER_REFUSED_NS if identity is None else _REMEMBER_NS
        self._known[key] = (now_ns + remember_ns, identity)
        self._known.move_to_end(key)
        if len(self._known) > _MOST_REMEMBERED:
            self._known.popitem(last=False)
        return identity


class Gate:
    """Decides about callers of the gRPC service. No `namespaces`: all are welcome."""

    def __init__(
        self, api: KubeApi, *, clock: Clock, audience: str = DEFAULT_AUDIENCE, namespaces: Sequence[str] = ()
    ) -> None:
        async def ask(token: str) -> Identity | None:
            return await api.review_token(token, audience=audience)

        self._cache = TokenCache(ask, clock=clock)
        self._audience = audience
        self._namespaces = frozenset(namespaces)

    async def refusal(self, authorization: str) -> Refusal | None:
        """Why a caller with this `authorization` is turned away; None: it is not."""
        try:
            identity = await self._cache.identity(bearer(authorization))
        except KubeApiError as error:
            _log.warning("a token could not be checked", extra={"problem": error.message})
            return Refusal(code=grpc.StatusCode.UNAVAILABLE, message="tokens cannot be checked now; try again")
        if identity is None:
            message = f"present a service-account token for the audience {self._audience!r}"
            return Refusal(code=grpc.StatusCode.UNAUTHENTICATED, message=message)
        if self._namespaces and identity.namespace not in self._namespaces:
            return Refusal(
                code=grpc.StatusCode.PERMISSION_DENIED, message="callers of this namespace are not allowed here"
            )
        return None


class GateInterceptor(_Interceptor):
    """Puts the gate before every method."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method's own handler, or one that refuses."""
        handler = await continuation(handler_call_details)
        metadata = dict(handler_call_details.invocation_metadata or ())
        refusal = await self._gate.refusal(str(metadata.get("authorization", "")))
        return handler if refusal is None or handler is None else _refusing(handler, refusal)


class MetricsGuard:
    """Lets those read /metrics whom the cluster's RBAC lets GET that path."""

    def __init__(self, api: KubeApi, *, clock: Clock) -> None:
        async def ask(token: str) -> Identity | None:
            identity = await api.review_token(token, audience=None)
            if identity is None:
                return None
            self._allowed[identity.username] = await api.may_get(identity, "/metrics")
            return identity

        self._allowed: dict[str, bool] = {}
        self._cache = TokenCache(ask, clock=clock)

    async def __call__(self, request: Request) -> Answer | None:
        """An answer that refuses, or None."""
        try:
            identity = await self._cache.identity(bearer(request.headers.get("authorization", "")))
        except KubeApiError as error:
            _log.warning("a token could not be checked", extra={"problem": error.message})
            return Answer(status=HTTPStatus.SERVICE_UNAVAILABLE, body=b"tokens cannot be checked now\n")
        if identity is None:
            return Answer(status=HTTPStatus.UNAUTHORIZED, body=b"present a token of this cluster\n")
        if not self._allowed.get(identity.username, False):
            return Answer(status=HTTPStatus.FORBIDDEN, body=b"you may not get /metrics\n")
        return None


def bearer(authorization: str) -> str:
    """The token in an `Authorization: Bearer ...`; empty where there is none."""
    return authorization[len(_BEARER) :].strip() if authorization[: len(_BEARER)].lower() == _BEARER else ""


def _refusing(handler: Any, refusal: Refusal) -> Any:
    async def refuse(request: object, context: aio.ServicerContext[Any, Any]) -> None:  # noqa: ARG001 - its shape
        await context.abort(refusal.code, refusal.message)

    make = grpc.unary_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
    return make(refuse, handler.request_deserializer, handler.response_serializer)
