"""When the run was in which stage."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from joulebench_api.contracts.meter import Stage
from joulebench_runner.attribution.arrays import Ints
from joulebench_runner.journal.schema import Kind
from joulebench_runner.results.arrow import ArrowColumn
from joulebench_runner.results.tables import Journal, codes, row_column, row_ints


@dataclass(frozen=True)
class Span:
    """One stretch of one stage in the monotonic clock of one meter process."""

    stage: Stage
    boot_id: str
    instance_id: str
    start_ns: int
    end_ns: int
    closed: bool
    """Whether its end was journalled; else it is the next stage's start, or the last known time."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.end_ns - self.start_ns) / 1e9


def spans(journal: Journal) -> list[Span]:
    """All stages in order. A run that was resumed has some of them twice."""
    table = journal.tables[Kind.STAGE]
    rows: Iterable[tuple[Any, ...]] = zip(
        table["stage"].to_pylist(),
        table["event"].to_pylist(),
        row_column(table, "boot_id").to_pylist(),
        row_column(table, "instance_id").to_pylist(),
        row_ints(table, "time_ns").tolist(),
        strict=True,
    )
    found: list[Span] = []
    current: dict[str, Span] = {}
    for stage, event, boot, instance, time_ns in rows:
        running = current.get(instance)
        if event == "start" and (running is None or running.stage != stage):
            if running is not None:
                found.append(_ended(running, time_ns, closed=False))
            current[instance] = Span(Stage(stage), boot, instance, time_ns, time_ns, closed=False)
        elif event == "end" and running is not None and running.stage == stage:
            found.append(_ended(current.pop(instance), time_ns, closed=True))
    found += [_ended(span, journal.last_ns[instance], closed=False) for instance, span in current.items()]
    order = {instance: place for place, instance in enumerate(codes(row_column(table, "instance_id")).names)}
    return sorted(found, key=lambda span: (order[span.instance_id], span.start_ns))


def _ended(span: Span, end_ns: int, *, closed: bool) -> Span:
    return Span(span.stage, span.boot_id, span.instance_id, span.start_ns, max(end_ns, span.start_ns), closed)


def measured_windows(all_spans: list[Span]) -> list[Span]:
    """The spans that are measured: those of the stage `run` that have a length."""
    return [span for span in all_spans if span.stage is Stage.RUN and span.end_ns > span.start_ns]


def stage_column(all_spans: list[Span], boot_id: str, time_ns: Ints) -> ArrowColumn:
    """The stage at each time of one boot; null between stages."""
    names = np.full(len(time_ns), None, dtype=object)
    for span in all_spans:
        if span.boot_id == boot_id:
            names[(time_ns >= span.start_ns) & (time_ns < span.end_ns)] = span.stage.value
    return pa.array(names, pa.string())
