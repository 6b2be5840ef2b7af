"""etcd, API server, controller manager and scheduler: their command lines
(https://kubernetes.io/docs/reference/command-line-tools-reference/).
"""

from collections.abc import Callable, Mapping

from tests.cluster.layout import Layout
from tests.cluster.settings import API_PORT, CONTROL_PLANE_ADDRESS, SERVICE_RANGE

ETCD_URL = "http://127.0.0.1:2379"


def commands(layout: Layout) -> Mapping[str, list[str]]:
    """The command line of each component, in starting order."""
    return {
        "etcd": _etcd(layout),
        "kube-apiserver": _api_server(layout),
        "kube-controller-manager": _controller_manager(layout),
        "kube-scheduler": _scheduler(layout),
    }


def _etcd(layout: Layout) -> list[str]:
    # Without fsync it starts in half the time; a killed process loses nothing by that, only a power cut would.
    return [
        *("etcd", f"--data-dir={layout.folder}/etcd", "--unsafe-no-fsync", "--log-level=warn"),
        *(f"--listen-client-urls={ETCD_URL}", f"--advertise-client-urls={ETCD_URL}"),
        "--listen-peer-urls=http://127.0.0.1:2380",
    ]


def _api_server(layout: Layout) -> list[str]:
    pki = layout.pki
    return [
        "kube-apiserver",
        f"--etcd-servers={ETCD_URL}",
        f"--secure-port={API_PORT}",
        f"--bind-address={CONTROL_PLANE_ADDRESS}",
        f"--advertise-address={CONTROL_PLANE_ADDRESS}",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/kubelet-client.crt",
        f"--kubelet-client-key={pki}/kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--token-auth-file={pki}/tokens.csv",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--allow-privileged",
        # A lost node is noticed in seconds, so that tests need not wait for minutes.
        "--default-not-ready-toleration-seconds=5",
        "--default-unreachable-toleration-seconds=5",
    ]


def _clients(layout: Layout, name: str) -> list[str]:
    kubeconfig = layout.kubeconfig(name)
    return [f"--{use}kubeconfig={kubeconfig}" for use in ("", "authentication-", "authorization-")]


def _controller_manager(layout: Layout) -> list[str]:
    name = "kube-controller-manager"
    return [
        *(name, *_clients(layout, name), "--leader-elect=false", f"--cert-dir={layout.folder}/certs/{name}"),
        *(f"--service-account-private-key-file={layout.pki}/sa.key", f"--root-ca-file={layout.pki}/ca.crt"),
        *("--use-service-account-credentials", "--kube-api-qps=200", "--kube-api-burst=400"),
        *("--node-monitor-period=1s", "--node-monitor-grace-period=8s"),
    ]


def _scheduler(layout: Layout) -> list[str]:
    name = "kube-scheduler"
    return [name, *_clients(layout, name), "--leader-elect=false", f"--cert-dir={layout.folder}/certs/{name}"]


_COMPACT = f"""
import json, urllib.request

def ask(path, body):
    request = urllib.request.Request("{ETCD_URL}/v3/" + path, data=json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)

now = ask("maintenance/status", {{}})["header"]["revision"]
ask("kv/compaction", {{"revision": now, "physical": True}})
"""


def compact(in_cluster: Callable[[list[str]], str]) -> None:
    """Have etcd forget all but what is now. `in_cluster` runs a command in the cluster's network."""
    in_cluster(["python3", "-c", _COMPACT])
