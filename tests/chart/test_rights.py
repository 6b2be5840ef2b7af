"""Who may do what, once the chart is installed."""

from collections.abc import Iterator

import pytest
from tests.chart.rendered import NAMESPACE, Object, Objects, Render

from joulebench_operator import kinds
from joulebench_operator.kinds import Kind

WHERE = [{}, {"watchNamespaces": ["team-a", "team-b"]}]
everywhere = pytest.mark.parametrize("values", WHERE, ids=["whole cluster", "some namespaces"])
MANAGE = {"get", "list", "watch", "create", "patch", "delete"}
LOOK = {"get", "list", "watch"}


def roles(objects: Objects) -> list[Object]:
    """All roles."""
    return [item for (kind, _), item in objects.items() if kind in {"Role", "ClusterRole"}]


def verbs(role: Object, kind: Kind, part: str = "") -> set[str]:
    """What a role allows with a kind, or a part of it such as `/status`."""
    return {
        verb
        for rule in role["rules"]
        if kind.group in rule["apiGroups"] and f"{kind.plural}{part}" in rule["resources"]
        for verb in rule["verbs"]
    }


def operators_roles(objects: Objects) -> Iterator[Object]:
    """The roles that count where benchmarks run."""
    return (role for role in roles(objects) if role["metadata"]["name"] == "joulebench-operator")


@everywhere
def test_nobody_reads_secrets_or_nodes_and_nothing_is_a_wildcard(render: Render, values: Object) -> None:
    for role in roles(render(**values)):
        for rule in role["rules"]:
            words = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            assert not any("*" in word for word in words), role["metadata"]["name"]
            assert not words & {"secrets", "nodes", "impersonate", "escalate", "bind"}
            assert not {"pods/exec", "serviceaccounts/token"} & words


@everywhere
def test_the_operator_may_do_what_it_does_and_no_more(render: Render, values: Object) -> None:
    found = list(operators_roles(render(**values)))
    assert found
    for role in found:
        assert all(verbs(role, kind) == MANAGE for kind in (*kinds.MADE, kinds.MODEL_SERVER))
        assert verbs(role, kinds.BENCHMARK_RUN) == LOOK
        assert all(verbs(role, kind, "/status") == {"patch"} for kind in kinds.OWN)
        assert all(verbs(role, kind, "/finalizers") == {"update"} for kind in kinds.OWN)
        assert verbs(role, kinds.POD) == LOOK
        assert verbs(role, kinds.POD, "/log") == {"get"}
        assert verbs(role, kinds.EVENT) == {"create", "patch"}
        assert verbs(role, kinds.LEASE) == set()


def test_leases_are_its_own_namespaces_only(plain: Objects) -> None:
    role = plain["Role", "joulebench-operator-lease"]
    assert verbs(role, kinds.LEASE) == {"get", "create", "update", "patch"}
    binding = plain["RoleBinding", "joulebench-operator-lease"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "joulebench-operator", "namespace": NAMESPACE}]


def test_with_named_namespaces_the_operator_has_rights_there_and_nowhere_else(render: Render) -> None:
    objects = render(**WHERE[1])
    assert not [name for kind, name in objects if kind == "ClusterRoleBinding" and "operator" in name]
    places = [role["metadata"]["namespace"] for role in operators_roles(objects)]
    assert places == ["team-a", "team-b"]
    assert verbs(objects["Role", "joulebench-operator-exporters"], kinds.POD) == LOOK
    (args,) = (
        one["args"] for one in objects["Deployment", "joulebench-operator"]["spec"]["template"]["spec"]["containers"]
    )
    assert "--watch-namespaces=team-a,team-b" in args


def test_the_exporter_may_only_ask_whether_a_caller_may(plain: Objects) -> None:
    (rules,) = (role["rules"] for role in roles(plain) if role["metadata"]["name"] == "joulebench-exporter")
    assert {(resource, *rule["verbs"]) for rule in rules for resource in rule["resources"]} == {
        ("tokenreviews", "create"),
        ("subjectaccessreviews", "create"),
    }


def test_people_see_and_make_benchmarks_and_write_no_status(plain: Objects) -> None:
    view, edit = plain["ClusterRole", "joulebench-view"], plain["ClusterRole", "joulebench-edit"]
    assert all(verbs(view, kind) == LOOK for kind in kinds.OWN)
    assert all({"create", "patch", "delete"} <= verbs(edit, kind) for kind in kinds.OWN)
    assert all(verbs(edit, kind, "/status") == set() for kind in kinds.OWN)
    aggregated = "rbac.authorization.k8s.io/aggregate-to-"
    assert {f"{aggregated}{name}" for name in ("view", "edit", "admin")} <= set(view["metadata"]["labels"])
    assert {f"{aggregated}{name}" for name in ("edit", "admin")} <= set(edit["metadata"]["labels"])
    assert f"{aggregated}view" not in edit["metadata"]["labels"]


def test_teams_may_go_without_cluster_roles(render: Render) -> None:
    values = {"crds": {"install": False}, "rbac": {"userRoles": False}, "exporter": {"enabled": False}}
    objects = render(**WHERE[1], **values)
    assert not [kind for kind, _ in objects if kind.startswith(("Cluster", "CustomResource"))]
