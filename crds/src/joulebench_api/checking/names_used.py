"""Names in documents that stand for something elsewhere: warned of where nothing here goes by them.

Warnings only: a ModelServer may be on the cluster, and the runner's image may know other tasks than this release.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joulebench_api.catalog import Catalog, catalog
from joulebench_api.checking.files import LoadedDocument
from joulebench_api.checking.reading import dig
from joulebench_api.names import did_you_mean, joined
from joulebench_api.problems import Path, Problem, Severity, problem_at, shown

_OPEN_FIELDS = frozenset({"params", "engineArgs", "extraBody", "chatTemplateParams"})
_MODEL_SERVER, _CONFIGURATION = "ModelServer", "OperatorConfiguration"


def check_names(documents: Sequence[LoadedDocument], *, known: Catalog | None = None) -> list[Problem]:
    """Warnings for names that neither the documents nor the catalogue know; in the order of the documents."""
    look_up = _Names(documents, catalog() if known is None else known)
    return [problem for document in documents for problem in _warnings(document, look_up)]


@dataclass(frozen=True)
class _Doubt:
    message: str
    remedy: str | None


_Check = Callable[["_Names", LoadedDocument, Path, Any], _Doubt | None]


class _Names:
    """What goes by a name: in the catalogue, and in the documents."""

    def __init__(self, documents: Sequence[LoadedDocument], known: Catalog) -> None:
        self.known = known
        self.servers: dict[str | None, list[str]] = {}
        self.presets, self.profiles = list(known.presets), list[str]()
        self.has_configuration = False
        for document in documents:
            if document.kind == _MODEL_SERVER and document.name:
                self.servers.setdefault(document.namespace, []).append(document.name)
            if document.kind == _CONFIGURATION:
                self.has_configuration = True
                self.presets += _keys(document, "presets")
                self.profiles += _keys(document, "accelerators")

    def servers_for(self, namespace: str | None) -> list[str]:
        """Servers of a namespace; one that says none may be applied to any."""
        if namespace is None:
            return [name for names in self.servers.values() for name in names]
        return [*self.servers.get(namespace, ()), *self.servers.get(None, ())]


def _keys(document: LoadedDocument, field: str) -> list[str]:
    value = dig(document.entry.document.data, (field,))
    return list(value) if isinstance(value, Mapping) else []


def _warnings(document: LoadedDocument, names: _Names) -> Iterator[Problem]:
    inner = document.entry.document
    for path in inner.keys:
        check = _CHECKS.get(path[-1])
        if check is None or not _OPEN_FIELDS.isdisjoint(path):
            continue
        value = dig(inner.data, path)
        doubt = check(names, document, path, value)
        if doubt is not None:
            yield document.entry.told(_warning(document, path, value, doubt))
    yield from _unknown_params(document, names)


def _warning(document: LoadedDocument, path: Path, value: Any, doubt: _Doubt) -> Problem:
    position = document.entry.document.value_position(path)
    return problem_at(position, path, doubt.message, remedy=doubt.remedy, value=value, severity=Severity.WARNING)


def _doubt(what: str, value: Any, candidates: Iterable[str], *, otherwise: str) -> _Doubt | None:
    there = sorted(set(candidates))
    if not isinstance(value, str) or value in there:
        return None
    hint = did_you_mean(value, there)
    known = f"; known: {_shortened(there)}" if there and hint is None else ""
    return _Doubt(f"{shown(value)} is no {what} that is known here{known}", hint or otherwise)


def _shortened(names: Sequence[str]) -> str:
    return joined(names) if len(names) <= _SHOWN else f"{', '.join(names[:_SHOWN])} and {len(names) - _SHOWN} more"


_SHOWN = 10
_OTHER_RELEASE = "nothing is wrong if the run's image has it"


def _name(names: _Names, document: LoadedDocument, path: Path, value: Any) -> _Doubt | None:
    match path[-2:]:
        case ("modelServerRef", _):
            otherwise = "nothing is wrong if it is on the cluster, in the run's namespace"
            there = names.servers_for(document.namespace)
            return _doubt("ModelServer", value, there, otherwise=otherwise)
        case ("task", _) if not str(value).startswith("inspect:"):
            return _doubt("task", value, names.known.tasks, otherwise=_OTHER_RELEASE)
        case ("agent", _):
            return _doubt("agent", value, names.known.agents, otherwise=_OTHER_RELEASE)
    return None


def _builtin(names: _Names, _document: LoadedDocument, _path: Path, value: Any) -> _Doubt | None:
    return _doubt("tool", value, names.known.tools, otherwise=_OTHER_RELEASE)


def _preset(names: _Names, _document: LoadedDocument, _path: Path, value: Any) -> _Doubt | None:
    otherwise = "nothing is wrong if the operator's configuration has it"
    return _doubt("preset", value, names.presets, otherwise=otherwise)


def _profile(names: _Names, _document: LoadedDocument, _path: Path, value: Any) -> _Doubt | None:
    if not names.has_configuration:
        return None
    return _doubt("accelerator profile", value, names.profiles, otherwise="add it to the configuration's accelerators")


def _engine(names: _Names, _document: LoadedDocument, _path: Path, value: Any) -> _Doubt | None:
    if value not in names.known.engines or value in names.known.startable:
        return None
    there = joined(names.known.startable, word="or")
    return _Doubt(
        f"this release cannot start {value} yet", f"use {there}, or start it yourself and name it by external"
    )


_CHECKS: Mapping[Any, _Check] = {
    "name": _name,
    "builtin": _builtin,
    "preset": _preset,
    "profile": _profile,
    "engine": _engine,
}
"""By the name of the field."""


def _unknown_params(document: LoadedDocument, names: _Names) -> Iterator[Problem]:
    inner = document.entry.document
    for path in [path for path in inner.keys if path[-2:] == ("task", "params") and _OPEN_FIELDS.isdisjoint(path[:-1])]:
        task = names.known.tasks.get(str(dig(inner.data, (*path[:-1], "name"))))
        params = dig(inner.data, path)
        if task is None or not isinstance(params, Mapping):
            continue
        for name, value in params.items():
            doubt = _doubt(f"parameter of {task.name}", name, task.params, otherwise=_OTHER_RELEASE)
            if doubt is not None:
                yield document.entry.told(_warning(document, (*path, name), value, doubt))
