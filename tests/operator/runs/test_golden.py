"""Every object that three runs come to, as files to be read.

After a wanted change: `GOLDEN=write pytest tests/operator/runs/test_golden.py`, then read the difference.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.operator.runs.builders import EXTERNAL, REF, World, as_yaml, run, server

from joulebench_api.configuration import OperatorConfiguration
from joulebench_operator.objects import Object, key_of

_GOLDEN = Path(__file__).parent / "golden"


def _template() -> World:
    spec: Object = {"engine": "vLLM", "model": "org/llama", "apiKeySecretRef": {"name": "llama-key"}}
    hub = OperatorConfiguration.model_validate({"defaults": {"hub": {"endpoint": "https://hub.example"}}})
    world = World(configuration=hub).started(
        run(
            server={"template": {"metadata": {"labels": {"team": "a"}}, "spec": spec}},
            task={"name": "gsm8k", "source": {"hub": {"tokenSecretRef": {"name": "hf"}}}},
            queue={"name": "gpus"},
            energy={"policy": "Required"},
        )
    )
    world.preflight_ends()
    world.visit()
    world.servers_answer()
    world.visit()
    return world


def _ref() -> World:
    world = World()
    world.cache.put(server())
    world.server_pod("llama")
    store = {"url": "s3://bench/runs", "credentialsSecretRef": {"name": "s3"}}
    return world.started(
        run(
            server=REF,
            results={"store": {"objectStore": store}},
            runner={
                "env": [{"name": "HTTPS_PROXY", "value": "http://proxy"}],
                "resources": {"requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}},
                "caBundleConfigMapRef": {"name": "ca", "key": "bundle.pem"},
                "imagePullSecrets": [{"name": "pull"}],
                "placement": {"nodeSelector": {"pool": "cpu"}},
                "podTemplate": {
                    "metadata": {"labels": {"cost": "lab"}},
                    "container": {"env": [{"name": "A", "value": "b"}]},
                },
            },
        )
    )


def _external() -> World:
    key = {"apiKeySecretRef": {"name": "openai"}}
    judge = {"server": {"external": {"url": "https://api.example/v1", "model": "judge", **key}}}
    source = {"claim": {"name": "questions", "path": "v1"}}
    return World().started(
        run(
            server=EXTERNAL,
            judge=judge,
            task={"name": "simpleqa", "source": source},
            results={"store": {"claim": {"name": "shared", "path": "team/runs"}}},
            energy={"policy": "Disabled"},
            timeouts={"queue": "10m", "serverReady": "30m", "run": "2h"},
        )
    )


@pytest.mark.parametrize(("name", "made"), [("template", _template), ("ref", _ref), ("external", _external)])
def test_what_a_run_comes_to(name: str, made: Callable[[], World]) -> None:
    world = made()
    children = [world.born.get(key_of(child.body), child.body) for child in world.last.children]
    text = as_yaml([_readable(child) for child in children])
    path = _GOLDEN / f"{name}.yaml"
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    assert text == path.read_text()


def _readable(body: Object) -> Object:
    """Without what differs from day to day, and with JSON files as objects."""
    metadata = {name: value for name, value in body["metadata"].items() if name in ("name", "labels", "annotations")}
    annotations = {key: value for key, value in metadata.pop("annotations", {}).items() if "intent" not in key}
    shown = {**body, "metadata": {**metadata, **({"annotations": annotations} if annotations else {})}}
    shown.pop("status", None)
    if "data" in shown:
        shown["data"] = {name: _without_versions(json.loads(text)) for name, text in shown["data"].items()}
    return shown


def _without_versions(told: Object) -> Object:
    if "provenance" not in told:
        return told
    return {**told, "provenance": {**told["provenance"], "operator": "VERSION", "configuration_sha256": "HASH"}}
