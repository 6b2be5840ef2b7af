"""A small client of the API server: JSON over HTTPS, from any network namespace."""

import ctypes
import http.client
import json
import os
import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.cluster.errors import ClusterError

REQUEST_SECONDS = 30.0
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
_CLONE_NEWNET = 0x40000000
_OK = range(200, 300)


@dataclass(frozen=True)
class Answer:
    """What the API server answered."""

    status: int
    body: dict[str, Any]

    @property
    def good(self) -> bool:
        """Whether it did what was asked."""
        return self.status in _OK

    @property
    def message(self) -> str:
        """Its words, where it refused."""
        return str(self.body.get("message", ""))


class Api:
    """Requests to one API server; one at a time."""

    def __init__(self, kubeconfig: Path, *, namespace: Path | None = None) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        host, _, port = cluster["server"].removeprefix("https://").partition(":")
        self._token = user["token"]
        context = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self._connection = _Connection(host, int(port), context, namespace)

    def request(self, method: str, path: str, body: Any = None, *, content_type: str = "application/json") -> Answer:
        """One request and its answer, good or bad.

        Raises:
            OSError: the API server could not be reached.
        """
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        try:
            self._connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = self._connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        return Answer(response.status, json.loads(data) if data.startswith(b"{") else {"message": data.decode()})

    def begin(self, method: str, path: str) -> None:
        """Begin a request whose body never comes: the API server is busy with it for a minute, or until `close`."""
        self.close()
        self._connection.putrequest(method, path)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json", "Content-Length": "99"}
        for name, value in headers.items():
            self._connection.putheader(name, value)
        self._connection.endheaders()

    def get(self, path: str) -> dict[str, Any]:
        """An object or a list that is there."""
        return self._must("GET", path)

    def items(self, path: str) -> list[dict[str, Any]]:
        """The objects of a list."""
        found: list[dict[str, Any]] = self.get(path)["items"]
        return found

    def create(self, path: str, body: Any) -> dict[str, Any]:
        """Create an object below the path of its list."""
        return self._must("POST", path, body)

    def _must(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer = self.request(method, path, body)
        if not answer.good:
            raise ClusterError(f"{method} {path}: {answer.status} {answer.message}", remedy="see the message")
        return answer.body

    def healthy(self) -> bool:
        """Whether the API server is there and ready."""
        try:
            return self.request("GET", "/readyz").good
        except OSError:
            return False

    def close(self) -> None:
        """Close the connection; the next request opens one again."""
        self._connection.close()


class _Connection(http.client.HTTPSConnection):
    """An HTTPS connection whose socket belongs to another network namespace."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, namespace: Path | None) -> None:
        super().__init__(host, port, timeout=REQUEST_SECONDS, context=context)
        self._namespace = namespace
        self._ssl = context

    def connect(self) -> None:
        plain = socket_in(self._namespace, self.host, self.port)
        try:
            # Small requests and answers: waiting to fill a packet only costs time.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock = self._ssl.wrap_socket(plain, server_hostname=self.host)
        except OSError:
            plain.close()
            raise


def socket_in(
    namespace: Path | None, host: str, port: int, *, timeout_seconds: float = REQUEST_SECONDS
) -> socket.socket:
    """A connected socket of a network namespace; None: of our own."""
    if namespace is None:
        return socket.create_connection((host, port), timeout_seconds)
    made: list[socket.socket | OSError] = []

    def connect() -> None:
        # A thread has a namespace of its own, and a socket stays in the one it was made in.
        try:
            _enter(namespace)
            made.append(socket.create_connection((host, port), timeout_seconds))
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=connect)
    thread.start()
    thread.join()
    (result,) = made
    if isinstance(result, OSError):
        raise result
    return result


def _enter(namespace: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(namespace, os.O_RDONLY)
    try:
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    finally:
        os.close(descriptor)
