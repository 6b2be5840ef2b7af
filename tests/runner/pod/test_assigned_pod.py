"""A runner's pod from its assignment alone: all its containers as real processes, one after the other."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tests.runner.pod.assignments import AT, SERVER, assignment, external, node, start, write
from tests.runner.tasks.hub import SHA, Hub, gsm8k, serving

from joulebench_api.contracts.meter import DriverDone
from joulebench_api.contracts.preflight import PreflightReport
from joulebench_api.contracts.summary import Summary
from joulebench_api.contracts.termination import TerminationMessage
from joulebench_runner.errors import ExitCode
from joulebench_runner.pod.places import Places
from joulebench_runner.pod.settings import driver_settings
from joulebench_runner.results.folder import open_run

FAST = {"warmup": {"queries": 1}, "concurrency": 4}


async def ended(place: Any, places: Places) -> tuple[int, int, str]:
    """Exit codes of driver and meter, and what they said."""
    meter, driver = await start(place, "meter", places), await start(place, "driver", places)
    return await driver.exit_code(), await meter.exit_code(), f"{driver.words()}\n{meter.words()}"


async def test_a_run_goes_from_its_assignment_to_its_results(place: Any) -> None:
    topology = await node(place)
    energy = {"policy": "Required", "idleBaseline": "1s", "minCoveragePercent": 50}
    assigned = assignment(spec=FAST | {"energy": energy}, provenance={"servers": {"model": {"image": "simulator:1"}}})
    places = write(assigned, place.sockets / "root")
    places.topology.parent.mkdir(parents=True)
    places.topology.write_text(json.dumps({"generation": 1, **topology}))
    fetch = await start(place, "fetch", places)
    assert (await fetch.exit_code(), "made here" in fetch.words()) == (ExitCode.DONE, True)

    driver, meter, words = await ended(place, places)
    assert (driver, meter) == (ExitCode.DONE, ExitCode.DONE), words
    folder = places.results / assigned.folder
    summary = Summary.model_validate_json((folder / "summary.json").read_bytes())
    assert (summary.run, summary.name, summary.state) == (assigned.run_id, "nightly", "completed")
    assert (summary.counts.asked, summary.counts.errors, summary.model.engine) == (4, 0, "Simulator")
    assert summary.energy.conserved
    assert (summary.energy.queries_joules or 0) > 0
    told = TerminationMessage.model_validate_json(places.termination.read_bytes())
    assert (told.state, told.sensor) == ("completed", "simulated")
    _check_like_a_local_run(folder)


def _check_like_a_local_run(folder: Path) -> None:
    """What readers of a local run's folder look for is there."""
    planned = json.loads((folder / "provenance.json").read_text())["planned"]
    assert planned.keys() >= {"spec", "machine", "versions", "servers", "attempt"}
    assert planned["spec"]["task"] == {"name": "everyday", "limit": 4, "params": {}}
    assert planned["spec"]["results"]["redact"] == "None"
    assert planned["servers"]["model"] == {
        "model": "simulator", "engine": "Simulator", "command": None, "url": None, "image": "simulator:1"
    }  # fmt: skip
    run = open_run(folder)
    assert run.meter_settings.run_name == "nightly"
    assert run.driver_settings.task.limit == 4
    assert len(pq.read_table(folder / "queries.parquet")) == 4
    assert list((folder / "logs").glob("*.eval"))


async def test_the_questions_come_from_a_mounted_claim_and_a_second_pod_goes_on(place: Any) -> None:
    await place.ground.simulator(host=AT, port=place.port)
    source = {"name": "gsm8k", "source": {"claim": {"name": "questions"}}}
    spec = FAST | {"task": source, "energy": {"policy": "Disabled", "idleBaseline": "0s"}}
    server = external(f"http://{AT}:{place.port}/v1")
    places = write(assignment(spec=spec, servers=[server], topology=False, data_mounted=True), place.sockets / "root")
    rows = [{"question": f"How many are 3 and {more}?", "answer": f"#### {3 + more}"} for more in range(3)]
    (places.data / "gsm8k").mkdir(parents=True)
    (places.data / "gsm8k" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fetch = await start(place, "fetch", places)
    assert await fetch.exit_code() == ExitCode.DONE
    assert "nothing to fetch" in fetch.words()

    for _ in range(2):
        # A pod's folder of sockets is its own; its claims are not.
        shutil.rmtree(places.control_socket.parent)
        driver, meter, words = await ended(place, places)
        assert (driver, meter) == (ExitCode.DONE, ExitCode.DONE), words
    summary = Summary.model_validate_json((places.results / "team/nightly/summary.json").read_bytes())
    assert summary.counts.asked == 3
    assert summary.energy.total_joules is None
    assert "every question was answered before" in words


async def test_an_assignment_of_a_newer_release_ends_all_containers_with_the_way_out(place: Any) -> None:
    places = write(assignment(servers=[SERVER], schema_version=99), place.sockets / "root")
    driver, meter, words = await ended(place, places)
    assert (driver, meter) == (ExitCode.BAD_INPUT, ExitCode.BAD_INPUT)
    assert "schema_version: is 99; this runner understands up to 1" in words
    assert "spec.runner.image" in words
    told = TerminationMessage.model_validate_json(places.termination.read_bytes())
    assert (told.state, "schema_version" in (told.message or "")) == ("failed", True)
    assert DriverDone.model_validate_json(places.meter_outcome.read_bytes()).outcome == "failed"


async def test_fetch_brings_the_questions_from_the_hub_to_where_the_driver_looks(place: Any, tmp_path: Path) -> None:
    rows = [{"question": "How many are 3 and 4?", "answer": "#### 7"}]
    with serving(Hub({"openai/gsm8k": gsm8k(rows)}, gated=("openai/gsm8k",))) as hub:
        source = {"hub": {"endpoint": hub.url, "tokenSecretRef": {"name": "hub"}}}
        assigned = assignment(spec={"task": {"name": "gsm8k", "source": source}})
        places = write(assigned, tmp_path / "root")
        fetch = await start(place, "fetch", places, HF_TOKEN=hub.token, HOME=str(tmp_path / "none"))
        assert await fetch.exit_code() == ExitCode.DONE, fetch.words()
    task = driver_settings(assigned, places).task
    assert task.data_root is not None
    manifest = json.loads((task.data_root / "gsm8k" / "manifest.json").read_text())
    assert manifest["files"]["test.jsonl"]["source"]["revision"] == SHA


async def test_a_fetch_that_fails_leaves_its_reason(place: Any, tmp_path: Path) -> None:
    places = write(assignment(spec={"task": {"name": "gsm9k"}}), tmp_path / "root")
    fetch = await start(place, "fetch", places)
    assert await fetch.exit_code() == ExitCode.BAD_INPUT
    [finding] = PreflightReport.model_validate_json(places.termination.read_bytes()).findings
    assert "there is no task 'gsm9k'" in finding.message
