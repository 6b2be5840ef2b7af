"""Where the servers' pods are."""

from dataclasses import dataclass
from typing import Any

from joulebench_operator.addresses import address
from joulebench_operator.decision import Context
from joulebench_operator.inquiry import Pods
from joulebench_operator.objects import Object
from joulebench_operator.runs import servers as of_runs
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
