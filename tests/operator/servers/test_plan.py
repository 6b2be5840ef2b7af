"""A server's spec, completed; and what is refused, with the reason and the way out."""

from typing import Any

import pytest
from pydantic import ValidationError
from tests.operator.servers.builders import plan

from joulebench_api.errors import ApiError
from joulebench_operator.decision import Settings
from joulebench_operator.servers.refusals import refusal


def _refusal(**how: Any) -> tuple[str, str]:
    with pytest.raises((ApiError, ValidationError)) as caught:
        plan(**how)
    assert isinstance(caught.value, ApiError | ValidationError)
    reason, message = refusal(caught.value)
    return str(reason), message


def test_names_and_addresses() -> None:
    made = plan()
    assert (made.deployment, made.service, made.headless, made.cache_claim) == (
        "llama", "llama", "llama-h", "llama-cache",
    )  # fmt: skip
    assert made.url == "http://llama.team.svc:8000/v1"
    assert (made.command.port, made.command.health_path, made.command.metrics_path) == (8000, "/health", "/metrics")


def test_the_image_is_the_spec_s_else_the_configuration_s_else_the_engine_s() -> None:
    configured = {"engines": {"vLLM": {"image": "fleet/vllm"}}}
    assert plan().image == "vllm/vllm-openai:v0.33.0"
    assert plan(configuration=configured).image == "fleet/vllm"
    assert plan(image="mine", configuration=configured).image == "mine"
    assert plan(engine="Simulator").image == "ours/simulator:1"


def test_what_is_configured_for_an_engine_counts_for_its_presets_too() -> None:
    configured = {"engines": {"LlamaCpp": {"image": "fleet/llamacpp"}}}
    assert plan(preset="smollm2-135m-instruct", configuration=configured).image == "fleet/llamacpp"
    named = {**configured, "presets": {"smollm2-135m-instruct": {"engine": "vLLM", "model": "org/other"}}}
    assert plan(preset="smollm2-135m-instruct", configuration=named).command.argv[:3] == ("vllm", "serve", "org/other")


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        ({}, 1),
        ({"parallelism": {"tensor": 2, "pipeline": 2, "data": 2}}, 8),
        ({"accelerator": {"count": 0}, "parallelism": {"tensor": 2}}, 0),
        ({"accelerator": {"count": 3}}, 3),
        ({"engine": "Simulator"}, 0),
        ({"engine": "Simulator", "accelerator": {}, "parallelism": {"tensor": 2}}, 2),
        ({"preset": "smollm2-135m-instruct"}, 0),
        ({"preset": "smollm2-135m-instruct", "accelerator": {"profile": "l4"}}, 1),
    ],
)
def test_how_many_accelerators(spec: dict[str, Any], count: int) -> None:
    assert plan(configuration={"accelerators": {"l4": {}}}, **spec).accelerators == count


def test_a_profile_says_where_and_by_what_resource() -> None:
    profile = {"resourceName": "amd.com/gpu", "placement": {"nodeSelector": {"a": "b"}}, "podTemplate": {"spec": {}}}
    made = plan(accelerator={"profile": "mi300"}, configuration={"accelerators": {"mi300": profile}})
    assert made.resource_name == "amd.com/gpu"
    assert made.profile is not None
    assert made.profile.pod_template == {"spec": {}}
    assert made.spec.placement is not None
    assert made.spec.placement.node_selector == {"a": "b"}


def test_a_preset_of_the_configuration_is_a_server() -> None:
    made = plan(preset="ours", configuration={"presets": {"ours": {"engine": "vLLM", "model": "org/big"}}})
    assert made.command.argv[2] == "org/big"


def test_variables_may_come_from_anywhere_on_a_cluster() -> None:
    assert plan(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]).command.env == {}


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({}, "org/llama"),
        ({"model": "/models/a"}, "/models/a"),
        ({"source": {"claim": {"name": "c"}}}, "/model"),
        ({"source": {"image": {"reference": "r"}}}, "/model"),
        ({"source": {"objectStore": {"url": "s3://a/b"}}}, "s3://a/b"),
        ({"preset": "smollm2-135m-instruct"}, "/models/SmolLM2-135M-Instruct.Q4_1.gguf"),
        ({"engine": "LlamaCpp", "source": {"claim": {"name": "c", "path": "a/b.gguf"}}}, "/model/b.gguf"),
        ({"engine": "LlamaCpp", "model": "b.gguf", "source": {"claim": {"name": "c", "path": "a"}}}, "/model/b.gguf"),
        ({"engine": "LlamaCpp", "model": "b.gguf", "source": {"image": {"reference": "r"}}}, "/model/b.gguf"),
        ({"engine": "LlamaCpp", "model": "/in/image.gguf"}, "/in/image.gguf"),
    ],
)
def test_where_the_engine_finds_its_model(spec: dict[str, Any], path: str) -> None:
    made = plan(**spec)
    assert made.files.path == path
    assert path in made.command.argv


