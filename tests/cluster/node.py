"""A node: containerd, kubelet and kube-proxy among mounts of their own, so that they see the paths of a real machine.

Sources of the settings: https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/,
https://github.com/containerd/containerd/blob/main/docs/cri/config.md,
https://www.cni.dev/plugins/current/main/ptp/.
"""

import json
from collections.abc import Mapping
from typing import Any

import yaml
from tests.cluster.layout import Layout, NodeLayout
from tests.cluster.settings import (
    CLUSTER_DOMAIN,
    DNS_ADDRESS,
    PAUSE_IMAGE,
    POD_RANGE,
    node_address,
    pod_range,
)

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
MOUNTS = "mounts"
"""The process that keeps a node's mounts: the others come and go."""

# Private: nothing that is mounted here is seen outside. Shared inside: the kubelet hands mounts on to containers.
_MOUNT_SCRIPT = """\
set -e
mount --bind "$1/var-lib" /var/lib
mount --bind "$1/var-log" /var/log
mount -t tmpfs tmpfs /run
mount --make-rshared /
touch "$1/mounted"
exec sleep infinity
"""


def write_files(layout: Layout, node: NodeLayout) -> None:
    """The node's folders and configuration files."""
    for folder in (node.var_lib, node.var_log, node.volumes, node.folder / "cni"):
        folder.mkdir(parents=True, exist_ok=True)
    (node.folder / "containerd.toml").write_text(_containerd(node))
    (node.folder / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet(layout, node)))
    (node.folder / "cni" / "10-pods.conflist").write_text(json.dumps(_pod_network(node)))


def mount_command(node: NodeLayout) -> list[str]:
    """The command that makes the node's mounts and keeps them."""
    return ["unshare", "--mount", "--propagation=private", "sh", "-c", _MOUNT_SCRIPT, "sh", str(node.folder)]


def commands(layout: Layout, node: NodeLayout) -> Mapping[str, list[str]]:
    """The command line of each daemon, in starting order; to be run among the node's mounts."""
    address = node_address(node.index)
    return {
        "containerd": ["containerd", "--config", f"{node.folder}/containerd.toml"],
        "kubelet": [
            *("kubelet", f"--config={node.folder}/kubelet.yaml", f"--kubeconfig={layout.kubeconfig(node.name)}"),
            *(f"--hostname-override={node.name}", f"--node-ip={address}"),
        ],
        "kube-proxy": [
            *("kube-proxy", f"--kubeconfig={layout.kubeconfig('kube-proxy')}", f"--hostname-override={node.name}"),
            *("--proxy-mode=nftables", f"--cluster-cidr={POD_RANGE}", f"--nodeport-addresses={address}/32"),
            # The machine's connection tracking limits stay as they are.
            *("--conntrack-max-per-core=0", "--conntrack-min=0"),
            *("--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0"),
            *(f"--healthz-bind-address={address}:10256", f"--metrics-bind-address={address}:10249"),
        ],
    }


def _containerd(node: NodeLayout) -> str:
    runtime = "plugins.'io.containerd.cri.v1.runtime'"
    # Nothing can be pulled here, so the image of every pod's first process is one of ours.
    return f"""\
version = 3
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE_IMAGE}"
[{runtime}]
restrict_oom_score_adj = true
[{runtime}.cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "{node.folder}/cni"
[{runtime}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{runtime}.containerd.runtimes.runc.options]
SystemdCgroup = false
"""


def _kubelet(layout: Layout, node: NodeLayout) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        # Kubelets remove the groups of pods that they do not know: each has its own.
        "cgroupRoot": f"/{node.group}",
        "enforceNodeAllocatable": [],
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{layout.pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{layout.pki}/{node.name}.crt",
        "tlsPrivateKeyFile": f"{layout.pki}/{node.name}.key",
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": "/dev/null",
        "failSwapOn": False,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        # An image that is removed could not be had again.
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "2s",
        "nodeLeaseDurationSeconds": 8,
        "address": node_address(node.index),
        "healthzPort": 0,
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
    }


def _pod_network(node: NodeLayout) -> dict[str, Any]:
    # A cable from each pod to the node: every packet between pods is routed, and so seen by the NetworkPolicy enforcer.
    cable = {
        "type": "ptp",
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": pod_range(node.index)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [cable, ports]}
