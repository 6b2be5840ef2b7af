"""Preflight finds what would go wrong, before anything is taken for a run."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.object_stores import free_port
from tests.runner.pod.assignments import SERVER, assignment, external, write
from tests.runner.tasks.hub import Hub, gsm8k, serving

from joulebench_api.conditions import Reason
from joulebench_api.contracts.assignment import Assignment
from joulebench_api.contracts.preflight import PreflightReport
from joulebench_runner.errors import ExitCode
from joulebench_runner.pod.places import Places
from joulebench_runner.pod.preflight.problems import Problem
from joulebench_runner.pod.preflight.questions import Questions
from joulebench_runner.pod.preflight.run import Found, look
from joulebench_runner.pod.preflight.servers import check_endpoints, check_keys
from joulebench_runner.pod.preflight.store import check_store
from joulebench_runner.pod.preflight.support import check_support
from joulebench_runner.store.patience import ONE_TRY

ROWS = [{"question": f"How many are 3 and {more}?", "answer": f"#### {3 + more}"} for more in range(3)]
KEY = "JOULEBENCH_KEY_MODEL"
SUBMODEL = {"name": "small", "server": {"modelServerRef": {"name": "s"}}}


@pytest.fixture
def places(tmp_path: Path) -> Places:
    made = Places(tmp_path / "root")
    made.results.mkdir(parents=True)
    return made


def with_rows(places: Places, rows: list[dict[str, str]] = ROWS) -> None:
    """Questions as a claim has them."""
    folder = places.data / "gsm8k"
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def asked(places: Places, task: dict[str, Any], **more: Any) -> tuple[list[Problem], Questions]:
    looking = Questions(assignment(spec={"task": task}, **more), places, environ={})
    return list(looking.check()), looking


def told(problems: list[Problem]) -> list[tuple[str, Reason, Any]]:
    return [(problem.field, problem.reason, problem.value) for problem in problems]


# The questions.


def test_a_good_task_is_resolved_as_the_driver_will_ask_it(places: Places) -> None:
    problems, looking = asked(places, {"name": "everyday", "limit": 4})
    assert problems == []
    assert looking.task is not None
    assert (looking.task.name, looking.task.records, looking.task.epochs) == ("everyday", 4, 1)
    assert len(looking.task.sha256) == 64


def test_an_unknown_task_is_told_with_the_nearest_name(places: Places) -> None:
    [problem], _ = asked(places, {"name": "gsm9k"})
    assert told([problem]) == [("spec.task.name", Reason.UNKNOWN_TASK, "gsm9k")]
    assert problem.message == "there is no task 'gsm9k'"
    assert "Did you mean 'gsm8k'?" in str(problem.remedy)


def test_every_parameter_that_is_wrong_is_told(places: Places) -> None:
    problems, _ = asked(places, {"name": "everyday", "params": {"level": 9, "levle": 1}, "split": "test"})
    assert told(problems) == [
        ("spec.task.split", Reason.INVALID_PARAMETERS, "test"),
        ("spec.task.params.level", Reason.INVALID_PARAMETERS, 9),
        ("spec.task.params.levle", Reason.INVALID_PARAMETERS, 1),
    ]
    assert "Did you mean 'level'?" in str(problems[2].remedy)


def test_record_ids_must_be_of_the_task(places: Places) -> None:
    with_rows(places)
    problems, looking = asked(places, {"name": "gsm8k", "recordIds": ["nonsense"]}, data_mounted=True)
    assert told(problems) == [("spec.task.recordIds", Reason.INVALID_PARAMETERS, None)]
    assert "'nonsense' is no record of this task (3 records)" in problems[0].message
    assert looking.task is None


def test_questions_on_a_claim_are_read_and_those_that_are_not_there_are_missed(places: Places) -> None:
    task = {"name": "gsm8k", "source": {"claim": {"name": "questions"}}}
    problems, _ = asked(places, task, data_mounted=True)
    assert told(problems) == [("spec.task.name", Reason.DATASET_UNAVAILABLE, "gsm8k")]
    assert "its questions are not here" in problems[0].message
    with_rows(places)
    problems, looking = asked(places, task, data_mounted=True)
    assert problems == []
    assert looking.task is not None
    assert looking.task.records == 3


def test_questions_that_cannot_be_read_are_told_with_the_line(places: Places) -> None:
    with_rows(places)
    (places.data / "gsm8k" / "test.jsonl").write_text("no JSON\n")
    problems, _ = asked(places, {"name": "gsm8k"}, data_mounted=True)
    assert problems[0].reason is Reason.DATASET_UNAVAILABLE
    assert "line 1" in problems[0].message


def test_a_task_that_needs_the_model_is_not_loaded_before_there_is_one(places: Places) -> None:
    problems, looking = asked(places, {"name": "fixed_length", "params": {"inputTokens": 8}})
    assert (problems, looking.task) == ([], None)


def test_a_hub_that_is_away_may_be_back_later(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HF_ENDPOINT", "HF_HOME"):
        monkeypatch.setenv(variable, str(places.root))
    pauses: list[float] = []
    hub = {"hub": {"endpoint": "http://127.0.0.1:9"}}
    assigned = assignment(spec={"task": {"name": "gsm8k", "source": hub}})
    problems = list(Questions(assigned, places, environ={}, sleep=pauses.append).check())
    assert told(problems) == [("spec.task.source", Reason.DATASET_UNAVAILABLE, None)]
    assert "cannot be asked" in problems[0].message
    assert len(pauses) == 2
    assert Found(problems).exit_code is ExitCode.INFRASTRUCTURE


def test_a_hubs_token_that_is_empty_is_missed(places: Places) -> None:
    hub = {"hub": {"tokenSecretRef": {"name": "hub"}}}
    problems, _ = asked(places, {"name": "gsm8k", "source": hub})
    assert told(problems) == [("spec.task.source.hub.tokenSecretRef", Reason.SECRET_UNAVAILABLE, "hub")]
    assert "'token'" in problems[0].message


# Tasks of inspect-ai packages.


PACKAGE = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample

@task
def plain(level: int = 1):
    return Task(dataset=[Sample(id="a", input="3 + 4 =", target="7"), Sample(id="b", input="1 + 1 =", target="2")])

@task
def boxed():
    return Task(dataset=[Sample(id="a", input="ls")], sandbox="docker")

@task
def broken():
    raise ConnectionError("the hub is not there")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "podquiz.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("task", "field", "reason", "words"),
    [
        ({"name": "inspect:nowhere/plain"}, "spec.task.name", Reason.UNKNOWN_TASK, "'nowhere'"),
        ({"name": "inspect:podquiz/plane"}, "spec.task.name", Reason.UNKNOWN_TASK, "'plane'"),
        ({"name": "inspect:podquiz/broken"}, "spec.task.name", Reason.DATASET_UNAVAILABLE, "the hub is not there"),
        ({"name": "inspect:podquiz/plain", "split": "x"}, "spec.task.split", Reason.INVALID_PARAMETERS, "'x'"),
        (
            {"name": "inspect:podquiz/plain", "params": {"levle": 1}},
            "spec.task.params.levle",
            Reason.INVALID_PARAMETERS,
            "no such parameter",
        ),
        ({"name": "inspect:podquiz/boxed"}, "spec.task.name", Reason.SANDBOX_UNAVAILABLE, "'docker'"),
    ],
)
def test_a_package_s_task_is_looked_into(
    places: Places, task: dict[str, Any], field: str, reason: Reason, words: str
) -> None:
    [problem], _ = asked(places, task)
    assert (problem.field, problem.reason) == (field, reason)
    assert words in problem.message


@pytest.mark.usefixtures("package")
def test_a_package_s_good_task_is_resolved(places: Places) -> None:
    problems, looking = asked(places, {"name": "inspect:podquiz/plain", "limit": 1})
    assert problems == []
    assert looking.task is not None
    assert looking.task.records == 1


# What this release cannot do.


@pytest.mark.parametrize(
    ("spec", "field", "reason"),
    [
        ({"agent": {"name": "react"}}, "spec.agent", Reason.AGENT_UNAVAILABLE),
        ({"sandbox": {"mode": "Pod"}}, "spec.sandbox.mode", Reason.SANDBOX_UNAVAILABLE),
        ({"energy": {"attribution": "Token"}}, "spec.energy.attribution", Reason.NOT_SUPPORTED),
        ({"results": {"exports": ["CSV"]}}, "spec.results.exports", Reason.NOT_SUPPORTED),
        (
            {"task": {"name": "everyday", "recordIdsConfigMapRef": {"name": "ids", "key": "ids"}}},
            "spec.task.recordIdsConfigMapRef",
            Reason.NOT_SUPPORTED,
        ),
        (
            {"task": {"name": "gsm8k", "source": {"objectStore": {"url": "s3://bench/data"}}}},
            "spec.task.source.objectStore",
            Reason.NOT_SUPPORTED,
        ),
        (
            {"load": {"stages": [{"name": "a", "rate": 1, "requests": 2}]}, "epochs": 1},
            "spec.load",
            Reason.NOT_SUPPORTED,
        ),
    ],
)
def test_what_cannot_be_done_is_refused(spec: dict[str, Any], field: str, reason: Reason) -> None:
    [problem] = check_support(assignment(spec=spec))
    assert (problem.field, problem.reason) == (field, reason)
    assert problem.remedy


def test_what_can_be_done_is_not_refused() -> None:
    assert list(check_support(assignment(spec={"energy": {"attribution": "Equal"}, "sandbox": {"mode": "None"}}))) == []
    assert list(check_support(assignment(spec={"submodels": [SUBMODEL]}))) == []


# The store.


def test_a_claim_is_written_to_and_left_as_it_was(places: Places) -> None:
    assert list(check_store(assignment(), places, environ={})) == []
    assert list(places.results.iterdir()) == []


@pytest.mark.parametrize(("store", "field"), [("claim", "claim"), ("claimTemplate", "claimTemplate")])
def test_a_claim_that_cannot_be_written_is_told(places: Places, store: str, field: str) -> None:
    places.results.rmdir()
    places.results.write_text("a file, where a folder should be")
    spec = {"claim": {"name": "kept"}} if store == "claim" else {"claimTemplate": {"size": "1Gi"}}
    [problem] = check_store(assignment(spec={"results": {"store": spec}}), places, environ={})
    assert (problem.field, problem.reason) == (f"spec.results.store.{field}", Reason.STORE_NOT_WRITABLE)
    assert str(places.results) in problem.message


def in_store(url: str, *, endpoint: str | None = None, secret: str | None = None) -> Assignment:
    reference = None if secret is None else {"name": secret}
    store = {"objectStore": {"url": url, "endpoint": endpoint, "credentialsSecretRef": reference}}
    return assignment(spec={"results": {"store": store}}, store_url=f"{url}/team/nightly")


@pytest.mark.usefixtures("credentials")
def test_an_object_store_is_written_to_and_left_as_it_was(places: Places, s3: Any) -> None:
    assigned = in_store("s3://bench/preflight", endpoint=s3.endpoint, secret="keys")
    assert list(check_store(assigned, places, environ=os.environ)) == []
    assert s3.names("bench/preflight") == set()


@pytest.mark.usefixtures("credentials")
def test_a_bucket_that_is_not_there_is_told(places: Places, s3: Any) -> None:
    [problem] = check_store(in_store("s3://nowhere/runs", endpoint=s3.endpoint), places, environ=os.environ)
    assert (problem.field, problem.reason) == ("spec.results.store.objectStore", Reason.STORE_NOT_WRITABLE)
    assert "s3://nowhere/runs" in problem.message


def test_a_store_where_nobody_listens_is_told_by_its_endpoint(places: Places) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    assigned = in_store("s3://bench/runs", endpoint=nobody)
    [problem] = check_store(assigned, places, environ={}, patience=ONE_TRY)
    assert (problem.field, problem.reason) == (
        "spec.results.store.objectStore.endpoint",
        Reason.STORE_NOT_WRITABLE,
    )
    assert problem.value == nobody


def test_credentials_that_are_not_there_are_missed(places: Places) -> None:
    [problem] = check_store(in_store("s3://bench/runs", secret="keys"), places, environ={})
    assert problem.field == "spec.results.store.objectStore.credentialsSecretRef"
    assert problem.reason is Reason.SECRET_UNAVAILABLE


# Servers that others run.


def endpoint(url: str, *, key: str | None = None, model: str = "simulator") -> Assignment:
    secret = None if key is None else {"name": "openai"}
    source = {"external": {"url": url, "model": model, "apiKeySecretRef": secret}}
    servers = [external(url, model=model, key_variable=key)]
    return assignment(spec={"server": source}, servers=servers)


async def no_pause(_seconds: float) -> None:
    """For servers that will answer the same again."""


async def looked(assigned: Assignment, **environ: str) -> list[Problem]:
    return await check_endpoints(assigned, environ=environ, sleep=no_pause, attempt_seconds=0.5)


async def test_a_server_that_lists_the_model_is_good_with_its_key(place: Any) -> None:
    env = {"JOULEBENCH_SIMULATOR_API_KEY": "secret"}
    await place.ground.simulator(host="127.0.0.1", port=place.port, env=env)
    url = f"http://127.0.0.1:{place.port}/v1"
    assert await looked(endpoint(url, key=KEY), **{KEY: "secret"}) == []
    for assigned, environ in ((endpoint(url, key=KEY), {KEY: "key-of-another"}), (endpoint(url), {})):
        [problem] = await looked(assigned, **environ)
        assert problem.field == "spec.server.external.apiKeySecretRef"
        assert problem.reason is Reason.ENDPOINT_UNREACHABLE
        assert "HTTP 401" in problem.message
        assert "key-of-another" not in problem.message


async def test_a_server_without_the_model_names_those_it_has(place: Any) -> None:
    await place.ground.simulator(host="127.0.0.1", port=place.port)
    [problem] = await looked(endpoint(f"http://127.0.0.1:{place.port}/v1", model="simulatr"))
    assert told([problem]) == [("spec.server.external.model", Reason.ENDPOINT_UNREACHABLE, "simulatr")]
    assert "it lists 'simulator'" in problem.message


def test_a_key_that_is_missing_or_empty_is_missed_and_the_server_not_asked() -> None:
    assigned = endpoint("http://127.0.0.1:9/v1", key=KEY)
    for environ in ({}, {KEY: ""}):
        [problem] = check_keys(assigned, environ=environ)
        assert told([problem]) == [("spec.server.external.apiKeySecretRef", Reason.SECRET_UNAVAILABLE, "openai")]
        assert asyncio.run(looked(assigned, **environ)) == []
    assert list(check_keys(assigned, environ={KEY: "k"})) == []


HEADERS = "JOULEBENCH_HEADERS_MODEL"


@pytest.mark.parametrize(
    ("environ", "says"),
    [({}, "no header in it"), ({HEADERS: "\n"}, "no header in it"), ({HEADERS: "hunter2"}, "line 1 is no header")],
)
def test_headers_that_are_missing_or_cannot_be_used_are_told_and_the_server_not_asked(
    environ: dict[str, str], says: str
) -> None:
    source = {"external": {"url": "http://127.0.0.1:9/v1", "model": "m", "headersSecretRef": {"name": "gateway"}}}
    server = external("http://127.0.0.1:9/v1", model="m").model_copy(update={"headers_variable": HEADERS})
    assigned = assignment(spec={"server": source}, servers=[server])
    [problem] = check_keys(assigned, environ=environ)
    assert told([problem]) == [("spec.server.external.headersSecretRef", Reason.SECRET_UNAVAILABLE, "gateway")]
    assert says in problem.message
    assert "hunter2" not in f"{problem.message}{problem.remedy}"
    assert asyncio.run(looked(assigned, **environ)) == []


def test_the_keys_of_our_own_servers_are_looked_for() -> None:
    server = SERVER.model_copy(update={"key_variable": KEY})
    [problem] = check_keys(assignment(servers=[server]), environ={})
    assert (problem.field, problem.reason) == ("spec.server", Reason.SECRET_UNAVAILABLE)


async def test_nobody_at_the_address_is_told_after_some_tries(port: int) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    url = f"http://127.0.0.1:{port}/v1"
    [problem] = await check_endpoints(endpoint(url), environ={}, sleep=pause)
    assert told([problem]) == [("spec.server.external.url", Reason.ENDPOINT_UNREACHABLE, url)]
    assert not problem.passing
    assert len(pauses) == 2


@pytest.fixture
async def answering(port: int) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Start a server that answers everything alike; gives its address."""
    runners: list[web.AppRunner] = []

    async def make(status: int, text: str = "", *, hang: bool = False) -> str:
        async def answer(_request: web.Request) -> web.Response:
            await asyncio.sleep(60 if hang else 0)
            return web.Response(status=status, text=text)

        app = web.Application()
        app.router.add_get("/v1/models", answer)
        runner = web.AppRunner(app, handler_cancellation=True)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return f"http://127.0.0.1:{port}/v1"

    yield make
    for runner in runners:
        await runner.cleanup()


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_an_error_that_may_pass_leaves_it_open(answering: Any, status: int) -> None:
    [problem] = await looked(endpoint(await answering(status, "overloaded")))
    assert problem.passing
    assert f"HTTP {status}: overloaded" in problem.message


