"""What the chart installs, by its values."""

from pathlib import Path

import pytest
import yaml
from tests.chart.rendered import NAMESPACE, Object, Objects, Refuse, Render
from tools.generate_chart import described
from tools.images import ROOT, version

from joulebench_api.configuration import OperatorConfiguration
from joulebench_api.contracts import ports
from joulebench_operator.cli import main
from joulebench_operator.configuration import read
from joulebench_operator.names import EXPORTER_PART, MANAGED_BY, MANAGER, PART_LABEL

CRDS = sorted((ROOT / "charts" / "joulebench" / "files" / "crds").iterdir())
KEEP = "helm.sh/resource-policy"
OPERATOR = ("Deployment", "joulebench-operator")
EXPORTER = ("DaemonSet", "joulebench-exporter")
MOUNTED = ("pod-resources", "sys", "pod-groups")
"""What the exporter sees of its node."""
CONFIGURATION = ("ConfigMap", "joulebench-operator")


def pod(objects: Objects, key: tuple[str, str]) -> Object:
    """The spec of the pods of a workload."""
    found: Object = objects[key]["spec"]["template"]["spec"]
    return found


def container(objects: Objects, key: tuple[str, str]) -> Object:
    """The container of its pods."""
    (found,) = pod(objects, key)["containers"]
    return dict(found)


def crds(objects: Objects) -> list[Object]:
    """The definitions of our kinds."""
    return [item for (kind, _), item in objects.items() if kind == "CustomResourceDefinition"]


# --- custom resource definitions --------------------------------------------------------------------------------------


def test_the_definitions_are_those_that_are_generated(plain: Objects) -> None:
    specs = {item["metadata"]["name"]: item["spec"] for item in crds(plain)}
    assert specs == {item["metadata"]["name"]: item["spec"] for item in map(_parsed, CRDS)}


def _parsed(path: Path) -> Object:
    found: Object = yaml.safe_load(path.read_text())
    return found


def test_the_definitions_stay_when_the_release_goes(plain: Objects, render: Render) -> None:
    assert [item["metadata"]["annotations"][KEEP] for item in crds(plain)] == ["keep"] * len(CRDS)
    assert all("annotations" not in item["metadata"] for item in crds(render(crds={"keep": False})))


def test_somebody_else_may_install_the_definitions(render: Render) -> None:
    assert crds(render(crds={"install": False})) == []


def test_helm_upgrades_the_definitions() -> None:
    # What lies in a chart's folder crds/ is installed once and never again.
    assert not (ROOT / "charts" / "joulebench" / "crds").exists()


# --- operator ---------------------------------------------------------------------------------------------------------


