"""Built-in defaults, the operator's configuration, and what somebody wrote."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from joulebench_api.configuration import OperatorConfiguration
from joulebench_api.defaults import resolve, resolve_server
from joulebench_api.loading import Loaded
from joulebench_api.v1alpha1 import BenchmarkRun, ModelServerSpec
from joulebench_api.v1alpha1.engine import Engine

RUN: dict[str, Any] = {
    "metadata": {"name": "a", "namespace": "team-a"},
    "spec": {"server": {"external": {"url": "http://x/v1", "model": "m"}}, "task": {"name": "gsm8k"}},
}


def configured(**fields: Any) -> OperatorConfiguration:
    return OperatorConfiguration.model_validate(fields)


def run(**fields: Any) -> BenchmarkRun:
    return BenchmarkRun.model_validate({**RUN, "spec": {**RUN["spec"], **fields}})


def test_the_configuration_goes_before_what_is_built_in_and_the_namespace_before_both() -> None:
    configuration = configured(
        defaults={"concurrency": 4, "energy": {"idleBaseline": "10s", "policy": "Required"}},
        namespaces={"team-a": {"energy": {"idleBaseline": "5s"}}, "team-b": {"concurrency": 99}},
    )
    spec = resolve(run(energy={"policy": "Disabled"}), configuration=configuration).spec

    assert spec.concurrency == 4
    assert (spec.energy.idle_baseline, spec.energy.policy, spec.energy.min_coverage_percent) == ("5s", "Disabled", 99)


def test_a_configured_store_takes_the_place_of_the_built_in_claim() -> None:
    configuration = configured(defaults={"results": {"store": {"objectStore": {"url": "s3://a"}}}})
    store = resolve(run(), configuration=configuration).spec.results.store

    assert store is not None
    assert store.claim_template is None
    assert store.object_store is not None
    assert store.object_store.url == "s3://a"


def test_a_store_that_the_run_names_takes_the_place_of_the_configured_one() -> None:
    configuration = configured(defaults={"results": {"store": {"objectStore": {"url": "s3://a"}}}})
    store = resolve(run(results={"store": {"claim": {"name": "mine"}}}), configuration=configuration).spec.results.store

    assert store is not None
    assert (store.object_store, store.claim_template) == (None, None)


def test_load_runs_take_no_configured_concurrency() -> None:
    load = {"stages": [{"name": "a", "rate": 1, "requests": 5}]}
    assert resolve(run(load=load), configuration=configured(defaults={"concurrency": 4})).spec.concurrency is None


def test_the_result_of_a_run_without_configuration_is_the_built_in_one(load_run: Callable[..., Loaded]) -> None:
    plain = load_run().run
    assert resolve(plain, configuration=configured()) == resolve(plain)


_ENERGY = st.fixed_dictionaries(
    {},
    optional={
        "policy": st.sampled_from(["Preferred", "Disabled"]),
        "attribution": st.sampled_from(["Phase", "Equal", "Token"]),
        "idleBaseline": st.sampled_from(["0s", "5s", "1m"]),
        "minCoveragePercent": st.integers(0, 100),
    },
)
_STORE = st.sampled_from(
    [{"claim": {"name": "a"}}, {"objectStore": {"url": "s3://a"}}, {"claimTemplate": {"size": "1Gi"}}]
)
_LAYER = st.fixed_dictionaries(
    {},
    optional={"concurrency": st.integers(1, 9), "energy": _ENERGY, "results": st.fixed_dictionaries({"store": _STORE})},
)


@given(_LAYER, _LAYER, _LAYER)
def test_a_default_never_beats_what_somebody_wrote(own: Any, defaults: Any, namespace: Any) -> None:
    configuration = configured(defaults=defaults, namespaces={"team-a": namespace})
    written = run(**own).spec.model_dump(mode="json", exclude_unset=True)

    resolved = resolve(run(**own), configuration=configuration)

    assert holds(resolved.spec.model_dump(mode="json", exclude_unset=True), written)
    assert resolve(resolved, configuration=configuration) == resolved


def holds(resolved: Any, written: Any) -> bool:
    if not isinstance(written, dict):
        return bool(resolved == written)
    return all(name in resolved and holds(resolved[name], value) for name, value in written.items())


# --- servers ----------------------------------------------------------------------------------------------------------

FLEET: dict[str, Any] = {
    "defaults": {"modelServer": {"imagePullSecrets": [{"name": "all"}], "resources": {"requests": {"cpu": "4"}}}},
    "namespaces": {"team-a": {"modelServer": {"imagePullSecrets": [{"name": "a"}]}}},
    "engines": {"vLLM": {"image": "registry/vllm:1", "env": [{"name": "A", "value": "1"}]}},
    "accelerators": {
        "h100": {"resourceName": "nvidia.com/gpu", "placement": {"nodeSelector": {"gpu": "h100", "pool": "x"}}},
        "bare": {"placement": {"schedulerName": "other"}},
    },
    "presets": {
        "house": {"engine": "vLLM", "model": "org/house", "maxModelLen": 4096, "accelerator": {"profile": "h100"}}
    },
}


def server(namespace: str | None = "team-a", **fields: Any) -> ModelServerSpec:
    spec = ModelServerSpec.model_validate(fields)
    return resolve_server(spec, configuration=configured(**FLEET), namespace=namespace)


def test_a_server_takes_its_engine_s_image_and_its_namespace_s_pull_secrets() -> None:
    spec = server(engine="vLLM", model="org/a")

    assert spec.image == "registry/vllm:1"
    assert [ref.name for ref in spec.image_pull_secrets or ()] == ["a"]
    assert [ref.name for ref in server(namespace=None, engine="vLLM", model="m").image_pull_secrets or ()] == ["all"]
    assert server(engine="SGLang", model="org/a").image is None
    assert server(engine="vLLM", model="org/a", image="mine").image == "mine"


def test_a_profile_says_where_and_what_and_the_server_may_say_more() -> None:
    spec = server(
        engine="vLLM", model="m", accelerator={"profile": "h100", "count": 2}, placement={"nodeSelector": {"pool": "y"}}
    )
    assert spec.accelerator is not None
    assert (spec.accelerator.resource_name, spec.accelerator.count) == ("nvidia.com/gpu", 2)
    assert spec.placement is not None
    assert spec.placement.node_selector == {"gpu": "h100", "pool": "y"}

    bare = server(engine="vLLM", model="m", accelerator={"profile": "bare"})
    assert bare.placement is not None
    assert bare.placement.scheduler_name == "other"


def test_a_preset_of_the_configuration_is_replaced_by_what_it_stands_for() -> None:
    spec = server(preset="house", maxModelLen=1024)

    assert (spec.preset, spec.engine, spec.model, spec.max_model_len) == (None, Engine.VLLM, "org/house", 1024)
    assert spec.image == "registry/vllm:1"
    assert spec.placement is not None


def test_a_preset_that_the_configuration_does_not_have_stays() -> None:
    assert server(preset="smollm2-135m-instruct").preset == "smollm2-135m-instruct"
