"""The stages of an attempt, with times: what is going on now, and since when."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from joulebench_operator.objects import Object
from joulebench_operator.runs.recorded import Recorded, objects, time_of, time_text


class RunStage(StrEnum):
    """What an attempt is doing. A stage that comes again (after `suspend`) begins anew."""

    QUEUE = "queue"
    PREFLIGHT = "preflight"
    TURN = "turn"
    SERVER = "server"
    RUN = "run"
    RESULTS = "results"


def stages(recorded: Recorded, current: RunStage | None, *, now: datetime) -> list[Object]:
    """`status.stages` with the current stage open and all others closed; None: none is open."""
    before = known(recorded)
    is_on = current is not None and _is_open(before, current)
    closed = [_closed(one, now) for one in before if one["name"] != current]
    if current is None:
        return closed
    opened = next(one for one in before if one["name"] == current) if is_on else _begun(current, now)
    return [*closed, opened]


def known(recorded: Recorded) -> list[Object]:
    """The stages that the status has."""
    listed = [dict(one) for one in objects(recorded.status.get("stages")) if one.get("name") in set(RunStage)]
    return list({one["name"]: one for one in listed}.values())


def elapsed(recorded: Recorded, stage: RunStage, *, now: datetime) -> timedelta:
    """How long a stage has been open; nothing if it is not."""
    began = next((time_of(one.get("startTime")) for one in known(recorded) if _is_open([one], stage)), None)
    return timedelta() if began is None else max(timedelta(), now - began)


def is_open(recorded: Recorded, stage: RunStage) -> bool:
    """Whether the status says that this is going on."""
    return _is_open(known(recorded), stage)


def _is_open(listed: Sequence[Object], stage: RunStage) -> bool:
    return any(one["name"] == stage and "endTime" not in one for one in listed)


def _begun(stage: RunStage, now: datetime) -> Object:
    return {"name": stage.value, "startTime": time_text(now)}


def _closed(entry: Object, now: datetime) -> Object:
    return entry if "endTime" in entry else {**entry, "endTime": time_text(now)}
