"""A cluster as kubectl would reach it, and the few questions that the commands ask."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from joulebench_operator.commands.errors import BadRequestError, CommandError
from joulebench_operator.kinds import BENCHMARK_RUN
from joulebench_operator.objects import Object

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, CoreV1Api
    from kubernetes.stream.ws_client import WSClient

CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 60.0
_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def cluster_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options by which kubectl chooses a cluster."""
    for option in (
        click.option("--kubeconfig", type=click.Path(dir_okay=False), help="Configuration file.  [default: kubectl's]"),
        click.option("--context", help="Context of that file.  [default: the current one]"),
        click.option("-n", "--namespace", help="Namespace of the run.  [default: the context's]"),
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class Cluster:
    """One namespace of a cluster. What goes wrong is a CommandError."""

    client: "ApiClient"
    namespace: str

    def run(self, name: str) -> Object:
        """A BenchmarkRun."""
        from kubernetes.client import CustomObjectsApi  # noqa: PLC0415 - keeps --help fast

        kind = BENCHMARK_RUN
        with _asking(f"BenchmarkRun {self.namespace}/{name}", looked_for=f"kubectl get brun -n {self.namespace}"):
            found: Object = CustomObjectsApi(self.client).get_namespaced_custom_object(  # type: ignore[assignment]  # JSON
                kind.group, kind.version, self.namespace, kind.plural, name, _request_timeout=_TIMES
            )
        return found

    def pods(self, labels: Mapping[str, str]) -> list[Object]:
        """The pods with these labels, the oldest first."""
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        with _asking(f"the pods of {self.namespace}"):
            answer = self._core.list_namespaced_pod(self.namespace, label_selector=selector, **_RAW)
            found: list[Object] = _json(answer)["items"]
        return sorted(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def pod(self, name: str) -> Object:
        """One pod."""
        with _asking(f"pod {self.namespace}/{name}"):
            found: Object = _json(self._core.read_namespaced_pod(name, self.namespace, **_RAW))
        return found

    def create_pod(self, body: Object) -> Object:
        """Make a pod; how it is now."""
        with _asking(f"a pod in {self.namespace}"):
            made: Object = _json(self._core.create_namespaced_pod(self.namespace, body, **_RAW))  # type: ignore[arg-type]  # JSON
        return made

    def delete_pod(self, name: str) -> None:
        """Remove a pod at once; nothing happens if it is gone already."""
        from kubernetes.client import ApiException  # noqa: PLC0415 - keeps --help fast

        with _asking(f"pod {self.namespace}/{name}"):
            try:
                self._core.delete_namespaced_pod(name, self.namespace, grace_period_seconds=0, **_RAW)
            except ApiException as error:
                if error.status != _NOT_FOUND:
                    raise

    def log(self, pod: str, container: str, *, follow: bool, tail: int | None) -> Iterator[str]:
        """The lines that a container has written; with `follow` those to come, too."""
        with _asking(f"the log of {self.namespace}/{pod}, container {container}"):
            answer: Any = self._core.read_namespaced_pod_log(
                pod, self.namespace, container=container, follow=follow, tail_lines=tail, _preload_content=False
            )
            yield from _lines(answer)

    def execute(self, pod: str, *command: str) -> "WSClient":
        """Run a command in a pod; its output is bytes, to be read while it runs."""
        from kubernetes.stream import stream  # noqa: PLC0415 - keeps --help fast

        # `stream` changes the client that it is given, for good.
        core = _core(_copy(self.client))
        with _asking(f"pod {self.namespace}/{pod}"):
            found: WSClient = stream(
                core.connect_get_namespaced_pod_exec,
                pod,
                self.namespace,
                command=list(command),
                stdin=False,
                stdout=True,
                stderr=True,
                tty=False,
                binary=True,
                _preload_content=False,
            )
        return found

    @property
    def _core(self) -> "CoreV1Api":
        return _core(self.client)


_NOT_FOUND: Final = 404
_FORBIDDEN: Final = 403
_UNAUTHORIZED: Final = 401
_TIMES: Final = (CONNECT_SECONDS, ANSWER_SECONDS)
_RAW: Final[dict[str, Any]] = {"_preload_content": False, "_request_timeout": _TIMES}
"""Answers as they come: the client's own classes refuse what a newer cluster says."""


def _core(client: "ApiClient") -> "CoreV1Api":
    from kubernetes.client import CoreV1Api  # noqa: PLC0415 - keeps --help fast

    return CoreV1Api(client)


def _copy(client: "ApiClient") -> "ApiClient":
    from kubernetes.client import ApiClient  # noqa: PLC0415 - keeps --help fast

    return ApiClient(client.configuration)


def _json(answer: Any) -> Any:
    return json.loads(answer.data)


def _lines(answer: Any) -> Iterator[str]:
    """The lines of a stream of bytes; its end ends the last one."""
    rest = b""
    for chunk in answer.stream():
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")


def connect(*, kubeconfig: str | None, context: str | None, namespace: str | None) -> Cluster:
    """The cluster that kubectl would speak to; in a pod without a kubeconfig, that of the pod."""
    from kubernetes import config  # noqa: PLC0415 - keeps --help fast

    try:
        client, own = _from_file(kubeconfig, context)
    except config.ConfigException as error:
        if kubeconfig or context or not _ACCOUNT.exists():
            raise BadRequestError(
                f"no cluster is configured: {error}",
                remedy="see that `kubectl get brun` works, or name a file with --kubeconfig",
            ) from error
        client, own = _from_pod()
    return Cluster(client, namespace or own)


def _from_file(kubeconfig: str | None, context: str | None) -> tuple["ApiClient", str]:
    from kubernetes import config  # noqa: PLC0415 - keeps --help fast

    contexts, current = config.list_kube_config_contexts(config_file=kubeconfig)  # type: ignore[no-untyped-call]  # theirs
    chosen = next((one for one in contexts if one["name"] == context), None) if context else current
    if chosen is None:
        raise config.ConfigException(f"there is no context {context!r}")
    client = config.new_client_from_config(config_file=kubeconfig, context=chosen["name"])  # type: ignore[no-untyped-call]  # theirs
    return client, str(chosen["context"].get("namespace") or "default")


def _from_pod() -> tuple["ApiClient", str]:
    from kubernetes import client, config  # noqa: PLC0415 - keeps --help fast

    settings = client.Configuration()
    config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]  # theirs
    return client.ApiClient(settings), (_ACCOUNT / "namespace").read_text()


@contextmanager
def _asking(what: str, *, looked_for: str = "kubectl auth can-i --list") -> Iterator[None]:
    """Refusals of the API server, and its absence, in words."""
    from kubernetes.client import ApiException  # noqa: PLC0415 - keeps --help fast
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    try:
        yield
    except ApiException as error:
        raise _refusal(what, error.status or 0, str(error.body or error.reason), looked_for) from error
    except HTTPError as error:
        raise CommandError(
            f"{what}: the API server does not answer: {error}", remedy="see whether `kubectl version` gets an answer"
        ) from error


def _refusal(what: str, status: int, body: str, looked_for: str) -> CommandError:
    if status == _NOT_FOUND:
        return BadRequestError(f"{what} is not there", remedy=f"`{looked_for}` lists what there is")
    if status in {_FORBIDDEN, _UNAUTHORIZED}:
        return BadRequestError(
            f"{what}: {_message(body)}",
            remedy="ask for the cluster role `edit` in this namespace (`view` to look only)",
        )
    return CommandError(
        f"{what}: the API server says {status}: {_message(body)}", remedy="try again, or mend what it says"
    )


def _message(body: str) -> str:
    """The words of a Status object."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body
