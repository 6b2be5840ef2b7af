"""`summary.json` from the tables."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

from joulebench_api.contracts.energy import Method, SensorKind
from joulebench_api.contracts.meter import ResolvedTask
from joulebench_api.contracts.summary import (
    Accuracy,
    Counts,
    DeviceEnergy,
    Efficiency,
    Energy,
    Latency,
    StageTimes,
    Throughput,
    Tokens,
)
from joulebench_runner.attribution.arrays import Bools, Floats
from joulebench_runner.attribution.buckets import UNATTRIBUTED, Bucket, reason
from joulebench_runner.results.arrow import pc
from joulebench_runner.results.calls import CallTable
from joulebench_runner.results.cost_basis import ALL_IN
from joulebench_runner.results.energy import DeviceTotals, RunEnergy
from joulebench_runner.results.stages import Span
from joulebench_runner.results.statistics import accuracy, distribution
from joulebench_runner.results.tables import UNKNOWN, bools, codes, floats, is_null
from joulebench_runner.results.wallclock import WallClock

Outcome = Literal["completed", "failed", "error-limit", "interrupted"]


def counts(queries: pa.Table) -> Counts:
    """Every question is in exactly one of correct, incorrect, unscored, errors."""
    failed, unscored = ~is_null(queries, "error"), is_null(queries, "correct")
    right = bools(queries, "correct")
    asked, errors = queries.num_rows, int(failed.sum())
    return Counts(
        asked=asked,
        answered=asked - errors,
        correct=int((right & ~failed).sum()),
        incorrect=int((~right & ~unscored & ~failed).sum()),
        unscored=int((unscored & ~failed).sum()),
        errors=errors,
    )


def accuracy_of(queries: pa.Table, task: ResolvedTask | None) -> Accuracy | None:
    """Correct / all asked; None for tasks that are not scored."""
    if task is None or not task.scored:
        return None
    return accuracy(bools(queries, "correct"), codes(queries["record_id"]).codes)


def stage_times(spans: Sequence[Span], energy: RunEnergy, clock: WallClock) -> list[StageTimes]:
    """A stage that is still under way (export, which writes this) has no length yet."""
    last = spans[-1] if spans else None
    return [
        StageTimes(
            name=span.stage,
            started_at=clock.text(span.instance_id, span.start_ns),
            seconds=None if span is last and not span.closed and not _is_measured(span) else span.seconds,
            energy_joules=_joules(mj),
        )
        for span, mj in zip(spans, energy.stages_mj, strict=True)
    ]


def _is_measured(span: Span) -> bool:
    return span.stage.value == "run"


def _joules(millijoules: float | None) -> float | None:
    return None if millijoules is None else millijoules / 1000


def energy_part(run: RunEnergy, queries: pa.Table, calls: CallTable, right: int, *, method: Method) -> Energy:
    """The whole `energy` object."""
    if not run.devices:
        return _no_energy(run, method)
    mj = run.buckets_mj
    mine = (calls.bucket == Bucket.QUERIES) & run.calls.seen
    split = bool(mine.any()) and bool((run.calls.split | (run.calls.total_mj == 0))[mine].all())
    all_in = int(mj[list(ALL_IN)].sum())
    foreign_known = run.foreign_reason is None
    return Energy(
        sensor=", ".join(sorted({device.facts.sensor for device in run.devices})),
        kind=_kind(run.devices),
        method=method,
        conserved=conserved(run, queries),
        problem=None,
        total_joules=sum(device.total_mj for device in run.devices) / 1000,
        queries_joules=float(mj[Bucket.QUERIES]) / 1000,
        idle_joules=float(mj[Bucket.IDLE]) / 1000,
        foreign_joules=float(mj[Bucket.FOREIGN]) / 1000 if foreign_known else None,
        foreign_reason=run.foreign_reason,
        judge_joules=float(mj[Bucket.JUDGE]) / 1000,
        unattributed_joules=float(mj[list(UNATTRIBUTED)].sum()) / 1000,
        unattributed={reason(bucket): float(mj[bucket]) / 1000 for bucket in UNATTRIBUTED if mj[bucket]},
        shared_joules=float(mj[Bucket.SHARED]) / 1000,
        boundary_joules=float(mj[Bucket.BOUNDARY]) / 1000,
        prefill_joules=float(run.calls.prefill_mj[mine].sum()) / 1000 if split else None,
        decode_joules=float(run.calls.decode_mj[mine].sum()) / 1000 if split else None,
        baseline_watts=run.baseline_watts,
        mean_watts=run.mean_watts,
        coverage_percent=100 * run.coverage,
        clock_error_seconds=None if run.clock_error_ns is None else run.clock_error_ns / 1e9,
        per_query=distribution(floats(queries, "energy_joules")),
        per_correct_joules=float(mj[Bucket.QUERIES]) / 1000 / right if right else None,
        per_correct_all_in_joules=all_in / 1000 / right if right else None,
        fallback_calls=int((run.calls.fallback & run.calls.seen).sum()),
        devices=[_device(device, foreign_known=foreign_known) for device in run.devices],
    )


def conserved(run: RunEnergy, queries: pa.Table) -> bool:
    """Whether it all adds up, by `==` on integers: every tick, every device, and the rows of `queries.parquet`."""
    rows = pc.sum(queries["energy_mj"]).as_py() or 0
    return all(device.conserved for device in run.devices) and rows == int(run.buckets_mj[Bucket.QUERIES])


def _no_energy(run: RunEnergy, method: Method) -> Energy:
    return Energy(
        sensor=None,
        kind=None,
        method=method,
        conserved=False,
        problem=run.problem,
        total_joules=None,
        queries_joules=None,
        idle_joules=None,
        foreign_joules=None,
        judge_joules=None,
        unattributed_joules=None,
        shared_joules=None,
        boundary_joules=None,
        prefill_joules=None,
        decode_joules=None,
        baseline_watts=run.baseline_watts,
        per_query=None,
        per_correct_joules=None,
        per_correct_all_in_joules=None,
    )


def _kind(devices: Sequence[DeviceTotals]) -> SensorKind:
    """The least real of the devices' kinds: a sum with a modelled part is modelled."""
    kinds = {device.facts.sensor_kind for device in devices}
    return next(kind for kind in (SensorKind.SIMULATED, SensorKind.MODELLED, SensorKind.MEASURED) if kind in kinds)


