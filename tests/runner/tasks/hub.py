"""A hub of data sets on this machine: the calls of its API that a fetch makes, over a folder of files."""

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

SHA = "cc7b047b6e5bb11b4f1af84efc572db110a51b3c"
"""The one commit of each data set."""


class Hub(http.server.ThreadingHTTPServer):
    """`repositories`: files by name, by data set. `gated`: data sets that only the token may read."""

    daemon_threads = True
    token = "hf_right"

    def __init__(self, repositories: dict[str, dict[str, bytes]], *, gated: tuple[str, ...] = ()) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = repositories
        self.gated = gated
        self.calls: list[str] = []

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        self.server.calls.append(f"POST {path}")
        name, kind, _ = self._parsed(path)
        if name is None or kind != "paths-info":
            self._fail(404, "EntryNotFound")
            return
        wanted = json.loads(asked)["paths"]
        self._json([entry for entry in self._tree(name) if entry["path"] in wanted])

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.calls.append(f"{self.command} {path}")
        name, kind, rest = self._parsed(path)
        if name is None:
            self._fail(401 if path.startswith("/api/datasets/") else 404, "RepoNotFound")
        elif kind != "revision" and name in self.server.gated and not self._let_in():
            self._fail(403, "GatedRepo")
        elif not rest.startswith((SHA, "main")) and kind in {"revision", "tree", "resolve"}:
            self._fail(404, "RevisionNotFound")
        else:
            self._serve(name, kind, rest, body=body)

    def _serve(self, name: str, kind: str, rest: str, *, body: bool) -> None:
        if kind == "auth-check":
            self._json({})
        elif kind in {"", "revision"}:
            files = [{"rfilename": file} for file in self.server.repositories[name]]
            self._json({"id": name, "sha": SHA, "siblings": files, "private": False, "tags": [], "downloads": 0})
        elif kind == "tree":
            self._json(self._tree(name))
        else:
            self._file(name, rest.partition("/")[2], body=body)

    def _parsed(self, path: str) -> tuple[str | None, str, str]:
        """(data set, kind of call, what follows)."""
        for name in self.server.repositories:
            for start in (f"/api/datasets/{name}", f"/datasets/{name}"):
                if path == start or path.startswith(f"{start}/"):
                    kind, _, rest = path.removeprefix(start).lstrip("/").partition("/")
                    return name, kind, rest
        return None, "", ""

    def _let_in(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.server.token}"

    def _tree(self, name: str) -> list[dict[str, Any]]:
        files = self.server.repositories[name].items()
        folders = {file.rpartition("/")[0] for file, _ in files} - {""}
        return [{"type": "directory", "path": folder, "oid": "0" * 40, "size": 0} for folder in sorted(folders)] + [
            {"type": "file", "path": file, "oid": hashlib.sha1(data).hexdigest(), "size": len(data)}
            for file, data in files
        ]

    def _file(self, name: str, file: str, *, body: bool) -> None:
        data = self.server.repositories[name].get(file)
        if data is None:
            self._fail(404, "EntryNotFound")
            return
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", SHA)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def _json(self, document: Any) -> None:
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _fail(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub, served while the block runs."""
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


def gsm8k(rows: list[dict[str, str]]) -> dict[str, bytes]:
    """A repository of the layout that data sets have on the hub."""
    card = "---\nconfigs:\n- config_name: main\n  data_files:\n  - split: test\n    path: main/test.jsonl\n---\n"
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return {"README.md": card.encode(), "main/test.jsonl": lines.encode()}
