"""What is laid over a pod template: placement, users' additions, administrators' additions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_api.v1alpha1.kubernetes import Placement, PodOverlay
from joulebench_operator.objects import Object
from joulebench_operator.pods import security
from joulebench_operator.pods.overlay import lay, lay_open


def _template() -> Object:
    main = {
        "name": "main",
        "image": "ours",
        "env": [{"name": "A", "value": "1"}],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        "securityContext": security.container(),
    }
    return {
        "metadata": {"labels": {"ours": "yes"}, "annotations": {"a": "1"}},
        "spec": {
            "securityContext": security.pod(),
            "containers": [main, {"name": "side", "image": "ours"}],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }


def _laid(overlay: dict[str, Any] | None = None, placement: dict[str, Any] | None = None) -> Object:
    return lay(
        _template(),
        container="main",
        overlay=None if overlay is None else PodOverlay.model_validate(overlay),
        placement=None if placement is None else Placement.model_validate(placement),
    )


def test_nothing_changes_nothing() -> None:
    assert _laid() == _laid({}, {}) == _template()


def test_labels_are_added_and_never_replaced() -> None:
    laid = _laid({"metadata": {"labels": {"ours": "no", "theirs": "yes"}, "annotations": {"b": "2"}}})
    assert laid["metadata"] == {"labels": {"ours": "yes", "theirs": "yes"}, "annotations": {"a": "1", "b": "2"}}


def test_variables_and_volumes_are_added_by_their_names() -> None:
    laid = _laid(
        {
            "spec": {"volumes": [{"name": "ca", "configMap": {"name": "ca"}}]},
            "container": {
                "env": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}],
                "volumeMounts": [{"name": "ca", "mountPath": "/ca"}],
            },
        }
    )
    main = laid["spec"]["containers"][0]
    assert main["env"] == [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}]
    assert [mount["mountPath"] for mount in main["volumeMounts"]] == ["/tmp", "/ca"]
    assert [volume["name"] for volume in laid["spec"]["volumes"]] == ["tmp", "ca"]
    assert laid["spec"]["containers"][1] == {"name": "side", "image": "ours"}


def test_a_variable_may_come_from_elsewhere_instead() -> None:
    reference = {"secretKeyRef": {"name": "s", "key": "k"}}
    laid = _laid({"container": {"env": [{"name": "A", "valueFrom": reference}]}})
    assert laid["spec"]["containers"][0]["env"] == [{"name": "A", "valueFrom": reference}]


def test_security_contexts_merge() -> None:
    laid = _laid(
        {
            "spec": {"securityContext": {"fsGroup": 1}},
            "container": {"securityContext": {"runAsUser": 7, "readOnlyRootFilesystem": False}},
        }
    )
    assert laid["spec"]["securityContext"] == {**security.POD, "fsGroup": 1}
    assert laid["spec"]["containers"][0]["securityContext"] == {
        **security.CONTAINER, "runAsUser": 7, "readOnlyRootFilesystem": False,
    }  # fmt: skip


def test_placement_goes_to_the_pod() -> None:
    placement = {
        "nodeSelector": {"gpu": "a"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "runtimeClassName": "nvidia",
        "priorityClassName": "high",
        "schedulerName": "own",
        "topologySpreadConstraints": [{"maxSkew": 1}],
        "affinity": {"nodeAffinity": {}},
    }
    assert _laid(placement=placement)["spec"] == {**_template()["spec"], **placement}


def test_an_administrator_may_add_anything() -> None:
    overlay = {
        "spec": {"hostNetwork": True, "volumes": [{"name": "ib", "hostPath": {"path": "/dev/infiniband"}}]},
        "container": {"securityContext": {"capabilities": {"add": ["IPC_LOCK"]}}},
    }
    laid = lay_open(_template(), container="main", overlay=overlay)
    assert laid["spec"]["hostNetwork"] is True
    assert laid["spec"]["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["IPC_LOCK"]}
    assert laid["spec"]["volumes"][-1]["hostPath"] == {"path": "/dev/infiniband"}


_NAMES = st.sampled_from(["A", "B", "C"])
_VARIABLES = st.lists(
    st.builds(lambda name: {"name": name, "value": name}, _NAMES), unique_by=lambda entry: entry["name"]
)


@given(_VARIABLES, st.dictionaries(st.sampled_from(["ours", "x", "y"]), st.just("v")))
def test_laying_twice_is_laying_once(variables: list[Object], labels: dict[str, str]) -> None:
    overlay = PodOverlay.model_validate({"metadata": {"labels": labels}, "container": {"env": variables}})
    placement = Placement.model_validate({"tolerations": [{"key": "gpu"}]})
    once = lay(_template(), container="main", overlay=overlay, placement=placement)
    assert lay(once, container="main", overlay=overlay, placement=placement) == once
    assert {**once["metadata"]["labels"], **_template()["metadata"]["labels"]} == once["metadata"]["labels"]


@pytest.mark.parametrize("context", [security.pod(may_be_root=True), security.pod()])
def test_every_pod_has_a_seccomp_profile(context: Object) -> None:
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert context.get("runAsNonRoot", False) == (context == dict(security.POD))


@pytest.mark.parametrize("context", [security.container(writes_anywhere=True), security.container()])
def test_no_container_gains_rights(context: Object) -> None:
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
