"""Attempts: a run has one, and one more for each new `rerunToken`. Retries within an attempt are its Job's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from joulebench_api.conditions import Reason
from joulebench_api.v1alpha1.status import MAX_ATTEMPTS
from joulebench_operator.objects import Object
from joulebench_operator.runs.recorded import Recorded, text, time_text

_URL_LENGTH: Final = 2048


@dataclass(frozen=True)
class Attempt:
    """The attempt that is on."""

    number: int
    """From 1."""
    token: str | None
    recorded: Recorded
    """What the status says about this attempt; nothing if it is a new one."""
    earlier: tuple[Object, ...]
    """The attempts before it, as the status has them."""


def current(item: Mapping[str, Any], recorded: Recorded) -> Attempt:
    """The newest attempt, or a new one if `rerunToken` was given a value that the newest does not have."""
    token = text((item.get("spec") or {}).get("rerunToken"))
    *earlier, newest = recorded.attempts or [{}]
    if not newest:
        return Attempt(1, token, Recorded(), ())
    known = text(newest.get("rerunToken"))
    if token is None or token == known:
        return Attempt(newest["number"], known, recorded, tuple(earlier))
    return Attempt(newest["number"] + 1, token, Recorded(), (*earlier, newest))


def listed(attempt: Attempt, entry: Object, *, now: datetime) -> list[Object]:
    """`status.attempts` with `entry` for the attempt that is on: the last ten. One that was cut short says so."""
    earlier = [one if "completionTime" in one else _replaced(one, now) for one in attempt.earlier]
    return [*earlier, entry][-MAX_ATTEMPTS:]


def entry(attempt: Attempt, *, reason: Reason, now: datetime, is_over: bool, results_url: str | None = None) -> Object:
    """The attempt that is on, as `status.attempts` tells it."""
    known = {
        "number": attempt.number,
        "rerunToken": attempt.token,
        "reason": reason.value,
        "startTime": start_time(attempt, now=now),
        "completionTime": time_text(now) if is_over else None,
        "resultsURL": results_url if results_url is not None and len(results_url) <= _URL_LENGTH else None,
    }
    return {name: value for name, value in known.items() if value is not None}


def start_time(attempt: Attempt, *, now: datetime) -> str:
    """When the attempt was first seen."""
    return text(attempt.recorded.status.get("startTime")) or time_text(now)


def _replaced(entry: Object, now: datetime) -> Object:
    return {**entry, "reason": Reason.REPLACED.value, "completionTime": time_text(now)}
