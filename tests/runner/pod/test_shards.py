"""A run whose questions several pods share: each asks its own part, and the results are made of all journals."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.runner.pod.assignments import AT, assignment, node, run, start, write

from joulebench_api.contracts.assignment import SHARD_VARIABLE, Assignment
from joulebench_api.contracts.energy import Method
from joulebench_api.contracts.meter import PlanReply, ResolvedTask
from joulebench_api.contracts.summary import Summary
from joulebench_api.contracts.termination import TerminationMessage
from joulebench_runner.config import Shard, StoreSettings
from joulebench_runner.driver.queries import own_part
from joulebench_runner.errors import BadInputError, ExitCode
from joulebench_runner.journal.names import segments_folder
from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import Kind
from joulebench_runner.pod.finalising import run_finalise
from joulebench_runner.pod.places import Places
from joulebench_runner.pod.preflight.shards import check_shards
from joulebench_runner.pod.settings import driver_settings
from joulebench_runner.pod.shards import part_of, shard_of
from joulebench_runner.results.changes import by_method
from joulebench_runner.results.folder import open_run
from joulebench_runner.results.redo import redo

STORE = {"store": {"claimTemplate": {"size": "1Gi", "accessModes": ["ReadWriteMany"]}}}
SHARED: dict[str, Any] = {
    "shards": 2,
    "concurrency": 4,
    "epochs": 2,
    "warmup": {"queries": 1},
    "task": {"name": "everyday", "limit": 9},
    "results": STORE,
}
MEASURED = {"policy": "Required", "idleBaseline": "1s", "minCoveragePercent": 50}


def pod(place: Any, name: str, assigned: Assignment, topology: Mapping[str, Any]) -> Places:
    """A pod of its own on the claim of all."""
    claim, root = place.sockets / "claim", place.sockets / name
    for folder in (claim, root):
        folder.mkdir(exist_ok=True)
    (root / "results").symlink_to(claim)
    places = write(assigned, root)
    places.topology.parent.mkdir(parents=True)
    places.topology.write_text(json.dumps({"generation": 1, **topology}))
    return places


def told(places: Places) -> TerminationMessage:
    return TerminationMessage.model_validate_json(places.termination.read_bytes())


def finished(folder: Path, shard: int) -> list[str]:
    rows = read(segments_folder(folder, shard)).table(Kind.QUERY_FINISH).to_pylist()
    return [row["query_id"] for row in rows]


async def test_two_shards_ask_every_question_once_and_all_joules_are_found(place: Any) -> None:
    topology = await node(place)
    assigned = assignment(spec={**SHARED, "energy": MEASURED})
    pods = [pod(place, f"shard-{index}", assigned, topology) for index in range(2)]
    processes = [
        await start(place, part, places, **{SHARD_VARIABLE: str(index)})
        for index, places in enumerate(pods)
        for part in ("meter", "driver")
    ]
    codes = [await process.exit_code() for process in processes]
    assert set(codes) == {ExitCode.DONE}, "\n".join(process.words() for process in processes)

    folder = pods[0].results / assigned.folder
    assert not (folder / "summary.json").exists()
    asked = [finished(folder, shard) for shard in range(2)]
    assert [len(one) for one in asked] == [10, 8]
    counts = [message.summary.counts for message in map(told, pods) if message.summary is not None]
    assert [one.asked for one in counts if one is not None] == [10, 8]

    last = pod(place, "finalise", assigned, topology)
    finalise = await start(place, "finalise", last)
    assert await finalise.exit_code() == ExitCode.DONE, finalise.words()
    summary = Summary.model_validate_json((folder / "summary.json").read_bytes())
    assert (summary.state, summary.counts.asked, summary.counts.errors) == ("completed", 18, 0)
    energy = summary.energy
    assert energy.conserved
    assert energy.foreign_joules == 0, energy.foreign_reason
    assert (energy.queries_joules or 0) > 0
    rows = pq.read_table(folder / "queries.parquet").to_pylist()
    assert Counter((row["record_id"], row["epoch"]) for row in rows).most_common(1)[0][1] == 1
    assert {row["query_id"] for row in rows} == set(asked[0]) | set(asked[1])
    message = told(last)
    assert (message.state, message.sensor, message.results is not None) == ("completed", "simulated", True)
    _check_like_one_pod_s(folder)


def _check_like_one_pod_s(folder: Path) -> None:
    """What reads a run's folder reads this one."""
    found = open_run(folder)
    assert (found.meter_settings.shard, found.driver_settings.concurrency) == (None, 4)
    again = redo(found, by_method(Method.EQUAL)).summary
    assert again.energy.conserved
    assert again.energy.total_joules == found.summary.energy.total_joules
    assert found.provenance["journal"]["segments"] >= 2  # type: ignore[index, call-overload, operator]  # JSON


async def test_shards_that_left_nothing_have_no_results(place: Any) -> None:
    places = write(assignment(spec=SHARED), place.sockets / "root")
    finalise = await start(place, "finalise", places)
    assert await finalise.exit_code() == ExitCode.FAILED
    assert (told(places).state, told(places).message) == ("failed", "no shard has left a journal")


