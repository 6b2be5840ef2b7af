"""The processes' settings from the benchmark's fields. Pure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from joulebench_api.contracts.energy import Domain
from joulebench_api.contracts.identity import JUDGE_ALIAS, MODEL_ALIAS
from joulebench_api.contracts.summary import Prices, TokenPrices
from joulebench_api.secrets import environment_name
from joulebench_api.v1alpha1 import BenchmarkRunSpec
from joulebench_api.v1alpha1.task import Task
from joulebench_api.v1alpha1.texts import Percent
from joulebench_runner.config import DriverSettings, EnergySettings, GenerationSettings, MeterSettings, TaskSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.local.serving import Serving

_Value = TypeVar("_Value")

CPU_SERVER_DOMAINS = (Domain.CPU, Domain.DRAM)
SIMULATED_DOMAINS = (Domain.GPU,)


def _resolved(value: _Value | None) -> _Value:
    """A value that `joulebench_api.defaults.resolve` has filled in."""
    if value is None:
        raise TypeError("the spec was not resolved")
    return value


def energy_settings(
    spec: BenchmarkRunSpec, model: Serving, *, exporter: str, domains: Sequence[Domain]
) -> EnergySettings:
    """What is measured: this machine, if the model runs on it. `domains`: unless the spec says others."""
    energy = spec.energy
    disabled = energy.policy == "Disabled"
    problem = "spec.energy.policy is Disabled" if disabled else model.energy_problem
    return EnergySettings(
        policy=_resolved(energy.policy).value,
        exporters=[] if problem else [exporter],
        domains=[Domain(domain) for domain in energy.domains or domains],
        method=_resolved(energy.attribution),
        min_coverage_percent=_resolved(energy.min_coverage_percent),
        problem=problem,
    )


def pricing_settings(spec: BenchmarkRunSpec) -> Prices:
    """What the run costs: `spec.cost`, and the token prices of the servers that others run."""
    sources = {MODEL_ALIAS: spec.server} | ({JUDGE_ALIAS: spec.judge.server} if spec.judge is not None else {})
    external = {alias: source.external for alias, source in sources.items() if source.external is not None}
    return Prices(
        **spec.cost.model_dump(by_alias=False, mode="python"),
        tokens={
            alias: TokenPrices(**found.token_prices.model_dump(by_alias=False, mode="python"))
            for alias, found in external.items()
            if found.token_prices is not None
        },
    )


def driver_settings(spec: BenchmarkRunSpec, meter: MeterSettings, *, data: Path | None) -> DriverSettings:
    """What is asked, and how."""
    timeout = spec.timeouts.query
    return DriverSettings(
        run_id=meter.run_id,
        run_dir=meter.run_dir,
        control_socket=meter.control_socket,
        ready_file=meter.ready_file,
        task=task_settings(spec, data=data),
        generation=_generation_settings(spec),
        seed=spec.seed,
        epochs=spec.epochs,
        concurrency=_resolved(spec.concurrency),
        warmup_queries=spec.warmup.queries,
        max_errors=spec.max_errors.fraction if isinstance(spec.max_errors, Percent) else spec.max_errors,
        query_timeout_seconds=None if timeout is None else timeout.seconds,
        baseline_seconds=_resolved(spec.energy.idle_baseline).seconds,
        artifacts=spec.results.artifacts.value,
        outcome_file=meter.ready_file.with_name("driver-outcome.json"),
    )


def task_settings(spec: BenchmarkRunSpec, *, data: Path | None) -> TaskSettings:
    """Which questions are asked."""
    task = spec.task
    _check_source(task, data=data)
    hub = task.source.hub if task.source is not None else None
    token = hub.token_secret_ref if hub is not None else None
    return TaskSettings(
        name=task.name,
        params=dict(task.params),
        limit=task.limit,
        record_ids=None if task.record_ids is None else list(task.record_ids),
        subset=task.subset,
        split=task.split,
        few_shot=task.few_shot,
        data_root=None if data is None else data.absolute(),
        offline=task.source is not None and task.source.claim is not None,
        hub_revision=None if hub is None else hub.revision,
        hub_endpoint=None if hub is None or hub.endpoint is None else str(hub.endpoint),
        hub_token_variable=None if token is None else environment_name(token),
    )


def _check_source(task: Task, *, data: Path | None) -> None:
    """On this machine a folder (`--data`) plays the part of a claim; the other stores are a cluster's."""
    source = task.source
    if source is None or source.hub is not None:
        return
    if source.claim is None:
        kind = "objectStore" if source.object_store is not None else "configMap"
        raise BadInputError(
            f"spec.task.source.{kind}: not available on a local run",
            remedy="copy the data, and name them by --data DIR",
        )
    if data is None:
        raise BadInputError(
            "spec.task.source.claim: there are no claims on a local run",
            remedy=f"name the folder by --data DIR; joulebench fetch {task.name} --to DIR fills one",
        )


def _generation_settings(spec: BenchmarkRunSpec) -> GenerationSettings:
    generation = spec.generation
    if generation is None:
        return GenerationSettings()
    given: Mapping[str, Any] = generation.model_dump(by_alias=False, exclude_none=True)
    return GenerationSettings(**{**given, **_numbers(given)})


def _numbers(given: Mapping[str, Any]) -> dict[str, float]:
    """Decimals become floats only here, on their way into a request."""
    return {name: float(given[name]) for name in ("temperature", "top_p") if name in given}