def _device(device: DeviceTotals, *, foreign_known: bool) -> DeviceEnergy:
    mj = device.buckets_mj
    return DeviceEnergy(
        device=device.facts.device,
        name=device.facts.name,
        domain=device.facts.domain,
        scope=device.facts.scope,
        sensor=device.facts.sensor,
        kind=SensorKind(device.facts.sensor_kind),
        total_joules=device.total_mj / 1000,
        queries_joules=float(mj[Bucket.QUERIES]) / 1000,
        judge_joules=float(mj[Bucket.JUDGE]) / 1000,
        idle_joules=float(mj[Bucket.IDLE]) / 1000,
        foreign_joules=float(mj[Bucket.FOREIGN]) / 1000 if foreign_known else None,
        unattributed_joules=float(mj[list(UNATTRIBUTED)].sum()) / 1000,
        shared_joules=float(mj[Bucket.SHARED]) / 1000,
        boundary_joules=float(mj[Bucket.BOUNDARY]) / 1000,
        ticks=device.ticks,
        tick_period_seconds=None if device.period_ns is None else device.period_ns / 1e9,
        coverage_percent=100 * device.coverage,
    )


def tokens(calls: CallTable, turns: Bools) -> Tokens:
    """Sums over those of some successful calls that reported them; `calls_without_usage` says how many did not."""

    def total(name: str) -> int | None:
        values = (calls.output_tokens if name == "output_tokens" else calls.ints(name))[turns]
        known = values[values != UNKNOWN]
        return int(known.sum()) if len(known) else None

    return Tokens(
        prompt=total("prompt_tokens"),
        cached_prompt=total("cached_prompt_tokens"),
        output=total("output_tokens"),
        calls_without_usage=int((turns & ~calls.has_usage).sum()),
    )


def latency(queries: pa.Table) -> Latency:
    """Distributions over the questions."""
    names = ("ttft_seconds", "tpot_seconds", "e2e_seconds")
    return Latency(**{name: distribution(floats(queries, name)) for name in names})


def throughput(windows: Sequence[Span], answered: int, output_tokens: int | None) -> Throughput:
    """Over the measured time."""
    seconds = sum(window.seconds for window in windows)
    if not seconds:
        return Throughput(queries_per_second=None, output_tokens_per_second=None)
    return Throughput(
        queries_per_second=answered / seconds,
        output_tokens_per_second=None if output_tokens is None else output_tokens / seconds,
    )


def efficiency(queries: pa.Table, energy: Energy, right: Accuracy | None, *, whole: bool) -> Efficiency:
    """IPJ, IPW, and joules an output token over the questions for which both are known.

    `whole`: the joules of all who made the tokens are known.
    """
    joules_each = energy.per_query.mean if energy.per_query is not None else None
    each_token = _joules_per_token(floats(queries, "energy_joules"), floats(queries, "output_tokens"))
    return Efficiency(
        ipj=right.value / joules_each if right is not None and joules_each else None,
        ipw=right.value / energy.mean_watts if right is not None and energy.mean_watts else None,
        joules_per_output_token=each_token if whole else None,
    )


def _joules_per_token(joules: Floats, output_tokens: Floats) -> float | None:
    known = ~np.isnan(joules) & ~np.isnan(output_tokens)
    total = float(output_tokens[known].sum())
    return float(joules[known].sum()) / total if total else None
