"""What counts as a change by somebody else, and what does not."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_operator.drift import holds, is_as_applied
from joulebench_operator.kinds import DEPLOYMENT
from joulebench_operator.objects import Object, labels, new, owned

OWNER: Object = {
    "apiVersion": "joulebench.dev/v1alpha1",
    "kind": "ModelServer",
    "metadata": {"name": "llama", "namespace": "team", "uid": "1"},
}


def intended() -> Object:
    container = {
        "name": "server",
        "image": "vllm:1",
        "resources": {"limits": {"cpu": "1000m", "memory": "2Gi", "nvidia.com/gpu": 2}},
        "env": [{"name": "HF_HOME", "value": "/cache"}],
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
    }
    spec = {
        "replicas": 1,
        "template": {"spec": {"containers": [container], "volumes": [{"name": "shm", "emptyDir": {}}]}},
    }
    body = new(DEPLOYMENT, name="llama", namespace="team", labels=labels("server", instance="llama"), spec=spec)
    return owned(body, OWNER)


def stored(item: Object) -> Object:
    """As the API server stores it: with defaults, quantities in its own writing, and others' additions."""
    found = copy.deepcopy(item)
    found["metadata"] |= {"uid": "2", "resourceVersion": "7", "generation": 1}
    found["metadata"]["labels"]["team"] = "blue"
    found["spec"]["progressDeadlineSeconds"] = 600
    template = found["spec"]["template"]["spec"]
    template["restartPolicy"] = "Always"
    template["containers"][0]["resources"]["limits"] |= {"cpu": "1", "nvidia.com/gpu": "2"}
    template["containers"].insert(0, {"name": "sidecar", "image": "mesh:1"})
    found["status"] = {"replicas": 1}
    return found


def test_defaults_sidecars_and_other_ways_to_write_a_quantity_are_no_drift() -> None:
    assert is_as_applied(intended(), stored(intended()))


@pytest.mark.parametrize(
    "change",
    [
        lambda item: item["spec"].update(replicas=3),
        lambda item: item["spec"]["template"]["spec"]["containers"][1].update(image="vllm:2"),
        lambda item: item["spec"]["template"]["spec"]["containers"][1]["env"].clear(),
        lambda item: item["spec"]["template"]["spec"]["containers"][1]["resources"]["limits"].update(memory="1Gi"),
        lambda item: item["spec"]["template"]["spec"]["containers"].pop(),
        lambda item: item["spec"]["template"]["spec"].pop("volumes"),
        lambda item: item["metadata"]["labels"].pop("app.kubernetes.io/managed-by"),
        lambda item: item["metadata"]["annotations"].clear(),
    ],
)
def test_what_somebody_changed_or_took_away_is_drift(change: Any) -> None:
    found = stored(intended())
    change(found)
    assert not is_as_applied(intended(), found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_everything_holds_itself(value: Any) -> None:
    assert holds(value, value)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3), st.text(max_size=3), JSON)
def test_an_addition_by_others_is_never_drift(value: dict[str, Any], name: str, added: Any) -> None:
    assert holds(value, {name: added} | value)
