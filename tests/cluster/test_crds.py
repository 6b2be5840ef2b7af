"""Our kinds as the API server and kubectl know them."""

import json
from typing import Any

import pytest
import yaml
from tests.cluster.api import APPLY_PATCH, MERGE_PATCH, Api
from tests.cluster.cluster import Cluster
from tests.cluster.session import Namespace
from tests.cluster.settings import CRDS, REPOSITORY
from tests.crds.rules_table import CAMPAIGN, RUN, SERVER

from joulebench_api.crd.kinds import BENCHMARK_RUN, KINDS, MODEL_SERVER, Kind

SAMPLES = {"ModelServer": SERVER, "BenchmarkRun": RUN, "BenchmarkCampaign": CAMPAIGN}
GOLDEN = sorted((REPOSITORY / "crds" / "golden").iterdir())
NOW = "2026-01-02T03:04:05Z"
PLAIN = ("apply",)
SERVER_SIDE = ("apply", "--server-side", "--force-conflicts")

pytestmark = pytest.mark.usefixtures("crds")
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def _path(kind: Kind, namespace: Namespace) -> str:
    return f"/apis/joulebench.dev/v1alpha1/namespaces/{namespace.name}/{kind.plural}"


def _until_established(cluster: Cluster) -> None:
    names = [f"crd/{kind.plural}.joulebench.dev" for kind in KINDS]
    condition = '--output=jsonpath={.items[*].status.conditions[?(@.type=="Established")].status}'
    cluster.wait(
        lambda: cluster.kubectl("get", *names, condition).split() == ["True"] * len(KINDS), what="CRDs that are known"
    )


# --- installing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [PLAIN, SERVER_SIDE], ids=["plain", "server-side"])
def test_the_crds_can_be_applied_anew_and_again(cluster: Cluster, how: tuple[str, ...]) -> None:
    cluster.kubectl("delete", "--ignore-not-found", "-f", CRDS, timeout_seconds=60)

    first = cluster.kubectl(*how, "-f", CRDS)
    _until_established(cluster)
    second = cluster.kubectl(*how, "-f", CRDS)

    assert len(first.splitlines()) == len(second.splitlines()) == len(KINDS)
    assert all(line.endswith(("unchanged", "serverside-applied")) for line in second.splitlines()), second


@pytest.mark.parametrize("release", GOLDEN, ids=lambda path: path.name)
def test_objects_of_an_older_release_survive_newer_crds(cluster: Cluster, namespace: Namespace, release: Any) -> None:
    cluster.kubectl("delete", "-f", CRDS, timeout_seconds=60)
    cluster.kubectl(*SERVER_SIDE, "-f", release)
    _until_established(cluster)
    namespace.apply(RUN)
    before = namespace.get("brun", "first")

    cluster.kubectl(*SERVER_SIDE, "-f", CRDS)
    _until_established(cluster)

    # New fields come with their defaults; whatever was stored stays as it was.
    assert _of_old_fields(namespace.get("brun", "first")["spec"], before["spec"]) == before["spec"]


def _of_old_fields(new: Any, old: Any) -> Any:
    """`new` without the fields that `old` has not."""
    if not (isinstance(new, dict) and isinstance(old, dict)):
        return new
    return {name: _of_old_fields(value, old[name]) for name, value in new.items() if name in old}