def test_the_operator_is_told_who_and_where_it_is(plain: Objects) -> None:
    told = container(plain, OPERATOR)
    assert {"--identity=$(POD_NAME)", "--lease-namespace=$(POD_NAMESPACE)", "--leader-elect"} <= set(told["args"])
    paths = {one["name"]: one["valueFrom"]["fieldRef"]["fieldPath"] for one in told["env"]}
    assert paths == {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"}


def test_probes_and_metrics_are_at_their_ports(plain: Objects) -> None:
    told = container(plain, OPERATOR)
    assert {one["name"]: one["containerPort"] for one in told["ports"]} == {
        "metrics": ports.OPERATOR_METRICS_PORT,
        "probes": ports.OPERATOR_PROBES_PORT,
    }
    assert f"--probes-listen=:{ports.OPERATOR_PROBES_PORT}" in told["args"]
    assert told["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "probes"}
    assert told["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "probes"}


def test_the_operators_pod_is_restricted(plain: Objects) -> None:
    """Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
    spec = pod(plain, OPERATOR)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(plain, OPERATOR)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {kind for volume in spec["volumes"] for kind in volume if kind != "name"} <= {
        "configMap",
        "emptyDir",
        "projected",
    }


def test_it_tells_which_images_belong_to_it(render: Render) -> None:
    images = {"prefix": "registry.example.org/team/", "tag": "7", "runner": "example.org/mine@sha256:12"}
    told = container(render(images=images), OPERATOR)
    assert told["image"] == "registry.example.org/team/joulebench-operator:7"
    assert [one for one in told["args"] if one.startswith("--image=")] == [
        "--image=runner=example.org/mine@sha256:12",
        "--image=Simulator=registry.example.org/team/joulebench-simulator:7",
        "--image=LlamaCpp=registry.example.org/team/joulebench-llamacpp:7",
    ]


def test_images_are_of_the_charts_release(plain: Objects) -> None:
    assert container(plain, OPERATOR)["image"] == f"joulebench-operator:{version()}"


def test_the_operator_knows_all_its_flags(plain: Objects) -> None:
    known = {option for parameter in main.params for option in parameter.opts}
    assert {flag.partition("=")[0] for flag in container(plain, OPERATOR)["args"]} <= known


def test_two_replicas_are_possible(render: Render) -> None:
    assert render(operator={"replicas": 2})[OPERATOR]["spec"]["replicas"] == 2


# --- configuration ----------------------------------------------------------------------------------------------------


def configuration(objects: Objects, folder: Path) -> OperatorConfiguration:
    """What the operator reads."""
    file = folder / "configuration.yaml"
    file.write_text(objects[CONFIGURATION]["data"][file.name])
    return read(file)


def revision(objects: Objects) -> str:
    """What changes when the configuration does."""
    metadata = objects[OPERATOR]["spec"]["template"]["metadata"]
    return str(metadata["annotations"]["joulebench.dev/configuration"])


EXAMPLE = ROOT / "examples" / "operator-configuration.yaml"


def test_without_a_configuration_nothing_is_configured(plain: Objects, tmp_path: Path) -> None:
    assert configuration(plain, tmp_path) == OperatorConfiguration()


def test_a_configuration_need_not_say_what_it_is(render: Render, tmp_path: Path) -> None:
    found = configuration(render(config={"defaults": {"concurrency": 4}}), tmp_path)
    assert found.model_dump()["defaults"]["concurrency"] == 4


def test_a_configuration_is_a_value_or_a_file(render: Render, tmp_path: Path) -> None:
    as_value = render(config=yaml.safe_load(EXAMPLE.read_text()))
    as_file = render(f"--set-file=config={EXAMPLE}")
    assert configuration(as_value, tmp_path) == configuration(as_file, tmp_path) != OperatorConfiguration()


def test_another_configuration_needs_another_pod(plain: Objects, render: Render) -> None:
    changed = render(config={"defaults": {"concurrency": 4}})
    assert revision(changed) != revision(plain) == revision(render())


# --- exporter ---------------------------------------------------------------------------------------------------------


def test_the_operator_finds_the_exporters_by_their_labels(plain: Objects) -> None:
    labels = plain[EXPORTER]["spec"]["template"]["metadata"]["labels"]
    assert (labels[PART_LABEL], labels[MANAGED_BY]) == (EXPORTER_PART, MANAGER)
    assert f"--exporter-namespace={NAMESPACE}" in container(plain, OPERATOR)["args"]


def test_the_operator_asks_exporters_with_a_token_of_its_own(plain: Objects, render: Render) -> None:
    (volume,) = [one for one in pod(plain, OPERATOR)["volumes"] if one["name"] == "exporter-token"]
    (mount,) = [one for one in container(plain, OPERATOR)["volumeMounts"] if one["name"] == volume["name"]]
    (source,) = volume["projected"]["sources"]
    audience, path = source["serviceAccountToken"]["audience"], source["serviceAccountToken"]["path"]
    args = container(plain, OPERATOR)["args"]
    assert {f"--exporter-audience={audience}", f"--exporter-token-file={mount['mountPath']}/{path}"} <= set(args)
    assert f"--audience={audience}" in container(plain, EXPORTER)["args"]

    without = render(exporter={"enabled": False})
    assert "exporter-token" not in {one["name"] for one in pod(without, OPERATOR)["volumes"]}
    assert not [one for one in container(without, OPERATOR)["args"] if one.startswith("--exporter-token-file")]


def test_older_clusters_are_not_told_what_they_do_not_know(render: Render) -> None:
    mounts = container(render("--kube-version=1.29"), EXPORTER)["volumeMounts"]
    assert [mount["readOnly"] for mount in mounts] == [True] * len(MOUNTED)
    assert not any("recursiveReadOnly" in mount for mount in mounts)


def test_the_exporter_sees_pods_come_and_go_by_their_control_groups(plain: Objects, render: Render) -> None:
    (volume,) = [one for one in pod(plain, EXPORTER)["volumes"] if one["name"] == "pod-groups"]
    (mount,) = [one for one in container(plain, EXPORTER)["volumeMounts"] if one["name"] == "pod-groups"]
    assert volume["hostPath"]["path"] == "/sys/fs/cgroup"
    assert f"--pod-groups={mount['mountPath']}" in container(plain, EXPORTER)["args"]

    without = render(exporter={"podGroups": ""})
    assert "--pod-groups=off" in container(without, EXPORTER)["args"]
    assert {one["name"] for one in pod(without, EXPORTER)["volumes"]} == {"pod-resources", "sys"}


def test_the_exporter_is_root_without_rights(plain: Objects) -> None:
    assert container(plain, EXPORTER)["securityContext"] == {
        "runAsUser": 0,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    mounts = container(plain, EXPORTER)["volumeMounts"]
    assert {mount["name"]: mount["readOnly"] for mount in mounts} == dict.fromkeys(MOUNTED, True)
    # Other file systems are mounted within these, and `readOnly` alone says nothing of them.
    assert {mount["name"] for mount in mounts if mount.get("recursiveReadOnly")} == {"sys", "pod-groups"}
    assert not any(pod(plain, EXPORTER).get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))


def test_the_exporter_asks_for_tokens_and_listens_where_it_is_expected(plain: Objects) -> None:
    told = container(plain, EXPORTER)
    assert {"--auth=token", f"--listen=0.0.0.0:{ports.EXPORTER_GRPC_PORT}"} <= set(told["args"])
    assert f"--http=0.0.0.0:{ports.EXPORTER_HTTP_PORT}" in told["args"]
    assert f"--exporter-port={ports.EXPORTER_GRPC_PORT}" in container(plain, OPERATOR)["args"]


def test_nothing_of_the_exporter_is_left_without_it(render: Render) -> None:
    objects = render(exporter={"enabled": False})
    assert not [name for _, name in objects if "exporter" in name]
    assert not [one for one in container(objects, OPERATOR)["args"] if one.startswith("--exporter-namespace")]


def test_another_releases_exporter_can_be_used(render: Render) -> None:
    objects = render(exporter={"enabled": False, "namespace": "meters"}, watchNamespaces=["team-a"])
    assert "--exporter-namespace=meters" in container(objects, OPERATOR)["args"]
    assert ("Role", "joulebench-operator-exporters/meters") in objects


@pytest.mark.parametrize(
    ("values", "allowed"),
    [
        ({}, []),
        ({"watchNamespaces": ["team-a"]}, ["team-a", NAMESPACE]),
        ({"exporter": {"allowNamespaces": ["b"]}, "watchNamespaces": ["a"]}, ["b", NAMESPACE]),
        ({"watchNamespaces": [NAMESPACE]}, [NAMESPACE]),
    ],
    ids=["everybody", "those with benchmarks and the operator", "as said and the operator", "once"],
)
def test_who_may_read_joules(render: Render, values: Object, allowed: list[str]) -> None:
    args = container(render(**values), EXPORTER)["args"]
    assert [one for one in args if one.startswith("--allow-")] == [f"--allow-namespace={name}" for name in allowed]


def test_what_a_cluster_needs_besides_can_be_added(render: Render) -> None:
    exporter = {
        "env": [{"name": "LD_LIBRARY_PATH", "value": "/driver"}],
        "volumes": [{"name": "driver", "hostPath": {"path": "/driver"}}],
        "volumeMounts": [{"name": "driver", "mountPath": "/driver"}],
        "runtimeClassName": "nvidia",
        "rapl": False,
    }
    objects = render(exporter=exporter)
    assert container(objects, EXPORTER)["env"][-1] == exporter["env"][0]  # type: ignore[index]  # a list
    assert [volume["name"] for volume in pod(objects, EXPORTER)["volumes"]] == ["pod-resources", "pod-groups", "driver"]
    assert pod(objects, EXPORTER)["runtimeClassName"] == "nvidia"


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"nope": 1}, "additional properties 'nope' not allowed"),
        ({"operator": {"replica": 2}}, "at '/operator': additional properties 'replica' not allowed"),
        ({"operator": {"replicas": "two"}}, "at '/operator/replicas'"),
        ({"operator": {"logLevel": "loud"}}, "at '/operator/logLevel': value must be one of"),
        ({"images": {"pullPolicy": "never"}}, "at '/images/pullPolicy': value must be one of"),
        ({"images": {"prefix": "registry.example.org"}}, "at '/images/prefix'"),
        ({"watchNamespaces": "team-a"}, "at '/watchNamespaces': got string, want array"),
        ({"watchNamespaces": ["Team_A"]}, "at '/watchNamespaces/0'"),
        ({"config": {"defaults": {"energy": {"policy": "Off"}}}}, "at '/config/defaults/energy/policy'"),
        ({"config": {"default": {}}}, "at '/config': additional properties 'default' not allowed"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_values_are_refused_by_their_paths(refuse: Refuse, values: Object, said: str) -> None:
    assert said in refuse(**values)


def test_every_value_is_described() -> None:
    text = (ROOT / "charts" / "joulebench" / "values.yaml").read_text()
    values = yaml.safe_load(text)
    paths = dict(described(text))
    for name, value in values.items():
        parts = [f"{name}.{key}" for key in value] if isinstance(value, dict) and value else [name]
        assert set(parts) <= set(paths), name


def test_chart_and_packages_are_of_one_release() -> None:
    chart = yaml.safe_load((ROOT / "charts" / "joulebench" / "Chart.yaml").read_text())
    assert chart["appVersion"] == version()
    assert str(chart["version"]).replace("-", ".").replace("dev.", "dev") == version()
