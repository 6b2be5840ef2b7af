"""From a journal to results: a pure function, so that it can be done again at any time and gives the same."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata

import pyarrow as pa
from pydantic import JsonValue

from joulebench_api.contracts import SCHEMA_VERSION
from joulebench_api.contracts.energy import Method
from joulebench_api.contracts.meter import ResolvedTask
from joulebench_api.contracts.summary import Client, Model, Stored, Summary
from joulebench_runner.attribution.segments import DEFAULT_KAPPA
from joulebench_runner.config import MeterSettings
from joulebench_runner.journal.schema import Kind
from joulebench_runner.results import summary as parts
from joulebench_runner.results.asked import asked
from joulebench_runner.results.calls import CallTable
from joulebench_runner.results.cost import cost
from joulebench_runner.results.cost_basis import cost_basis
from joulebench_runner.results.device_looks import all_looks, gpus, query_columns
from joulebench_runner.results.device_looks import warnings as suspect_warnings
from joulebench_runner.results.energy import RunEnergy, run_energy
from joulebench_runner.results.models import model_uses, unseen_submodels
from joulebench_runner.results.others import actions_table, energy_table, server_metrics_table
from joulebench_runner.results.ownership import holdings, own_pods, shared_with
from joulebench_runner.results.queries import queries_table
from joulebench_runner.results.series import DeviceFacts, Series, all_series, device_facts
from joulebench_runner.results.stages import measured_windows, spans
from joulebench_runner.results.tables import Journal
from joulebench_runner.results.turns import turns_table
from joulebench_runner.results.wallclock import WallClock

PACKAGES = ("joulebench-runner", "joulebench-api", "joulebench-exporter", "inspect-ai", "pyarrow", "numpy")


@dataclass(frozen=True)
class Results:
    """Everything that is written. `tables` by file name."""

    summary: Summary
    provenance: dict[str, JsonValue]
    tables: Mapping[str, pa.Table]


def build(
    journal: Journal,
    settings: MeterSettings,
    *,
    outcome: parts.Outcome,
    message: str | None = None,
    remedy: str | None = None,
    kappa: float = DEFAULT_KAPPA,
) -> Results:
    """Attribute, join and sum up one run."""
    clock, stages, questions = WallClock(journal.clocks), spans(journal), asked(journal)
    windows, series, calls = measured_windows(stages), all_series(journal), CallTable.of(journal, questions)
    method = settings.energy.method
    own = own_pods(journal)
    calls = calls if own is None else calls.with_pods(own)
    held = holdings(journal, series.series, own)
    problems = [*series.problems, *held.problems]
    # Whatever others' devices did is not this run's to tell.
    ours = [one for one, times in zip(series.series, held.by_series, strict=True) if times]
    energy = run_energy(
        journal,
        calls,
        spans=stages,
        windows=windows,
        series=series.series,
        problems=problems,
        settings=settings.energy,
        upstreams=settings.upstreams,
        kappa=kappa,
        own=own,
        held=held,
    )
    named = {one.facts.device for one in ours}
    described = [facts for facts in device_facts(journal).values() if own is None or facts.device in named]
    looked = [one for one in all_looks(journal) if own is None or one.facts.device in named]
    aliases = {upstream.alias for upstream in settings.upstreams if upstream.measured}
    shown = query_columns(calls, looked, queries=len(questions), aliases=aliases)
    queries = queries_table(journal, questions, calls, energy.calls, method=method, devices=shown, clock=clock)
    boards = gpus(ours, looked, windows)
    task = resolved_task(journal)
    counts, right = parts.counts(queries), parts.accuracy_of(queries, task)
    energy_part = parts.energy_part(energy, queries, calls, counts.correct, method=method)
    tokens, uses = parts.tokens(calls, calls.is_turn), model_uses(settings.upstreams, calls, energy)
    unseen = list(unseen_submodels(uses, energy))
    summary = Summary(
        run=settings.run_id,
        name=settings.run_name,
        state=outcome,
        message=message,
        remedy=remedy,
        task=task,
        model=_model(settings),
        stages=parts.stage_times(stages, energy, clock),
        counts=counts,
        accuracy=right,
        energy=energy_part,
        models=uses,
        tokens=tokens,
        latency=parts.latency(queries),
        throughput=parts.throughput(windows, counts.answered, tokens.output),
        efficiency=parts.efficiency(queries, energy_part, right, whole=not unseen),
        cost=cost(cost_basis(energy, calls, counts, scored=right is not None), settings.pricing),
        client=Client(limited=False, lag_p99_seconds=None),
        gpus=boards,
        stored=None if settings.store is None else Stored(url=settings.store.url),
        warnings=[
            *_warnings(journal, problems, settings, energy_part.coverage_percent),
            *suspect_warnings(boards),
            *shared_with(held, series.series),
            *unseen,
        ],
    )
    tables = {
        "queries.parquet": queries,
        "turns.parquet": turns_table(calls, energy.calls, method=method, clock=clock),
        "energy.parquet": energy_table(ours, stages, clock),
        "server_metrics.parquet": server_metrics_table(journal, clock),
    }
    if journal.tables[Kind.ACTION].num_rows:
        tables["actions.parquet"] = actions_table(journal, clock)
    return Results(
        summary,
        _provenance(journal, settings, series=ours, devices=described, energy=energy, task=task, kappa=kappa),
        tables,
    )


def resolved_task(journal: Journal) -> ResolvedTask | None:
    """The task of the latest plan; None where the run ended before there was one."""
    plans = journal.tables[Kind.PLAN]["json"].to_pylist()
    return ResolvedTask.model_validate(json.loads(str(plans[-1]))["task"]) if plans else None


def _model(settings: MeterSettings) -> Model:
    served = next((upstream for upstream in settings.upstreams if upstream.role == "model"), settings.upstreams[0])
    known = _at(settings.provenance, "servers", served.alias)
    digest, url = _at(known, "model_file", "sha256"), _at(known, "url")
    return Model(
        name=served.model,
        engine=settings.engine,
        url=url if isinstance(url, str) else None,
        revision=f"sha256:{digest}" if isinstance(digest, str) else None,
    )


def _at(value: JsonValue, *path: str) -> JsonValue:
    """What stands at a path of nested objects; None where there is nothing."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _warnings(
    journal: Journal, problems: Sequence[str], settings: MeterSettings, coverage_percent: float | None
) -> list[str]:
    found = [f"journal: {problem}" for problem in journal.problems] + [f"energy: {problem}" for problem in problems]
    found += _notes(journal)
    least = settings.energy.min_coverage_percent
    if coverage_percent is not None and coverage_percent < least:
        found.append(f"energy ticks cover {coverage_percent:.1f} % of the measured time, less than {least} %")
    return found