@each_kind
def test_the_api_server_finds_nothing_to_complain_about(api: Api, kind: Kind) -> None:
    crd = api.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind.plural}.joulebench.dev")

    conditions = {one["type"]: one["status"] for one in crd["status"]["conditions"]}
    assert conditions["Established"] == conditions["NamesAccepted"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


# --- kubectl ----------------------------------------------------------------------------------------------------------


@each_kind
def test_the_short_name_and_the_category_find_the_object(namespace: Namespace, kind: Kind) -> None:
    namespace.apply(SAMPLES[kind.name])
    name = SAMPLES[kind.name]["metadata"]["name"]

    full = f"{kind.name.lower()}.joulebench.dev/{name}"
    assert namespace.kubectl("get", kind.short_name, "--output=name") == full
    assert namespace.kubectl("get", kind.plural, "--output=name") == full
    assert namespace.kubectl("get", "joulebench", "--output=name") == full
    assert "joulebench.dev" not in namespace.kubectl("get", "all", "--output=name")


def _condition(type_: str, status: str, reason: str) -> dict[str, str]:
    return {"type": type_, "status": status, "reason": reason, "message": "", "lastTransitionTime": NOW}


STATUSES: dict[str, dict[str, Any]] = {
    "ModelServer": {
        "model": "org/big",
        "readyReplicas": 2,
        "url": "http://big:8000/v1",
        "conditions": [_condition("Ready", "True", "Serving")],
    },
    "BenchmarkRun": {
        "resolved": {"server": {"model": "org/small"}},
        "conditions": [_condition("Ready", "False", "Running")],
        "progress": {"display": "12/40"},
        "summary": {
            "accuracy": "0.5",
            "outputTokensPerSecond": "40.5",
            "joulesPerOutputToken": "0.75",
            "joulesPerCorrect": "120",
        },
    },
    "BenchmarkCampaign": {
        "conditions": [_condition("Ready", "True", "Finished")],
        "cells": {"total": 7, "succeeded": 5, "failed": 2},
        "nextScheduleTime": NOW,
    },
}
SHOWN = {
    "ModelServer": ["org/big", "True", "Serving", "2", "http://big:8000/v1", "vLLM"],
    "BenchmarkRun": ["org/small", "gsm8k", "Running", "12/40", "0.5", "120", "40.5", "0.75"],
    "BenchmarkCampaign": ["Finished", "7", "5", "2", "0 2 * * *"],
}


@each_kind
def test_every_column_is_shown(api: Api, namespace: Namespace, kind: Kind) -> None:
    sample = dict(SAMPLES[kind.name])
    if kind.name == "BenchmarkCampaign":
        sample["spec"] = {**sample["spec"], "schedule": "0 2 * * *"}
    stored = api.create(_path(kind, namespace), sample)
    place = f"{_path(kind, namespace)}/{stored['metadata']['name']}/status"
    answer = api.request("PATCH", place, {"status": STATUSES[kind.name]}, content_type=MERGE_PATCH)
    assert answer.good, answer.message

    header, line = namespace.kubectl("get", kind.short_name, "--output=wide").splitlines()

    assert header.split() == ["NAME", *(column.name.upper() for column in kind.columns)]
    shown = [part.strip() for part in line.split("  ") if part.strip()]
    assert shown[0] == stored["metadata"]["name"]
    assert shown[1 : 1 + len(SHOWN[kind.name])] == SHOWN[kind.name]
    narrow = namespace.kubectl("get", kind.short_name).splitlines()[0]
    assert narrow.split() == ["NAME", *(column.name.upper() for column in kind.columns if column.priority == 0)]


@each_kind
def test_every_field_of_the_spec_is_explained(cluster: Cluster, kind: Kind) -> None:
    told = cluster.kubectl("explain", f"{kind.plural}.spec")

    schema = yaml.safe_load((CRDS / f"{kind.plural}.joulebench.dev.yaml").read_text())
    fields = schema["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    for name, field in fields.items():
        assert f"  {name}\t<" in told
        if "description" in field:
            assert " ".join(field["description"].split())[:40] in " ".join(told.split())


def test_explain_goes_down_to_the_leaves(cluster: Cluster) -> None:
    assert "FIELD: limit" in cluster.kubectl("explain", "brun.spec.task.limit")


# --- subresources -----------------------------------------------------------------------------------------------------


@each_kind
def test_status_is_written_by_its_own_path_only(api: Api, namespace: Namespace, kind: Kind) -> None:
    path = _path(kind, namespace)
    stored = api.create(path, {**SAMPLES[kind.name], "status": STATUSES[kind.name]})
    assert "status" not in stored
    place = f"{path}/{stored['metadata']['name']}"

    mixed = {"status": STATUSES[kind.name], "metadata": {"labels": {"a": "b"}}}
    answer = api.request("PATCH", f"{place}/status", mixed, content_type=MERGE_PATCH)

    assert answer.good, answer.message
    # The API server fills in defaults of the status; what was written is in it.
    assert answer.body["status"].items() >= STATUSES[kind.name].items()
    assert answer.body["spec"] == stored["spec"]
    assert answer.body["metadata"]["generation"] == stored["metadata"]["generation"] == 1
    after = api.request("PATCH", place, {"status": None}, content_type=MERGE_PATCH)
    assert after.body["status"] == answer.body["status"]


def test_a_model_server_is_scaled_through_its_subresource(api: Api, namespace: Namespace) -> None:
    namespace.apply(SERVER)
    place = f"{_path(MODEL_SERVER, namespace)}/big"

    namespace.kubectl("scale", "msrv/big", "--replicas=3")

    assert namespace.get("msrv", "big")["spec"]["replicas"] == 3
    status = {"status": {"replicas": 2, "selector": "app=big"}}
    answer = api.request("PATCH", f"{place}/status", status, content_type=MERGE_PATCH)
    assert answer.good, answer.message
    scale = api.get(f"{place}/scale")
    assert (scale["spec"], scale["status"]) == ({"replicas": 3}, {"replicas": 2, "selector": "app=big"})


# --- server-side apply ------------------------------------------------------------------------------------------------


def _apply(api: Api, place: str, body: Any, *, manager: str, force: bool = False) -> dict[str, Any]:
    query = f"?fieldManager={manager}&force={json.dumps(force)}&fieldValidation=Strict"
    answer = api.request("PATCH", f"{place}{query}", body, content_type=APPLY_PATCH)
    assert answer.good, answer.message
    return answer.body


@each_kind
def test_applying_the_same_object_again_changes_nothing(api: Api, namespace: Namespace, kind: Kind) -> None:
    place = f"{_path(kind, namespace)}/{SAMPLES[kind.name]['metadata']['name']}"
    first = _apply(api, place, SAMPLES[kind.name], manager="me")

    second = _apply(api, place, SAMPLES[kind.name], manager="me")

    assert second == first


@each_kind
def test_what_was_read_can_be_applied_as_it_is(api: Api, namespace: Namespace, kind: Kind) -> None:
    place = f"{_path(kind, namespace)}/{SAMPLES[kind.name]['metadata']['name']}"
    stored = _apply(api, place, SAMPLES[kind.name], manager="me")
    read = {
        **{key: stored[key] for key in ("apiVersion", "kind", "spec")},
        "metadata": {"name": stored["metadata"]["name"]},
    }

    again = _apply(api, place, read, manager="me")

    assert again["spec"] == stored["spec"]
    assert again["metadata"]["generation"] == 1


def test_two_owners_of_different_fields_do_not_disturb_each_other(api: Api, namespace: Namespace) -> None:
    place = f"{_path(MODEL_SERVER, namespace)}/big"
    head = {key: SERVER[key] for key in ("apiVersion", "kind", "metadata")}
    _apply(api, place, SERVER, manager="me")
    _apply(api, place, {**head, "spec": {"replicas": 4}}, manager="scaler", force=True)

    mine = _apply(api, place, SERVER, manager="me")

    assert mine["spec"]["replicas"] == 4


def test_a_field_goes_when_its_owner_applies_without_it(api: Api, namespace: Namespace) -> None:
    place = f"{_path(BENCHMARK_RUN, namespace)}/first"
    _apply(api, place, {**RUN, "spec": {**RUN["spec"], "suspend": True}}, manager="me")

    without = _apply(api, place, RUN, manager="me")

    assert without["spec"].get("suspend", False) is False


# --- immutability -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        (BENCHMARK_RUN, {"task": {"name": "other"}}),
        (BENCHMARK_RUN, {"epochs": 3}),
        (BENCHMARK_RUN, {"generation": {"maxTokens": 5}}),
        (MODEL_SERVER, {"model": "org/other"}),
        (MODEL_SERVER, {"preset": "small"}),
    ],
    ids=["change a task", "add epochs", "add generation", "change a model", "add a preset"],
)
def test_what_is_immutable_can_be_neither_changed_nor_added(
    namespace: Namespace, kind: Kind, patch: dict[str, Any]
) -> None:
    namespace.apply(SAMPLES[kind.name])
    name = SAMPLES[kind.name]["metadata"]["name"]

    words = namespace.refusal("patch", kind.short_name, name, "--type=merge", "-p", json.dumps({"spec": patch}))

    assert kind.immutability is not None
    assert kind.immutability.message in words


def test_an_immutable_field_cannot_be_removed(namespace: Namespace) -> None:
    namespace.apply({**RUN, "spec": {**RUN["spec"], "epochs": 2}})

    words = namespace.refusal(
        "patch", "brun", "first", "--type=json", "-p", '[{"op": "remove", "path": "/spec/epochs"}]'
    )

    assert "a run is immutable" in words


def test_a_run_can_be_suspended(namespace: Namespace) -> None:
    namespace.apply(RUN)

    namespace.apply({**RUN, "spec": {**RUN["spec"], "suspend": True}})

    assert namespace.get("brun", "first")["metadata"]["generation"] == 2
