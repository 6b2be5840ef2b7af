"""Files -> API objects. Everything that is wrong with a file is told at once: line, path, and what would be right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from joulebench_api import overrides as overriding
from joulebench_api.checking.reading import dig, read_object
from joulebench_api.errors import InvalidDocumentError, UnknownNameError
from joulebench_api.names import did_you_mean, nearest
from joulebench_api.problems import Path, Position, Problem, in_file_order, problem_at, shown
from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRun
from joulebench_api.v1alpha1.model_server import API_VERSION, ModelServer, ModelServerSpec
from joulebench_api.v1alpha1.server_source import External, ServerSource
from joulebench_api.yaml_tree import Document, parse

if TYPE_CHECKING:
    from joulebench_api.checking.files import LoadedFile

_RUN, _SERVER, _CAMPAIGN = "BenchmarkRun", "ModelServer", "BenchmarkCampaign"
_Model = TypeVar("_Model", bound=ApiModel)


@dataclass(frozen=True)
class Loaded:
    """A file's one run and its servers by name. `warnings` says what works here but not everywhere."""

    run: BenchmarkRun
    servers: dict[str, ModelServer]
    warnings: list[Problem]


def load(text: str, *, source: str, overrides: Sequence[str] = ()) -> Loaded:
    """Read a file's text: one BenchmarkRun and any number of ModelServers, in any order.

    `source` names the text in messages, usually the file's path. `overrides` are `spec.task.limit=20` and the like:
    a path in the run and a value in YAML. Raises InvalidDocumentError with all problems.
    """
    return _Loading(source=source).load(text, overrides)


def load_all(text: str, *, source: str, strangers: bool = False) -> "LoadedFile":
    """Read a file's text with any number of documents of any kind; never raises for what is wrong with them.

    Objects of other groups are left out with a note. So are, with `strangers`, documents that name neither kind nor
    apiVersion, as whole folders hold them; else they are refused.
    """
    # Campaigns and configurations are not needed for a run, and cost time to import.
    from joulebench_api.checking.files import read_file  # noqa: PLC0415

    return read_file(text, source=source, strangers=strangers)


def server_spec(loaded: Loaded, source: ServerSource | None = None) -> ModelServerSpec | External:
    """Where a model is: the run's own server, or another source of the same run (the judge's, a submodel's)."""
    chosen = loaded.run.spec.server if source is None else source
    if chosen.external is not None:
        return chosen.external
    if chosen.template is not None:
        return chosen.template.spec
    name = "" if chosen.model_server_ref is None else chosen.model_server_ref.name
    if name not in loaded.servers:
        raise UnknownNameError(*_no_such_server(name, loaded.servers))
    return loaded.servers[name].spec


def _no_such_server(name: str, servers: Any) -> tuple[str]:
    return (f"no ModelServer named {shown(name)} in this file (there: {', '.join(servers) or 'none'})",)


