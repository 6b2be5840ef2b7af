"""An assignment means to a pod's processes what the same file means to a local run's."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.runner.pod.assignments import SERVER, assignment, external

from joulebench_api.contracts.assignment import AssignedServer, Assignment
from joulebench_api.contracts.energy import Domain
from joulebench_api.contracts.summary import Prices, TokenPrices
from joulebench_api.loading import Loaded
from joulebench_runner.config import DriverSettings, MeterSettings, StoreSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.local.plan import LocalOptions
from joulebench_runner.local.planning import plan_run
from joulebench_runner.local.run_file import RunFile
from joulebench_runner.pod.assignment import read_assignment
from joulebench_runner.pod.places import Places
from joulebench_runner.pod.settings import driver_settings, meter_settings, reason_not_to_fetch, task_settings

POD = Places()
EXTERNAL = {"external": {"url": "http://127.0.0.1:1/v1", "model": "wise"}}
S3 = {"store": {"objectStore": {"url": "s3://bench/runs", "endpoint": "http://127.0.0.1:9", "region": "eu-west-1"}}}


def meter(assigned: Assignment, **environ: str) -> MeterSettings:
    return meter_settings(assigned, POD, environ=environ, surroundings={"machine": {"cores": 2}})


def locally(spec: dict[str, Any], tmp_path: Path) -> tuple[MeterSettings, DriverSettings]:
    loaded = Loaded(run=assignment(spec=spec).run, servers={}, warnings=[])
    plan = plan_run(
        loaded,
        run_file=RunFile(run_id="r", rerun_token=None, same={}, starts=[]),
        run_dir=tmp_path,
        stored_below=Path(),
        socket_dir=tmp_path,
        options=LocalOptions(data=tmp_path),
    )
    return plan.meter_settings, plan.driver_settings


def test_a_pod_has_the_paths_and_ports_that_its_containers_share() -> None:
    assigned = assignment()
    found, asked = meter(assigned), driver_settings(assigned, POD)
    assert (found.run_id, found.run_name) == (assigned.run_id, "nightly")
    assert found.run_dir == asked.run_dir == Path("/results/team/nightly")
    assert found.control_socket == asked.control_socket == Path("/run/joulebench/control.sock")
    assert found.ready_file == asked.ready_file
    assert found.outcome_file == asked.meter_outcome_file == Path("/run/joulebench/meter-outcome.json")
    assert found.termination_file == Path("/dev/termination-log")
    assert (found.proxy_host, found.proxy_port) == ("127.0.0.1", 8780)
    assert (found.status_host, found.status_port) == ("0.0.0.0", 8781)
    assert (found.finalise_on, found.bring_back) == ("driver-done", True)
    assert found.topology_file == Path("/etc/joulebench/topology/topology.json")
    assert asked.task.data_root == Path("/data")


SPECS: tuple[dict[str, Any], ...] = (
    {"epochs": 3, "seed": 7, "concurrency": 5, "warmup": {"queries": 0}},
    {"maxErrors": 3},
    {"maxErrors": "5%"},
    {"timeouts": {"query": "90s"}},
    {"energy": {"idleBaseline": "3s", "attribution": "Equal", "minCoveragePercent": 80}},
    {"energy": {"policy": "Disabled"}},
    {"results": {"artifacts": "Failed"}},
    {"generation": {"temperature": "0.7", "topP": "0.9", "maxTokens": 9, "stop": ["."], "seed": 4, "topLogprobs": 2}},
    {"generation": {"reasoningEffort": "low", "systemPrompt": "Be brief.", "extraBody": {"a": 1}}},
    {"generation": {"chatTemplateParams": {"thinking": False}}},
    {"task": {"name": "everyday", "params": {"level": 2}, "recordIds": ["a", "b"]}},
    {"task": {"name": "gsm8k", "subset": "socratic", "split": "train", "limit": 2, "source": {"claim": {"name": "c"}}}},
    {"cost": {"currency": "CHF", "electricityPerKWh": "0.27", "acceleratorPerHour": 2, "carbonGramsPerKWh": 30}},
    {"judge": {"server": EXTERNAL, "generation": {"temperature": 0, "maxTokens": 5, "systemPrompt": "Be strict."}}},
    {
        "submodels": [
            {"name": "a", "server": EXTERNAL, "generation": {"maxTokens": 5}},
            {"name": "b", "server": EXTERNAL},
        ]
    },
    {
        "submodels": [
            {"name": "a", "server": {"external": EXTERNAL["external"] | {"tokenPrices": {"inputPerMillion": 1}}}}
        ]
    },
    {"judge": {"server": {"external": EXTERNAL["external"] | {"tokenPrices": {"inputPerMillion": "0.25"}}}}},
)


@pytest.mark.parametrize("spec", SPECS)
def test_every_field_means_the_same_as_in_a_local_run(spec: dict[str, Any], tmp_path: Path) -> None:
    spec = {"server": EXTERNAL} | spec
    assigned = assignment(spec=spec, servers=[external("http://127.0.0.1:1/v1", model="wise")])
    found, asked = meter(assigned), driver_settings(assigned, POD)
    local_meter, local_driver = locally(spec, tmp_path)
    places = {"run_id", "run_dir", "control_socket", "ready_file", "outcome_file", "meter_outcome_file"}
    elsewhere = {"task": {"data_root", "offline"}} | dict.fromkeys(places, True)
    assert asked.model_dump(exclude=elsewhere) == local_driver.model_dump(exclude=elsewhere)
    assert found.pricing == local_meter.pricing
    assert _split(found) == _split(local_meter)
    assert found.provenance["spec"] == assigned.run.model_dump(mode="json", exclude_none=True)["spec"]


def test_headers_stand_in_a_variable_here_and_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {"server": {"external": EXTERNAL["external"] | {"headersSecretRef": {"name": "gateway"}}}}
    monkeypatch.setenv("GATEWAY_HEADERS", "X-Team: search")
    server = external("http://127.0.0.1:1/v1").model_copy(update={"headers_variable": "JOULEBENCH_HEADERS_MODEL"})
    assert meter(assignment(spec=spec, servers=[server])).upstreams[0].headers_variable == "JOULEBENCH_HEADERS_MODEL"
    assert locally(spec, tmp_path)[0].upstreams[0].headers_variable == "GATEWAY_HEADERS"

    monkeypatch.setenv("GATEWAY_HEADERS", "X-Team: search\nhunter2")
    with pytest.raises(BadInputError, match="GATEWAY_HEADERS: line 2 is no header") as caught:
        locally(spec, tmp_path)
    assert "hunter2" not in str(caught.value)


def test_the_fleets_prices_count_where_the_run_says_none() -> None:
    fleet = Prices(
        accelerator_per_hour_by_product={"NVIDIA-L4": Decimal(1)},
        tokens={"model": TokenPrices(input_per_million=Decimal(9)), "judge": TokenPrices(input_per_million=Decimal(2))},
    )
    own = EXTERNAL["external"] | {"tokenPrices": {"inputPerMillion": "0.25"}}
    spec = {"server": {"external": own}, "cost": {"currency": "CHF", "acceleratorPerHour": 3}}
    found = meter(assignment(spec=spec, servers=[external("http://a/v1")], prices=fleet)).pricing
    assert (found.currency, found.accelerator_per_hour) == ("CHF", Decimal(3))
    assert found.accelerator_per_hour_by_product == fleet.accelerator_per_hour_by_product
    assert [found.tokens[alias].input_per_million for alias in ("model", "judge")] == [Decimal("0.25"), Decimal(2)]


def _split(settings: MeterSettings) -> Any:
    return settings.energy.model_dump(include={"policy", "method", "min_coverage_percent"})


def test_servers_are_found_by_the_topology_unless_others_run_them() -> None:
    mine = SERVER.model_copy(update={"key_variable": "JOULEBENCH_KEY_MODEL", "routing": "RoundRobin"})
    judge = external("https://judge.example/v1/", model="wise", key_variable="JOULEBENCH_KEY_JUDGE", alias="judge")
    first, second = meter(assignment(servers=[mine, judge], ready_timeout_seconds=77)).upstreams
    assert (first.base_urls, first.routing, first.key_variable) == ([], "RoundRobin", "JOULEBENCH_KEY_MODEL")
    assert (first.health_path, first.metrics_path, first.measured) == ("/health", "/metrics", True)
    assert (second.alias, second.role, second.model) == ("judge", "judge", "wise")
    assert (second.base_urls, second.key_variable) == (["https://judge.example/v1"], "JOULEBENCH_KEY_JUDGE")
    assert not second.measured
    assert {one.ready_timeout_seconds for one in (first, second)} == {77}


def test_a_submodel_has_an_upstream_generation_and_prices_under_its_name() -> None:
    priced = EXTERNAL["external"] | {"tokenPrices": {"inputPerMillion": "0.25"}}
    submodels = [
        {"name": "small", "server": {"modelServerRef": {"name": "s"}}, "generation": {"maxTokens": 7}},
        {"name": "far", "server": {"external": priced}},
    ]
    here = AssignedServer(alias="small", role="submodel", model="tiny", health_path="/health", metrics_path="/metrics")
    there = external("https://api.example/v1", model="wise", key_variable="JOULEBENCH_KEY_FAR", alias="far")
    assigned = assignment(spec={"submodels": submodels}, servers=[SERVER, here, there])
    found, asked = meter(assigned), driver_settings(assigned, POD)
    assert [(one.alias, one.role, one.measured) for one in found.upstreams] == [
        ("model", "model", True), ("small", "submodel", True), ("far", "submodel", False),
    ]  # fmt: skip
    assert (found.upstreams[1].base_urls, found.upstreams[2].key_variable) == ([], "JOULEBENCH_KEY_FAR")
    assert found.energy.problem is None
    assert found.pricing.tokens == {"far": TokenPrices(input_per_million=Decimal("0.25"))}
    assert {alias: one.max_tokens for alias, one in asked.generation_of_others.items()} == {"small": 7}


def test_the_exporters_are_those_of_the_topology_reached_as_the_operator_says() -> None:
    plain = meter(assignment()).energy
    assert (plain.exporters, plain.problem, plain.domains) == ([], None, [Domain.GPU])
    assert (plain.token_file, plain.ca_file, plain.tls_server_name) == (None, None, None)
    safe = meter(assignment(exporter_token=True, exporter_ca=True, exporter_server_name="exporter.svc")).energy
    assert safe.token_file == Path("/var/run/secrets/joulebench/exporter/token")
    assert safe.ca_file == Path("/etc/joulebench/exporter-ca/ca.crt")
    assert safe.tls_server_name == "exporter.svc"


def test_what_cannot_be_measured_says_why() -> None:
    unseen = meter(assignment(servers=[external("http://elsewhere.example/v1")])).energy
    assert "podSelector" in str(unseen.problem)
    assert "http://elsewhere.example/v1" in str(unseen.problem)
    assert meter(assignment(topology=False)).energy.problem == "no exporter was assigned to the run"
    assert meter(assignment(topology=False)).topology_file is None


def test_results_go_to_the_attempts_own_folder_in_the_store() -> None:
    assert meter(assignment()).store is None
    assigned = assignment(spec={"results": S3}, store_url="s3://bench/runs/team/nightly")
    assert meter(assigned).store == StoreSettings(
        url="s3://bench/runs/team/nightly", endpoint="http://127.0.0.1:9", region="eu-west-1"
    )
    # A long run may have to be brought back before the meter listens.
    assert driver_settings(assigned, POD).meter_start_seconds > driver_settings(assignment(), POD).meter_start_seconds


def test_only_the_meter_needs_the_stores_credentials() -> None:
    store = {"store": {"objectStore": S3["store"]["objectStore"] | {"credentialsSecretRef": {"name": "keys"}}}}
    assigned = assignment(spec={"results": store}, store_url="s3://bench/runs/team/nightly")
    with pytest.raises(BadInputError, match="credentialsSecretRef"):
        meter(assigned)
    assert meter(assigned, AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b").store
    assert driver_settings(assigned, POD)


def test_the_hub_is_asked_by_fetch_and_never_by_the_driver() -> None:
    hub = {"endpoint": "http://127.0.0.1:9", "revision": "abc", "tokenSecretRef": {"name": "hub"}}
    assigned = assignment(spec={"task": {"name": "gsm8k", "source": {"hub": hub}}})
    asked, fetched = driver_settings(assigned, POD).task, task_settings(assigned, POD)
    assert (asked.offline, asked.hub_endpoint, asked.hub_token_variable) == (True, None, None)
    assert fetched.data_root == asked.data_root == Path("/data")
    assert fetched.hub_endpoint in {"http://127.0.0.1:9", "http://127.0.0.1:9/"}
    assert (fetched.hub_revision, fetched.hub_token_variable) == ("abc", "HF_TOKEN")


@pytest.mark.parametrize(
    ("task", "mounted", "words"),
    [
        ("gsm8k", False, None),
        ("everyday", False, None),  # `fetch` itself says that it is made here
        ("gsm8k", True, "mounted at /data"),
        ("inspect:inspect_ai/none", False, "brings its own questions"),
    ],
)
def test_nothing_is_fetched_that_is_there(task: str, mounted: bool, words: str | None) -> None:
    reason = reason_not_to_fetch(assignment(spec={"task": {"name": task}}, data_mounted=mounted), POD)
    assert (reason is None) if words is None else (words in str(reason))


def test_an_assignment_survives_its_way_through_a_config_map() -> None:
    assigned = assignment(spec=SPECS[7], provenance={"configuration": "sha256:1"})
    read = Assignment.model_validate_json(assigned.model_dump_json())
    assert meter(read) == meter(assigned)
    assert driver_settings(read, POD) == driver_settings(assigned, POD)
    assert meter(read).provenance["configuration"] == "sha256:1"


def test_a_trial_lies_below_its_folder_and_takes_any_free_ports() -> None:
    trial = Places(Path("/tmp/trial"))
    found = meter_settings(assignment(), trial, environ={}, surroundings={})
    assert found.run_dir == Path("/tmp/trial/results/team/nightly")
    assert found.termination_file == Path("/tmp/trial/dev/termination-log")
    assert (found.proxy_port, found.status_port, found.status_host) == (0, 0, "127.0.0.1")


def test_the_guides_assignment_is_one(tmp_path: Path) -> None:
    guide = Path(__file__).parents[3] / "docs" / "guide" / "runner-pod.md"
    text = guide.read_text().partition("```json\n")[2].partition("```")[0]
    (tmp_path / "assignment.json").write_text(text)
    found = meter(read_assignment(tmp_path / "assignment.json"))
    assert (found.run_name, found.store) == ("nightly", StoreSettings(url="s3://bench/runs/team/nightly"))


@pytest.mark.parametrize(("policy", "seconds"), [("Disabled", 0.0), ("Preferred", 7.0)])
def test_nothing_waits_for_an_idle_baseline_that_nobody_measures(policy: str, seconds: float) -> None:
    assigned = assignment(spec={"energy": {"policy": policy, "idleBaseline": "7s"}})
    assert driver_settings(assigned, POD).baseline_seconds == seconds
