"""The energy exporters that are ready, by node. Pure."""

from joulebench_operator.addresses import address, with_port
from joulebench_operator.decision import Context
from joulebench_operator.kinds import POD
from joulebench_operator.names import EXPORTER_PART, PART_LABEL
from joulebench_operator.objects import Object


def exporters(context: Context) -> dict[str, str]:
    """The exporters that are ready: node -> `host:port`."""
    namespace = context.settings.exporter_namespace
    if namespace is None:
        return {}
    found: dict[str, str] = {}
    for pod in context.cache.labelled(POD, namespace, {PART_LABEL: EXPORTER_PART}):
        host, node = address(pod), (pod.get("spec") or {}).get("nodeName")
        if host is not None and node and _is_ready(pod):
            found[node] = with_port(host, context.settings.exporter_port)
    return found


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    is_ready = any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
    return is_ready and "deletionTimestamp" not in pod["metadata"]
