"""Kubernetes objects as plain JSON, and the parts that all of ours have."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from joulebench_operator import __version__
from joulebench_operator.kinds import Key, Kind
from joulebench_operator.names import INTENT, MANAGED_BY, MANAGER, PART_LABEL

Object = dict[str, Any]
"""An object as the API server writes it."""


def key_of(item: Mapping[str, Any]) -> Key:
    """Which object it is."""
    metadata = item["metadata"]
    return Key(item["kind"], metadata["namespace"], metadata["name"])


def new(kind: Kind, *, name: str, namespace: str, labels: Mapping[str, str], **fields: Any) -> Object:
    """An object of a kind with its labels; owner and intent are added when it is applied."""
    metadata = {"name": name, "namespace": namespace, "labels": dict(labels)}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **fields}


def labels(part: str, *, instance: str, **own: str) -> dict[str, str]:
    """The recommended labels of Kubernetes for a part of one server or run; `own` are added as they are.

    Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
    """
    return {
        "app.kubernetes.io/name": "joulebench",
        "app.kubernetes.io/instance": instance,
        PART_LABEL: part,
        "app.kubernetes.io/part-of": "joulebench",
        MANAGED_BY: MANAGER,
        **own,
    }


def owner_reference(owner: Mapping[str, Any]) -> Object:
    """The reference that makes the garbage collector remove a child with its owner."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The owner reference of the object's controller."""
    references = item["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def is_owned_by(item: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    """Whether `owner`, and not another of its name, controls the object."""
    reference = controller_of(item)
    return reference is not None and reference.get("uid") == owner["metadata"]["uid"]


def owned(child: Mapping[str, Any], owner: Mapping[str, Any]) -> Object:
    """The child as it is applied: with its owner, and the hash of all that is intended."""
    with_owner = {**child, "metadata": {**child["metadata"], "ownerReferences": [owner_reference(owner)]}}
    annotations = {**(child["metadata"].get("annotations") or {}), INTENT: digest(with_owner)}
    return {**with_owner, "metadata": {**with_owner["metadata"], "annotations": annotations}}


def intent_of(item: Mapping[str, Any]) -> str | None:
    """The hash of what was last applied; None where it was not made by the operator."""
    found: str | None = (item["metadata"].get("annotations") or {}).get(INTENT)
    return found


def digest(value: Any) -> str:
    """A short hash of JSON values, whatever the order of their keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def operator_version() -> str:
    """This operator's version, for provenance."""
    return __version__
