"""Runs whose processes are killed again and again, each at any moment, go on and ask nothing twice."""

import os
import secrets
from collections import Counter
from collections.abc import Callable

import pytest
from tests.kill.checking import check_everything_once
from tests.kill.killing import TARGETS, KilledRun, draw

ENGINE = {"seed": 7, "preface-words": "1-24", "speed": 0.25}
"""Answers of 100 ms to 1 s."""


def test_five_kills_of_five_processes_lose_nothing_and_ask_nothing_twice(
    killed_run: Callable[..., KilledRun],
) -> None:
    run = killed_run(questions=60, **ENGINE)
    run.suffer(draw(4, each=1, busy_seconds=2.5))
    run.finish()
    assert set(run.killed) == set(TARGETS)
    check_everything_once(run.folder, questions=60, starts=run.starts)


@pytest.mark.kill
def test_many_kills_lose_nothing_and_ask_nothing_twice(killed_run: Callable[..., KilledRun]) -> None:
    seed = int(os.environ.get("JOULEBENCH_KILL_SEED") or secrets.randbelow(1_000_000))
    each = int(os.environ.get("JOULEBENCH_KILL_EACH") or 10)
    run = killed_run(questions=60 * each, **ENGINE)
    run.say(f"seed {seed}; the same again: make test-kill SEED={seed} EACH={each}")
    run.suffer(draw(seed, each=each, busy_seconds=4.0 * each))
    run.finish()
    assert set(Counter(run.killed).values()) == {each}
    run.say(f"{len(run.killed)} kills in {run.starts} starts")
    check_everything_once(run.folder, questions=60 * each, starts=run.starts)