async def test_shards_without_a_folder_in_common_meet_in_their_store(place: Any, tmp_path: Path) -> None:
    await place.ground.simulator(host=AT, port=place.port)
    store = StoreSettings(url=f"file://{tmp_path}/store")

    async def shard(index: int, results: str) -> tuple[Any, Any, PlanReply]:
        pod = place.new_pod(results=results)
        own = Shard(index=index, count=2)
        await pod.start_meter(pod.meter_settings([place.upstream(AT)], shard=own, store=store))
        asker = await place.asker(pod)
        return pod, asker, await asker.begin(4)

    for index in range(2):
        _, asker, _ = await shard(index, f"shard-{index}")
        for number in range(4):
            if number % 2 == index:
                await asker.ask()
            else:
                asker.skip()
        assert await asker.done() == ExitCode.DONE
    again, asker, reply = await shard(0, "again")
    assert reply.finished == [f"{number:016x}" for number in (0, 2)]
    assert not segments_folder(again.results, 1).exists()
    assert await asker.done() == ExitCode.DONE

    last = place.new_pod(results="last")
    settings = last.meter_settings([place.upstream(AT)], store=store)
    assert run_finalise(settings, last.driver_settings(4), shards=2, environ={}) == ExitCode.DONE
    stored = Summary.model_validate_json((tmp_path / "store" / "summary.json").read_bytes())
    assert (stored.state, stored.counts.asked, stored.counts.correct) == ("completed", 4, 4)
    assert last.termination.results is not None
    assert run_finalise(settings, last.driver_settings(4), shards=3, environ={}) == ExitCode.FAILED
    assert last.termination.message == "shard 2 never began"


# --- a shard's own part ---


@given(total=st.integers(0, 500), count=st.integers(1, 64))
def test_the_parts_of_all_shards_are_the_whole(total: int, count: int) -> None:
    parts = [part_of(total, Shard(index=index, count=count)) for index in range(count)]
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1


@given(records=st.integers(0, 200), count=st.integers(1, 64))
def test_every_record_is_one_shard_s(records: int, count: int) -> None:
    ids = [f"r{number}" for number in range(records)]
    parts = [own_part(ids, Shard(index=index, count=count)) for index in range(count)]
    assert sorted(one for part in parts for one in part) == sorted(ids)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_what_is_for_the_whole_run_is_split_and_parts_of_the_questions_are_not(place: Any) -> None:
    def settings(index: int, **spec: Any) -> Any:
        assigned = assignment(spec={"shards": 3, "concurrency": 8, **spec})
        return driver_settings(assigned, Places(place.sockets), shard=Shard(index=index, count=3))

    assert [settings(index).concurrency for index in range(3)] == [3, 3, 2]
    assert [settings(index, maxErrors=4).max_errors for index in range(3)] == [2, 1, 1]
    assert {settings(index, maxErrors="10%").max_errors for index in range(3)} == {0.1}
    assert settings(1).max_errors is None


def test_a_pod_knows_its_shard_by_the_index_that_the_job_gives_it() -> None:
    shared = assignment(spec=SHARED)
    assert shard_of(assignment(), environ={}) is None
    assert shard_of(shared, environ={SHARD_VARIABLE: "1"}) == Shard(index=1, count=2)
    for wrong in ({}, {SHARD_VARIABLE: "2"}, {SHARD_VARIABLE: "one"}):
        with pytest.raises(BadInputError, match=SHARD_VARIABLE):
            shard_of(shared, environ=wrong)


# --- preflight ---


def _problems(*, records: int | None = 9, **spec: Any) -> list[tuple[str, str]]:
    task = None if records is None else ResolvedTask(name="t", revision="r", records=records, sha256="0")
    found = check_shards(run(**(SHARED | spec)).spec, task)
    return [(problem.field, f"{problem.value}: {problem.message}; {problem.remedy}") for problem in found]


def test_shards_without_a_question_or_a_place_are_refused_with_the_way_out() -> None:
    assert _problems() == []
    assert _problems(shards=1, concurrency=1) == []
    assert _problems(records=None) == []
    [(field, words)] = _problems(concurrency=1)
    assert (field, words.partition(";")[0]) == (
        "spec.shards",
        "2: more than spec.concurrency (1), which is for all shards together",
    )
    assert words.endswith("set concurrency to 2 or more, or use fewer shards")
    assert _problems(records=1) == [
        ("spec.shards", "2: more than the 1 records that are asked; use 1 shards at most, or ask more")
    ]


def test_shards_need_a_store_that_all_of_them_reach() -> None:
    def store(**claim: Any) -> Any:
        return {"store": {"claimTemplate": {"size": "1Gi", **claim}}}

    [(field, words)] = _problems(results=store())
    assert field == "spec.results.store.claimTemplate.accessModes"
    assert words.startswith("ReadWriteOnce: ")
    assert "use accessModes: [ReadWriteMany]" in words
    assert _problems(results=store(accessModes=["ReadWriteMany"])) == []
    assert _problems(results={"store": {"objectStore": {"url": "s3://bench/runs"}}}) == []
