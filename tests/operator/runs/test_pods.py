"""What the pods of a run hold, and who of them holds a secret."""

import json
from typing import Any

import pytest
from tests.operator.runs.builders import EXTERNAL, REF, World, run, server

from joulebench_operator.objects import Object

KEY = {"apiKeySecretRef": {"name": "openai"}}


def _spec(world: World, job: str = "first-1") -> Object:
    found: Object = world.get("Job", job)["spec"]["template"]["spec"]
    return found


def _containers(spec: Object) -> dict[str, Object]:
    return {one["name"]: one for one in (*spec.get("initContainers", ()), *spec["containers"])}


def _variables(container: Object) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def _external(**spec: Any) -> World:
    return World().started(run(server={"external": {**EXTERNAL["external"], **KEY}}, **spec))


def test_no_container_gets_a_token_of_the_api_or_more_rights() -> None:
    spec = _spec(_external())

    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    for container in _containers(spec).values():
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_keys_of_models_are_the_meter_s_and_preflight_s_alone() -> None:
    holders = {
        name
        for name, container in _containers(_spec(_external())).items()
        if "JOULEBENCH_KEY_MODEL" in _variables(container)
    }

    assert holders == {"meter", "preflight"}


def test_what_a_user_mounts_for_a_task_is_where_it_is_looked_for_and_asked() -> None:
    overlay = {
        "spec": {"volumes": [{"name": "tasks", "configMap": {"name": "tasks"}}]},
        "container": {"env": [{"name": "A", "value": "b"}], "volumeMounts": [{"name": "tasks", "mountPath": "/tasks"}]},
    }
    for world in (_external(runner={"podTemplate": overlay}), World().started(run(runner={"podTemplate": overlay}))):
        (job,) = world.children("Job")
        found = _containers(_spec(world, job))
        mounts = {
            name for name, one in found.items() if "/tasks" in [mount["mountPath"] for mount in one["volumeMounts"]]
        }
        assert mounts == found.keys() - {"meter"}
        assert {name for name, one in found.items() if _variables(one).get("A") == "b"} == mounts


def test_headers_of_a_server_come_from_the_secret_and_are_the_meter_s_and_preflight_s_alone() -> None:
    headers = {"headersSecretRef": {"name": "gateway"}}
    world = World().started(run(server={"external": {**EXTERNAL["external"], **headers}}))
    found = {name: _variables(one).get("JOULEBENCH_HEADERS_MODEL") for name, one in _containers(_spec(world)).items()}

    secret = {"secretKeyRef": {"name": "gateway", "key": "headers"}}
    assert {name: value for name, value in found.items() if value is not None} == {"meter": secret, "preflight": secret}
    (server,) = json.loads(world.get("ConfigMap", "first-1")["data"]["assignment.json"])["servers"]
    assert server["headers_variable"] == "JOULEBENCH_HEADERS_MODEL"


def test_the_hub_s_token_is_never_the_driver_s_or_the_meter_s() -> None:
    world = _external(task={"name": "gsm8k", "source": {"hub": {"tokenSecretRef": {"name": "hf"}}}})
    containers = _containers(_spec(world))

    assert {name for name, one in containers.items() if "HF_TOKEN" in _variables(one)} == {"fetch", "preflight"}
    secret = {"secretKeyRef": {"name": "hf", "key": "token"}}
    assert _variables(containers["fetch"])["HF_TOKEN"] == secret


def test_a_store_s_credentials_are_the_meter_s_and_preflight_s_alone() -> None:
    store = {"url": "s3://bench/runs", "credentialsSecretRef": {"name": "s3"}}
    world = _external(results={"store": {"objectStore": store}})
    holders = {name for name, one in _containers(_spec(world)).items() if "envFrom" in one}

    assert holders == {"meter", "preflight"}
    assert {"name": "results", "emptyDir": {}} in _spec(world)["volumes"]


