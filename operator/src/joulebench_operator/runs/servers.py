"""The servers of a run: those it makes from templates, those it waits for, and those that others run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from joulebench_api.conditions import ConditionType, Reason
from joulebench_api.errors import ApiError
from joulebench_api.parties import Party, parties
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRunSpec
from joulebench_api.v1alpha1.kubernetes import Queue
from joulebench_api.v1alpha1.model_server import ModelServerSpec
from joulebench_operator import objects
from joulebench_operator.cache import Cache
from joulebench_operator.decision import Child, Context
from joulebench_operator.kinds import MODEL_SERVER, POD, Key
from joulebench_operator.names import RUN_LABEL, SERVER_LABEL, SERVER_PART
from joulebench_operator.objects import Object
from joulebench_operator.runs import recorded
from joulebench_operator.runs.metadata import passed_on
from joulebench_operator.runs.names import Names
from joulebench_operator.runs.refusal import refused
from joulebench_operator.runs.trouble import Trouble, reason_of
from joulebench_operator.servers.plan import ServerPlan, plan_of, server_plan

_FOR_GOOD: Final = frozenset(
    {
        Reason.INVALID_SPEC,
        Reason.MODEL_UNAVAILABLE,
        Reason.OUT_OF_MEMORY,
        Reason.SERVER_CRASHED,
        Reason.STARTUP_TIMEOUT,
    }
)
"""Reasons that no administrator mends."""


@dataclass(frozen=True)
class Server:
    """One model of a run, and how its server stands."""

    party: Party
    name: str | None = None
    """Of the ModelServer; None for servers that others run."""
    item: Object | None = None
    """The ModelServer, if it is there."""
    plan: ServerPlan | None = None
    """None for servers that others run, and while there is no ModelServer that can be used."""
    trouble: Trouble | None = None

    @property
    def is_made(self) -> bool:
        """Whether the run makes it, from a template."""
        return self.party.source.template is not None

    @property
    def is_external(self) -> bool:
        """Whether others run it."""
        return self.party.source.external is not None

    @property
    def is_missing(self) -> bool:
        """Whether the run names a ModelServer that is not there, or cannot be used."""
        return self.party.source.model_server_ref is not None and self.plan is None

    @property
    def is_ready(self) -> bool:
        """Whether it answers, as far as is known."""
        return self.is_external or (self.item is not None and _is_ready(self.item))

    @property
    def has_failed(self) -> bool:
        """Whether it was made by the run and would fail again and again: its spec cannot be changed."""
        trouble = self.trouble
        return self.is_made and trouble is not None and trouble.needs_somebody and trouble.reason in _FOR_GOOD

    @property
    def waits_for_quota(self) -> bool:
        """Whether Kueue has not given it its quota yet."""
        status = recorded.of(self.item or {}).condition(ConditionType.QUOTA_RESERVED).get("status")
        return status not in (None, "True")


def servers(item: Object, spec: BenchmarkRunSpec, names: Names, context: Context) -> tuple[Server, ...]:
    """All servers of a run. Raises RefusedRunError for a template that cannot be used."""
    namespace = item["metadata"]["namespace"]
    return tuple(_server(party, spec, names, namespace, context) for party in parties(spec))


def _server(party: Party, spec: BenchmarkRunSpec, names: Names, namespace: str, context: Context) -> Server:
    if party.source.template is not None:
        return _made(party, with_queue(party.source.template.spec, spec.queue), names, namespace, context)
    if party.source.model_server_ref is not None:
        return _named(party, party.source.model_server_ref.name, namespace, context)
    return Server(party)


def _made(party: Party, spec: ModelServerSpec, names: Names, namespace: str, context: Context) -> Server:
    name = names.server(party.alias)
    try:
        plan = server_plan(name, namespace, spec, configuration=context.configuration, settings=context.settings)
    except (ApiError, ValidationError) as error:
        raise refused(error, at=f"{party.field}.template.") from error
    item = context.cache.get(Key(MODEL_SERVER.name, namespace, name))
    return Server(party, name, item, plan, None if item is None else _trouble(item))


def _named(party: Party, name: str, namespace: str, context: Context) -> Server:
    item = context.cache.get(Key(MODEL_SERVER.name, namespace, name))
    if item is None or "deletionTimestamp" in item["metadata"]:
        message = f"{party.field}.modelServerRef.name: there is no ModelServer {name} in the namespace {namespace}"
        return Server(party, name, trouble=Trouble(Reason.SERVER_NOT_FOUND, message))
    try:
        plan = plan_of(item, context)
    except (ApiError, ValidationError) as error:
        refusal = refused(error, at=f"ModelServer {name}: ")
        return Server(party, name, item, trouble=Trouble(refusal.reason, str(refusal), needs_somebody=True))
    return Server(party, name, item, plan, _trouble(item))


def with_queue(spec: ModelServerSpec, queue: Queue | None) -> ModelServerSpec:
    """A template's spec with the run's queue, unless it has its own."""
    return spec if queue is None or spec.queue is not None else spec.model_copy(update={"queue": queue})


def _is_ready(item: Object) -> bool:
    status = recorded.of(item)
    is_current = status.status.get("observedGeneration") == item["metadata"].get("generation")
    return is_current and status.holds(ConditionType.READY) and "deletionTimestamp" not in item["metadata"]


def _trouble(item: Object) -> Trouble | None:
    """Why a server does not answer, by its own words; None while it is on its way."""
    said = recorded.of(item)
    ready = said.condition(ConditionType.READY)
    is_stalled = said.holds(ConditionType.STALLED)
    reason = reason_of(ready, otherwise=Reason.WAITING_FOR_SERVER)
    if not is_stalled and (ready.get("status") != "False" or reason in _ON_ITS_WAY):
        return None
    message = f"ModelServer {item['metadata']['name']}: {ready.get('message') or ready.get('reason')}"
    return Trouble(reason, message, needs_somebody=is_stalled)


_ON_ITS_WAY: Final = frozenset(
    {
        Reason.ASLEEP,
        Reason.PENDING,
        Reason.ROLLING_OUT,
        Reason.SCALED_TO_ZERO,
        Reason.STARTING,
        Reason.WAITING_FOR_QUOTA,
        Reason.WAITING_FOR_SERVER,
    }
)


def child(server: Server, item: Object, *, queue: Queue | None) -> Child:
    """The ModelServer of a template: its spec as it was written."""
    written = _template(item, server.party)
    spec = dict(written["spec"])
    if queue is not None and "queue" not in spec:
        spec["queue"] = queue.model_dump(mode="json", by_alias=True, exclude_none=True)
    metadata = written.get("metadata") or {}
    run = item["metadata"]["name"]
    name = server.name or ""
    ours = objects.labels(SERVER_PART, instance=name, **{RUN_LABEL: run, SERVER_LABEL: name})
    body = objects.new(
        MODEL_SERVER,
        name=name,
        namespace=item["metadata"]["namespace"],
        labels={**passed_on(metadata.get("labels")), **ours},
        spec=spec,
    )
    annotations = passed_on(metadata.get("annotations"))
    if annotations:
        body["metadata"]["annotations"] = annotations
    return Child(body)


def _template(item: Object, party: Party) -> Mapping[str, Any]:
    spec = item["spec"]
    if party.role == "model":
        source = spec["server"]
    elif party.role == "judge":
        source = spec["judge"]["server"]
    else:
        source = next(one["server"] for one in spec["submodels"] if one["name"] == party.alias)
    found: Mapping[str, Any] = source["template"]
    return found


def pods(server: Server, cache: Cache, namespace: str) -> list[Object]:
    """The pods of a ModelServer that are neither over nor on their way out."""
    if server.name is None:
        return []
    found = cache.labelled(POD, namespace, {SERVER_LABEL: server.name})
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"] and not _is_over(pod)]


def _is_over(pod: Object) -> bool:
    """Whether it is no more than a record, as of an eviction."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
