"""What a node does: the kinds of workload, their network, their volumes, and what the control plane refuses."""

import base64
import json
from pathlib import Path

from tests.cluster.api import Api
from tests.cluster.cluster import Cluster
from tests.cluster.objects import (
    PORT,
    READY_PROBE,
    SERVE,
    Object,
    claim,
    daemon_set,
    deployment,
    job,
    pod,
    pod_spec,
    service,
    with_volume,
)
from tests.cluster.session import Namespace


def the_service_answers(cluster: Cluster, namespace: Namespace, name: str) -> str:
    """What it answers at its address, once kube-proxy has heard of its pods."""
    address = namespace.get("service", name)["spec"]["clusterIP"]
    return str(cluster.wait(lambda: namespace.fetched(f"http://{address}/"), what="an answer of the Service"))


def test_a_service_reaches_the_pods_of_a_deployment_by_name(cluster: Cluster, namespace: Namespace) -> None:
    namespace.apply(deployment("web", replicas=2), service("web"))
    namespace.available("web")
    the_service_answers(cluster, namespace, "web")

    client = pod("client", "fetch", "http://web/")
    assert namespace.said(client).startswith("web-")
    assert namespace.said(pod("full", "fetch", f"http://web.{namespace.name}.svc.cluster.local/")).startswith("web-")


def test_a_name_outside_the_cluster_does_not_exist(namespace: Namespace) -> None:
    namespace.apply(pod("client", "lookup", "example.org"))

    assert namespace.ended("client") == "Failed"
    assert "Name or service not known" in namespace.kubectl("logs", "client")


def test_a_service_answers_commands_in_the_cluster_s_network(cluster: Cluster, namespace: Namespace) -> None:
    namespace.apply(deployment("web"), service("web"))
    namespace.available("web")
    assert the_service_answers(cluster, namespace, "web").startswith("web-")


def test_a_job_completes_and_its_log_can_be_read(namespace: Namespace) -> None:
    namespace.apply(job("sum", "say", "done", completions=2, parallelism=2))

    namespace.kubectl("wait", "--for=condition=Complete", "job/sum", "--timeout=60s")

    assert namespace.kubectl("logs", "--selector=app=sum").split() == ["done", "done"]


def test_a_job_whose_pod_fails_is_failed(namespace: Namespace) -> None:
    namespace.apply(job("bad", "read", "/nowhere"))

    namespace.kubectl("wait", "--for=condition=Failed", "job/bad", "--timeout=60s")

    assert "No such file" in namespace.kubectl("logs", "--selector=app=bad")


def test_a_daemon_set_runs_on_the_node(namespace: Namespace) -> None:
    namespace.apply(daemon_set("agent", pod_spec("rest")))

    namespace.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")


def test_logs_exec_and_port_forward_reach_a_pod(namespace: Namespace) -> None:
    namespace.apply(pod("web", *SERVE, container_more={"readinessProbe": READY_PROBE}))
    namespace.ready("web")

    assert namespace.kubectl("exec", "web", "--", "id", "-u") == "65532"
    assert namespace.kubectl("exec", "-i", "web", "--", "cat", text="through") == "through"
    with namespace.forwarded("pod/web", PORT) as url:
        assert namespace.fetched(url) == "web"
    assert "GET / HTTP" in namespace.kubectl("logs", "web")


def test_a_pod_that_is_not_ready_gets_no_requests(cluster: Cluster, namespace: Namespace) -> None:
    probe = {"httpGet": {"path": "/ready", "port": PORT}, "periodSeconds": 1}
    namespace.apply(pod("web", *SERVE, container_more={"readinessProbe": probe}), service("web"))
    running = "--output=jsonpath={.status.phase}"
    cluster.wait(lambda: namespace.kubectl("get", "pod", "web", running) == "Running", what="a running pod")
    ready = "--output=jsonpath={.items[*].endpoints[*].conditions.ready}"
    slices = ("get", "endpointslices", "--selector=kubernetes.io/service-name=web", ready)
    cluster.wait(lambda: namespace.kubectl(*slices) == "false", what="an endpoint that is not ready")

    assert namespace.in_pod("web", "write", "/tmp/ready", "yes")

    namespace.ready("web")
    cluster.wait(lambda: namespace.kubectl(*slices) == "true", what="an endpoint that is ready")


def test_a_container_that_is_not_alive_is_started_again(cluster: Cluster, namespace: Namespace) -> None:
    probe = {"exec": {"command": ["test", "!", "-e", "/tmp/ill"]}, "periodSeconds": 1, "failureThreshold": 1}
    patient = pod("patient", "rest", container_more={"livenessProbe": probe})
    patient["spec"]["restartPolicy"] = "Always"
    namespace.apply(patient)
    namespace.ready("patient")

    assert namespace.in_pod("patient", "write", "/tmp/ill", "yes")

    count = "--output=jsonpath={.status.containerStatuses[0].restartCount}"
    cluster.wait(lambda: namespace.kubectl("get", "pod", "patient", count) == "1", what="a restart")


def test_a_container_over_its_memory_limit_is_killed(namespace: Namespace) -> None:
    namespace.apply(pod("hungry", "eat", "200", container_more={"resources": {"limits": {"memory": "64Mi"}}}))

    assert namespace.ended("hungry") == "Failed"
    (status,) = namespace.get("pod", "hungry")["status"]["containerStatuses"]
    assert status["state"]["terminated"]["reason"] == "OOMKilled"


