"""The ConfigMap with `topology.json`: where the servers' pods are and who measures their nodes."""

from urllib.parse import urlsplit

from pydantic import ValidationError

from joulebench_api.contracts.assignment import TOPOLOGY_FILE
from joulebench_api.contracts.topology import Exporter, ServerPod, Topology
from joulebench_api.contracts.topology import Server as TopologyServer
from joulebench_operator import objects
from joulebench_operator.addresses import address
from joulebench_operator.decision import Child, Context
from joulebench_operator.exporters import exporters
from joulebench_operator.kinds import CONFIG_MAP
from joulebench_operator.names import SERVER_LABEL
from joulebench_operator.objects import Object
from joulebench_operator.runs.assignment import is_measured, labels
from joulebench_operator.runs.located import Located
from joulebench_operator.runs.names import Names

_PORTS = {"http": 80, "https": 443}


def child(
    servers: tuple[Located, ...], names: Names, *, namespace: str, previous: Object | None, ours: Context
) -> Child:
    """The ConfigMap; `previous` is the one that is there."""
    text = topology(servers, namespace=namespace, previous=previous, context=ours).model_dump_json(exclude_none=True)
    body = objects.new(
        CONFIG_MAP, name=names.topology, namespace=namespace, labels=labels(names), data={TOPOLOGY_FILE: text}
    )
    return Child(body)


def topology(servers: tuple[Located, ...], *, namespace: str, previous: Object | None, context: Context) -> Topology:
    """Who serves and who measures. Its generation grows with every change."""
    nodes = set[str]().union(*(located.nodes for located in servers))
    measuring = exporters(context)
    now = Topology(
        servers=[_server(located, namespace) for located in servers if is_measured(located.server)],
        exporters=[Exporter(node=node, address=measuring[node]) for node in sorted(nodes & measuring.keys())],
        audience=context.settings.exporter_audience,
    )
    before = _read(previous)
    if before is None:
        return now.model_copy(update={"generation": 1})
    same = now.model_copy(update={"generation": before.generation})
    return before if same == before else now.model_copy(update={"generation": before.generation + 1})


def _read(previous: Object | None) -> Topology | None:
    try:
        return Topology.model_validate_json(((previous or {}).get("data") or {})[TOPOLOGY_FILE])
    except (KeyError, ValidationError):
        return None


def _server(located: Located, namespace: str) -> TopologyServer:
    server, plan = located.server, located.server.plan
    pods = sorted(map(_pod, located.pods), key=lambda pod: pod.name)
    external = server.party.source.external
    if external is not None:
        selected = {} if external.pod_selector is None else external.pod_selector.match_labels
        return TopologyServer(
            alias=server.party.alias,
            url=external.url,
            model=external.model,
            port=_port(external.url),
            namespace=namespace,
            pod_labels=selected,
            pods=pods,
        )
    assert plan is not None, f"{server.party.field} has no plan"  # noqa: S101 - no topology is made before all are there
    return TopologyServer(
        alias=server.party.alias,
        url=plan.url,
        model=plan.command.served_model_name,
        headless_service=f"{plan.headless}.{namespace}.svc",
        port=plan.command.port,
        namespace=namespace,
        pod_labels={SERVER_LABEL: plan.name},
        deployment=plan.deployment,
        pods=pods,
    )


def _pod(pod: Object) -> ServerPod:
    return ServerPod(name=pod["metadata"]["name"], ip=address(pod), node=pod["spec"]["nodeName"])


def _port(url: str) -> int | None:
    parts = urlsplit(url)
    return parts.port or _PORTS.get(parts.scheme)
