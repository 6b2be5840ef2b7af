"""The chart on a real API server: what it renders is accepted, and its pods are what Pod Security takes them for."""

import json
from typing import Any

import pytest
import yaml
from tests.cluster.cluster import Cluster
from tests.cluster.images.products import product
from tests.cluster.session import Namespace
from tests.cluster.settings import CRDS, REPOSITORY

CHART = REPOSITORY / "charts" / "joulebench"
TRY = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-")


@pytest.fixture
def rendered(cluster: Cluster, namespace: Namespace) -> str:
    """What would be installed."""
    return cluster.helm("template", "joulebench", CHART, f"--namespace={namespace.name}")


def objects(text: str) -> list[dict[str, Any]]:
    """The rendered objects."""
    return [item for item in yaml.safe_load_all(text) if item]


def pods(text: str) -> dict[str, dict[str, Any]]:
    """The pods of each part, as objects of their own."""
    templates = [item["spec"]["template"] for item in objects(text) if item["kind"] in {"Deployment", "DaemonSet"}]
    return {
        template["metadata"]["labels"]["app.kubernetes.io/component"]: {**template, "apiVersion": "v1", "kind": "Pod"}
        for template in templates
    }


def test_the_api_server_takes_everything(namespace: Namespace, rendered: str) -> None:
    lines = namespace.kubectl(*TRY, text=rendered).splitlines()
    assert len(lines) == len(objects(rendered))
    assert all(line.endswith("serverside-applied (server dry run)") for line in lines), lines


def test_the_operator_is_restricted_and_only_the_exporter_needs_host_paths(namespace: Namespace, rendered: str) -> None:
    namespace.cluster.kubectl("label", "namespace", namespace.name, "pod-security.kubernetes.io/enforce=restricted")
    by_part = pods(rendered)
    for pod in by_part.values():
        pod["metadata"]["name"] = "tried"
        # Accounts are installed with the chart, and this is about pods alone.
        del pod["spec"]["serviceAccountName"]

    namespace.kubectl(*TRY, text=json.dumps(by_part["operator"]))
    assert "hostPath" in namespace.refusal(*TRY, text=json.dumps(by_part["exporter"]))


def test_the_exporter_gets_ready_and_the_kinds_stay_when_the_release_goes(
    cluster: Cluster, namespace: Namespace
) -> None:
    image = product("exporter")
    cluster.load_image(image.archive, nodes=["node0"])
    # Other tests may have installed the kinds already.
    words = [
        f"--namespace={namespace.name}",
        "--take-ownership",
        "--wait",
        "--timeout=60s",
        "--set=operator.replicas=0",
    ]

    cluster.helm("install", "joulebench", CHART, *words, f"--set=images.exporter={image.name}", timeout_seconds=90)
    assert namespace.get("daemonset", "joulebench-exporter")["status"]["numberReady"] == 1
    cluster.helm("uninstall", "joulebench", f"--namespace={namespace.name}", "--wait", timeout_seconds=90)

    kept = cluster.kubectl("get", "crds", "--output=name").splitlines()
    assert len([name for name in kept if name.endswith(".joulebench.dev")]) == len(list(CRDS.iterdir()))
    assert "not found" in namespace.refusal("get", "daemonset", "joulebench-exporter")
