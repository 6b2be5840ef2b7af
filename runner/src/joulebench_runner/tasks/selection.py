"""Which records are asked, and in which order. Pure.

The order depends on the seed and the record ids alone, so limit N asks the first N of what limit N + 1 asks, however
the source ordered its rows.
"""

import difflib
import hashlib
from collections.abc import Sequence

from joulebench_runner.errors import BadInputError


def order_key(record_id: str, *, seed: int) -> bytes:
    """What the records are sorted by."""
    return hashlib.sha256(f"{seed}\x1f{record_id}".encode()).digest()


def select(
    record_ids: Sequence[str],
    *,
    seed: int,
    limit: int | None = None,
    wanted: Sequence[str] | None = None,
    ordered: bool = False,
) -> list[str]:
    """The record ids to ask, in order.

    `wanted` names records; `ordered` keeps the order given (for records that were drawn by the seed already).
    Raises BadInputError for unknown ids, and when nothing is left.
    """
    chosen = list(record_ids) if wanted is None else _named(record_ids, wanted)
    if not ordered:
        chosen.sort(key=lambda record_id: order_key(record_id, seed=seed))
    chosen = chosen[:limit]
    if not chosen:
        raise _nothing_left(len(record_ids), limit=limit, wanted=wanted)
    return chosen


def _named(record_ids: Sequence[str], wanted: Sequence[str]) -> list[str]:
    known = set(record_ids)
    for record_id in wanted:
        if record_id not in known:
            raise _unknown(record_id, record_ids)
    asked = set(wanted)
    return [record_id for record_id in record_ids if record_id in asked]


def _unknown(record_id: str, record_ids: Sequence[str]) -> BadInputError:
    near = difflib.get_close_matches(record_id, record_ids, n=1, cutoff=0.0)
    hint = f"The nearest is {near[0]!r}. " if near else ""
    return BadInputError(
        f"task.recordIds: {record_id!r} is no record of this task ({len(record_ids)} records)",
        remedy=f"{hint}Record ids stand in the column record_id of queries.parquet.",
    )


def _nothing_left(total: int, *, limit: int | None, wanted: Sequence[str] | None) -> BadInputError:
    filters = [
        f"{total} records in the source",
        None if wanted is None else f"task.recordIds names {len(wanted)}",
        None if limit is None else f"task.limit is {limit}",
    ]
    return BadInputError(
        f"no question is left to ask: {', '.join(part for part in filters if part)}",
        remedy="Loosen task.recordIds, task.limit, task.subset or task.split.",
    )


def order_hash(record_ids: Sequence[str]) -> str:
    """SHA-256 of the ordered record ids, for provenance."""
    return hashlib.sha256("\n".join(record_ids).encode()).hexdigest()
