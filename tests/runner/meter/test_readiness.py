"""When a server counts as ready, and how a failure is told."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from joulebench_runner.config import Upstream
from joulebench_runner.errors import ServerError
from joulebench_runner.journal.clock import Clock
from joulebench_runner.meter.client import AiohttpClient
from joulebench_runner.meter.readiness import wait_ready

Serve = Callable[..., Awaitable[Any]]
LISTED = {"data": [{"id": "served"}]}
ANSWER = {"choices": [{"message": {"content": "H"}}]}


class Server:
    """Answers by path: a status and a body, or a list of them for one request after the other."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {"health": (200, {}), "models": (200, LISTED), "completions": (200, ANSWER)} | answers
        self.seen: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        name = request.path.rsplit("/", 1)[1]
        if request.path.endswith("chat/completions") and "chat" in self.answers:
            name = "chat"
        self.seen.append(request.path)
        answer = self.answers[name]
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        status, body = answer
        return web.json_response(body, status=status)


class Waiting:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.reasons: list[str] = []

    @property
    def clock(self) -> Clock:
        return Clock(monotonic_ns=lambda: int(self.seconds * 1e9))

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def ready(serve: Serve, client: AiohttpClient) -> Callable[..., Awaitable[tuple[list[str], Waiting]]]:
    async def check(server: Server, **options: Any) -> tuple[list[str], Waiting]:
        script = await serve(server.handle)
        fields: dict[str, Any] = {
            "alias": "model",
            "role": "model",
            "model": "served",
            "base_urls": [f"{script.url}/v1"],
        }
        fields |= {"health_path": "/health", "ready_timeout_seconds": 60}
        waiting = Waiting()
        upstream = Upstream.model_validate(fields | options)
        notes = await wait_ready(
            upstream, client=client, clock=waiting.clock, sleep=waiting.sleep, on_waiting=waiting.reasons.append
        )
        return notes, waiting

    return check


async def test_a_server_that_passes_all_three_checks_is_ready_at_once(ready: Serve) -> None:
    server = Server()
    notes, waiting = await ready(server)
    assert notes == []
    assert waiting.seconds == 0
    assert waiting.reasons == []
    assert server.seen == ["/health", "/v1/models", "/v1/chat/completions"]


async def test_a_server_that_loads_is_waited_for(ready: Serve) -> None:
    _, waiting = await ready(Server(health=[(503, {}), (503, {}), (200, {})]))
    assert 0 < waiting.seconds < 1
    assert len(waiting.reasons) == 2
    assert all("answered HTTP 503" in reason for reason in waiting.reasons)


async def test_without_a_health_path_none_is_asked(ready: Serve) -> None:
    server = Server()
    await ready(server, health_path=None)
    assert server.seen[0] == "/v1/models"


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"health": (503, {"status": "loading"})}, 'health: GET .*/health answered HTTP 503: {"status": "loading"}'),
        ({"models": (500, {})}, "list of models: GET .*/v1/models answered HTTP 500"),
        ({"completions": (500, {"error": "oom"})}, "one short completion: POST .* answered HTTP 500: .*oom"),
    ],
)
async def test_at_the_deadline_the_failure_says_which_check_and_with_what(
    ready: Serve, answers: dict[str, Any], words: str
) -> None:
    with pytest.raises(ServerError, match=words) as caught:
        await ready(Server(**answers))
    assert "model server 'model'" in caught.value.message
    assert "is not ready after" in caught.value.message
    assert "time limit" in (caught.value.remedy or "")


async def test_a_server_that_is_not_there_is_told(ready: Serve, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    with pytest.raises(ServerError, match=f"health: cannot connect to {url}/health: Connection refused$") as caught:
        await ready(Server(), base_urls=[f"{url}/v1"])
    assert (caught.value.remedy or "").startswith("Check its address, and that it runs.")


async def test_a_server_whose_name_nobody_knows_is_told_in_the_resolvers_words(
    ready: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> Awaitable[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    with pytest.raises(
        ServerError, match=r"cannot connect to http://nobody\.invalid/health: Name or service not known$"
    ):
        await ready(Server(), base_urls=["http://nobody.invalid/v1"])


async def test_a_model_under_another_name_is_told_before_the_deadline(ready: Serve) -> None:
    listed = {"data": [{"id": "other"}, {"id": "Served", "aliases": ["SRV"]}]}
    with pytest.raises(ServerError, match="does not serve 'served'; it lists 'Served', ") as caught:
        await ready(Server(models=(200, listed)), ready_timeout_seconds=1800)
    assert "after 1" in caught.value.message
    assert "letter by letter" in (caught.value.remedy or "")


async def test_a_model_that_is_listed_a_little_later_is_waited_for(ready: Serve) -> None:
    await ready(Server(models=[(200, {"data": [{"id": "other"}]}), (200, LISTED)]))


async def test_an_alias_of_a_model_counts(ready: Serve) -> None:
    await ready(Server(models=(200, {"data": [{"id": "file.gguf", "aliases": ["served"]}]})))


@pytest.mark.parametrize("answer", [(404, {}), (200, {"data": []}), (200, {"nothing": 1}), (200, [])])
async def test_a_server_that_lists_nothing_useful_is_taken_with_a_note(ready: Serve, answer: Any) -> None:
    notes, _ = await ready(Server(models=answer))
    assert len(notes) == 1
    assert "'served' unseen" in notes[0]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_wrong_key_is_told_at_once(ready: Serve, status: int) -> None:
    with pytest.raises(ServerError, match=f"refuses our key: HTTP {status}") as caught:
        await ready(Server(models=(status, {})), key_variable="MY_KEY")
    assert "after 0 s" in caught.value.message
    assert caught.value.remedy == "Check the key in MY_KEY."


async def test_a_model_that_cannot_chat_may_complete(ready: Serve) -> None:
    server = Server(chat=(400, {"error": "no chat template"}))
    await ready(server)
    assert server.seen[-1] == "/v1/completions"


async def test_a_server_that_wants_the_newer_limit_gets_it(ready: Serve) -> None:
    await ready(Server(chat=[(400, {"error": "use max_completion_tokens"}), (200, ANSWER)]))


async def test_an_answer_without_choices_is_none(ready: Serve) -> None:
    with pytest.raises(ServerError, match="answered without choices"):
        await ready(Server(completions=(200, {})))


async def test_every_replica_must_be_ready(serve: Serve, client: AiohttpClient) -> None:
    good, bad = await serve(Server().handle), await serve(Server(health=(500, {})).handle)
    waiting = Waiting()
    upstream = Upstream(
        alias="model",
        role="model",
        model="served",
        base_urls=[f"{good.url}/v1", f"{bad.url}/v1"],
        health_path="/health",
        ready_timeout_seconds=5,
    )
    with pytest.raises(ServerError, match=bad.url):
        await wait_ready(upstream, client=client, clock=waiting.clock, sleep=waiting.sleep)