def _variable(name: str, **how: Any) -> Any:
    return next((entry for entry in plan(**how).files.env if entry["name"] == name), None)


def test_the_hub_is_the_server_s_else_the_namespace_s_else_the_fleet_s() -> None:
    fleet = {"defaults": {"hub": {"endpoint": "https://fleet"}}}
    both = {**fleet, "namespaces": {"team": {"hub": {"endpoint": "https://team"}}}}
    own = {"hub": {"endpoint": "https://own"}}
    assert _variable("HF_ENDPOINT") is None
    assert _variable("HF_ENDPOINT", configuration=fleet)["value"] == "https://fleet"
    assert _variable("HF_ENDPOINT", configuration=both)["value"] == "https://team"
    assert _variable("HF_ENDPOINT", configuration=both, source=own)["value"] == "https://own"


def test_tokens_are_passed_on_by_reference() -> None:
    for spec in (
        {"huggingFaceTokenSecretRef": {"name": "hf"}},
        {"source": {"hub": {"tokenSecretRef": {"name": "hf"}}}},
    ):
        reference = {"secretKeyRef": {"name": "hf", "key": "token"}}
        assert _variable("HF_TOKEN", **spec) == {"name": "HF_TOKEN", "valueFrom": reference}


@pytest.mark.parametrize(
    ("how", "reason", "text"),
    [
        ({"preset": "smolm2-135m-instruct"}, "UnknownPreset", "did you mean 'smollm2-135m-instruct'?"),
        (
            {"accelerator": {"profile": "h10"}, "configuration": {"accelerators": {"h100": {}}}},
            "UnknownAcceleratorProfile", "spec.accelerator.profile: 'h10' is not a profile; there is h100",
        ),
        ({"accelerator": {"profile": "h100"}}, "UnknownAcceleratorProfile", "none is configured"),
        ({"accelerator": {"deviceClassName": "gpu.nvidia.com"}}, "InvalidSpec", "spec.accelerator.deviceClassName: "),
        ({"parallelism": {"tensor": 8, "nodes": 2}}, "InvalidSpec", "spec.parallelism.nodes: 2 nodes cannot be had"),
        ({"engine": "SGLang"}, "InvalidSpec", "spec.engine: SGLang cannot be started by joulebench yet"),
        ({"engine": "Simulator", "settings": Settings()}, "InvalidSpec", "engines.Simulator.image in the operator's"),
        ({"source": {"configMap": {"name": "a"}}}, "InvalidSpec", "spec.source.configMap: "),
        ({"source": {"objectStore": {"url": "ftp://a/b"}}}, "InvalidSpec", "spec.source.objectStore.url: ftp://a/b"),
        ({"source": {"claim": {"name": "c", "path": "../x"}}}, "InvalidSpec", "spec.source.claim.path: '../x' leads"),
        ({"engine": "LlamaCpp"}, "InvalidSpec", "spec.model: LlamaCpp loads one .gguf file"),
        ({"engine": "LlamaCpp", "source": {"claim": {"name": "c"}}}, "InvalidSpec", "name the .gguf file"),
        ({"image": "evil/x", "configuration": {"policy": {"images": ["good/*"]}}}, "NotAllowed", "spec.image: "),
        ({"configuration": {"policy": {"images": ["good/*"]}}}, "NotAllowed", "vllm/vllm-openai"),
        (
            {
                "image": "good/x", "source": {"image": {"reference": "evil/y"}},
                "configuration": {"policy": {"images": ["good/*"]}},
            },
            "NotAllowed", "spec.source.image.reference: ",
        ),
        (
            {
                "image": "good/x",
                "podTemplate": {"spec": {"volumes": [{"name": "a", "image": {"reference": "evil/y"}}]}},
                "configuration": {"policy": {"images": ["good/*"]}},
            },
            "NotAllowed", "spec.podTemplate.spec.volumes[0].image: ",
        ),
        ({"serviceAccountName": "admin"}, "NotAllowed", "spec.serviceAccountName: "),
        (
            {"serviceAccountName": "admin", "configuration": {"policy": {"serviceAccounts": ["models"]}}},
            "NotAllowed", "use models, or leave it out",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_with_the_field(how: dict[str, Any], reason: str, text: str) -> None:
    found, message = _refusal(**how)
    assert found == reason
    assert message.startswith("spec.")
    assert text in message


def test_images_that_the_administrator_names_need_no_leave() -> None:
    configuration = {"policy": {"images": ["good/*"]}, "engines": {"vLLM": {"image": "fleet/vllm"}}}
    assert plan(configuration=configuration).image == "fleet/vllm"
    assert plan(engine="Simulator", configuration=configuration).image == "ours/simulator:1"


def test_a_wrong_value_is_told_with_its_path() -> None:
    assert _refusal(replicas="two") == (
        "InvalidSpec", "spec.replicas: must be a whole number, found 'two'",
    )  # fmt: skip
