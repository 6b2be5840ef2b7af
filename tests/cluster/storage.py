"""The provisioner of the default StorageClass: each volume is a folder of the node that its first pod is scheduled to.

As with any provisioner outside the control plane: it answers claims that the scheduler gave a node to
(https://kubernetes.io/docs/concepts/storage/storage-classes/#volume-binding-mode).
"""

import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.cluster.api import Api
from tests.cluster.errors import ClusterError
from tests.cluster.layout import Layout
from tests.cluster.settings import STORAGE_CLASS

Object = Mapping[str, Any]

_LOOK_SECONDS = 0.3
_SELECTED_NODE = "volume.kubernetes.io/selected-node"
_PROVISIONER = "joulebench.dev/test-volumes"


def volumes_to_make(claims: Iterable[Object], volumes: Iterable[Object]) -> Iterator[dict[str, Any]]:
    """A volume for every claim of our class that has a node and no volume yet."""
    present = {volume["metadata"]["name"] for volume in volumes}
    for claim in claims:
        node = claim["metadata"].get("annotations", {}).get(_SELECTED_NODE)
        ours = claim["spec"].get("storageClassName") == STORAGE_CLASS and not claim["spec"].get("volumeName")
        if ours and node and _name(claim) not in present:
            yield _volume(claim, node)


def volumes_to_remove(volumes: Iterable[Object]) -> Iterator[Object]:
    """Our volumes whose claim is gone."""
    for volume in volumes:
        ours = volume["metadata"].get("annotations", {}).get("pv.kubernetes.io/provisioned-by") == _PROVISIONER
        if ours and volume["status"].get("phase") == "Released":
            yield volume


def _name(claim: Object) -> str:
    return f"pvc-{claim['metadata']['uid']}"


def _volume(claim: Object, node: str) -> dict[str, Any]:
    metadata = claim["metadata"]
    hostname = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": _name(claim), "annotations": {"pv.kubernetes.io/provisioned-by": _PROVISIONER}},
        "spec": {
            "accessModes": claim["spec"]["accessModes"],
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                **{key: metadata[key] for key in ("name", "namespace", "uid")},
            },
            "hostPath": {"path": f"/var/lib/volumes/{_name(claim)}", "type": "Directory"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [hostname]}]}},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": STORAGE_CLASS,
        },
    }


def _folder(nodes: Path, volume: Object) -> Path:
    """Where a volume's files are on this machine."""
    term = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]
    node = str(term["matchExpressions"][0]["values"][0])
    return nodes / node / "var-lib" / "volumes" / str(volume["metadata"]["name"])


def _look(api: Api, nodes: Path) -> None:
    volumes = api.items("/api/v1/persistentvolumes")
    for wanted in volumes_to_make(api.items("/api/v1/persistentvolumeclaims"), volumes):
        folder = _folder(nodes, wanted)
        folder.mkdir(exist_ok=True)
        # The kubelet does not change the owner of a hostPath, and containers are not root.
        folder.chmod(0o777)
        api.create("/api/v1/persistentvolumes", wanted)
    for volume in volumes_to_remove(volumes):
        shutil.rmtree(_folder(nodes, volume), ignore_errors=True)
        api.request("DELETE", f"/api/v1/persistentvolumes/{volume['metadata']['name']}")


def main(arguments: Sequence[str]) -> None:
    """Look after the volumes of the cluster in this folder, for ever."""
    layout = Layout(Path(arguments[0]), Path(arguments[0]).name)
    api = Api(layout.kubeconfig("admin"))
    while True:
        try:
            _look(api, layout.folder / "nodes")
        except (ClusterError, OSError) as error:
            # The API server comes and goes in the tests.
            print(error, file=sys.stderr)
        time.sleep(_LOOK_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1:])
