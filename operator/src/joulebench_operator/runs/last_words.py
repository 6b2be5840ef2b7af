"""The meter's termination message, read as far as this release knows its words."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from joulebench_api.contracts.meter import ResolvedTask
from joulebench_api.contracts.termination import TerminationMessage
from joulebench_api.names import camel
from joulebench_api.v1alpha1.status import RunSummary, StoredFile
from joulebench_operator.objects import Object
from joulebench_operator.runs import jobs_seen
from joulebench_operator.runs.volumes import METER

_Model = TypeVar("_Model", bound=BaseModel)


def last_words(job: Object | None, pods: Sequence[Object], *, container: str = METER) -> TerminationMessage | None:
    """The message of the newest pod whose meter (or other container) has left one that counts.

    What a pod said that is followed by another is no end; it counts only if there is none any more.
    """
    has_failed = job is not None and jobs_seen.failure(job) is not None
    said = (jobs_seen.message(pod, container) for pod in pods if has_failed or _is_final(pod, container))
    return next((words for message in said if (words := read(message)) is not None), None)


def _is_final(pod: Object, container: str) -> bool:
    return (jobs_seen.ended(pod, container) or {}).get("exitCode") in (0, *jobs_seen.FINAL_CODES)


def has_no_joules(words: TerminationMessage | None) -> bool:
    """Whether the meter summed up a run, and found no joules."""
    return words is not None and words.summary is not None and words.summary.joules_total is None


def read(message: str | None) -> TerminationMessage | None:
    """A termination message; None for any other text. Fields that do not fit are left out, not cut."""
    try:
        data = json.loads(message or "")
    except ValueError:
        return None
    if not isinstance(data, dict) or "state" not in data:
        return None
    parts: dict[str, type[BaseModel]] = {"summary": RunSummary, "results": StoredFile, "task": ResolvedTask}
    fitting = {name: fitting_part(model, data.get(name)) for name, model in parts.items()}
    return fitting_part(TerminationMessage, {**data, **fitting})


def fitting_part(model: type[_Model], data: Any) -> _Model | None:
    """The object without the fields that do not fit; None where what is left is not enough."""
    if not isinstance(data, Mapping):
        return None
    wrong: set[Any] = set()
    try:
        return model.model_validate(data)
    except ValidationError as error:
        wrong = {one["loc"][0] for one in error.errors(include_url=False) if one["loc"]}
    try:
        return model.model_validate({name: value for name, value in data.items() if not {name, camel(name)} & wrong})
    except ValidationError:
        return None
