"""BenchmarkCampaign: models x benchmarks, for Git.

Everything that decides what a cell is (server, task, overlays) is kept as it was written: no schema default is filled
in, so that a release that adds one renames no cell. What the layers make together is a BenchmarkRun's spec; the merged
result is checked as one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import Field

from joulebench_api.names import camel, did_you_mean, joined
from joulebench_api.problems import shown
from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRunSpec
from joulebench_api.v1alpha1.collections import ListMap, ListSet
from joulebench_api.v1alpha1.derived import complete_of, overlay_of
from joulebench_api.v1alpha1.generation import Generation
from joulebench_api.v1alpha1.metadata import Metadata
from joulebench_api.v1alpha1.model_server import API_VERSION, ModelServerSpec
from joulebench_api.v1alpha1.numbers import Bool, Count, PositiveInt
from joulebench_api.v1alpha1.rules import Cel, Rule, Violation, only_with
from joulebench_api.v1alpha1.server_source import ServerSource
from joulebench_api.v1alpha1.task import Task
from joulebench_api.v1alpha1.texts import CampaignName, Duration, PositiveDuration
from joulebench_api.v1alpha1.values import Form, ValueRule

NOT_IN_OVERLAYS = frozenset({"server", "task", "suspend", "ttl_after_finished", "rerun_token"})
"""Fields of a run that a campaign says elsewhere: per model, per benchmark, or for itself."""

IN_VARIANTS = ("image", "engine_args", "args", "env", "replicas", "parallelism", "max_model_len")
"""Fields of a server that a variant may change."""

MAX_ENTRIES = 200
"""Of models and of benchmarks."""

if TYPE_CHECKING:

    class Overlay(ApiModel):
        """A layer over a run's spec. Made from `BenchmarkRunSpec`, whose fields it has; read it by `written`."""

    class CellServer(ApiModel):
        """Where a model is; a template is allowed. Made from `ServerSource`; read it by `written`."""

    class CellTask(ApiModel):
        """Which questions are asked. Made from `Task`; read it by `written`."""

    class _VariantServer(ApiModel):
        """A variant's changes to the server. Made from `ModelServerSpec`."""

    class _GenerationOverlay(ApiModel):
        """Made from `Generation`."""

else:
    # Servers in overlays are named, never made: only models[].server holds a template.
    Overlay = overlay_of(
        BenchmarkRunSpec, name="Overlay", without={BenchmarkRunSpec: NOT_IN_OVERLAYS, ServerSource: {"template"}}
    )
    CellServer = complete_of(ServerSource, name="CellServer")
    CellTask = complete_of(Task, name="CellTask")
    _VariantServer = overlay_of(ModelServerSpec, name="VariantServer", only=IN_VARIANTS)
    _GenerationOverlay = overlay_of(Generation)


def written(value: ApiModel) -> dict[str, Any]:
    """What somebody wrote of an object, as plain JSON values with the fields' own names; Decimals are normalised."""
    return value.model_dump(mode="json", by_alias=True, exclude_unset=True)


def layer(entry: Overlay) -> dict[str, Any]:
    """The part of a run's spec that an overlay, or an entry that is one, holds; its own fields are left out."""
    own = {camel(name) for name in type(entry).model_fields} - {camel(name) for name in Overlay.model_fields}
    return {key: value for key, value in written(entry).items() if key not in own}


_NAME_REMEDY = "use at most 63 lower-case letters, digits, '-' and '.', and begin and end with a letter or digit"
CellName = Annotated[
    str,
    Form(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "a name that can be used here", _NAME_REMEDY),
    Field(max_length=63),
]
"""Name of a model, variant, benchmark or included cell: a label's value."""

CellNames = Annotated[tuple[CellName, ...], ListSet(), Field(min_length=1, max_length=MAX_ENTRIES)]


class Variant(_VariantServer):
    """A change to a model's server; each variant is a column of its own in the matrix."""

    name: CellName
    generation: _GenerationOverlay | None = None


def _variants_change_a_template(given: Mapping[str, Any]) -> Iterable[Violation]:
    server, variants = given.get("server"), given.get("variants")
    template = isinstance(server, Mapping) and server.get("template") is not None
    for index, variant in enumerate(variants) if isinstance(variants, Sequence) and not template else ():
        changed = [camel(name) for name in IN_VARIANTS if isinstance(variant, Mapping) and variant.get(camel(name))]
        if changed:
            yield Violation(
                path=("variants", index, changed[0]),
                message="changes a server that is not made by this campaign",
                remedy="use server.template, or change only generation",
            )


