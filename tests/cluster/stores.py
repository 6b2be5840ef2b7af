"""An S3-compatible server beside the cluster, at an address that pods reach."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cluster.api import socket_in
from tests.cluster.cluster import Cluster
from tests.cluster.settings import CONTROL_PLANE_ADDRESS
from tests.object_stores import BUCKET, CREDENTIALS, program

from joulebench_runner.config import StoreSettings

_PORT: Final = 7070
_NAME: Final = "object-store"


@dataclass(frozen=True)
class ClusterStore:
    """A running server with one bucket."""

    root: Path
    """Its disk, as this process sees it."""

    @classmethod
    def start(cls, cluster: Cluster) -> "ClusterStore":
        """Start it; it goes with the cluster."""
        root = cluster.layout.folder / _NAME
        (root / BUCKET).mkdir(parents=True)
        keys = {
            "ROOT_ACCESS_KEY": CREDENTIALS["AWS_ACCESS_KEY_ID"],
            "ROOT_SECRET_KEY": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        }
        address = f"{CONTROL_PLANE_ADDRESS}:{_PORT}"
        environment = ["env", *(f"{name}={value}" for name, value in keys.items())]
        cluster.start_beside(_NAME, [*environment, str(program()), "--port", address, "--quiet", "posix", str(root)])

        def listens() -> bool:
            socket_in(cluster.namespace_path, CONTROL_PLANE_ADDRESS, _PORT).close()
            return True

        cluster.wait(listens, what="the object store")
        return cls(root)

    @property
    def keys(self) -> Mapping[str, str]:
        """What whoever writes there has in its environment."""
        return CREDENTIALS

    def settings(self, run: str) -> StoreSettings:
        """Where a run's results go."""
        return StoreSettings(
            url=f"s3://{BUCKET}/runs/{run}", endpoint=f"http://{CONTROL_PLANE_ADDRESS}:{_PORT}", region="us-east-1"
        )

    def folder(self, run: str) -> Path:
        """A run's objects, which are files on the server's disk."""
        return self.root / BUCKET / "runs" / run
