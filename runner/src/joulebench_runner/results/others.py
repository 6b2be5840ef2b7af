"""`energy.parquet`, `server_metrics.parquet` and `actions.parquet`: what was journalled, for everybody to read."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from joulebench_runner.attribution.ticks import TickFlag
from joulebench_runner.journal.schema import Kind
from joulebench_runner.results.arrow import ArrowColumn, pc
from joulebench_runner.results.schema import ACTIONS, ENERGY, SERVER_METRICS
from joulebench_runner.results.series import Series
from joulebench_runner.results.stages import Span, stage_column
from joulebench_runner.results.tables import Journal, ints, nullable_floats, nullable_ints, row_column
from joulebench_runner.results.wallclock import WallClock


def energy_table(series: Sequence[Series], spans: Sequence[Span], clock: WallClock) -> pa.Table:
    """All ticks of all devices."""
    return pa.concat_tables([ENERGY.empty_table(), *(_ticks(one, spans, clock) for one in series)])


def _ticks(series: Series, spans: Sequence[Span], clock: WallClock) -> pa.Table:
    facts, ticks, count = series.facts, series.ticks, len(series.ticks)
    known = (np.append(TickFlag.RESET, ticks.flags[1:]) & TickFlag.RESET == 0)[:count]
    delta, watts = np.append(0, ticks.deltas_mj)[:count], np.append(0.0, ticks.watts)[:count]
    instance = next((span.instance_id for span in spans if span.boot_id == series.meter_boot_id), "")
    named = {
        "device": facts.device,
        "name": facts.name,
        "domain": facts.domain,
        "scope": facts.scope,
        "sensor": facts.sensor,
        "kind": facts.sensor_kind,
    }
    columns: dict[str, ArrowColumn] = {
        **{name: pa.repeat(pa.scalar(value, pa.string()), count) for name, value in named.items()},
        "exporter": pa.array([series.exporters[place] for place in series.exporter_of.tolist()], pa.string()),
        "sequence": pa.array(series.sequence),
        "time_ns": pa.array(ticks.time_ns),
        "time": clock.timestamps(pa.chunked_array([pa.repeat(instance, count)]), ticks.time_ns),
        "bracket_ns": pa.array(ticks.bracket_ns),
        "energy_mj": pa.array(series.raw_mj),
        "energy_joules": pa.array(series.raw_mj / 1000.0),
        "delta_mj": nullable_ints(delta, known),
        "mean_watts": nullable_floats(np.where(known, watts, np.nan)),
        "flags": pa.array(ticks.flags),
        "stage": stage_column(list(spans), series.meter_boot_id, ticks.time_ns),
    }
    return pa.table([columns[name] for name in ENERGY.names], schema=ENERGY)


def server_metrics_table(journal: Journal, clock: WallClock) -> pa.Table:
    """Each sample of each scrape."""
    scrapes = journal.tables[Kind.SCRAPE]
    parents = pc.list_parent_indices(scrapes["names"])
    rows = scrapes.select(["alias", "server_url"]).take(parents)
    instances = row_column(scrapes, "instance_id").take(parents)
    times = ints(scrapes, "receive_ns")[parents.to_numpy()]
    columns = {
        "time": clock.timestamps(instances, times),
        "time_ns": pa.array(times),
        "alias": rows["alias"],
        "server_url": rows["server_url"],
        "name": pc.list_flatten(scrapes["names"]),
        "labels": pc.list_flatten(scrapes["labels"]),
        "value": pc.list_flatten(scrapes["values"]),
    }
    return pa.table([columns[name] for name in SERVER_METRICS.names], schema=SERVER_METRICS)


def actions_table(journal: Journal, clock: WallClock) -> pa.Table:
    """Each action."""
    rows = journal.tables[Kind.ACTION]
    start = ints(rows, "start_ns")
    made = {
        "started_at": clock.timestamps(row_column(rows, "instance_id"), start),
        "seconds": pa.array((ints(rows, "end_ns") - start) / 1e9),
    }
    columns = [made.get(field.name, rows[field.name] if field.name in rows.column_names else None) for field in ACTIONS]
    return pa.table([pc.cast(c, field.type) for c, field in zip(columns, ACTIONS, strict=True)], schema=ACTIONS)
