"""The ConfigMap with `assignment.json`: what the pods of an attempt are told."""

import json
from typing import Any, Final

from pydantic import JsonValue

from joulebench_api.contracts.assignment import (
    ASSIGNMENT_FILE,
    AssignedServer,
    Assignment,
    headers_variable,
    key_variable,
)
from joulebench_api.contracts.energy import Domain
from joulebench_api.v1alpha1.energy import EnergyPolicy
from joulebench_api.v1alpha1.references import HEADERS_KEY, ApiKeySecretRef, SecretKeyRef
from joulebench_api.v1alpha1.server_source import Routing
from joulebench_operator import objects
from joulebench_operator.decision import Child, Context
from joulebench_operator.kinds import CONFIG_MAP
from joulebench_operator.names import ATTEMPT_LABEL, RUN_LABEL, RUNNER_PART
from joulebench_operator.runs.configured import configuration_hash
from joulebench_operator.runs.names import Names, run_id
from joulebench_operator.runs.resolution import ResolvedRun
from joulebench_operator.runs.servers import Server
from joulebench_operator.runs.storage import Storage

_ON_GPUS: Final = (Domain.GPU,)
_ON_CPUS: Final = (Domain.CPU, Domain.DRAM)


def child(
    run: ResolvedRun, servers: tuple[Server, ...], storage: Storage, names: Names, *, uid: str, context: Context
) -> Child:
    """The ConfigMap; once made it is never changed, whatever becomes of the configuration."""
    told = assignment(run, servers, storage, names, uid=uid, context=context)
    body = objects.new(
        CONFIG_MAP,
        name=names.assignment,
        namespace=str(run.run.metadata.namespace),
        labels=labels(names),
        data={ASSIGNMENT_FILE: as_file(told)},
    )
    return Child(body, once=True)


def as_file(told: Assignment) -> str:
    """The file's text. The run says in it what somebody wrote or configured, not what every schema adds."""
    run = told.run.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return json.dumps({**told.model_dump(mode="json", by_alias=True, exclude_none=True), "run": run})


def labels(names: Names) -> dict[str, str]:
    """Labels of the ConfigMaps of an attempt."""
    own = {RUN_LABEL: names.run, ATTEMPT_LABEL: str(names.attempt)}
    return objects.labels(RUNNER_PART, instance=names.run, **own)


def assignment(
    run: ResolvedRun, servers: tuple[Server, ...], storage: Storage, names: Names, *, uid: str, context: Context
) -> Assignment:
    """What the pods of the attempt are told."""
    return Assignment(
        run_id=run_id(uid, names.attempt),
        attempt=names.attempt,
        run=run.run,
        servers=[assigned(server) for server in servers],
        domains=domains(run, servers),
        folder=storage.folder,
        store_url=storage.store_url,
        topology=has_topology(servers),
        exporter_token=follows_exporters(run, servers, context),
        data_mounted=is_data_mounted(run),
        ready_timeout_seconds=run.spec.timeouts.server_ready.seconds,
        prices=run.prices,
        provenance=_provenance(run, servers, context),
    )


def assigned(server: Server) -> AssignedServer:
    """One model, as the runner's pod is told of it."""
    party, plan = server.party, server.plan
    key = None if key_reference(server) is None else key_variable(party.alias)
    external = party.source.external
    if external is not None:
        return AssignedServer(
            alias=party.alias,
            role=party.role,
            model=external.model,
            url=external.url,
            routing=(party.source.routing or Routing.SERVICE).value,
            key_variable=key,
            headers_variable=None if headers_reference(server) is None else headers_variable(party.alias),
            measured=external.pod_selector is not None,
        )
    assert plan is not None, f"{party.field} has no plan"  # noqa: S101 - nothing is assigned before all plans are there
    return AssignedServer(
        alias=party.alias,
        role=party.role,
        model=plan.command.served_model_name,
        routing=(party.source.routing or Routing.LEAST_IN_FLIGHT).value,
        health_path=plan.command.health_path,
        metrics_path=plan.command.metrics_path,
        key_variable=key,
        engine=plan.engine.value,
    )


def key_reference(server: Server) -> ApiKeySecretRef | None:
    """Where the key of a server is."""
    external = server.party.source.external
    if external is not None:
        return external.api_key_secret_ref
    return None if server.plan is None else server.plan.spec.api_key_secret_ref


def headers_reference(server: Server) -> SecretKeyRef | None:
    """Where the headers are that every call to a server bears."""
    external = server.party.source.external
    if external is None or external.headers_secret_ref is None:
        return None
    return SecretKeyRef(name=external.headers_secret_ref.name, key=HEADERS_KEY)


def domains(run: ResolvedRun, servers: tuple[Server, ...]) -> list[Domain]:
    """What is measured: as the run says, else what the model under test computes on."""
    wanted = run.spec.energy.domains
    if wanted is not None:
        return [Domain(domain.value) for domain in wanted]
    plan = servers[0].plan
    return list(_ON_CPUS if plan is not None and plan.accelerators == 0 else _ON_GPUS)


def is_measured(server: Server) -> bool:
    """Whether the devices behind a server can be known."""
    external = server.party.source.external
    return external is None or external.pod_selector is not None


def has_topology(servers: tuple[Server, ...]) -> bool:
    """Whether the pods of any server can be told."""
    return any(map(is_measured, servers))


def follows_exporters(run: ResolvedRun, servers: tuple[Server, ...], context: Context) -> bool:
    """Whether the meter asks exporters, for which it needs a token."""
    wants = run.spec.energy.policy is not EnergyPolicy.DISABLED and has_topology(servers)
    return wants and context.settings.exporter_namespace is not None


def is_data_mounted(run: ResolvedRun) -> bool:
    """Whether the questions are on a volume already."""
    source = run.spec.task.source
    return source is not None and (source.claim is not None or source.config_map is not None)


def _provenance(run: ResolvedRun, servers: tuple[Server, ...], context: Context) -> dict[str, JsonValue]:
    return {
        "operator": objects.operator_version(),
        "configuration_sha256": configuration_hash(context.configuration),
        "runner_image": run.image,
        "servers": {server.party.alias: _server_provenance(server) for server in servers if server.plan is not None},
    }


def _server_provenance(server: Server) -> dict[str, Any]:
    plan = server.plan
    assert plan is not None  # noqa: S101 - asked for servers with a plan
    return {
        "server": server.name,
        "image": plan.image,
        "command": list(plan.command.argv),
        "accelerators_per_replica": plan.accelerators,
        "revision": plan.spec.revision,
    }
