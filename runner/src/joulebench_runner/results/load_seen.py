"""What several meters that share a server saw of its load. To each of them the others' calls are foreign, which they
are not to the run: a scrape is compared with the calls of all of them.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from joulebench_runner.attribution.arrays import Ints, as_ints
from joulebench_runner.journal.schema import Kind
from joulebench_runner.results.tables import Journal, codes, equals, index_of, ints, row_column, row_ints, taken

SILENT_NS: Final = 3_000_000_000
"""A meter that tells nothing of a server for this long is followed by another: scrapes are a second apart."""


def scrapes_of_all(journal: Journal, *, gone_ns: Mapping[str, int], margin_ns: int) -> pa.Table:
    """The scrapes of one meter at a time for each server, with the calls that all meters had in flight.

    `gone_ns`: when the call of each id ended whose end was never journalled. `margin_ns`: what may be wrong about the
    times of one meter in another's clock.
    """
    table = _told_once(journal.tables[Kind.SCRAPE])
    own = ints(table, "own_in_flight").copy()
    for url in codes(table["server_url"]).names:
        rows = np.flatnonzero(equals(table, "server_url", url))
        starts, ends = _in_flight(journal, url, gone_ns)
        since, until = ints(table, "send_ns")[rows] - margin_ns, ints(table, "receive_ns")[rows] + margin_ns
        own[rows] = np.maximum(own[rows], most_at_once(starts, ends, since_ns=since, until_ns=until))
    place = table.column_names.index("own_in_flight")
    return table.set_column(place, "own_in_flight", pa.array(own, table.schema.field(place).type))


def most_at_once(starts_ns: Ints, ends_ns: Ints, *, since_ns: Ints, until_ns: Ints) -> Ints:
    """int64[N]: the most of the stretches [start, end] that were open together at any moment of each [since, until]."""
    starts, ends = np.sort(starts_ns), np.sort(ends_ns)
    # It grows at starts alone, so the most is found at one of them, or was there at the beginning.
    at_starts = np.searchsorted(starts, starts, "right") - np.searchsorted(ends, starts, "left")
    found = np.searchsorted(starts, since_ns, "right") - np.searchsorted(ends, since_ns, "left")
    first, after = np.searchsorted(starts, since_ns, "right"), np.searchsorted(starts, until_ns, "right")
    some = np.flatnonzero(after > first)
    if len(some):
        pairs = np.stack([first[some], after[some]], axis=1).ravel()
        found[some] = np.maximum(found[some], np.maximum.reduceat(np.append(at_starts, 0), pairs)[::2])
    return as_ints(found)


def _in_flight(journal: Journal, url: str, gone_ns: Mapping[str, int]) -> tuple[Ints, Ints]:
    """When each call to a server was in flight by its meter's count: until it was journalled."""
    calls, begins = journal.tables[Kind.CALL], journal.tables[Kind.CALL_BEGIN]
    here = np.flatnonzero(equals(calls, "server_url", url))
    # Of calls whose end was never journalled it is not known which of its servers they went to.
    cut = np.flatnonzero(index_of(begins["call_id"], calls["call_id"]) < 0)
    ids: list[Any] = taken(begins, as_ints(cut))["call_id"].to_pylist()
    cut_ends = [gone_ns[call_id] for call_id in ids]
    return (
        np.concatenate([ints(calls, "send_ns")[here], ints(begins, "send_ns")[cut]]),
        np.concatenate([row_ints(calls, "time_ns")[here], np.array(cut_ends, dtype=np.int64)]),
    )


def _told_once(table: pa.Table) -> pa.Table:
    """One meter's scrapes of each server at a time, by time: two at once would take a short excess for a long one."""
    middle = (ints(table, "send_ns") + ints(table, "receive_ns")) // 2
    order = np.argsort(middle, kind="stable")
    urls, meters = codes(table["server_url"]).codes.tolist(), codes(row_column(table, "instance_id")).codes.tolist()
    teller: dict[int, tuple[int, int]] = {}
    kept: list[int] = []
    for row, time_ns in zip(order.tolist(), middle[order].tolist(), strict=True):
        meter, told_ns = teller.get(urls[row], (meters[row], time_ns))
        if meter == meters[row] or time_ns - told_ns > SILENT_NS:
            teller[urls[row]] = meters[row], time_ns
            kept.append(row)
    return taken(table, as_ints(kept))