# --- volumes and tokens -----------------------------------------------------------------------------------------------


def test_a_config_map_is_a_file_and_follows_changes(cluster: Cluster, namespace: Namespace) -> None:
    def config(text: str) -> Object:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"key": text}}

    reader = pod("reader", "rest")
    reader["spec"] = with_volume(reader["spec"], {"configMap": {"name": "config"}}, path="/config")
    namespace.apply(config("one"), reader)
    namespace.ready("reader")
    assert namespace.kubectl("exec", "reader", "--", "cat", "/config/key") == "one"

    namespace.apply(config("two"))

    # The kubelet looks at volumes once a minute, or when the pod changes.
    namespace.kubectl("annotate", "pod", "reader", "look=now")
    cluster.wait(
        lambda: namespace.kubectl("exec", "reader", "--", "cat", "/config/key") == "two",
        what="the new text in the file",
        timeout_seconds=100,
    )


def test_a_projected_token_is_for_its_audience_and_pod(api: Api, namespace: Namespace) -> None:
    token = {"serviceAccountToken": {"audience": "energy.example.org", "expirationSeconds": 600, "path": "token"}}
    reader = pod("reader", "read", "/tokens/token")
    reader["spec"] = with_volume(reader["spec"], {"projected": {"sources": [token]}}, path="/tokens")
    reader["spec"]["securityContext"] = {"fsGroup": 65532}

    text = namespace.said(reader)

    payload = text.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["aud"] == ["energy.example.org"]
    assert claims["kubernetes.io"]["pod"]["name"] == "reader"
    assert claims["kubernetes.io"]["node"]["name"] == "node0"
    for audience, good in (("energy.example.org", True), ("other", False)):
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": text, "audiences": [audience]},
        }
        status = api.create("/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]
        assert status.get("authenticated", False) is good, status


def test_a_claim_gets_a_volume_that_outlives_pods_and_goes_with_it(cluster: Cluster, namespace: Namespace) -> None:
    def using(name: str, *errand: str) -> Object:
        made = pod(name, *errand)
        made["spec"] = with_volume(made["spec"], {"persistentVolumeClaim": {"claimName": "data"}}, path="/data")
        return made

    namespace.apply(claim("data"))
    namespace.said(using("writer", "write", "/data/file", "kept"))
    volume = namespace.get("pvc", "data")["spec"]["volumeName"]
    folder = cluster.layout.node("node0", 0).volumes / volume
    assert (folder / "file").read_text() == "kept"

    assert namespace.said(using("reader", "read", "/data/file")) == "kept"

    namespace.kubectl("delete", "pod", "writer", "reader")
    namespace.kubectl("delete", "pvc", "data")
    cluster.wait(lambda: not folder.exists(), what="the end of the volume's folder")
    cluster.kubectl("wait", "--for=delete", f"pv/{volume}", "--timeout=20s")


# --- what is refused --------------------------------------------------------------------------------------------------


def test_pod_security_refuses_what_a_restricted_namespace_forbids(cluster: Cluster, namespace: Namespace) -> None:
    cluster.kubectl("label", "namespace", namespace.name, "pod-security.kubernetes.io/enforce=restricted")

    words = namespace.refusal("apply", "-f", "-", text=json.dumps(pod("root", "rest")))

    assert 'violates PodSecurity "restricted:latest"' in words
    assert "allowPrivilegeEscalation != false" in words
    decent = pod("decent", "say", "fine", container_more={"securityContext": _RESTRICTED})
    assert namespace.said(decent) == "fine"


_RESTRICTED = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def test_a_service_account_may_do_nothing_until_a_role_lets_it(namespace: Namespace) -> None:
    account = f"--as=system:serviceaccount:{namespace.name}:default"
    assert "cannot list resource" in namespace.refusal("get", "secrets", account)

    namespace.kubectl("create", "role", "reader", "--verb=list", "--resource=secrets")
    namespace.kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace.name}:default")

    namespace.cluster.wait(lambda: namespace.kubectl("get", "secrets", account) == "", what="the new right")


def test_a_node_may_not_change_another_node(cluster: Cluster, namespace: Namespace) -> None:
    kubeconfig = cluster.layout.kubeconfig("node1")
    words = namespace.refusal(f"--kubeconfig={kubeconfig}", "label", "node", "node0", "stolen=yes")

    assert "only its own Node object" in words


# --- helm -------------------------------------------------------------------------------------------------------------

CHART = """\
apiVersion: v2
name: small
version: 0.1.0
"""
TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data:
  greeting: {{ .Values.greeting | quote }}
"""


def test_helm_installs_upgrades_and_removes_a_chart(namespace: Namespace, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text(CHART)
    (tmp_path / "values.yaml").write_text("greeting: hello\n")
    (tmp_path / "templates" / "config.yaml").write_text(TEMPLATE)
    helm, inside = namespace.cluster.helm, f"--namespace={namespace.name}"

    helm("install", "mine", tmp_path, inside, "--wait", "--timeout=40s")
    assert namespace.get("configmap", "mine")["data"]["greeting"] == "hello"
    helm("upgrade", "mine", tmp_path, inside, "--set=greeting=again", "--wait", "--timeout=40s")
    assert namespace.get("configmap", "mine")["data"]["greeting"] == "again"
    helm("uninstall", "mine", inside, "--wait", "--timeout=40s")

    assert "not found" in namespace.refusal("get", "configmap", "mine")