def test_the_exporters_token_is_the_meter_s_alone() -> None:
    world = World()
    world.cache.put(server())
    world.server_pod("llama")
    spec = _spec(world.started(run(server=REF)))
    holders = {
        name
        for name, one in _containers(spec).items()
        if "exporter-token" in [mount["name"] for mount in one["volumeMounts"]]
    }

    assert holders == {"meter"}


def test_a_user_s_variable_does_not_replace_ours() -> None:
    world = _external(runner={"env": [{"name": "JOULEBENCH_KEY_MODEL", "value": "x"}, {"name": "A", "value": "b"}]})
    variables = _variables(_containers(_spec(world))["meter"])

    assert variables["JOULEBENCH_KEY_MODEL"] == {"secretKeyRef": {"name": "openai", "key": "api-key"}}
    assert variables["A"] == "b"


@pytest.mark.parametrize(
    ("source", "folder", "volume"),
    [
        (
            {"claim": {"name": "c", "path": "v1"}},
            "/data",
            {"persistentVolumeClaim": {"claimName": "c", "readOnly": True}},
        ),
        ({"configMap": {"name": "m"}}, "/data/everyday", {"configMap": {"name": "m"}}),
    ],
)
def test_questions_on_a_volume_are_not_fetched(source: Object, folder: str, volume: Object) -> None:
    spec = _spec(_external(task={"name": "everyday", "source": source}))

    assert "fetch" not in _containers(spec)
    assert {"name": "data", **volume} in spec["volumes"]
    (mount,) = [one for one in _containers(spec)["driver"]["volumeMounts"] if one["name"] == "data"]
    assert (mount["mountPath"], mount["readOnly"]) == (folder, True)


def test_the_job_ends_by_itself_when_all_its_limits_are_over() -> None:
    world = _external(timeouts={"queue": "1m", "serverReady": "2m", "run": "3m"}, retryLimit=7)
    spec = world.get("Job", "first-1")["spec"]

    assert spec["activeDeadlineSeconds"] == 360
    assert spec["backoffLimit"] == 7
    assert "ttlSecondsAfterFinished" not in spec


def test_labels_and_annotations_of_other_tools_are_not_passed_on() -> None:
    metadata = {
        "labels": {"team": "a", "joulebench.dev/run": "other", "app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"note": "x", "argocd.argoproj.io/sync-wave": "1", "kubectl.kubernetes.io/restartedAt": "now"},
    }
    template = {"metadata": metadata, "spec": {"engine": "Simulator", "model": "sim"}}
    world = World().started(run(server={"template": template}))
    world.preflight_ends()
    world.visit()
    made = world.get("ModelServer", "first-model")["metadata"]

    assert made["labels"]["team"] == "a"
    assert made["labels"]["joulebench.dev/run"] == "first"
    assert made["labels"]["app.kubernetes.io/managed-by"] == "joulebench"
    assert {key for key in made["annotations"] if "intent" not in key} == {"note"}


def test_results_in_a_store_are_told_by_their_address() -> None:
    store = {"store": {"objectStore": {"url": "s3://bench/runs/"}}}
    world = World().asking(run(results=store))
    world.runner_ends(0, {"results": {"url": "s3://bench/runs/first/summary.json", "sha256": "ab", "bytes": 9}})
    world.visit(after=60)

    assert world.last.status["results"]["url"] == "s3://bench/runs/first/summary.json"
    assert world.last.status["attempts"][0]["resultsURL"] == "s3://bench/runs/first"
    assert world.children("PersistentVolumeClaim") == []


def test_long_names_stay_within_what_kubernetes_takes() -> None:
    name = "a" * 45
    world = World(name).started(run(name))
    world.preflight_ends_of(f"{name}-1-preflight")
    world.visit()

    assert all(len(child.body["metadata"]["name"]) <= 63 for child in world.last.children)
    (made,) = world.children("ModelServer")
    assert len(made) <= 45