async def test_a_server_that_hangs_leaves_it_open(answering: Any) -> None:
    [problem] = await looked(endpoint(await answering(200, hang=True)))
    assert problem.passing
    assert "did not answer within 0.5 s" in problem.message


@pytest.mark.parametrize(("status", "text"), [(404, ""), (405, ""), (200, "no list"), (200, '{"data": []}')])
async def test_a_server_without_a_list_of_models_need_only_answer(answering: Any, status: int, text: str) -> None:
    assert await looked(endpoint(await answering(status, text))) == []


async def test_the_judge_is_looked_at_too(answering: Any) -> None:
    url = await answering(400, "go away")
    judge = {"server": {"external": {"url": url, "model": "wise"}}}
    servers = [SERVER, external(url, model="wise", alias="judge")]
    [problem] = await looked(assignment(spec={"judge": judge}, servers=servers))
    assert problem.field == "spec.judge.server.external.url"
    assert "HTTP 400: go away" in problem.message


async def test_a_submodel_is_looked_at_too(answering: Any) -> None:
    url, key = await answering(200, '{"data": [{"id": "big"}]}'), "JOULEBENCH_KEY_SMALL_ONE"
    source = {"external": {"url": url, "model": "small", "apiKeySecretRef": {"name": "keyless"}}}
    spec = {"submodels": [SUBMODEL, {"name": "small-one", "server": source}]}
    server = external(url, model="small", alias="small-one", key_variable=key)
    assigned = assignment(spec=spec, servers=[SERVER, server])

    [problem] = check_keys(assigned, environ={})
    assert told([problem]) == [
        ("spec.submodels[1].server.external.apiKeySecretRef", Reason.SECRET_UNAVAILABLE, "keyless")
    ]
    assert "nothing in its key 'api-key'" in problem.message
    assert await looked(assigned) == []

    [problem] = await looked(assigned, **{key: "k"})
    assert told([problem]) == [("spec.submodels[1].server.external.model", Reason.ENDPOINT_UNREACHABLE, "small")]


