"""Whether a run's texts may be shown to others."""

from collections.abc import Mapping

from pydantic import JsonValue

from joulebench_api.contracts.meter import ResolvedTask
from joulebench_api.v1alpha1.results import Redact
from joulebench_runner.results.folder import RunFolder

CANARY_MARK = "canary guid"
"""Stands, in whatever case, in the canary strings of BIG-bench and of the sets that follow it."""


def reason_to_withhold(run: RunFolder) -> str | None:
    """Why questions, answers and references are kept out of the report; None where they may be shown."""
    if _redact(run.provenance) == Redact.TEXTS:
        return "the run was made with spec.results.redact: Texts"
    return None if run.summary.task is None else _of_task(run.summary.task)


def _of_task(task: ResolvedTask) -> str | None:
    if task.gated:
        return f"{task.name} is a gated data set, whose texts are not to be published"
    if task.canary:
        return f"{task.name} carries a canary, by which its authors ask that its texts not be published"
    return None


def has_canary(text: str) -> bool:
    """Whether a text says of itself that it is not to be published."""
    return CANARY_MARK in text.lower()


def _redact(provenance: Mapping[str, JsonValue]) -> JsonValue:
    value: JsonValue = dict(provenance)
    for name in ("planned", "spec", "results", "redact"):
        value = value.get(name) if isinstance(value, dict) else None
    return value
