"""Which volumes the test cluster's provisioner makes and removes."""

from typing import Any

from tests.cluster.storage import volumes_to_make, volumes_to_remove


def claim(*, node: str | None = "node0", storage_class: str = "standard", **spec: Any) -> dict[str, Any]:
    annotations = {"volume.kubernetes.io/selected-node": node} if node else {}
    return {
        "metadata": {"name": "data", "namespace": "a", "uid": "42", "annotations": annotations},
        "spec": {
            "storageClassName": storage_class,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Mi"}},
            **spec,
        },
    }


def test_a_claim_that_was_given_a_node_gets_a_volume_there() -> None:
    (volume,) = volumes_to_make([claim()], [])

    assert volume["metadata"]["name"] == "pvc-42"
    assert volume["spec"]["hostPath"]["path"] == "/var/lib/volumes/pvc-42"
    assert volume["spec"]["claimRef"]["uid"] == "42"
    assert "node0" in str(volume["spec"]["nodeAffinity"])


def test_claims_of_others_without_a_node_or_with_a_volume_get_none() -> None:
    claims = [claim(node=None), claim(storage_class="fast"), claim(volumeName="pvc-42")]

    assert list(volumes_to_make(claims, [])) == []
    assert list(volumes_to_make([claim()], volumes_to_make([claim()], []))) == []


def test_our_volumes_go_once_they_are_released() -> None:
    (volume,) = volumes_to_make([claim()], [])
    bound = {**volume, "status": {"phase": "Bound"}}
    released = {**volume, "status": {"phase": "Released"}}
    foreign = {"metadata": {"name": "x"}, "status": {"phase": "Released"}}

    assert list(volumes_to_remove([bound, released, foreign])) == [released]
