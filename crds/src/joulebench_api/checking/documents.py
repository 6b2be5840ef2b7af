"""The documents of a text: which are joulebench's, which are not, and which come from a cluster."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any

from joulebench_api.names import did_you_mean, joined
from joulebench_api.problems import Path, Position, Problem, Severity, path_text, problem_at, shown
from joulebench_api.yaml_tree import Document

API_GROUP, CONFIG_GROUP = "joulebench.dev", "config.joulebench.dev"
VERSIONS: Mapping[str, str] = {
    "ModelServer": f"{API_GROUP}/v1alpha1",
    "BenchmarkRun": f"{API_GROUP}/v1alpha1",
    "BenchmarkCampaign": f"{API_GROUP}/v1alpha1",
    "OperatorConfiguration": f"{CONFIG_GROUP}/v1alpha1",
}
"""The kinds, each with its apiVersion."""

WRITTEN_BY_CLUSTER = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)
"""Fields of `metadata` that nobody writes by hand."""


@dataclass(frozen=True)
class Entry:
    """One object of a text: a document, or an item of a list that `kubectl get -o yaml` wrote."""

    document: Document
    prefix: Path = ()
    """Where the object stands in its document."""

    def told(self, problem: Problem) -> Problem:
        """The problem with its path from the document's root."""
        above = path_text(self.prefix)
        joint = "." if above and problem.path and not problem.path.startswith("[") else ""
        return replace(problem, path=f"{above}{joint}{problem.path}")


def entries(document: Document) -> Iterator[Entry]:
    """The objects of one document: itself, or the items of a list."""
    items = document.data.get("items") if isinstance(document.data, dict) else None
    if not isinstance(items, list) or not str(document.data.get("kind")).endswith("List"):
        yield Entry(document)
        return
    keys, values = _by_item(document.keys), _by_item(document.values)
    for index, item in enumerate(items):
        start = document.value_position(("items", index))
        inner = Document(start=start, data=item, keys=keys[index], values=values[index], told=document.told)
        yield Entry(inner, ("items", index))


def _by_item(positions: Mapping[Path, Position]) -> dict[Any, dict[Path, Position]]:
    found: dict[Any, dict[Path, Position]] = defaultdict(dict)
    for path, position in positions.items():
        if len(path) > 1 and path[0] == "items":
            found[path[1]][path[2:]] = position
    return found


def kind_of(document: Document, *, strangers: bool) -> tuple[str | None, list[Problem]]:
    """The document's kind if it is one of ours, and what is to be said of kind and apiVersion."""
    if not isinstance(document.data, dict):
        return None, [problem_at(document.start, (), f"a document must be an object, found {shown(document.data)}")]
    kind: Any = document.data.get("kind")
    version: Any = document.data.get("apiVersion")
    if isinstance(kind, str) and kind in VERSIONS and (version is None or _meant(version)):
        return kind, list(_check_version(document, kind, version))
    if isinstance(version, str) and _ours(version):
        return None, [_unknown_kind(document, kind)]
    if version is None and (kind is None or did_you_mean(str(kind), VERSIONS)) and not (strangers and kind is None):
        return None, [_unknown_kind(document, kind)]
    return None, [_foreign(document, kind, version)]


def _check_version(document: Document, kind: str, version: Any) -> Iterator[Problem]:
    path: Path = ("apiVersion",)
    right = VERSIONS[kind]
    if version is None:
        yield problem_at(document.start, path, "required, but missing", remedy=f"write apiVersion: {right}")
    elif version != right:
        message = f"{shown(version)} is not a version of {kind} that is known here"
        yield problem_at(document.value_position(path), path, message, remedy=f"write {right}", value=version)
    # Told already, so that the rest can be checked.
    document.data["apiVersion"] = right


def _meant(version: Any) -> bool:
    """Whether one of our kinds with this version is ours: not if it names another project's group."""
    return not isinstance(version, str) or "." not in version.partition("/")[0] or _ours(version)


def _ours(version: str) -> bool:
    group = version.partition("/")[0]
    return any(SequenceMatcher(None, group, known).ratio() >= 0.8 for known in (API_GROUP, CONFIG_GROUP))


def _unknown_kind(document: Document, kind: Any) -> Problem:
    path: Path = ("kind",)
    known = f"write {joined(list(VERSIONS), word='or')}"
    if kind is None:
        return problem_at(document.start, path, "required, but missing", remedy=known)
    hint = did_you_mean(kind, VERSIONS) if isinstance(kind, str) else None
    message = f"{shown(kind)} is not a kind of joulebench"
    return problem_at(document.value_position(path), path, message, remedy=hint or known, value=kind)


def _foreign(document: Document, kind: Any, version: Any) -> Problem:
    named = " of ".join(str(part) for part in (kind, version) if part is not None) or "no kind"
    message = f"left out: {named} is not joulebench's"
    return problem_at(document.start, (), message, severity=Severity.NOTE)


def without_cluster_fields(document: Document) -> list[Problem]:
    """Take away what only a cluster writes, with a note that says so."""
    gone = ["status"] if document.data.pop("status", None) is not None else []
    metadata = document.data.get("metadata")
    if isinstance(metadata, dict):
        gone += [f"metadata.{field}" for field in WRITTEN_BY_CLUSTER if field in metadata]
        for field in WRITTEN_BY_CLUSTER:
            metadata.pop(field, None)
    if not gone:
        return []
    message = f"written by the cluster and not looked at: {joined(gone)}"
    return [problem_at(document.start, (), message, severity=Severity.NOTE)]
