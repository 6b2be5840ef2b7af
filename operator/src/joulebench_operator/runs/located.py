"""Where the servers' pods are, and which exporters are on their nodes."""

from dataclasses import dataclass
from typing import Any

from joulebench_operator.cache import Cache
from joulebench_operator.decision import Context
from joulebench_operator.inquiry import Pods
from joulebench_operator.kinds import POD
from joulebench_operator.names import EXPORTER_PART, PART_LABEL
from joulebench_operator.objects import Object
from joulebench_operator.runs import servers as of_runs
from joulebench_operator.runs.recorded import objects
from joulebench_operator.runs.servers import Server


@dataclass(frozen=True)
class Located:
    """A server's pods that have a node and an address."""

    server: Server
    pods: tuple[Object, ...]
    is_complete: bool
    """Whether all its pods are among them."""

    @property
    def nodes(self) -> set[str]:
        """The nodes that they are on."""
        return {pod["spec"]["nodeName"] for pod in self.pods}


def located(server: Server, context: Context, *, namespace: str) -> Located:
    """Where the pods of a server are, as far as is known."""
    inquiry = inquiry_of(server, namespace=namespace)
    if inquiry is not None:
        answer = context.cache.answer(inquiry)
        return Located(server, _placed(answer or []), answer is not None)
    found = of_runs.pods(server, context.cache, namespace)
    placed = _placed(found)
    return Located(server, placed, len(found) == len(placed) >= max(1, _replicas(server)))


def inquiry_of(server: Server, *, namespace: str) -> Pods | None:
    """What must be asked to know the pods of a server that others run."""
    external = server.party.source.external
    if external is None or external.pod_selector is None:
        return None
    return Pods(namespace, tuple(sorted(external.pod_selector.match_labels.items())))


def _replicas(server: Server) -> int:
    written: Any = ((server.item or {}).get("spec") or {}).get("replicas", 1)
    return written if isinstance(written, int) else 1


def _placed(pods: list[Object]) -> tuple[Object, ...]:
    return tuple(pod for pod in pods if (pod.get("spec") or {}).get("nodeName") and address(pod) is not None)


def address(pod: Object) -> str | None:
    """The pod's address."""
    found: str | None = (pod.get("status") or {}).get("podIP")
    return found or None


def with_port(host: str, port: int) -> str:
    """`host:port`, for addresses of both kinds."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def exporters(context: Context) -> dict[str, str]:
    """The exporters that are ready: node -> `host:port`."""
    namespace = context.settings.exporter_namespace
    if namespace is None:
        return {}
    found: dict[str, str] = {}
    for pod in _exporter_pods(context.cache, namespace):
        host, node = address(pod), (pod.get("spec") or {}).get("nodeName")
        if host is not None and node and _is_ready(pod):
            found[node] = with_port(host, context.settings.exporter_port)
    return found


def _exporter_pods(cache: Cache, namespace: str) -> list[Object]:
    return cache.labelled(POD, namespace, {PART_LABEL: EXPORTER_PART})


def _is_ready(pod: Object) -> bool:
    conditions = objects((pod.get("status") or {}).get("conditions"))
    is_ready = any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
    return is_ready and "deletionTimestamp" not in pod["metadata"]