_VARIANTS_CHANGE_A_TEMPLATE = Cel(
    "!has(self.variants) || has(self.server.template) || self.variants.all(v, "
    + " && ".join(f"!has(v.{camel(name)})" for name in IN_VARIANTS)
    + ")",
    "a variant changes a server that is not made by this campaign; use server.template, or change only generation",
    ".variants",
)


class CampaignModel(Overlay):
    """A row of the matrix: where a model is, its variants, and what its runs have in common."""

    rules = (*Overlay.rules, Rule(_variants_change_a_template, (_VARIANTS_CHANGE_A_TEMPLATE,)))

    name: CellName
    server: CellServer
    variants: Annotated[tuple[Variant, ...], ListMap(), Field(max_length=16)] = ()


class CampaignBenchmark(Overlay):
    """A column of the matrix: a task, and what its runs have in common."""

    name: CellName
    task: CellTask


class CampaignDefaults(Overlay):
    """What all runs of the campaign have in common, unless a model or a benchmark says otherwise."""

    task_limit: PositiveInt | None = None
    """For each task that says no limit of its own."""


class Include(Overlay):
    """One cell beside the matrix: a model and a benchmark of it, with changes of its own."""

    name: CellName
    model: CellName
    benchmark: CellName


def _at_least_one(given: Mapping[str, Any]) -> Iterable[Violation]:
    if not {"models", "variants", "benchmarks"} & given.keys():
        yield Violation(
            path=(),
            message="at least one of models, variants and benchmarks is needed, found none",
            remedy="an entry that says nothing would leave out everything",
        )


class Exclude(ApiModel):
    """Cells that are left out: those that match everything that is said here."""

    rules = (
        Rule(
            _at_least_one,
            (
                Cel(
                    "has(self.models) || has(self.variants) || has(self.benchmarks)",
                    "at least one of models, variants and benchmarks is needed",
                ),
            ),
        ),
    )

    models: CellNames | None = None
    variants: CellNames | None = None
    benchmarks: CellNames | None = None


class Order(StrEnum):
    """In which order cells are run."""

    MODEL_FIRST = "ModelFirst"
    BENCHMARK_FIRST = "BenchmarkFirst"
    INTERLEAVED = "Interleaved"


class ConcurrencyPolicy(StrEnum):
    """What happens when a round is due while the last one is still running."""

    FORBID = "Forbid"
    REPLACE = "Replace"


class RemovedCells(StrEnum):
    """What happens to the runs of cells that the campaign no longer has."""

    KEEP = "Keep"
    DELETE = "Delete"


class History(ApiModel):
    """How many finished rounds are kept."""

    successful: Count = 10
    failed: Count = 10


_FIELD = r"(\*|\?|[0-9A-Za-z]+(-[0-9A-Za-z]+)?)(/[0-9]+)?"
CRON_PATTERN = (
    rf"^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|{_FIELD}(,{_FIELD})*( {_FIELD}(,{_FIELD})*){{4}})$"
)
Cron = Annotated[
    str,
    Form(CRON_PATTERN, "a schedule", 'write minute, hour, day, month and weekday, such as "0 2 * * *", or @daily'),
    Field(max_length=256),
]


def _known_time_zone(value: str) -> Iterable[Violation]:
    # A machine without time zones cannot tell; the API server can.
    known = available_timezones()
    if known and value not in known:
        remedy = did_you_mean(value, known) or "write a name of the IANA list, such as Europe/Zurich"
        yield Violation(path=(), message=f"{shown(value)} is not a time zone", remedy=remedy, value=value)


