"""Finds a server's pods by the DNS name of its headless Service, again and again."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from joulebench_api.contracts.topology import Server
from joulebench_runner.meter.replicas import Replicas, Routing

RESOLVE_SECONDS: Final = 3.0
_LEAST_SECONDS: Final = 0.25
"""Between two look-ups, however many connections fail."""
_GONE: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
"""The name has no addresses: all pods are gone. Every other failure says nothing about them."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def addresses(host: str, port: int) -> Sequence[str]:
    """All addresses of a host name, in a thread. Raises OSError (gaierror)."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


class Discovery:
    """Keeps the replicas of one alias up to date, by whatever the topology says at the moment."""

    def __init__(
        self,
        replicas: Replicas,
        *,
        routing: Routing = "LeastInFlight",
        resolve: Resolve = addresses,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_gone: Callable[[str], None] = lambda _words: None,
    ) -> None:
        """`on_gone` is told when a server that had pods has none any more."""
        self.problem: str | None = "the topology has not named the server yet"
        self._replicas = replicas
        self._routing = routing
        self._resolve = resolve
        self._sleep = sleep
        self._on_gone = on_gone
        self._server: Server | None = None

    def on_server(self, server: Server | None) -> None:
        """What the topology says of it now; None: nothing."""
        self._server = server
        self._replicas.look()

    async def run(self) -> None:
        """Look until cancelled: every few seconds, and whenever a connection has failed."""
        while True:
            await self.look()
            await self._sleep(_LEAST_SECONDS)
            await self._replicas.wanted(within_seconds=RESOLVE_SECONDS)

    async def look(self) -> None:
        """Look once."""
        server = self._server
        if server is None:
            return
        if server.headless_service is None or self._routing == "Service":
            self.problem = None
            self._replicas.update([server.url.rstrip("/")])
            return
        try:
            found = await self._resolve(server.headless_service, server.port or _port_of(server.url))
        except OSError as error:
            self.problem = f"{server.headless_service} has no addresses: {error.strerror or error}"
            if error.errno in _GONE:
                self._lose_all(server)
            return
        self.problem = None
        self._replicas.update([pod_url(server, address) for address in found])

    def _lose_all(self, server: Server) -> None:
        if self._replicas.urls:
            self._on_gone(f"{server.headless_service} has no pod any more; calls wait for a new one")
        self._replicas.update([])


def pod_url(server: Server, address: str) -> str:
    """The address of one of the server's pods: the Service's, with the pod's own host and port."""
    parts = urlsplit(server.url)
    host = f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
    return f"{parts.scheme}://{host}:{server.port or _port_of(server.url)}{parts.path.rstrip('/')}"


def _port_of(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)