def _notes(journal: Journal) -> list[str]:
    """What the meter and who supervises it wrote down, each once; the driver's last words are the run's message."""
    notes = journal.tables[Kind.NOTE].to_pylist()
    words = (f"{note['topic']} ({note['subject']}): {note['message']}" for note in notes if note["topic"] != "driver")
    return list(dict.fromkeys(words))


def _provenance(
    journal: Journal,
    settings: MeterSettings,
    *,
    series: Sequence[Series],
    devices: Sequence[DeviceFacts],
    energy: RunEnergy,
    task: ResolvedTask | None,
    kappa: float,
) -> dict[str, JsonValue]:
    """What whoever planned the run knew, and what the journal knows."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run": settings.run_id,
        "name": settings.run_name,
        "planned": settings.provenance,
        "task": None if task is None else task.model_dump(mode="json"),
        "versions": _versions(),
        "platform": platform.platform(),
        "energy": {
            "method": settings.energy.method.value,
            "kappa": kappa if settings.energy.method is Method.PHASE else None,
            "domains": [domain.value for domain in settings.energy.domains],
            "bounds": "tick edges, clock and tick time, rounding; not the method, not the gain of the sensor",
            "problem": energy.problem,
            "devices": [dict(sorted(asdict(facts).items())) for facts in devices],
            "clocks": [
                {
                    "device": one.facts.device,
                    "offset_ns": one.clock.offset_ns,
                    "bound_ns": one.clock.bound_ns,
                    "basis": one.clock.basis,
                }
                for one in series
            ],
        },
        "journal": _written(journal),
    }


def _written(journal: Journal) -> dict[str, JsonValue]:
    """Who wrote the journal."""
    pairs = journal.written or journal.clocks
    return {
        "segments": len(pairs),
        "problems": list(journal.problems),
        "boots": [*sorted({pair.boot_id for pair in pairs})],
        "meters": [*dict.fromkeys(pair.instance_id for pair in pairs)],
    }


def _versions() -> dict[str, JsonValue]:
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(package: str) -> str | None:
    """Read from the package's metadata: importing some of these takes seconds."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
