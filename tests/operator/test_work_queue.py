"""The work queue, on a loop whose time we turn."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from tests.operator.turned_loop import TurnedLoop

from joulebench_operator.kinds import Key
from joulebench_operator.work_queue import FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS, WorkQueue


def key(name: str) -> Key:
    return Key("BenchmarkRun", "team", name)


async def drain(queue: WorkQueue) -> list[Key]:
    """What the queue gives out without waiting for anything later."""
    found = []
    while queue.depth:
        taken = await queue.get()
        found.append(taken)
        queue.done(taken)
    return found


def test_a_key_that_is_added_many_times_is_given_out_once(loop: TurnedLoop) -> None:
    async def story() -> list[Key]:
        queue = WorkQueue()
        for name in ("a", "b", "a", "a"):
            queue.add(key(name))
        return await drain(queue)

    assert loop.run_until_complete(story()) == [key("a"), key("b")]


def test_newcomers_and_others_take_turns(loop: TurnedLoop) -> None:
    async def story() -> list[Key]:
        queue = WorkQueue()
        for name in "abc":
            queue.add(key(name))
        for name in "xyb":
            queue.add(key(name), is_new=True)
        assert queue.depth == 5
        return await drain(queue)

    assert loop.run_until_complete(story()) == [key(name) for name in "xaybc"]


def test_a_newcomer_is_one_once(loop: TurnedLoop) -> None:
    async def story() -> list[Key]:
        queue = WorkQueue()
        queue.add(key("x"), is_new=True)
        queue.add(key("x"))
        queue.add(key("x"), is_new=True)
        return await drain(queue)

    assert loop.run_until_complete(story()) == [key("x")]


def test_a_key_that_is_being_looked_at_comes_again_only_afterwards(loop: TurnedLoop) -> None:
    async def story() -> None:
        queue = WorkQueue()
        queue.add(key("a"))
        taken = await queue.get()
        queue.add(key("a"))
        assert queue.depth == 0
        queue.done(taken)
        assert await drain(queue) == [key("a")]

    loop.run_until_complete(story())


def test_a_key_for_later_comes_at_its_time_and_the_earliest_wish_counts(loop: TurnedLoop) -> None:
    async def story() -> float:
        queue = WorkQueue()
        queue.add_after(key("a"), 30)
        queue.add_after(key("a"), 10)
        queue.add_after(key("a"), 20)
        assert queue.depth == 0
        await queue.get()
        return asyncio.get_running_loop().time()

    assert loop.run_until_complete(story()) == 10


def test_a_key_that_is_added_at_once_is_not_given_out_again_for_its_old_wish(loop: TurnedLoop) -> None:
    async def story() -> list[Key]:
        queue = WorkQueue()
        queue.add_after(key("a"), 5)
        queue.add(key("a"))
        found = await drain(queue)
        await asyncio.sleep(10)
        return [*found, *await drain(queue)]

    assert loop.run_until_complete(story()) == [key("a")]


def test_failures_make_a_key_wait_ever_longer_until_it_goes_well(loop: TurnedLoop) -> None:
    async def story() -> list[float]:
        queue = WorkQueue()
        delays = [queue.failed(key("a")) for _ in range(12)]
        queue.succeeded(key("a"))
        return [*delays, queue.failed(key("a"))]

    delays = loop.run_until_complete(story())
    assert delays[:3] == [FIRST_DELAY_SECONDS, 2 * FIRST_DELAY_SECONDS, 4 * FIRST_DELAY_SECONDS]
    assert delays[-2:] == [LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS]


def test_a_server_that_says_when_to_come_again_is_heard(loop: TurnedLoop) -> None:
    async def story() -> float:
        return WorkQueue().failed(key("a"), at_least_seconds=17)

    assert loop.run_until_complete(story()) == 17


def test_what_is_gone_is_not_waited_for(loop: TurnedLoop) -> None:
    async def story() -> int:
        queue = WorkQueue()
        queue.add_after(key("a"), 5)
        queue.forget(key("a"))
        await asyncio.sleep(10)
        return queue.depth

    assert loop.run_until_complete(story()) == 0


def test_it_tells_how_long_the_oldest_waits_and_the_longest_visit_takes(loop: TurnedLoop) -> None:
    async def story() -> tuple[float, float]:
        queue = WorkQueue()
        queue.add(key("a"))
        queue.add(key("b"))
        await queue.get()
        await asyncio.sleep(7)
        return queue.oldest_seconds, queue.longest_processing_seconds

    assert loop.run_until_complete(story()) == (7, 7)


def test_it_tells_how_long_each_key_has_waited(loop: TurnedLoop) -> None:
    async def story() -> list[float]:
        told: list[float] = []
        queue = WorkQueue(waited=told.append)
        queue.add(key("a"))
        await asyncio.sleep(3)
        await drain(queue)
        return told

    assert loop.run_until_complete(story()) == [3]


@given(st.lists(st.tuples(st.sampled_from(["add", "new", "later", "fail", "take", "done"]), st.sampled_from("abc"))))
def test_no_key_is_ever_worked_on_twice_at_once_and_none_is_lost(steps: list[tuple[str, str]]) -> None:
    async def story() -> None:
        queue = WorkQueue()
        working: set[Key] = set()
        owed: set[Key] = set()
        for step, name in steps:
            match step:
                case "add" | "later":
                    owed.add(key(name))
                    (queue.add if step == "add" else lambda one: queue.add_after(one, 3))(key(name))
                case "new":
                    owed.add(key(name))
                    queue.add(key(name), is_new=True)
                case "fail":
                    owed.add(key(name))
                    queue.failed(key(name))
                case "take" if queue.depth:
                    taken = await queue.get()
                    assert taken not in working
                    working.add(taken)
                    owed.discard(taken)
                case "done" if key(name) in working:
                    working.discard(key(name))
                    queue.done(key(name))
        for one in working:
            queue.done(one)
        await asyncio.sleep(LONGEST_DELAY_SECONDS)
        assert owed <= set(await drain(queue))

    turned = TurnedLoop()
    try:
        turned.run_until_complete(story())
    finally:
        turned.close()
