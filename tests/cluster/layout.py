"""Where a cluster's files are."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class NodeLayout:
    """The files of one node."""

    name: str
    index: int
    folder: Path
    namespace: str
    group: str
    """The control group below which the kubelet makes those of the pods."""

    @property
    def var_lib(self) -> Path:
        """What the node's processes see as /var/lib; with /var/lib/kubelet and the volumes in it."""
        return self.folder / "var-lib"

    @property
    def var_log(self) -> Path:
        """What the node's processes see as /var/log; with the containers' logs in /var/log/pods."""
        return self.folder / "var-log"

    @property
    def volumes(self) -> Path:
        """The volumes of the default StorageClass on this node."""
        return self.var_lib / "volumes"

    @property
    def gpus(self) -> Path:
        """The files of the node's fake GPUs, if it has any."""
        return self.var_lib / "fake-gpus"


@dataclass(frozen=True)
class Layout:
    """The files of a cluster."""

    folder: Path
    name: str

    @property
    def group(self) -> str:
        """The control group of everything."""
        return f"joulebench-{self.name}"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.folder / "pki"

    @property
    def programs(self) -> Path:
        """Links to the programs, by name."""
        return self.folder / "bin"

    @property
    def namespace(self) -> str:
        """The network namespace of the control plane and the first node."""
        return self.node("node0", 0).namespace

    def node(self, name: str, index: int) -> NodeLayout:
        """The files of a node."""
        return NodeLayout(
            name=name,
            index=index,
            folder=self.folder / "nodes" / name,
            namespace=f"joulebench-{self.name}-{name}",
            group=f"{self.group}/{name}",
        )

    def kubeconfig(self, client: str) -> Path:
        """How a client reaches the API server."""
        return self.folder / "kubeconfigs" / f"{client}.yaml"

    def log(self, daemon: str) -> Path:
        """What a daemon writes."""
        return self.folder / "logs" / f"{daemon.replace('/', '-')}.log"
