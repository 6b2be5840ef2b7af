"""How a run stands, as text. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from joulebench_api.conditions import ADVICE, ConditionType, Reason
from joulebench_operator.objects import Object

_FIGURES: Final = {
    "accuracy": "accuracy",
    "joulesPerCorrect": "joules per correct answer",
    "joulesPerQuery": "joules per question",
    "joulesPerOutputToken": "joules per output token",
    "joulesTotal": "joules in all",
    "judgeJoules": "joules of the judge",
    "costPerCorrect": "cost per correct answer",
    "outputTokensPerSecond": "output tokens per second",
    "ttftP50Seconds": "TTFT, median (s)",
    "ttftP99Seconds": "TTFT, p99 (s)",
    "tpotP50Seconds": "TPOT, median (s)",
    "maxRate": "highest good rate (1/s)",
}
"""Fields of `status.summary` that are shown, in this order."""


def lines(run: Object) -> Iterator[str]:
    """Everything that the status tells."""
    status = run.get("status") or {}
    yield from _head(run, status)
    for title, rows in (
        ("conditions", _conditions(status)),
        ("stages", _stages(status)),
        ("summary", _summary(status.get("summary") or {})),
        ("results", _results(status)),
    ):
        if rows:
            yield f"\n{title}"
            yield from (f"  {line}" for line in aligned(rows))


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _head(run: Object, status: Object) -> Iterator[str]:
    metadata, ready = run["metadata"], condition(run, ConditionType.READY)
    yield f"{metadata['namespace']}/{metadata['name']}: {ready.get('reason', 'not seen by an operator yet')}"
    if ready.get("message"):
        yield f"  {ready['message']}"
    if ready.get("status") != "True" and (advice := _advice(ready.get("reason"))):
        yield f"  what to do: {advice}"
    if progress := status.get("progress"):
        yield _progress(progress)


def condition(run: Object, kind: ConditionType) -> Mapping[str, str]:
    """A condition; empty where the run has none of that type."""
    found = (run.get("status") or {}).get("conditions") or ()
    return next((one for one in found if one["type"] == kind), {})


def _advice(reason: str | None) -> str | None:
    """What to do about a reason, where something is to be done; a newer operator may know other reasons."""
    return ADVICE[Reason(reason)].remedy if reason in set(Reason) else None


def _progress(progress: Object) -> str:
    parts = [progress.get("display") or f"{progress.get('completed', 0)} answered"]
    if "percent" in progress:
        parts.append(f"{progress['percent']} %")
    if progress.get("failed"):
        parts.append(f"{progress['failed']} failed")
    if progress.get("etaSeconds"):
        parts.append(f"about {_duration(progress['etaSeconds'])} left")
    return f"  questions: {', '.join(parts)}"


def _conditions(status: Object) -> list[tuple[str, ...]]:
    return [
        (one["type"], one["status"], one["reason"], one["lastTransitionTime"], one.get("message", ""))
        for one in status.get("conditions") or ()
    ]


def _stages(status: Object) -> list[tuple[str, ...]]:
    return [(stage["name"], stage.get("startTime", ""), _length(stage)) for stage in status.get("stages") or ()]


def _length(stage: Object) -> str:
    if "startTime" not in stage or "endTime" not in stage:
        return "still on" if "startTime" in stage else ""
    began, ended = (datetime.fromisoformat(stage[name]) for name in ("startTime", "endTime"))
    return _duration(int((ended - began).total_seconds()))


def _duration(seconds: int) -> str:
    """`1h02m`, `3m05s`, `12s`."""
    minutes, rest = divmod(seconds, 60)
    if minutes >= 60:
        return f"{minutes // 60}h{minutes % 60:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def _summary(summary: Object) -> list[tuple[str, ...]]:
    rows = [(words, _figure(summary, name)) for name, words in _FIGURES.items() if name in summary]
    counts = summary.get("counts") or {}
    if counts:
        rows.insert(0, ("questions", ", ".join(f"{number} {name}" for name, number in counts.items() if number)))
    if "energyKind" in summary:
        rows.append(("the joules are", f"{summary['energyKind'].lower()}{_conserved(summary)}"))
    return list(rows)


def _figure(summary: Object, name: str) -> str:
    if name == "accuracy" and {"accuracyLow", "accuracyHigh"} <= summary.keys():
        return f"{summary[name]}  (95 % interval {summary['accuracyLow']} to {summary['accuracyHigh']})"
    return str(summary[name])


def _conserved(summary: Object) -> str:
    if "conserved" not in summary:
        return ""
    return ", and add up to the counters'" if summary["conserved"] else ", and do not add up to the counters'"


def _results(status: Object) -> list[tuple[str, ...]]:
    found = status.get("results") or {}
    if found:
        return [(found.get("url", ""), f"sha256 of summary.json {found['sha256']}" if "sha256" in found else "")]
    return [(entry["resultsURL"], "so far") for entry in (status.get("attempts") or ())[-1:] if "resultsURL" in entry]