# The whole.


def test_everything_that_is_wrong_is_told_at_once(places: Places) -> None:
    places.results.rmdir()
    spec = {"task": {"name": "gsm9k"}, "agent": {"name": "react"}}
    server = SERVER.model_copy(update={"key_variable": KEY})
    found = look(assignment(spec=spec, servers=[server]), places, environ={})
    assert [problem.reason for problem in found.problems] == [
        Reason.AGENT_UNAVAILABLE, Reason.UNKNOWN_TASK, Reason.SECRET_UNAVAILABLE, Reason.STORE_NOT_WRITABLE
    ]  # fmt: skip
    assert found.exit_code is ExitCode.BAD_INPUT


def test_what_is_wrong_for_sure_goes_before_what_may_pass() -> None:
    sure = Problem(field="spec.a", reason=Reason.UNKNOWN_TASK, message="m")
    open_ = Problem(field="spec.b", reason=Reason.ENDPOINT_UNREACHABLE, message="m", passing=True)
    assert Found([]).exit_code is ExitCode.DONE
    assert Found([open_]).exit_code is ExitCode.INFRASTRUCTURE
    assert Found([open_, sure]).exit_code is ExitCode.BAD_INPUT


async def preflight(place: Any, places: Places, **env: str) -> tuple[int, PreflightReport, str]:
    words = ("-m", "joulebench_runner.pod", "preflight", "--root", places.root)
    process = await place.ground.start("preflight", *words, env=env)
    code = await process.exit_code()
    return code, PreflightReport.model_validate_json(places.termination.read_bytes()), process.words()


