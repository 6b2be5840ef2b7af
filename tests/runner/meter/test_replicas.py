"""Which replica gets a call, and how pods that come and go are found."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from joulebench_api.contracts.topology import Server
from joulebench_runner.config import Upstream
from joulebench_runner.errors import ServerError
from joulebench_runner.meter.discovery import Discovery, addresses, pod_url
from joulebench_runner.meter.readiness import wait_found
from joulebench_runner.meter.replicas import REST_SECONDS, Replicas

NOBODY: frozenset[str] = frozenset()


class Clock:
    """Seconds, wound by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def idle(_url: str) -> int:
    return 0


def server(**more: Any) -> Server:
    known = {"alias": "model", "url": "http://llama.team.svc:8000/v1", "model": "m", "headless_service": "llama"}
    return Server.model_validate(known | more)


async def test_least_in_flight_takes_the_idlest_and_turns_among_equals() -> None:
    replicas = Replicas(["a", "b", "c"])
    busy = {"a": 2, "b": 1, "c": 1}
    assert {replicas.choose(tried=NOBODY, in_flight=busy.__getitem__) for _ in range(4)} == {"b", "c"}
    assert replicas.choose(tried={"b", "c"}, in_flight=busy.__getitem__) == "a"


async def test_round_robin_asks_each_in_turn_however_busy() -> None:
    replicas = Replicas(["a", "b", "c"], routing="RoundRobin")
    busy = {"a": 9, "b": 0, "c": 5}
    asked = [replicas.choose(tried=NOBODY, in_flight=busy.__getitem__) for _ in range(6)]
    assert {*asked[:3]} == {"a", "b", "c"}
    assert asked[:3] == asked[3:]


async def test_a_replica_that_went_away_gets_no_further_call() -> None:
    replicas = Replicas(["a", "b"], changing=True)
    replicas.update(["b"])
    assert {replicas.choose(tried=NOBODY, in_flight=idle) for _ in range(4)} == {"b"}
    replicas.update([])
    assert replicas.choose(tried=NOBODY, in_flight=idle) is None


async def test_an_address_that_took_no_connection_rests_and_comes_back() -> None:
    clock = Clock()
    replicas = Replicas(["a", "b"], changing=True, now=clock)
    replicas.lost("a")
    assert {replicas.choose(tried=NOBODY, in_flight=idle) for _ in range(4)} == {"b"}
    clock.now += REST_SECONDS
    assert {replicas.choose(tried=NOBODY, in_flight=idle) for _ in range(4)} == {"a", "b"}


async def test_addresses_that_never_change_do_not_rest() -> None:
    replicas = Replicas(["a"])
    replicas.lost("a")
    assert replicas.choose(tried=NOBODY, in_flight=idle) == "a"


async def test_who_needs_a_replica_waits_for_one() -> None:
    replicas = Replicas(changing=True)
    waiting = asyncio.create_task(replicas.some(within_seconds=60))
    await asyncio.sleep(0)
    replicas.update(["a"])
    assert await asyncio.wait_for(waiting, 5)
    assert not await Replicas(changing=True).some(within_seconds=0.01)
    assert not await Replicas().some(within_seconds=60)


def test_a_pods_address_is_the_services_with_another_host_and_port() -> None:
    assert pod_url(server(), "10.0.0.7") == "http://10.0.0.7:8000/v1"
    assert pod_url(server(port=9000), "fd00::7") == "http://[fd00::7]:9000/v1"
    assert pod_url(server(url="http://llama/openai/v1/"), "10.0.0.7") == "http://10.0.0.7:80/openai/v1"


