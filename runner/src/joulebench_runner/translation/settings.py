"""The processes' settings from the benchmark's fields. Pure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from joulebench_api.contracts.energy import Domain
from joulebench_api.contracts.identity import MODEL_ALIAS
from joulebench_api.contracts.summary import Prices, TokenPrices
from joulebench_api.parties import parties
from joulebench_api.v1alpha1 import BenchmarkRunSpec
from joulebench_api.v1alpha1.energy import Energy
from joulebench_api.v1alpha1.generation import Generation
from joulebench_api.v1alpha1.texts import Percent
from joulebench_runner.config import DriverSettings, EnergySettings, GenerationSettings, TaskSettings

_Value = TypeVar("_Value")


def _resolved(value: _Value | None) -> _Value:
    """A value that `joulebench_api.defaults.resolve` has filled in."""
    if value is None:
        raise TypeError("the spec was not resolved")
    return value


def energy_settings(
    spec: BenchmarkRunSpec, *, problem: str | None, exporters: Sequence[str], domains: Sequence[Domain], **access: Any
) -> EnergySettings:
    """What is measured, and how it is split; nothing where there is a `problem`. `access`: to the exporters."""
    energy = spec.energy
    why = "spec.energy.policy is Disabled" if energy.policy == "Disabled" else problem
    return EnergySettings(
        policy=_resolved(energy.policy).value,
        exporters=[] if why else list(exporters),
        domains=list(domains),
        method=_resolved(energy.attribution),
        min_coverage_percent=_resolved(energy.min_coverage_percent),
        problem=why,
        **access,
    )


def pricing_settings(spec: BenchmarkRunSpec, *, fleet: Prices | None = None) -> Prices:
    """What the run costs: `spec.cost`, and the token prices of the servers that others run. `fleet`: the
    administrator's prices for what the run says none of.
    """
    others = fleet or Prices()
    external = {party.alias: party.source.external for party in parties(spec) if party.source.external is not None}
    return Prices(
        **spec.cost.model_dump(by_alias=False, mode="python"),
        accelerator_per_hour_by_product=others.accelerator_per_hour_by_product,
        tokens=others.tokens
        | {
            alias: TokenPrices(**found.token_prices.model_dump(by_alias=False, mode="python"))
            for alias, found in external.items()
            if found.token_prices is not None
        },
    )


def driver_settings(
    spec: BenchmarkRunSpec, *, run_id: str, run_dir: Path, ready_file: Path, task: TaskSettings, **meter: Any
) -> DriverSettings:
    """What is asked, and how. `meter`: where the meter is, and how long it is waited for."""
    timeout = spec.timeouts.query
    return DriverSettings(
        run_id=run_id,
        run_dir=run_dir,
        ready_file=ready_file,
        task=task,
        generation=_generation_settings(spec.generation),
        generation_of_others={
            party.alias: _generation_settings(party.generation)
            for party in parties(spec)
            if party.alias != MODEL_ALIAS and party.generation is not None
        },
        seed=spec.seed,
        epochs=spec.epochs,
        concurrency=_resolved(spec.concurrency),
        warmup_queries=spec.warmup.queries,
        max_errors=spec.max_errors.fraction if isinstance(spec.max_errors, Percent) else spec.max_errors,
        query_timeout_seconds=None if timeout is None else timeout.seconds,
        baseline_seconds=_baseline_seconds(spec.energy),
        artifacts=spec.results.artifacts.value,
        outcome_file=ready_file.with_name("driver-outcome.json"),
        **meter,
    )


def _baseline_seconds(energy: Energy) -> float:
    """How long the idle server is measured; where nothing is measured it need not wait."""
    return 0.0 if energy.policy == "Disabled" else _resolved(energy.idle_baseline).seconds


def task_settings(
    spec: BenchmarkRunSpec, *, data_root: Path | None, offline: bool, token_variable: str | None
) -> TaskSettings:
    """Which questions are asked. `token_variable`: where the hub's token is, if the source names one."""
    task = spec.task
    hub = task.source.hub if task.source is not None else None
    return TaskSettings(
        name=task.name,
        params=dict(task.params),
        limit=task.limit,
        record_ids=None if task.record_ids is None else list(task.record_ids),
        subset=task.subset,
        split=task.split,
        few_shot=task.few_shot,
        data_root=data_root,
        offline=offline,
        hub_revision=None if hub is None else hub.revision,
        hub_endpoint=None if hub is None or hub.endpoint is None else str(hub.endpoint),
        hub_token_variable=None if hub is None or hub.token_secret_ref is None else token_variable,
    )


def _generation_settings(generation: Generation | None) -> GenerationSettings:
    if generation is None:
        return GenerationSettings()
    given: Mapping[str, Any] = generation.model_dump(by_alias=False, exclude_none=True)
    return GenerationSettings(**{**given, **_numbers(given)})


def _numbers(given: Mapping[str, Any]) -> dict[str, float]:
    """Decimals become floats only here, on their way into a request."""
    return {name: float(given[name]) for name in ("temperature", "top_p") if name in given}
