"""The conditions of an attempt."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from joulebench_api.conditions import ConditionType, Reason
from joulebench_api.contracts.energy import SensorKind
from joulebench_api.contracts.meter import Stage
from joulebench_api.contracts.termination import TerminationMessage, cut
from joulebench_api.v1alpha1.status import ConditionStatus, EnergyKind
from joulebench_operator.decision import Wanted
from joulebench_operator.runs.headline import Headline, Mood, headline, waiting_message
from joulebench_operator.runs.last_words import has_no_joules
from joulebench_operator.runs.outcome import Outcome
from joulebench_operator.runs.situation import Situation

MESSAGE_LENGTH: Final = 512
"""Characters of a condition's message: ten of them must fit into a status of 16 KiB."""


def conditions(seen: Situation, words: TerminationMessage | None) -> tuple[Wanted, ...]:
    """All conditions of an attempt; `words`: the meter's last."""
    first = headline(seen)
    return bounded((*standing(first, seen.ended), *_parts(seen, words)))


def standing(first: Headline, ended: Outcome | None) -> Iterator[Wanted]:
    """Ready, Reconciling or Stalled, Succeeded and Finished."""
    succeeded = ended is not None and ended.succeeded
    yield Wanted(ConditionType.READY, _truth(succeeded), first.reason, first.message)
    if first.mood is Mood.RECONCILING:
        yield Wanted(ConditionType.RECONCILING, ConditionStatus.TRUE, first.reason, first.message)
    if first.mood is Mood.STALLED:
        yield Wanted(ConditionType.STALLED, ConditionStatus.TRUE, first.reason, first.message)
    how = ConditionStatus.UNKNOWN if ended is None else _truth(succeeded)
    yield Wanted(ConditionType.SUCCEEDED, how, first.reason, "" if ended is None else ended.message)
    yield Wanted(ConditionType.FINISHED, _truth(ended is not None), first.reason)


def bounded(wanted: tuple[Wanted, ...]) -> tuple[Wanted, ...]:
    """With messages that fit; what is cut ends with three dots."""
    return tuple(Wanted(one.type, one.status, one.reason, cut(one.message, MESSAGE_LENGTH)) for one in wanted)


def _truth(holds: bool) -> ConditionStatus:
    return ConditionStatus.TRUE if holds else ConditionStatus.FALSE


def _parts(seen: Situation, words: TerminationMessage | None) -> Iterator[Wanted]:
    yield seen.verdict.condition
    if seen.run.spec.queue is not None:
        yield _quota(seen)
    yield _server_ready(seen)
    yield _energy(seen, words)
    if seen.ended is not None:
        yield _stored(seen, seen.ended, words)


def _quota(seen: Situation) -> Wanted:
    if seen.waits_for_quota:
        message = "Kueue has not given the quota yet"
        return Wanted(ConditionType.QUOTA_RESERVED, ConditionStatus.FALSE, Reason.WAITING_FOR_QUOTA, message)
    if seen.runner.job is None:
        return Wanted(ConditionType.QUOTA_RESERVED, ConditionStatus.UNKNOWN, Reason.PENDING)
    return Wanted(ConditionType.QUOTA_RESERVED, ConditionStatus.TRUE, Reason.QUOTA_RESERVED)


def _server_ready(seen: Situation) -> Wanted:
    kind = ConditionType.SERVER_READY
    if seen.missing is not None:
        return Wanted(kind, ConditionStatus.FALSE, seen.missing.reason, seen.missing.message)
    waits = next((server for server in seen.servers if not server.is_ready), None)
    if waits is None:
        return Wanted(kind, ConditionStatus.TRUE, Reason.SERVING, "all servers answer")
    if seen.is_suspended:
        return Wanted(kind, ConditionStatus.FALSE, Reason.SUSPENDED)
    if waits.trouble is not None:
        return Wanted(kind, ConditionStatus.FALSE, waits.trouble.reason, waits.trouble.message)
    if waits.item is None and not seen.verdict.passed:
        return Wanted(kind, ConditionStatus.FALSE, Reason.PENDING, f"ModelServer {waits.name} is not made yet")
    return Wanted(kind, ConditionStatus.FALSE, Reason.WAITING_FOR_SERVER, waiting_message(waits))


def _energy(seen: Situation, words: TerminationMessage | None) -> Wanted:
    """What the exporters promise and, at the end, what came of it."""
    kind = ConditionType.ENERGY_AVAILABLE
    if words is not None and words.energy_incomplete:
        message = "less of the run was measured than spec.energy.minCoveragePercent asks for"
        return Wanted(kind, ConditionStatus.FALSE, Reason.ENERGY_INCOMPLETE, message)
    if words is not None and words.summary is not None and words.summary.energy_kind is EnergyKind.MODELLED:
        return Wanted(kind, ConditionStatus.TRUE, Reason.MODELLED, f"sensor {words.sensor}")
    promised = seen.energy.condition
    if seen.ended is not None and promised.status is ConditionStatus.TRUE and has_no_joules(words):
        message = f"{promised.message}, but have no counter for these devices; summary.json says more"
        return Wanted(kind, ConditionStatus.FALSE, Reason.NO_SENSOR, message)
    return _energy_now(seen) or seen.energy.condition


def _energy_now(seen: Situation) -> Wanted | None:
    """What the meter says while it measures, where it differs from what the exporters promised."""
    status, promised = seen.runner.status, seen.energy.condition
    if status is None or status.stage is not Stage.RUN or promised.status is not ConditionStatus.TRUE:
        return None
    if status.energy.kind == SensorKind.MODELLED:
        return replace(promised, reason=Reason.MODELLED, message=f"sensor {status.energy.sensor}")
    if status.energy.joules is None and status.energy.problem is not None:
        return replace(promised, status=ConditionStatus.FALSE, reason=Reason.NO_SENSOR, message=status.energy.problem)
    return None


def _stored(seen: Situation, ended: Outcome, words: TerminationMessage | None) -> Wanted:
    kind = ConditionType.RESULTS_STORED
    if ended.reason is not Reason.UPLOAD_FAILED and (ended.succeeded or (words is not None and words.results)):
        return Wanted(kind, ConditionStatus.TRUE, Reason.STORED, seen.storage.url)
    return Wanted(kind, ConditionStatus.FALSE, ended.reason, "" if ended.succeeded else "no results were stored")
