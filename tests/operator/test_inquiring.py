"""What servers, meters and logs are asked, against real HTTP servers on this machine."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.operator.fake_kube import refusal

from joulebench_api.contracts.meter import EnergyState, Progress, Stage
from joulebench_api.contracts.meter import MeterStatus as MeterReport
from joulebench_api.engines.command import VersionSource
from joulebench_operator.cache import Cache
from joulebench_operator.inquiring import Inquirer, _pause_seconds, redacted
from joulebench_operator.inquiry import Devices, Inquiry, LastWords, MeterStatus, Pods, Served, ServedAnswer
from joulebench_operator.kinds import Key
from joulebench_operator.objects import Object

KEY = Key("ModelServer", "team", "llama")


class Words:
    """The API server's logs and pods."""

    def __init__(self) -> None:
        self.previous = ""
        self.now = ""
        self.listed: list[dict[str, Any]] = []

    async def log(self, key: Key, *, container: str, previous: bool, lines: int) -> str:
        if previous and not self.previous:
            raise refusal(400, "previous terminated container not found")
        return self.previous if previous else self.now

    async def pods(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        assert (namespace, selector) == ("team", "app=qwen,tier=gpu")
        return self.listed


class Desk:
    """An inquirer, and what it is told of new answers."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.cache, self.words, self.told = Cache(), Words(), asyncio.Queue[Key]()
        kube: Any = self.words
        self.inquirer = Inquirer(cache=self.cache, kube=kube, http=http, changed=self.told.put_nowait)

    async def answer(self, inquiry: Inquiry) -> Any:
        """The first answer."""
        self.inquirer.want(KEY, [inquiry])
        async with asyncio.timeout(10):
            assert await self.told.get() == KEY
        return self.cache.answer(inquiry)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with aiohttp.ClientSession() as http:
        made = Desk(http)
        yield made
        await made.inquirer.close()


class ModelServer:
    """An OpenAI-compatible server whose faults a test chooses."""

    def __init__(self) -> None:
        self.health = 200
        self.models = ["llama"]
        self.completion = 200
        self.completions = 0
        self.version: Any = {"version": "0.33.0"}
        self.versions = 0

    def application(self) -> web.Application:
        made = web.Application()
        made.router.add_get("/health", self._health)
        made.router.add_get("/v1/models", self._models)
        made.router.add_post("/v1/chat/completions", self._complete)
        made.router.add_get("/version", self._version)
        return made

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(status=self.health)

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": name} for name in self.models]})

    async def _version(self, _: web.Request) -> web.Response:
        self.versions += 1
        return web.json_response(self.version)

    async def _complete(self, _: web.Request) -> web.Response:
        self.completions += 1
        return web.json_response({"error": "CUDA error, token=hf_abcdefghijkl"}, status=self.completion)


@asynccontextmanager
async def running(application: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def served(address: str, *, model: str | None = "llama", path: str | None = None) -> Served:
    asked = None if path is None else VersionSource(path=path, field="version")
    return Served(address=address, health_path="/health", model=model, pod_uid="1", version=asked)


async def test_a_server_that_completes_is_ready_and_is_asked_to_complete_once(desk: Desk) -> None:
    server = ModelServer()
    async with running(server.application()) as address:
        assert await desk.answer(served(address)) == ServedAnswer(ready=True)
        assert await desk.inquirer._served(served(address)) == ServedAnswer(ready=True)
    assert server.completions == 1


@pytest.mark.parametrize("model", ["llama", None])
async def test_a_server_that_serves_is_asked_for_its_version_once(desk: Desk, model: str | None) -> None:
    server = ModelServer()
    async with running(server.application()) as address:
        asked = served(address, model=model, path="/version")
        assert await desk.answer(asked) == ServedAnswer(ready=True, version="0.33.0")
        server.version = {"version": "0.34.0"}
        assert await desk.inquirer._served(asked) == ServedAnswer(ready=True, version="0.33.0")
    assert server.versions == 1


async def test_a_server_that_does_not_serve_is_not_asked_for_its_version(desk: Desk) -> None:
    server = ModelServer()
    server.health = 503
    async with running(server.application()) as address:
        assert not (await desk.answer(served(address, path="/version"))).ready
    assert server.versions == 0


@pytest.mark.parametrize(
    "said", [{}, [], {"version": 1}, {"version": ""}, {"version": "1" * 257}, {"version": "b0-unknown"}]
)
async def test_a_server_whose_version_cannot_be_known_serves_all_the_same(desk: Desk, said: Any) -> None:
    server = ModelServer()
    server.version = said
    async with running(server.application()) as address:
        assert await desk.answer(served(address, path="/version")) == ServedAnswer(ready=True)
        assert await desk.inquirer._version(served(address, path="/nowhere")) is None


async def test_a_version_in_a_long_answer_is_found(desk: Desk) -> None:
    """llama.cpp tells it behind the model's chat template."""
    server = ModelServer()
    server.version = {"chat_template": "x" * 60_000, "version": "b11549-abcdef0"}
    async with running(server.application()) as address:
        assert (await desk.answer(served(address, path="/version"))).version == "b11549-abcdef0"


Breaks = Callable[[ModelServer], Any]


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        (lambda server: setattr(server, "health", 503), "/health answers 503"),
        (lambda server: setattr(server, "models", ["other"]), "lists other, not llama"),
        (lambda server: setattr(server, "completion", 500), "a first completion was answered with 500"),
    ],
)
async def test_a_server_that_does_not_serve_is_not_ready_and_says_why(desk: Desk, breaks: Breaks, words: str) -> None:
    server = ModelServer()
    breaks(server)
    async with running(server.application()) as address:
        answer = await desk.answer(served(address))
    assert not answer.ready
    assert words in answer.message
    assert "hf_" not in answer.message


