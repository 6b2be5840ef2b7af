"""Addresses, names, limits and folders of the test cluster."""

import os
from pathlib import Path

KUBERNETES_VERSION = "1.36.2"
HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
COMPONENTS = HERE / "components"
CRDS = REPOSITORY / "charts" / "joulebench" / "files" / "crds"

CONTROL_PLANE_ADDRESS = "172.30.0.1"
API_PORT = 6443
SERVICE_RANGE = "10.96.0.0/16"
KUBERNETES_SERVICE_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
POD_RANGE = "10.244.0.0/16"
FAKE_POD_RANGE = "10.250.0.0/16"
CLUSTER_DOMAIN = "cluster.local"

PAUSE_IMAGE = "localhost/pause:1"
DNS_IMAGE = "localhost/coredns:1"
WORKLOAD_IMAGE = "localhost/workload:1"
"""Python on Debian, as uid 65532, that does nothing by itself; see images/workload."""
STORAGE_CLASS = "standard"

START_SECONDS = 60
STOP_SECONDS = 60
NEEDED_MEMORY_MIB = 2500
NEEDED_DISK_MIB = 3000
NEEDED_DISK_MIB_TO_BUILD = 12_000


def cache_folder() -> Path:
    """Where binaries, images and running clusters live; `JOULEBENCH_CACHE` moves it."""
    return Path(os.environ.get("JOULEBENCH_CACHE") or Path.home() / ".cache" / "joulebench") / "cluster"


def node_address(index: int) -> str:
    """The address of the node with this number."""
    return f"172.30.0.{index + 1}"


def pod_range(index: int) -> str:
    """The addresses of the pods on the node with this number."""
    return f"10.244.{index}.0/24"
