"""How the shards of a run ended, by their journals, and what that says of the run."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest

from joulebench_api.contracts.meter import ResolvedTask
from joulebench_runner.errors import BadInputError
from joulebench_runner.journal.schema import Kind
from joulebench_runner.pod.endings import Ending, ending_of, refuse_different_questions, together
from joulebench_runner.results.tables import Journal


@dataclass(frozen=True)
class _Pair:
    instance_id: str
    boot_id: str = "boot"
    monotonic_ns: int = 0
    realtime_ns: int = 0


def journal(*said: tuple[str, str, str | None], meters: tuple[str, ...] = ("first",), **task: Any) -> Journal:
    """Meters one after the other, and what the driver of each said: (meter, outcome, message)."""
    names = ("instance_id", "topic", "subject", "message")
    rows = [(meter, "driver", outcome, message) for meter, outcome, message in said]
    notes = [dict(zip(names, row, strict=True)) for row in (*rows, ("first", "server", "completed", "no driver's"))]
    known = ResolvedTask(**({"name": "t", "revision": "r1", "records": 3, "sha256": "0"} | task))
    plans = pa.table({"json": ['{"task": ' + known.model_dump_json() + "}"]})
    tables = {Kind.NOTE: pa.Table.from_pylist(notes), Kind.PLAN: plans}
    return Journal(tables, [_Pair(meter) for meter in meters])


def test_a_shard_ended_as_its_last_driver_said() -> None:
    assert ending_of(0, journal(("first", "completed", None))) == Ending("completed")
    failed = journal(
        ("first", "failed", "no room"), ("second", "completed", "all was answered before"), meters=("first", "second")
    )
    assert ending_of(0, failed) == Ending("completed")
    assert ending_of(3, journal(("first", "failed", "no room"))) == Ending("failed", "shard 3: no room")


def test_a_shard_whose_last_pod_was_not_heard_of_at_its_end_was_interrupted() -> None:
    before = journal(("first", "completed", None), meters=("first", "second"))
    assert ending_of(1, before) == Ending("interrupted", "shard 1 did not come to its end")
    assert ending_of(1, None) == Ending("interrupted", "shard 1 never began")


def test_the_run_ended_as_the_worst_of_its_shards() -> None:
    completed, limit = Ending("completed"), Ending("error-limit", "shard 1: too many")
    interrupted, failed = Ending("interrupted", "shard 2 never began"), Ending("failed", "shard 3: no room")
    assert together([completed, completed]) == completed
    assert together([completed, interrupted]) == interrupted
    assert together([interrupted, limit, completed]) == limit
    assert together([limit, failed]) == failed


def test_shards_that_were_given_different_questions_are_refused() -> None:
    refuse_different_questions([journal(), journal()])
    with pytest.raises(BadInputError, match="revision was r1 and r2"):
        refuse_different_questions([journal(), journal(revision="r2")])
