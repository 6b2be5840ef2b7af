"""The journals of several shards as one: whatever is made of them is what one meter's journal would give."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from joulebench_runner.journal.schema import FIELDS, Kind
from joulebench_runner.results.build import Results, build
from joulebench_runner.results.load_seen import most_at_once
from joulebench_runner.results.tables import Journal
from joulebench_runner.results.united import united

Run = Any  # the builder of conftest.py
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Question:
    """A question and its one call, in seconds; `shard` asks it."""

    start: float
    seconds: float
    shard: int
    chunks: int
    tells_tokens: bool


_QUESTIONS = st.lists(
    st.builds(
        Question,
        start=st.integers(0, 1000).map(lambda place: 0.5 + place / 100),
        seconds=st.integers(1, 400).map(lambda length: length / 100),
        shard=st.integers(0, 2),
        chunks=st.integers(0, 3),
        tells_tokens=st.booleans(),
    ),
    max_size=12,
)


def _asked(run: Run, questions: Sequence[tuple[int, Question]]) -> Run:
    run.plan().device().stage("baseline", 0.2, 0.4).stage("run", 0.5, 11).stage("export", 11, None)
    for number, one in questions:
        # Each row has a time of its own, so that there is one order.
        at, end = one.start, one.start + one.seconds + number / 1e6
        stamps = tuple(at + (place + 1) * one.seconds / 4 for place in range(one.chunks))
        usage = {"output_tokens": 5 + number} if one.tells_tokens else {"output_tokens": None, "prompt_tokens": None}
        name = f"q{number}"
        run.begin(name, at + number / 1e6).call(name, at, end, chunks=stamps, call_id=f"c{number}", **usage)
        run.finish(name, end + 1e-7 * number)
    for kind, rows in run.rows.items():
        # One meter writes what it sees in the order of time.
        rows.sort(key=lambda row: row["row_time_ns" if "time_ns" in FIELDS[kind] else "time_ns"])
    return run


def _scraped(run: Run, questions: Sequence[tuple[int, Question]], *, foreign: int, everybody: Run) -> Run:
    """Twice a second: the server tells of everybody, the meter counts its own."""
    for place in range(24):
        at = place / 2
        running = _in_flight(everybody, at) + foreign
        run.scrape(at, running, _in_flight(questions, at))
    return run


def _in_flight(questions: Sequence[tuple[int, Question]], at: float) -> int:
    return sum(one.start <= at <= one.start + one.seconds + number / 1e6 + 1e-7 for number, one in questions)


def _built(journal: Journal, settings: Callable[..., Any]) -> Results:
    model = settings().upstreams[:1]
    return build(journal, settings(upstreams=model), outcome="completed")


def _figures(results: Results) -> Any:
    """Everything of the results but who wrote the journal."""
    provenance = {name: value for name, value in results.provenance.items() if name != "journal"}
    return results.summary, provenance, {name: table.to_pylist() for name, table in results.tables.items()}


@with_settings(max_examples=40)
@given(questions=_QUESTIONS, foreign=st.integers(0, 1), cuts=st.lists(st.integers(1, 119), max_size=3, unique=True))
def test_splitting_a_journal_over_shards_changes_nothing(
    settings: Callable[..., Any], make: Callable[..., Run], questions: list[Question], foreign: int, cuts: list[int]
) -> None:
    numbered = list(enumerate(questions))
    whole = _scraped(_asked(make().ticks(), numbered), numbered, foreign=foreign, everybody=numbered)
    shards = []
    for shard in range(3):
        own = [(number, one) for number, one in numbered if one.shard == shard]
        part = _asked(make(instance=f"meter-{shard}"), own)
        _scraped(part, own, foreign=foreign, everybody=numbered)
        # Each shard is told of the same ticks in batches of its own, of which it may have missed some.
        for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), 120], strict=True):
            if shard != 1 or start == 0:
                part.ticks(start=start / 10, end=end / 10, first_sequence=start + 1, first_mj=start * 10_000)
        shards.append(part.journal())

    one, together = _built(whole.journal(), settings), _built(united(shards), settings)

    assert _figures(together) == _figures(one)
    assert together.summary.energy.conserved is True
    assert len({row["query_id"] for row in together.tables["queries.parquet"].to_pylist()}) == len(questions)


def test_shards_do_not_see_each_other_as_foreign(settings: Callable[..., Any], make: Callable[..., Run]) -> None:
    shards = []
    for shard in range(2):
        part = make(instance=f"meter-{shard}").plan().device().ticks().stage("run", 1, 11)
        part.begin(f"q{shard}").call(f"q{shard}", 2, 8, call_id=f"c{shard}").finish(f"q{shard}")
        for second in range(12):
            part.scrape(second + shard / 10, 2 if 2 <= second < 8 else 0, 1 if 2 <= second < 8 else 0)
        shards.append(part.journal())

    energy = _built(united(shards), settings).summary.energy

    assert (energy.foreign_joules, energy.queries_joules, energy.idle_joules) == (0.0, 600.0, 400.0)
    assert _built(shards[0], settings).summary.energy.foreign_joules == pytest.approx(250.0)


def test_the_run_is_measured_while_any_shard_asks(settings: Callable[..., Any], make: Callable[..., Run]) -> None:
    early = make(instance="a").device().ticks().stage("warmup", 0.5, 1).stage("run", 1, 4)
    late = make(instance="b").device().ticks().stage("baseline", 0.5, 2).stage("warmup", 2, 3).stage("run", 3, 9)

    summary = _built(united([early.journal(), late.journal()]), settings).summary

    assert [(stage.name.value, stage.seconds) for stage in summary.stages[:-1]] == [("warmup", 0.5), ("run", 8.0)]
    assert summary.energy.total_joules == 800.0
    assert summary.stages[-1].name.value == "export"


def test_a_call_that_was_cut_off_ends_with_its_own_meter(
    settings: Callable[..., Any], make: Callable[..., Run]
) -> None:
    died = make(instance="a").plan().device().ticks(end=5).stage("run", 1, None).begin("q1", 2).call_begin("q1", 2)
    died.add(Kind.NOTE, 5, topic="t", subject="s", message="m")
    other = make(instance="b").device().ticks().stage("run", 1, 11).begin("q2", 6).call("q2", 6, 10).finish("q2")

    energy = _built(united([died.journal(), other.journal()]), settings).summary.energy

    assert energy.unattributed == {"abandoned": 300.0}
    assert (energy.queries_joules, energy.idle_joules, energy.conserved) == (400.0, 300.0, True)


def test_meters_of_two_machines_are_put_into_one_clock_by_the_exporter_that_both_pinged(
    settings: Callable[..., Any], make: Callable[..., Run]
) -> None:
    """The second machine's clock is 1,000 s ahead; pings take 2 ms there and back."""
    here = make(instance="a").plan().device().ticks().stage("run", 1, 11)
    here.begin("q1", 1).call("q1", 2, 6, chunks=(3, 5)).finish("q1", 6)
    there = make(instance="b", boot="boot-2").device().ticks(end=12).stage("run", 1001, 1011)
    there.begin("q2", 1004).call("q2", 1004, 1008, chunks=(1005, 1007), call_id="c2").finish("q2", 1008)
    for part, ahead in ((here, 0), (there, 1000)):
        ns = ahead * SECOND
        for second in (1, 11):
            at = second * SECOND
            stamps = {"t0_ns": at + ns, "t1_ns": at + 10**6, "t2_ns": at + 10**6, "t3_ns": at + 2 * 10**6 + ns}
            part.add(Kind.PING, second + ahead, exporter="exporter-1", boot_id="boot-1", **stamps)

    results = build(united([here.journal(), there.journal()]), settings(method="Equal"), outcome="completed")

    energy = results.summary.energy
    assert (energy.total_joules, energy.queries_joules, energy.conserved) == (1000.0, 600.0, True)
    assert energy.clock_error_seconds == pytest.approx(0.001 + 10 * 100e-6, rel=0.05)
    rows = {row["query_id"]: row for row in results.tables["queries.parquet"].to_pylist()}
    assert rows["q1"]["energy_mj"] == rows["q2"]["energy_mj"] == 300_000
    assert (rows["q2"]["started_at"] - rows["q1"]["started_at"]).total_seconds() == pytest.approx(3)
    assert rows["q2"]["ttft_seconds"] == 1.0
    assert results.provenance["journal"]["boots"] == ["boot-1", "boot-2"]  # type: ignore[index, call-overload]  # JSON
    assert not results.summary.warnings


