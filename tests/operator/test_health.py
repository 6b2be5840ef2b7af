"""The probes: when is the process to be started anew?"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest
from tests.operator.turned_loop import TurnedLoop

from joulebench_operator import web
from joulebench_operator.auditing import Audit
from joulebench_operator.cache import Cache
from joulebench_operator.errors import BadOptionError
from joulebench_operator.health import STUCK_SECONDS, Health
from joulebench_operator.kinds import MODEL_SERVER, Key, Kind
from joulebench_operator.work_queue import WorkQueue

LLAMA = Key("ModelServer", "team", "llama")


def server(version: int) -> dict[str, Any]:
    return {"kind": "ModelServer", "metadata": {"name": "llama", "namespace": "team", "resourceVersion": str(version)}}


class Lists:
    """The API server's lists; only the ModelServer llama is there, until its version is None."""

    def __init__(self) -> None:
        self.version: int | None = 1
        self.away = False

    async def versions(self, kind: Kind, namespace: str | None, *, selector: str | None) -> dict[Key, str]:
        if self.away:
            raise aiohttp.ClientConnectionError
        return {LLAMA: str(self.version)} if kind == MODEL_SERVER and self.version is not None else {}


def audit(cache: Cache, lists: Lists, *, namespaces: Sequence[str] = (), gone: list[Any] | None = None) -> Audit:
    kube: Any = lists
    return Audit(cache=cache, kube=kube, namespaces=namespaces, gone=[].append if gone is None else gone.append)


def test_before_it_leads_it_is_well() -> None:
    assert Health().problem() is None


def test_a_visit_that_never_ends_is_noticed(loop: TurnedLoop) -> None:
    async def story() -> str | None:
        queue = WorkQueue()
        queue.add(LLAMA)
        await queue.get()
        await asyncio.sleep(STUCK_SECONDS + 1)
        return Health(queue=queue).problem()

    assert "a visit has taken" in (loop.run_until_complete(story()) or "")


def test_a_queue_that_nobody_works_on_is_noticed(loop: TurnedLoop) -> None:
    async def story() -> str | None:
        queue = WorkQueue()
        queue.add(LLAMA)
        await asyncio.sleep(STUCK_SECONDS + 1)
        return Health(queue=queue).problem()

    assert "has waited" in (loop.run_until_complete(story()) or "")


def test_nothing_is_begun_before_the_watches_have_told_all_that_there_is(loop: TurnedLoop) -> None:
    async def story() -> None:
        cache = Cache()
        waiting = asyncio.create_task(audit(cache, Lists()).until_whole())
        await asyncio.sleep(60)
        assert not waiting.done()
        cache.put(server(1))
        await waiting

    loop.run_until_complete(story())


def test_what_was_listed_and_has_gone_is_not_waited_for(loop: TurnedLoop) -> None:
    async def story() -> None:
        lists = Lists()
        waiting = asyncio.create_task(audit(Cache(), lists).until_whole())
        await asyncio.sleep(1)
        lists.version = None
        await waiting

    loop.run_until_complete(story())


def test_a_picture_is_not_whole_because_nobody_can_tell_what_there_is(loop: TurnedLoop) -> None:
    async def story() -> None:
        cache, lists = Cache(), Lists()
        lists.away = True
        waiting = asyncio.create_task(audit(cache, lists).until_whole())
        await asyncio.sleep(60)
        assert not waiting.done()
        cache.put(server(1))
        lists.away = False
        await waiting

    loop.run_until_complete(story())


async def test_a_watch_that_has_died_without_a_word_is_noticed() -> None:
    cache, lists = Cache(), Lists()
    cache.put(server(1))
    found = audit(cache, lists)
    await found.round(grace_seconds=0)
    assert Health(audit=found).problem() is None
    lists.version = 2
    await found.round(grace_seconds=0)
    assert Health(audit=found).problem() == f"the watches have not told of {LLAMA} and 0 others"
    cache.put(server(2))
    await found.round(grace_seconds=0)
    assert Health(audit=found).problem() is None


async def test_a_change_that_the_watch_tells_a_moment_later_is_no_fault() -> None:
    cache, lists = Cache(), Lists()
    found = audit(cache, lists)
    looking = asyncio.create_task(found.round(grace_seconds=0.01))
    await asyncio.sleep(0)
    cache.put(server(1))
    await looking
    assert found.missed == []


async def test_what_is_removed_meanwhile_is_no_fault_of_the_watch() -> None:
    lists = Lists()
    found = audit(Cache(), lists)
    looking = asyncio.create_task(found.round(grace_seconds=0.01))
    await asyncio.sleep(0)
    lists.version = None
    await looking
    assert found.missed == []


async def test_what_has_gone_without_a_word_is_told() -> None:
    cache, lists, gone = Cache(), Lists(), list[Any]()
    cache.put(server(1))
    found = audit(cache, lists, gone=gone)
    await found.round(grace_seconds=0)
    assert gone == []
    lists.version = None
    await found.round(grace_seconds=0)
    assert [one["metadata"]["name"] for one in gone] == ["llama"]
    assert found.missed == []


@pytest.mark.parametrize("version", [2, None], ids=["changed", "removed"])
async def test_what_the_watch_tells_a_moment_later_is_not_told_twice(version: int | None) -> None:
    cache, lists, gone = Cache(), Lists(), list[Any]()
    cache.put(server(1))
    lists.version = None
    looking = asyncio.create_task(audit(cache, lists, gone=gone).round(grace_seconds=0.01))
    await asyncio.sleep(0)
    if version is None:
        cache.end(server(1))
    else:
        cache.put(server(version))
    await looking
    assert gone == []


async def test_what_others_tell_of_other_namespaces_is_left_to_them() -> None:
    cache, lists, gone = Cache(), Lists(), list[Any]()
    cache.put(server(1))
    lists.version = None
    await audit(cache, lists, namespaces=["elsewhere"], gone=gone).round(grace_seconds=0)
    assert gone == []


async def test_an_api_server_that_is_away_is_no_dead_watch() -> None:
    lists = Lists()
    lists.away = True
    found = audit(Cache(), lists)
    await found.round(grace_seconds=0)
    assert found.missed == []


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


async def test_probes_and_metrics_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, probes, health = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}", Health()
    async with (
        web.serving(metrics_listen=metrics, probes_listen=probes, health=health),
        aiohttp.ClientSession() as http,
    ):
        async with http.get(f"http://{probes}/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok")
        monkeypatch.setattr(Health, "problem", lambda _: "stuck")
        async with http.get(f"http://{probes}/readyz") as answer:
            assert (answer.status, await answer.text()) == (503, "stuck")
        async with http.get(f"http://{metrics}/metrics") as answer:
            text = await answer.text()
    for name in ("workqueue_depth", "controller_runtime_reconcile_total", "leader_election_master_status"):
        assert f"# TYPE {name}" in text or f"# TYPE {name.removesuffix('_total')}" in text


async def test_an_address_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BadOptionError, match="cannot listen at"):
            async with web.serving(metrics_listen=address, probes_listen="127.0.0.1:0", health=Health()):
                pass
