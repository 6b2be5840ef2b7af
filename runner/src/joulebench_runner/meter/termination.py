"""The termination message: how a run ended, for whoever sees no more of the pod than its status."""

import hashlib
from decimal import Decimal
from pathlib import Path

from joulebench_api.contracts.energy import SensorKind
from joulebench_api.contracts.meter import Finalise, Progress
from joulebench_api.contracts.summary import Distribution, Summary
from joulebench_api.contracts.termination import TerminationMessage
from joulebench_api.v1alpha1.status import EnergyKind, RunCounts, RunSummary, StoredFile
from joulebench_runner import __version__
from joulebench_runner.config import EnergySettings
from joulebench_runner.errors import RunnerError
from joulebench_runner.verdict import Outcome, lacks_energy

_SIGNIFICANT_DIGITS = 6
_SUMMARY = "summary.json"
_KINDS = {
    SensorKind.MEASURED: EnergyKind.MEASURED,
    SensorKind.MODELLED: EnergyKind.MODELLED,
    SensorKind.SIMULATED: EnergyKind.SIMULATED,
}


def message_of(summary: Summary, *, energy: EnergySettings, folder: Path) -> TerminationMessage:
    """What a run with results has to tell; `folder` holds its `summary.json`."""
    not_stored = None if summary.stored is None else summary.stored.problem
    return TerminationMessage(
        state=summary.state,
        energy_incomplete=lacks_energy(energy, summary),
        message=summary.message or not_stored,
        remedy=summary.remedy,
        task=summary.task,
        runner_version=__version__,
        sensor=summary.energy.sensor,
        summary=figures(summary),
        results=None if not_stored else _stored(summary, folder),
    )


def failure(error: RunnerError, *, state: Outcome) -> TerminationMessage:
    """What a run without results has to tell."""
    return TerminationMessage(state=state, message=error.message, remedy=error.remedy, runner_version=__version__)


def of_shard(ending: Finalise, progress: Progress) -> TerminationMessage:
    """What one of several shards has to tell: how it ended, and how many questions it has asked."""
    counts = progress.model_dump(include={"answered", "correct", "incorrect", "unscored", "errors"})
    return TerminationMessage(
        state=ending.outcome,
        message=ending.message,
        remedy=ending.remedy,
        runner_version=__version__,
        summary=RunSummary(counts=RunCounts(asked=progress.answered + progress.errors, **counts)),
    )


def figures(summary: Summary) -> RunSummary:
    """The figures of `status.summary`, as text. Sums of joules are exact to the millijoule; all else is rounded."""
    energy, right = summary.energy, summary.accuracy
    per_query = None if energy.per_query is None else energy.per_query.mean
    return RunSummary(
        accuracy=_rounded(None if right is None else right.value),
        accuracy_low=_rounded(None if right is None else right.low),
        accuracy_high=_rounded(None if right is None else right.high),
        joules_total=_millis(energy.total_joules),
        joules_per_query=_rounded(per_query),
        joules_per_correct=_rounded(energy.per_correct_joules),
        joules_per_output_token=_rounded(summary.efficiency.joules_per_output_token),
        judge_joules=_millis(energy.judge_joules),
        output_tokens_per_second=_rounded(summary.throughput.output_tokens_per_second),
        ttft_p50_seconds=_rounded(_median(summary.latency.ttft_seconds)),
        ttft_p99_seconds=_rounded(_p99(summary.latency.ttft_seconds)),
        tpot_p50_seconds=_rounded(_median(summary.latency.tpot_seconds)),
        cost_per_correct=_text(summary.cost.paid.per_correct),
        energy_kind=None if energy.kind is None else _KINDS[energy.kind],
        conserved=energy.conserved if energy.total_joules is not None else None,
        client_limited=summary.client.limited if summary.client.lag_p99_seconds is not None else None,
        counts=RunCounts(**summary.counts.model_dump()),
    )


def write(message: TerminationMessage, path: Path) -> None:
    """Write it in place: the kubelet has mounted this very file into the container."""
    path.write_text(message.as_message())


def _stored(summary: Summary, folder: Path) -> StoredFile:
    data = (folder / _SUMMARY).read_bytes()
    url = None if summary.stored is None else f"{summary.stored.url}/{_SUMMARY}"
    return StoredFile(url=url, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def _median(of: Distribution | None) -> float | None:
    return None if of is None else of.median


def _p99(of: Distribution | None) -> float | None:
    return None if of is None else of.p99


def _millis(joules: float | None) -> str | None:
    return None if joules is None else f"{joules:.3f}"


def _rounded(value: float | None) -> str | None:
    return None if value is None else _text(Decimal(f"{value:.{_SIGNIFICANT_DIGITS}g}"))


def _text(value: Decimal | None) -> str | None:
    """Without an exponent, which readers of status fields would not take."""
    return None if value is None else format(value, "f")