async def test_a_server_with_a_key_is_asked_for_its_health_alone(desk: Desk) -> None:
    server = ModelServer()
    server.models = []
    async with running(server.application()) as address:
        assert await desk.answer(served(address, model=None)) == ServedAnswer(ready=True)


async def test_a_server_that_is_not_there_is_not_ready(desk: Desk) -> None:
    answer = await desk.answer(served("http://127.0.0.1:1"))
    assert (answer.ready, "does not answer" in answer.message) == (False, True)


def meter(body: Any) -> web.Application:
    async def status(_: web.Request) -> web.Response:
        return web.json_response(body)

    made = web.Application()
    made.router.add_get("/status", status)
    return made


async def test_a_meter_tells_how_far_its_run_is(desk: Desk) -> None:
    report = MeterReport(
        run_id="1",
        stage=Stage.RUN,
        stage_started_seconds_ago=3.0,
        servers=[],
        progress=Progress(total=7, asked=4),
        energy=EnergyState(),
    )
    async with running(meter(report.as_json())) as address:
        assert await desk.answer(MeterStatus(address)) == report


async def test_a_meter_that_is_away_or_of_another_release_tells_nothing(desk: Desk) -> None:
    assert await desk.answer(MeterStatus("http://127.0.0.1:1")) is None
    async with running(meter({"schema_version": 99})) as address:
        assert await desk.inquirer._meter(MeterStatus(address)) is None


def pod_started(times: int) -> Object:
    status = {"containerStatuses": [{"name": "server", "restartCount": times}]}
    return {"kind": "Pod", "metadata": {"name": "llama-1", "namespace": "team"}, "status": status}


async def test_the_words_of_the_newest_start_are_in_its_own_log_until_it_is_started_again(desk: Desk) -> None:
    desk.words.previous, desk.words.now = "first", "second"
    desk.cache.put(pod_started(1))
    assert await desk.answer(LastWords("team", "llama-1", "server", restart=1)) == "second"


async def test_last_words_are_those_of_the_ended_container_without_secrets(desk: Desk) -> None:
    desk.words.previous = "loading\nHTTPError: 401 for token hf_abcdefghijkl"
    desk.words.now = "starting again"
    desk.cache.put(pod_started(2))
    words = await desk.answer(LastWords("team", "llama-1", "server", restart=1))
    assert words == "loading\nHTTPError: 401 for token ***"


async def test_a_container_that_was_never_restarted_has_its_words_in_its_only_log(desk: Desk) -> None:
    desk.words.now = "error: unrecognized arguments: --tensor"
    assert await desk.answer(LastWords("team", "llama-1", "server", restart=0)) == desk.words.now


async def test_pods_of_others_are_listed_by_their_labels(desk: Desk) -> None:
    desk.words.listed = [{"metadata": {"name": "qwen-1"}}]
    assert await desk.answer(Pods("team", (("app", "qwen"), ("tier", "gpu")))) == desk.words.listed


async def test_what_nobody_wants_to_know_any_more_is_forgotten(desk: Desk) -> None:
    asked = LastWords("team", "llama-1", "server", restart=0)
    desk.words.now = "bye"
    await desk.answer(asked)
    desk.inquirer.want(KEY, [])
    assert desk.cache.answer(asked) is None


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("HF_TOKEN=hf_abcdefghij", "HF_TOKEN=***"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("--api-key=secret --port 8000", "--api-key=*** --port 8000"),
        ("sk-proj-0123456789 was refused", "*** was refused"),
        ("500 tokens generated", "500 tokens generated"),
    ],
)
def test_secrets_are_taken_out_of_logs_and_other_words_stay(text: str, without: str) -> None:
    assert redacted(text) == without


def test_an_exporter_that_does_not_know_a_pod_is_asked_a_few_times_and_then_never_again() -> None:
    asked = Devices("10.1.0.1:9780", "team", "llama-1", "uid")
    pauses = [_pause_seconds(asked, (), asked=times) for times in range(1, 10)]
    assert pauses == [1, 2, 4, 8, 15, 30, 60, None, None]
    assert _pause_seconds(asked, ("GPU-1",), asked=1) is None