class Names:
    """A name server that says what it is told to."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


async def test_pods_are_found_by_the_headless_service_and_lost_with_it() -> None:
    gone = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    replicas, names = Replicas(changing=True), Names(["10.0.0.1", "10.0.0.2"], ["10.0.0.2"], gone)
    lost: list[str] = []
    discovery = Discovery(replicas, resolve=names, on_gone=lost.append)
    await discovery.look()
    assert (names.asked, discovery.problem) == ([], "the topology has not named the server yet")
    discovery.on_server(server())
    await discovery.look()
    assert [*replicas.urls] == ["http://10.0.0.1:8000/v1", "http://10.0.0.2:8000/v1"]
    await discovery.look()
    assert [*replicas.urls] == ["http://10.0.0.2:8000/v1"]
    assert not lost
    await discovery.look()
    assert [*replicas.urls] == []
    assert lost == ["llama has no pod any more; calls wait for a new one"]
    assert discovery.problem == "llama has no addresses: Name or service not known"
    assert names.asked == [("llama", 8000)] * 3


async def test_a_name_server_that_is_away_changes_nothing() -> None:
    away = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    replicas = Replicas(changing=True)
    discovery = Discovery(replicas, resolve=Names(["10.0.0.1"], away))
    discovery.on_server(server())
    await discovery.look()
    await discovery.look()
    assert replicas.urls == ("http://10.0.0.1:8000/v1",)


@pytest.mark.parametrize(("routing", "headless"), [("Service", "llama"), ("LeastInFlight", None)])
async def test_a_service_is_asked_as_it_is_where_pods_do_not_matter(routing: Any, headless: str | None) -> None:
    replicas = Replicas(changing=True, routing=routing)
    discovery = Discovery(replicas, routing=routing, resolve=Names(OSError("nobody should ask")))
    discovery.on_server(server(headless_service=headless))
    await discovery.look()
    assert replicas.urls == ("http://llama.team.svc:8000/v1",)


async def test_a_lost_connection_has_the_name_looked_up_again_at_once() -> None:
    replicas, names = Replicas(changing=True), Names(["10.0.0.1"], ["10.0.0.2"])
    discovery = Discovery(replicas, resolve=names, sleep=lambda _seconds: asyncio.sleep(0))
    discovery.on_server(server())
    running = asyncio.create_task(discovery.run())
    assert await replicas.some(within_seconds=10)
    change = replicas.changed()
    replicas.lost("http://10.0.0.1:8000/v1")
    await asyncio.wait_for(change, 10)
    assert replicas.urls == ("http://10.0.0.2:8000/v1",)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_real_names_are_resolved() -> None:
    assert "127.0.0.1" in await addresses("127.0.0.1", 80)
    with pytest.raises(OSError, match=r".+"):
        await addresses("joulebench.invalid", 80)


def waited(replicas: Replicas, check: Any, **more: Any) -> Any:
    upstream = Upstream(alias="model", role="model", model="m", **more)
    return wait_found(
        upstream, replicas=replicas, check=check, problem=lambda: "no name", on_waiting=lambda _reason: None
    )


async def test_a_server_is_ready_once_all_the_pods_that_there_are_passed() -> None:
    replicas, checked, begun = Replicas(["old"], changing=True), [], asyncio.Event()

    async def check(urls: Sequence[str]) -> list[str]:
        checked.append(tuple(urls))
        begun.set()
        if urls == ("old",):
            await asyncio.Event().wait()  # a pod that never gets ready ...
        return ["a note"]

    waiting = asyncio.create_task(waited(replicas, check))
    await asyncio.wait_for(begun.wait(), 5)
    replicas.update(["new"])  # ... and is replaced
    assert await asyncio.wait_for(waiting, 5) == ["a note"]
    assert checked == [("old",), ("new",)]


async def test_a_server_without_any_pod_is_told_with_the_reason() -> None:
    async def check(_urls: Sequence[str]) -> list[str]:
        raise AssertionError("there is nothing to check")

    with pytest.raises(ServerError, match=r"'model' has no pod that is ready after 0\.01 s: no name"):
        await waited(Replicas(changing=True), check, ready_timeout_seconds=0.01)
