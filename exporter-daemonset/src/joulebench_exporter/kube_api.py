"""Two questions to the cluster's API server: whose token is this, and may they?

By `http.client` in a thread: a Kubernetes client or an HTTP library would cost 8 MiB each.
"""

import asyncio
import http.client
import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from joulebench_exporter.errors import BadOptionError, ExporterError

_FOLDER: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT_SECONDS: Final = 5.0
_ACCOUNT: Final = "system:serviceaccount:"


class KubeApiError(ExporterError):
    """The API server did not answer, or not as it should; nothing is known about the caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who presents a token."""

    username: str
    uid: str
    groups: tuple[str, ...]

    @property
    def namespace(self) -> str:
        """Of a service account; empty for everybody else."""
        return self.username.removeprefix(_ACCOUNT).partition(":")[0] if self.username.startswith(_ACCOUNT) else ""


class KubeApi:
    """The API server, as seen from a pod: its own token (read anew for each question, as it is rotated) and CA."""

    def __init__(self, *, url: str, token_file: Path, ca_file: Path | None) -> None:
        self._parts = urlsplit(url)
        self._token_file = token_file
        self._tls = None if ca_file is None else ssl.create_default_context(cafile=str(ca_file))

    @classmethod
    def of_this_pod(cls, environment: Mapping[str, str] = os.environ, *, folder: Path = _FOLDER) -> Self:
        """Raises BadOptionError outside of a cluster."""
        host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
        ca_file = folder / "ca.crt"
        if not host or not ca_file.is_file():
            raise BadOptionError(
                "tokens cannot be checked here: this is no pod with a service account",
                remedy="Mount a service-account token, or listen on a Unix socket or 127.0.0.1 without --auth token.",
            )
        shown = f"[{host}]" if ":" in host else host
        return cls(url=f"https://{shown}:{port}", token_file=folder / "token", ca_file=ca_file)

    async def review_token(self, token: str, *, audience: str | None) -> Identity | None:
        """Whose token it is; None: nobody's, expired, or meant for another audience. Raises KubeApiError."""
        spec = {"token": token, **({"audiences": [audience]} if audience else {})}
        status = await self._ask("authentication.k8s.io/v1", "TokenReview", spec)
        if not status.get("authenticated") or (audience and audience not in status.get("audiences", [])):
            return None
        user = status.get("user", {})
        return Identity(
            username=str(user.get("username", "")),
            uid=str(user.get("uid", "")),
            groups=tuple(user.get("groups", ())),
        )

    async def may_get(self, identity: Identity, path: str) -> bool:
        """Whether they may GET a path that is no resource. Raises KubeApiError."""
        spec = {
            "user": identity.username,
            "uid": identity.uid,
            "groups": list(identity.groups),
            "nonResourceAttributes": {"path": path, "verb": "get"},
        }
        status = await self._ask("authorization.k8s.io/v1", "SubjectAccessReview", spec)
        return bool(status.get("allowed"))

    async def _ask(self, version: str, kind: str, spec: Mapping[str, object]) -> Mapping[str, Any]:
        body = json.dumps({"apiVersion": version, "kind": kind, "spec": spec})
        path = f"/apis/{version}/{kind.lower()}s"
        return await asyncio.to_thread(self._post, path, body)

    def _post(self, path: str, body: str) -> Mapping[str, Any]:
        connection = self._connection()
        try:
            own_token = self._token_file.read_text(encoding="ascii").strip()
            headers = {"Authorization": f"Bearer {own_token}", "Content-Type": "application/json"}
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            # Only the kind of error: texts of these libraries may quote what was sent.
            raise KubeApiError(f"the API server did not answer {path}: {type(error).__name__}") from error
        finally:
            connection.close()
        if answer.status not in {200, 201}:
            raise KubeApiError(f"the API server answered {path} with status {answer.status}")
        return _status(content, path)

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._tls is None:
            return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
        return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=self._tls)


def _status(content: bytes, path: str) -> Mapping[str, Any]:
    try:
        status = json.loads(content)["status"]
    except (ValueError, KeyError, TypeError) as error:
        raise KubeApiError(f"the API server's answer to {path} cannot be read") from error
    return status if isinstance(status, dict) else {}
