"""A text with any number of documents -> its objects, and everything that is to be said of them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from joulebench_api.checking.campaigns import check_cells
from joulebench_api.checking.documents import Entry, entries, kind_of, without_cluster_fields
from joulebench_api.checking.reading import dig, read_object
from joulebench_api.configuration import OperatorConfiguration
from joulebench_api.problems import Path, Problem, in_file_order, problem_at, shown
from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRun
from joulebench_api.v1alpha1.campaign import BenchmarkCampaign
from joulebench_api.v1alpha1.model_server import ModelServer
from joulebench_api.yaml_tree import parse

MODELS: Mapping[str, type[ApiModel]] = {
    "ModelServer": ModelServer,
    "BenchmarkRun": BenchmarkRun,
    "BenchmarkCampaign": BenchmarkCampaign,
    "OperatorConfiguration": OperatorConfiguration,
}


@dataclass(frozen=True)
class LoadedDocument:
    """One object of a known kind. `value` is None if something is wrong with it."""

    kind: str
    name: str
    """Empty where it has none."""
    namespace: str | None
    value: ApiModel | None
    entry: Entry
    """What was written, and where."""


@dataclass(frozen=True)
class LoadedFile:
    """All objects of a text, and all problems (errors, warnings and notes) in the order of the text."""

    documents: list[LoadedDocument]
    problems: list[Problem]


def read_file(text: str, *, source: str, strangers: bool) -> LoadedFile:
    """See `joulebench_api.loading.load_all`."""
    parsed = parse(text, source=source)
    said = [*parsed.problems, *parsed.warnings]
    documents: list[LoadedDocument] = []
    for entry in (entry for document in parsed.documents for entry in entries(document)):
        kind, problems = kind_of(entry.document, strangers=strangers)
        if kind is None:
            # How a foreign document is written is not ours to judge.
            told = [] if entry.prefix else entry.document.told
            said = [problem for problem in said if problem not in told] if told else said
            said += map(entry.told, problems)
            continue
        document, more = _object(kind, entry)
        documents.append(document)
        said += map(entry.told, [*problems, *more])
    said += _repeated(documents)
    return LoadedFile(documents=documents, problems=sorted(said, key=in_file_order))


def _object(kind: str, entry: Entry) -> tuple[LoadedDocument, list[Problem]]:
    notes = without_cluster_fields(entry.document)
    read = read_object(MODELS[kind], entry.document)
    problems = [*notes, *read.problems, *read.warnings]
    if isinstance(read.value, BenchmarkCampaign):
        problems += check_cells(read.value, entry.document)
    loaded = LoadedDocument(
        kind=kind,
        name=_text(entry.document.data, ("metadata", "name")) or "",
        namespace=_text(entry.document.data, ("metadata", "namespace")),
        value=read.value,
        entry=entry,
    )
    return loaded, problems


def _text(data: Any, path: Path) -> str | None:
    value = dig(data, path)
    return value if isinstance(value, str) else None


def _repeated(documents: Iterable[LoadedDocument]) -> Iterator[Problem]:
    seen: set[tuple[str, str | None, str]] = set()
    for document in documents:
        key = (document.kind, document.namespace, document.name)
        if document.name and key in seen:
            path: Path = ("metadata", "name")
            position = document.entry.document.value_position(path)
            message = f"a second {document.kind} named {shown(document.name)}"
            remedy = "give each a name of its own; the last one would take the place of the others"
            yield document.entry.told(problem_at(position, path, message, remedy=remedy, value=document.name))
        seen.add(key)