TimeZone = Annotated[
    str,
    Form(r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$", "a time zone", "write a name such as Europe/Zurich"),
    Field(max_length=64),
    ValueRule(_known_time_zone, (Cel("timestamp('2020-01-01T00:00:00Z').getHours(self) >= 0", "is not a time zone"),)),
]


def _names(entries: Any) -> list[str]:
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        return []
    names = (entry.get("name") for entry in entries if isinstance(entry, Mapping))
    return [name for name in names if isinstance(name, str)]


def _entries(given: Mapping[str, Any], field: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    entries = given.get(field)
    if isinstance(entries, Sequence) and not isinstance(entries, str):
        yield from ((index, entry) for index, entry in enumerate(entries) if isinstance(entry, Mapping))


def _includes_name_what_is_there(given: Mapping[str, Any]) -> Iterable[Violation]:
    for index, entry in _entries(given, "include"):
        for field, names in (("model", _names(given.get("models"))), ("benchmark", _names(given.get("benchmarks")))):
            if isinstance(entry.get(field), str):
                yield from _unknown(("include", index, field), entry[field], f"{field}s", names)


def _excludes_name_what_is_there(given: Mapping[str, Any]) -> Iterable[Violation]:
    known = {
        "models": _names(given.get("models")),
        "benchmarks": _names(given.get("benchmarks")),
        "variants": [name for _, model in _entries(given, "models") for name in _names(model.get("variants"))],
    }
    for index, entry in _entries(given, "exclude"):
        for field, names in known.items():
            wanted = entry.get(field)
            for position, name in enumerate(wanted) if isinstance(wanted, Sequence) else ():
                if isinstance(name, str):
                    yield from _unknown(("exclude", index, field, position), name, field, names)


def _unknown(path: tuple[str | int, ...], name: str, field: str, names: Sequence[str]) -> Iterable[Violation]:
    if name not in names:
        remedy = did_you_mean(name, names) or f"{field} has {joined(names) or 'none'}"
        yield Violation(path=path, message=f"{shown(name)} is not one of {field}", remedy=remedy, value=name)


_INCLUDES_NAME_WHAT_IS_THERE = tuple(
    Cel(
        f"!has(self.include) || self.include.all(i, self.{field}s.exists(m, m.name == i.{field}))",
        f"include names a {field} that is not one of {field}s",
        ".include",
    )
    for field in ("model", "benchmark")
)


class BenchmarkCampaignSpec(ApiModel):
    """Every model with every benchmark, less what is excluded, plus what is included."""

    rules = (
        Rule(_includes_name_what_is_there, _INCLUDES_NAME_WHAT_IS_THERE),
        Rule(_excludes_name_what_is_there, python_only="every name of every entry against every model costs too much"),
        only_with("timeZone", "schedule"),
        only_with("startingDeadline", "schedule"),
        only_with("history", "schedule"),
    )

    defaults: CampaignDefaults | None = None
    models: Annotated[tuple[CampaignModel, ...], ListMap(), Field(min_length=1, max_length=MAX_ENTRIES)]
    benchmarks: Annotated[tuple[CampaignBenchmark, ...], ListMap(), Field(min_length=1, max_length=MAX_ENTRIES)]
    include: Annotated[tuple[Include, ...], ListMap(), Field(max_length=MAX_ENTRIES)] = ()
    exclude: Annotated[tuple[Exclude, ...], Field(max_length=64)] = ()
    max_concurrent: PositiveInt = 1
    """Cells that run at the same time."""
    order: Order = Order.MODEL_FIRST
    """ModelFirst starts each server once and asks it everything."""
    schedule: Cron | None = None
    """Every time it is due, a round runs all cells anew."""
    time_zone: TimeZone | None = None
    """Of the schedule; absent: UTC."""
    concurrency_policy: ConcurrencyPolicy = ConcurrencyPolicy.FORBID
    starting_deadline: PositiveDuration | None = None
    """How late a round may start; later than that it is left out."""
    history: History | None = None
    """Rounds that are kept; only with a schedule. Absent: 10 of each."""
    removed_cells: RemovedCells = RemovedCells.KEEP
    suspend: Bool = False
    rerun_token: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """A new value runs all cells once more."""
    ttl_after_finished: Duration | None = None
    """Given to each run."""


class CampaignMetadata(Metadata):
    """Name, namespace, labels and annotations of a campaign."""

    name: CampaignName


class BenchmarkCampaign(ApiModel):
    """Models x benchmarks."""

    api_version: Literal["joulebench.dev/v1alpha1"] = API_VERSION
    kind: Literal["BenchmarkCampaign"] = "BenchmarkCampaign"
    metadata: CampaignMetadata
    spec: BenchmarkCampaignSpec
