"""Laying additions over a pod template: placement, what users add (`podTemplate`), what administrators add."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.kubernetes import Placement, PodOverlay
from joulebench_operator.objects import Object

_KEYS: Final = {
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""Lists whose entries merge, by what tells them apart: Kubernetes' own keys."""
_APPENDED: Final = ("envFrom", "hostAliases", "tolerations", "topologySpreadConstraints")


def lay(template: Object, *, container: str, overlay: PodOverlay | None, placement: Placement | None) -> Object:
    """A pod template (`metadata`, `spec`) with what was added to it; `container` is the one that additions go to.

    Objects merge, entries of lists by their keys; labels and annotations that are there already stay as they are.
    """
    placed = merged(template, {"spec": plain(placement)})
    return lay_open(placed, container=container, overlay=plain(overlay))


def lay_open(template: Object, *, container: str, overlay: Mapping[str, Any]) -> Object:
    """The same for additions that nobody has looked at: an administrator's, of the same form as `podTemplate`."""
    metadata = _beneath(overlay.get("metadata") or {}, template.get("metadata") or {})
    spec = merged(template["spec"], overlay.get("spec") or {})
    main = {"name": container, **(overlay.get("container") or {})}
    return {**template, "metadata": metadata, "spec": merged(spec, {"containers": [main]})}


def plain(value: ApiModel | None) -> Object:
    """What was written, as plain JSON under the names of Kubernetes."""
    return {} if value is None else value.model_dump(mode="json", by_alias=True, exclude_none=True)


def merged(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> Object:
    """One object over another; neither is changed."""
    return {**lower, **{name: _value(name, lower.get(name), value) for name, value in upper.items()}}


def _value(name: str, lower: Any, upper: Any) -> Any:
    if isinstance(lower, Mapping) and isinstance(upper, Mapping):
        return merged(lower, upper)
    if name == "containers" and isinstance(lower, Sequence):
        return _containers(lower, upper)
    if name in _KEYS and isinstance(lower, Sequence):
        return by_key(lower, upper, key=_KEYS[name])
    if name in _APPENDED and isinstance(lower, Sequence):
        return [*lower, *(entry for entry in upper if entry not in lower)]
    return upper


def by_key(lower: Sequence[Object], upper: Sequence[Object], *, key: str) -> list[Object]:
    """The entries of two lists, in their order; where both have a key, the upper one's entry counts."""
    return list({entry[key]: entry for entry in (*lower, *upper)}.values())


def _containers(lower: Sequence[Object], upper: Sequence[Object]) -> list[Object]:
    added = {entry["name"]: entry for entry in upper}
    kept = [merged(entry, added.pop(entry["name"], {})) for entry in lower]
    return [*kept, *added.values()]


def _beneath(added: Mapping[str, Any], own: Mapping[str, Any]) -> Object:
    both = {name: {**(added.get(name) or {}), **(own.get(name) or {})} for name in ("labels", "annotations")}
    return {**own, **{name: entries for name, entries in both.items() if entries}}
