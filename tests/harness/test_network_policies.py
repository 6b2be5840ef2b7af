"""NetworkPolicy as nftables rules: who is isolated, and what gets in or out all the same."""

from typing import Any

import pytest
from tests.cluster.policies import Pod, pods_of, ruleset
from tests.cluster.selectors import matches

WEB = Pod("shop", "10.244.0.5", {"app": "web"}, {("http", "TCP"): 8000})
FRIEND = Pod("shop", "10.244.0.6", {"role": "friend"})
GUEST = Pod("other", "10.244.0.7", {"role": "friend"})
NAMESPACES = {"shop": {"kubernetes.io/metadata.name": "shop"}, "other": {"kubernetes.io/metadata.name": "other"}}


def policy(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": "p"},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, **spec},
    }


def chain(spec: dict[str, Any], name: str = "ingress_10_244_0_5") -> list[str]:
    """The rules of a chain; none if the pod is not isolated in that direction."""
    text = ruleset([policy(spec)], [WEB, FRIEND, GUEST], NAMESPACES)
    _, _, after = text.partition(f"chain {name} {{\n")
    return [line.strip() for line in after.partition("}")[0].splitlines() if line.strip()]


def test_without_policies_nothing_is_dropped() -> None:
    assert "drop" not in ruleset([], [WEB, FRIEND, GUEST], NAMESPACES)


def test_the_old_table_goes_in_the_same_step_as_the_new_one_comes() -> None:
    lines = ruleset([], [], {}).splitlines()

    assert lines[:2] == ["table inet joulebench_policies", "delete table inet joulebench_policies"]


def test_an_isolated_pod_is_shut_to_everybody() -> None:
    assert chain({"policyTypes": ["Ingress"]}) == ["counter drop"]


def test_only_pods_of_the_policy_s_own_namespace_are_isolated() -> None:
    text = ruleset([policy({"podSelector": {}})], [WEB, GUEST], NAMESPACES)

    assert "10.244.0.5" in text
    assert "10.244.0.7" not in text


def test_egress_rules_isolate_egress_too_and_types_that_are_named_are_all() -> None:
    assert chain({"egress": []}, "egress_10_244_0_5") == []
    assert chain({"egress": [{}]}, "egress_10_244_0_5") == ["return", "counter drop"]
    assert chain({"egress": [{}], "policyTypes": ["Egress"]}) == []


def test_a_peer_without_namespaces_is_of_the_policy_s_own() -> None:
    spec = {"ingress": [{"from": [{"podSelector": {"matchLabels": {"role": "friend"}}}]}]}

    assert chain(spec) == ["ip saddr 10.244.0.6 return", "counter drop"]


def test_a_peer_with_namespaces_and_pods_must_fit_both() -> None:
    other = {"matchLabels": {"kubernetes.io/metadata.name": "other"}}
    friends = {"namespaceSelector": other, "podSelector": {"matchLabels": {"role": "friend"}}}
    strangers = {"namespaceSelector": other, "podSelector": {"matchLabels": {"role": "stranger"}}}

    assert chain({"ingress": [{"from": [friends]}]}) == ["ip saddr 10.244.0.7 return", "counter drop"]
    assert chain({"ingress": [{"from": [strangers]}]}) == ["counter drop"]


@pytest.mark.parametrize(
    ("port", "match"),
    [
        ({"port": 80}, "tcp dport 80"),
        ({"port": 53, "protocol": "UDP"}, "udp dport 53"),
        ({"port": 80, "endPort": 90}, "tcp dport 80-90"),
        ({"port": "http"}, "tcp dport 8000"),
        ({"protocol": "UDP"}, "udp dport 0-65535"),
    ],
)
def test_ports_by_number_range_name_and_protocol(port: dict[str, Any], match: str) -> None:
    assert chain({"ingress": [{"ports": [port]}]}) == [f"{match} return", "counter drop"]


def test_a_port_s_name_that_no_pod_has_lets_nobody_in() -> None:
    assert chain({"ingress": [{"ports": [{"port": "metrics"}]}]}) == ["counter drop"]


def test_the_name_of_a_port_of_egress_is_the_target_s() -> None:
    source = policy({"podSelector": {"matchLabels": {"role": "friend"}}, "policyTypes": ["Egress"]})
    source["spec"]["egress"] = [{"to": [{"podSelector": {}}], "ports": [{"port": "http"}]}]

    assert "ip daddr 10.244.0.5 tcp dport 8000 return" in ruleset([source], [WEB, FRIEND], NAMESPACES)


def test_blocks_have_exceptions() -> None:
    block = {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}

    assert chain({"ingress": [{"from": [{"ipBlock": block}]}]})[0].split() == (
        ["ip", "saddr", "10.0.0.0/8", "ip", "saddr", "!=", "10.1.0.0/16", "return"]
    )


def test_pods_without_a_network_of_their_own_or_an_end_are_left_out() -> None:
    def made(**status: Any) -> dict[str, Any]:
        spec = {
            "containers": [{"ports": [{"name": "http", "containerPort": 8000}]}],
            "hostNetwork": status.pop("host", False),
        }
        return {"metadata": {"namespace": "shop", "labels": {"app": "web"}}, "spec": spec, "status": status}

    running = made(podIP="10.244.0.5", phase="Running")
    others = [made(phase="Pending"), made(podIP="10.244.0.9", phase="Succeeded"), made(podIP="1.2.3.4", host=True)]

    assert pods_of([running, *others]) == [WEB]


@pytest.mark.parametrize(
    ("selector", "good"),
    [
        ({}, True),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "2"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}, True),
        ({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}, False),
    ],
)
def test_selectors(selector: dict[str, Any], good: bool) -> None:
    assert matches(selector, {"a": "1"}) is good
