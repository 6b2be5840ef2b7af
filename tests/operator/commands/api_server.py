"""A small HTTP server that answers as an API server would, and remembers what it was asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]


@dataclass
class ApiServer:
    """Its answers by method and path (without the query); all else is not there."""

    url: str = ""
    answers: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    """Status and body; a text is sent as it is."""
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    """Method, path with its query, body."""

    def has(self, path: str, body: Any, *, method: str = "GET", status: int = 200) -> None:
        """Answer so from now on."""
        self.answers[method, path] = (status, body)

    def has_run(self, run: Object) -> None:
        """There is such a run."""
        metadata = run["metadata"]
        self.has(f"{runs_path(metadata['namespace'])}/{metadata['name']}", run)

    def refuses(self, path: str, message: str, *, status: int, method: str = "GET") -> None:
        """Refuse as the API server does."""
        self.has(path, {"kind": "Status", "status": "Failure", "message": message}, method=method, status=status)

    def kubeconfig(self, folder: Path, *, namespace: str = "team") -> Path:
        """A file that leads here."""
        path = folder / "kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": {"token": "mine"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "me", "namespace": namespace}}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(config))
        return path


def runs_path(namespace: str) -> str:
    """Where the runs of a namespace are."""
    return f"/apis/joulebench.dev/v1alpha1/namespaces/{namespace}/benchmarkruns"


@contextmanager
def serving() -> Iterator[ApiServer]:
    """A server on a free port of this machine."""
    server = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            server.asked.append((self.command, self.path, body))
            nothing = (404, {"kind": "Status", "message": "not found"})
            status, answer = server.answers.get((self.command, self.path.partition("?")[0]), nothing)
            content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_port}"
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