class _Loading:
    """The reading of one text; collects problems on its way."""

    def __init__(self, *, source: str) -> None:
        self._source = source
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = []

    def load(self, text: str, overrides: Sequence[str]) -> Loaded:
        parsed = parse(text, source=self._source)
        self._problems += parsed.problems
        self._warnings += parsed.warnings
        documents = list(self._kinds(parsed.documents))
        runs = [document for kind, document in documents if kind == _RUN]
        self._check_number_of_runs(runs)
        for document in runs[:1]:
            self._problems += overriding.apply(document, overrides)
        run = next((self._object(BenchmarkRun, document) for document in runs[:1]), None)
        servers = self._servers([document for kind, document in documents if kind == _SERVER])
        names = {_name(document) for kind, document in documents if kind == _SERVER}
        for document in runs[:1]:
            self._check_references(document, sorted(names - {""}))
        if self._problems or run is None:
            raise InvalidDocumentError(sorted(self._problems, key=in_file_order))
        return Loaded(run=run, servers=servers, warnings=sorted(self._warnings, key=in_file_order))

    def _add(self, position: Position, path: Path, message: str, remedy: str | None = None, value: Any = None) -> None:
        self._problems.append(problem_at(position, path, message, remedy=remedy, value=value))

    def _kinds(self, documents: Sequence[Document]) -> Iterator[tuple[str, Document]]:
        """The documents of known kind; complains about all others."""
        for document in documents:
            if not isinstance(document.data, dict):
                self._add(document.start, (), f"a document must be an object, found {shown(document.data)}")
                continue
            kind = document.data.get("kind")
            if kind in (_RUN, _SERVER):
                self._check_version(document)
                yield kind, document
            else:
                self._refuse_kind(document, kind)

    def _refuse_kind(self, document: Document, kind: Any) -> None:
        if kind is None:
            return self._add(document.start, ("kind",), "required, but missing", f"write {_RUN} or {_SERVER}")
        if kind == _CAMPAIGN:
            remedy = "a campaign makes many runs on a cluster; give a file with one BenchmarkRun here"
        else:
            hint = did_you_mean(kind, (_RUN, _SERVER, _CAMPAIGN)) if isinstance(kind, str) else None
            remedy = hint or f"only {_RUN} and {_SERVER} are read"
        return self._add(
            document.value_position(("kind",)), ("kind",), f"{shown(kind)} cannot be used here", remedy, kind
        )

    def _check_version(self, document: Document) -> None:
        path: Path = ("apiVersion",)
        if (version := document.data.get("apiVersion")) is None:
            self._add(document.start, path, "required, but missing", f"write apiVersion: {API_VERSION}")
        elif version != API_VERSION:
            message = f"{shown(version)} is not a version that is known here"
            self._add(document.value_position(path), path, message, f"write {API_VERSION}", version)
        # Told already, here for a wrong one and with better words.
        document.data["apiVersion"] = API_VERSION

    def _check_number_of_runs(self, runs: Sequence[Document]) -> None:
        # A text that cannot be read, or a kind that is misspelt, may well be the run.
        if not runs and not any(problem.path in {"", "kind"} for problem in self._problems):
            self._add(Position(self._source), (), "holds no BenchmarkRun", "add one, or give another file")
        for document in runs[1:]:
            self._add(document.start, (), "a second BenchmarkRun", "keep one run in a file")

    def _object(self, model: type[_Model], document: Document) -> _Model | None:
        read = read_object(model, document)
        self._problems += read.problems
        self._warnings += read.warnings
        return read.value

    def _servers(self, documents: Sequence[Document]) -> dict[str, ModelServer]:
        servers: dict[str, ModelServer] = {}
        for document in documents:
            server = self._object(ModelServer, document)
            if server is not None and server.metadata.name in servers:
                path: Path = ("metadata", "name")
                name = server.metadata.name
                self._add(document.value_position(path), path, f"a second ModelServer named {shown(name)}", value=name)
            elif server is not None:
                servers[server.metadata.name] = server
        return servers

    def _check_references(self, document: Document, servers: Sequence[str]) -> None:
        """Look at what was written, so that a reference is checked also when something else is wrong."""
        for path in _server_paths(document.data):
            name = dig(document.data, (*path, "modelServerRef", "name"))
            if isinstance(name, str) and name not in servers:
                full = (*path, "modelServerRef", "name")
                hint = nearest(name, servers)
                remedy = (
                    f"did you mean '{hint}'?" if hint else "add a ModelServer document, or use template or external"
                )
                self._add(document.value_position(full), full, *_no_such_server(name, servers), remedy, name)


def _name(document: Document) -> str:
    name = dig(document.data, ("metadata", "name"))
    return name if isinstance(name, str) else ""


def _server_paths(run: Any) -> list[Path]:
    submodels = dig(run, ("spec", "submodels"))
    count = len(submodels) if isinstance(submodels, list) else 0
    return [
        ("spec", "server"),
        ("spec", "judge", "server"),
        *(("spec", "submodels", index, "server") for index in range(count)),
    ]