async def test_the_container_reports_what_it_found(place: Any, tmp_path: Path) -> None:
    places = write(assignment(spec={"task": {"name": "gsm9k"}}), tmp_path / "root")
    code, report, words = await preflight(place, places)
    assert code == ExitCode.BAD_INPUT, words
    assert [finding.reason for finding in report.findings] == [Reason.UNKNOWN_TASK]
    assert "UnknownTask: spec.task.name: there is no task 'gsm9k'" in words


async def test_the_container_passes_a_good_run_with_its_resolved_task(place: Any, tmp_path: Path) -> None:
    code, report, words = await preflight(place, write(assignment(), tmp_path / "root"))
    assert (code, report.passed) == (ExitCode.DONE, True), words
    assert report.task is not None
    assert (report.task.name, report.task.records) == ("everyday", 4)
    assert "good" in words


async def test_an_assignment_that_is_not_understood_names_the_field(place: Any, tmp_path: Path) -> None:
    places = write(assignment(), tmp_path / "root")
    document = json.loads(places.assignment.read_text())
    document["run"]["spec"]["hologram"] = True
    places.assignment.write_text(json.dumps(document))
    code, report, _ = await preflight(place, places)
    assert code == ExitCode.BAD_INPUT
    [finding] = report.findings
    assert finding.reason is Reason.RUNNER_INCOMPATIBLE
    assert finding.field == "spec.hologram"


async def test_a_gated_set_is_told_in_the_hubs_words_and_read_with_the_token(place: Any, tmp_path: Path) -> None:
    with serving(Hub({"openai/gsm8k": gsm8k(ROWS)}, gated=("openai/gsm8k",))) as hub:
        source = {"hub": {"endpoint": hub.url, "tokenSecretRef": {"name": "hub"}}}
        assigned = assignment(spec={"task": {"name": "gsm8k", "source": source}})
        places = write(assigned, tmp_path / "root")
        env = {"HOME": str(tmp_path / "none"), "HF_TOKEN": "hf_wrong"}
        code, report, words = await preflight(place, places, **env)
        assert code == ExitCode.BAD_INPUT, words
        [finding] = report.findings
        assert finding.reason is Reason.DATASET_UNAVAILABLE
        assert "is gated" in finding.message
        code, report, words = await preflight(place, places, **env | {"HF_TOKEN": hub.token})
        assert code == ExitCode.DONE, words
        assert report.task is not None
        assert report.task.records == len(ROWS)
