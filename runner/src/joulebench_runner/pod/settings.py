"""The settings of a pod's processes from its assignment. Pure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from joulebench_api.contracts.assignment import HUB_TOKEN_VARIABLE, AssignedServer, Assignment
from joulebench_runner.config import (
    DriverSettings,
    EnergySettings,
    MeterSettings,
    Shard,
    StoreSettings,
    TaskSettings,
    Upstream,
)
from joulebench_runner.pod.places import Places
from joulebench_runner.pod.shards import own_settings
from joulebench_runner.store.opening import settings_at
from joulebench_runner.tasks.registry import InspectTask, find
from joulebench_runner.translation import settings as shared

METER_START_SECONDS: Final = 60.0
METER_START_FROM_STORE_SECONDS: Final = 1800.0
"""A long run is brought back before the meter listens. Of one that fails meanwhile its driver is told at once."""


def run_folder(assignment: Assignment, places: Places) -> Path:
    """Where the attempt's results lie."""
    return places.results / assignment.folder


def meter_settings(
    assignment: Assignment,
    places: Places,
    *,
    environ: Mapping[str, str],
    surroundings: Mapping[str, JsonValue],
    shard: Shard | None = None,
) -> MeterSettings:
    """The meter's. `surroundings`: what it knows of the machine and the versions, for provenance.

    Raises BadInputError for a store that cannot be used, or whose credentials `environ` lacks.
    """
    spec = assignment.run.spec
    store = store_settings(assignment, environ=environ)
    return MeterSettings(
        run_id=assignment.run_id,
        run_name=assignment.run.metadata.name,
        run_dir=run_folder(assignment, places),
        shard=shard,
        control_socket=places.control_socket,
        proxy_port=places.proxy_port,
        status_host=places.status_host,
        status_port=places.status_port,
        ready_file=places.ready_file,
        outcome_file=places.meter_outcome,
        termination_file=places.termination,
        upstreams=[_upstream(server, assignment) for server in assignment.servers],
        energy=_energy(assignment, places),
        topology_file=places.topology if assignment.topology else None,
        store=store,
        # Without a store, this refuses a claim's folder that holds another run.
        bring_back=True,
        engine=next((server.engine for server in assignment.servers if server.role == "model"), None),
        pricing=shared.pricing_settings(spec, fleet=assignment.prices),
        provenance=_provenance(assignment, surroundings),
    )


def driver_settings(assignment: Assignment, places: Places, *, shard: Shard | None = None) -> DriverSettings:
    """The driver's. It never asks the hub: `fetch` has checked that the questions are the wanted ones."""
    from_store = assignment.store_url is not None
    settings = shared.driver_settings(
        assignment.run.spec,
        run_id=assignment.run_id,
        run_dir=run_folder(assignment, places),
        control_socket=places.control_socket,
        ready_file=places.ready_file,
        task=task_settings(assignment, places).model_copy(
            update={"hub_revision": None, "hub_endpoint": None, "hub_token_variable": None}
        ),
        meter_outcome_file=places.meter_outcome,
        meter_start_seconds=METER_START_FROM_STORE_SECONDS if from_store else METER_START_SECONDS,
    )
    return settings if shard is None else own_settings(settings, shard)


def task_settings(assignment: Assignment, places: Places) -> TaskSettings:
    """Which questions are asked, and where `fetch` gets them."""
    return shared.task_settings(
        assignment.run.spec, data_root=places.data, offline=True, token_variable=HUB_TOKEN_VARIABLE
    )


def reason_not_to_fetch(assignment: Assignment, places: Places) -> str | None:
    """Why the questions need not be brought; None where they must be. Raises BadInputError for an unknown task."""
    if assignment.data_mounted:
        return f"the questions are mounted at {places.data}"
    if isinstance(find(assignment.run.spec.task.name), InspectTask):
        return "its package brings its own questions"
    return None


def store_settings(assignment: Assignment, *, environ: Mapping[str, str]) -> StoreSettings | None:
    """The attempt's folder in the object store; None if the results stay on the claim. Raises BadInputError."""
    store = assignment.run.spec.results.store
    if assignment.store_url is None:
        return None
    if store is None or store.object_store is None:
        return StoreSettings(url=assignment.store_url)
    return settings_at(assignment.store_url, store.object_store, environ=environ)


def _upstream(server: AssignedServer, assignment: Assignment) -> Upstream:
    return Upstream(
        alias=server.alias,
        role=server.role,
        model=server.model,
        base_urls=[] if server.url is None else [server.url.rstrip("/")],
        routing=server.routing,
        key_variable=server.key_variable,
        headers_variable=server.headers_variable,
        health_path=server.health_path,
        metrics_path=server.metrics_path,
        ready_timeout_seconds=assignment.ready_timeout_seconds,
        measured=server.measured,
    )


def _energy(assignment: Assignment, places: Places) -> EnergySettings:
    return shared.energy_settings(
        assignment.run.spec,
        problem=_energy_problem(assignment),
        exporters=(),  # those of the topology
        domains=assignment.domains,
        token_file=places.token if assignment.exporter_token else None,
        ca_file=places.exporter_ca if assignment.exporter_ca else None,
        tls_server_name=assignment.exporter_server_name,
    )


def _energy_problem(assignment: Assignment) -> str | None:
    model = next((server for server in assignment.servers if server.role == "model"), None)
    if model is not None and not model.measured:
        return (
            f"the devices behind {model.url or model.alias} are not known; spec.server.external.podSelector names them"
        )
    return None if assignment.topology else "no exporter was assigned to the run"


def _provenance(assignment: Assignment, surroundings: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The same as of a local run, and what else the operator knows."""
    told = assignment.provenance
    known = told.get("servers")
    of_servers = known if isinstance(known, dict) else {}
    return {
        **surroundings,
        **told,
        "spec": assignment.run.model_dump(mode="json", exclude_none=True)["spec"],
        "namespace": assignment.run.metadata.namespace,
        "attempt": assignment.attempt,
        "servers": {server.alias: _server(server, of_servers.get(server.alias)) for server in assignment.servers},
    }


def _server(server: AssignedServer, told: JsonValue) -> JsonValue:
    known: dict[str, JsonValue] = {"model": server.model, "engine": server.engine, "command": None, "url": server.url}
    return known | (told if isinstance(told, dict) else {})
