"""The objects of a server, field by field where the examples in `golden` do not tell why."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.operator.servers.builders import World, child, condition, conditions, plan, running, server, world

from joulebench_api.configuration import OperatorConfiguration
from joulebench_api.v1alpha1.model_server import ModelServerSpec
from joulebench_operator.objects import Object, owned
from joulebench_operator.servers.pod_template import pod_template

FIELDS = ModelServerSpec.model_fields


def _container(**how: Any) -> Object:
    found: Object = pod_template(plan(**how))["spec"]["containers"][0]
    return found


@pytest.mark.parametrize(
    "resources",
    [
        {"requests": {"cpu": "2", "memory": "4Gi"}},
        {"limits": {"cpu": "2", "memory": "4Gi"}},
        {"limits": {"cpu": "2"}, "requests": {"memory": "4Gi"}},
    ],
)
def test_what_is_asked_for_is_the_pod_s_own(resources: Object) -> None:
    both = {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "1"}
    assert _container(resources=resources)["resources"] == {"requests": both, "limits": both}


def test_what_the_user_tells_apart_stays_apart() -> None:
    written = {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}
    assert _container(resources=written, accelerator={"count": 0})["resources"] == written


def test_without_accelerators_none_are_seen() -> None:
    hidden = {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}
    assert hidden in _container(accelerator={"count": 0})["env"]
    assert hidden not in _container()["env"]


def test_the_startup_probe_lasts_for_the_startup_timeout() -> None:
    probe = _container(startupTimeout="61s")["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 62


def test_the_spec_s_variables_come_last() -> None:
    env = _container(env=[{"name": "HF_HOME", "value": "/mine"}, {"name": "B", "value": "b"}])["env"]
    assert {"name": "HF_HOME", "value": "/mine"} in env
    assert len({entry["name"] for entry in env}) == len(env)


def test_arguments_are_taken_as_they_are() -> None:
    assert _container(args=["--x=$(HF_TOKEN)"])["command"][-1] == "--x=$$(HF_TOKEN)"


def test_products_without_a_known_label_are_refused() -> None:
    here = world(accelerator={"resourceName": "example.com/npu", "products": ["x"]})
    assert conditions(here.decide()) == {"Ready": "False InvalidSpec", "Stalled": "True InvalidSpec"}
    assert condition(here.decide()).message.startswith("spec.accelerator.products: ")


def test_a_sleeping_server_has_no_pod_and_keeps_the_rest() -> None:
    kinds = [entry.body["kind"] for entry in world(activation="OnDemand").decide().children]
    assert kinds == ["Deployment", "Service", "Service"]


def test_the_cache_s_claim_is_made_once() -> None:
    decided = world(cache={"claimTemplate": {"size": "10Gi"}}).decide()
    claim = child(decided, "PersistentVolumeClaim")
    assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}}
    assert [entry.once for entry in decided.children] == [False, False, False, True]


def test_a_spec_that_cannot_be_used_leaves_what_is_there() -> None:
    here = world(cache={"claimTemplate": {"size": "10Gi"}})
    here.pod(**running(ready=50))
    here.answer()
    before = here.written()

    here.item["spec"]["accelerator"] = {"profile": "nobody's"}
    decided = here.decide()
    assert conditions(decided) == {
        "Ready": "False UnknownAcceleratorProfile", "Stalled": "True UnknownAcceleratorProfile",
    }  # fmt: skip
    names = {(entry.body["kind"], entry.body["metadata"]["name"]) for entry in before.children}
    assert {(entry.body["kind"], entry.body["metadata"]["name"]) for entry in decided.children} == names
    assert all(entry.once for entry in decided.children)
    assert decided.status["url"] == before.status["url"]
    assert "conditions" not in decided.status


def test_what_belongs_to_others_is_not_kept() -> None:
    here = World(server(preset="nobody-s"))
    other = {**server("other"), "metadata": {**server("other")["metadata"], "uid": "u2"}}
    body = child(world().decide(), "Deployment")
    here.cache.put(owned(body, other))
    assert here.decide().children == ()


def test_another_configuration_is_another_server() -> None:
    here = world()
    before = here.template()
    here.configuration = OperatorConfiguration.model_validate({"engines": {"vLLM": {"image": "fleet/vllm"}}})
    assert here.template() != before


def test_what_a_user_adds_takes_nothing_away_from_the_profile() -> None:
    profile = {
        "env": [{"name": "NCCL_IB_HCA", "value": "mlx5"}],
        "placement": {"tolerations": [{"key": "gpu", "operator": "Exists"}], "nodeSelector": {"gpu": "h100"}},
    }
    made = plan(
        accelerator={"profile": "h100"},
        configuration={"accelerators": {"h100": profile}},
        env=[{"name": "B", "value": "b"}],
        placement={"tolerations": [{"key": "team", "operator": "Exists"}], "nodeSelector": {"zone": "a"}},
    )
    spec = pod_template(made)["spec"]
    assert [entry["key"] for entry in spec["tolerations"]] == ["gpu", "team"]
    assert spec["nodeSelector"] == {"gpu": "h100", "zone": "a"}
    assert {"NCCL_IB_HCA", "B"} <= {entry["name"] for entry in spec["containers"][0]["env"]}


@pytest.mark.parametrize("template", [{"hostNetwork": True}, {"spec": "x"}, {"spec": {"volumes": [{"emptyDir": {}}]}}])
def test_a_profile_of_another_form_is_told(template: Any) -> None:
    here = world(accelerator={"profile": "ib"})
    profile = {"accelerators": {"ib": {"podTemplate": template}}}
    here.configuration = OperatorConfiguration.model_validate(profile)
    assert conditions(here.decide())["Ready"] == "False InvalidSpec"
    assert "what 'ib' lays over pods" in condition(here.decide()).message


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=4,
)
OPEN = st.dictionaries(st.sampled_from(["nodeAffinity", "spec", "name"]), JSON, max_size=2)
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "engine": st.sampled_from(["vLLM", "LlamaCpp", "Simulator", "SGLang", "Ollama"]),
    "model": st.text(max_size=5),
    "preset": st.just("smollm2-135m-instruct"),
    "engineArgs": st.dictionaries(st.text(max_size=3), JSON, max_size=2),
    "args": st.lists(st.text(max_size=3), max_size=3),
    "accelerator": st.fixed_dictionaries({"products": st.just(["a"])}),
    "placement": st.fixed_dictionaries({"affinity": OPEN}),
    "podTemplate": st.fixed_dictionaries({"spec": st.fixed_dictionaries({"hostAliases": st.lists(OPEN, max_size=2)})}),
}
SPECS = st.fixed_dictionaries(
    {}, optional={field.alias or name: LIKELY.get(field.alias or name, JSON) for name, field in FIELDS.items()}
)


@given(st.one_of(SPECS, st.fixed_dictionaries({}, optional=LIKELY)))
def test_whatever_the_spec_says_something_is_decided(spec: dict[str, Any]) -> None:
    decided = World({**server(), "spec": spec}).decide()
    held = conditions(decided)
    assert held["Ready"].startswith("False")
    assert ("Stalled" in held) == (decided.children == ())