def test_machines_that_no_exporter_relates_are_said_so(settings: Callable[..., Any], make: Callable[..., Run]) -> None:
    here = make(instance="a").plan().device().ticks().stage("run", 1, 11)
    there = make(instance="b", boot="boot-2").stage("run", 1, 11)

    warnings = _built(united([here.journal(), there.journal()]), settings).summary.warnings

    assert any("related by the time of day" in warning for warning in warnings)


def test_looks_and_notes_that_several_meters_were_told_count_once(
    settings: Callable[..., Any], make: Callable[..., Run]
) -> None:
    shards = []
    for shard in range(2):
        part = make(instance=f"meter-{shard}").plan().device(domain="GPU").ticks().stage("run", 1, 11)
        for second in range(10 if shard else 12):
            part.look(second, "cpu-0", told_at=second + 1.5 * shard, power_watts=100.0)
        part.add(Kind.NOTE, 3, topic="server", subject="model", message="was away")
        shards.append(part.journal())

    summary = build(united(shards), settings(domains=["GPU"]), outcome="completed").summary

    (board,) = summary.gpus
    assert (board.looks, board.suspect_readings) == (11, {})
    assert summary.warnings == ["server (model): was away"]


@given(
    stretches=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 10)), max_size=8),
    windows=st.lists(st.tuples(st.integers(-2, 22), st.integers(0, 10)), min_size=1, max_size=4),
)
def test_the_most_at_once_is_the_most_at_any_moment(
    stretches: list[tuple[int, int]], windows: list[tuple[int, int]]
) -> None:
    starts = np.array([start for start, _ in stretches], dtype=np.int64)
    ends = np.array([start + length for start, length in stretches], dtype=np.int64)
    since = np.array([start for start, _ in windows], dtype=np.int64)
    until = np.array([start + length for start, length in windows], dtype=np.int64)

    found = most_at_once(starts, ends, since_ns=since, until_ns=until)

    for most, first, last in zip(found.tolist(), since.tolist(), until.tolist(), strict=True):
        assert most == max(int(((starts <= at) & (ends >= at)).sum()) for at in range(first, last + 1))
