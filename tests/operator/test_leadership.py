"""One leader at a time, on a loop whose time we turn."""

import asyncio
import math
from typing import Any

import pytest
from tests.operator.fake_kube import FakeKube, refusal
from tests.operator.turned_loop import TurnedLoop

from joulebench_operator.leadership import LEASE_SECONDS, RENEW_SECONDS, RETRY_SECONDS, Candidacy, Election, lead


def candidate(kube: FakeKube, name: str) -> Election:
    api: Any = kube
    return Election(Candidacy("system", "operator", name), kube=api, clock=asyncio.get_running_loop().time)


class Work:
    """Work that goes on until it is cancelled."""

    def __init__(self) -> None:
        self.began_seconds: float | None = None

    async def __call__(self) -> None:
        self.began_seconds = asyncio.get_running_loop().time()
        await asyncio.Event().wait()


def test_the_first_leads_and_the_second_waits_until_the_first_is_dead(loop: TurnedLoop) -> None:
    async def story() -> float:
        kube, works = FakeKube(), [Work(), Work()]
        first = asyncio.create_task(lead(candidate(kube, "a"), name="operator", work=works[0]))
        await asyncio.sleep(1)
        second = asyncio.create_task(lead(candidate(kube, "b"), name="operator", work=works[1]))
        await asyncio.sleep(100)
        assert [work.began_seconds for work in works] == [0, None]
        died = asyncio.get_running_loop().time()
        first.cancel()
        await asyncio.sleep(60)
        second.cancel()
        return (works[1].began_seconds or math.inf) - died

    assert loop.run_until_complete(story()) <= LEASE_SECONDS + RETRY_SECONDS


def test_who_resigns_is_followed_at_once(loop: TurnedLoop) -> None:
    async def story() -> float:
        kube = FakeKube()
        first, second = candidate(kube, "a"), candidate(kube, "b")
        await first.won()
        waiting = asyncio.create_task(second.won())
        await asyncio.sleep(1)
        await first.resign()
        before = asyncio.get_running_loop().time()
        await waiting
        return asyncio.get_running_loop().time() - before

    assert loop.run_until_complete(story()) <= RETRY_SECONDS


def test_a_leader_that_cannot_renew_stops_its_work_before_another_may_begin(loop: TurnedLoop) -> None:
    async def story() -> float:
        kube, work = FakeKube(), Work()
        leading = asyncio.create_task(lead(candidate(kube, "a"), name="operator", work=work))
        await asyncio.sleep(1)
        kube.refuses["read"] = refusal(503)
        before = asyncio.get_running_loop().time()
        await leading
        return asyncio.get_running_loop().time() - before

    assert RENEW_SECONDS - RETRY_SECONDS <= loop.run_until_complete(story()) < LEASE_SECONDS


def test_a_short_outage_of_the_api_server_is_outlived(loop: TurnedLoop) -> None:
    async def story() -> bool:
        kube = FakeKube()
        leading = asyncio.create_task(lead(candidate(kube, "a"), name="operator", work=Work()))
        await asyncio.sleep(1)
        kube.refuses["read"] = refusal(503)
        await asyncio.sleep(RENEW_SECONDS / 2)
        del kube.refuses["read"]
        await asyncio.sleep(60)
        still = not leading.done()
        leading.cancel()
        return still

    assert loop.run_until_complete(story())


def test_the_end_of_the_work_is_the_end_of_leading_and_its_error_is_heard(loop: TurnedLoop) -> None:
    async def broken() -> None:
        raise ValueError("a watch died")

    async def story() -> None:
        await lead(candidate(FakeKube(), "a"), name="operator", work=broken)

    with pytest.raises(ValueError, match="a watch died"):
        loop.run_until_complete(story())
