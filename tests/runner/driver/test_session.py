"""What the driver tells of questions that end, and when."""

from types import SimpleNamespace
from typing import Any

import pytest

from joulebench_api.contracts.meter import Finish, ResolvedTask
from joulebench_runner.driver import session as module
from joulebench_runner.driver.queries import ErrorLimit, Query, QueryBook
from joulebench_runner.driver.session import Session


class Told:
    """A meter that remembers what it was told."""

    def __init__(self) -> None:
        self.finishes: list[Finish] = []

    async def finish(self, finish: Finish) -> None:
        self.finishes.append(finish)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def session(told: Told, monkeypatch: pytest.MonkeyPatch) -> Session:
    def finish(sample: Any, query: Query, *, scored: bool) -> Finish:
        return Finish(query_id=query.query_id, attempt=query.attempt, error=sample.error, response="four")

    monkeypatch.setattr(module, "finish_of", finish)
    book = QueryBook(ResolvedTask(name="t", revision="1", records=2, epochs=1, sha256=""), ["a", "b"])
    return Session(
        control=told,  # type: ignore[arg-type]  # as much of a meter as is asked for
        book=book,
        limit=ErrorLimit(None, questions=2),
        task_name="t",
        scored=True,
    )


def sample(record_id: str, error: str | None = None) -> Any:
    return SimpleNamespace(id=record_id, epoch=1, error=error)


async def test_an_answer_is_told_at_once_also_when_the_run_then_ends(session: Session, told: Told) -> None:
    session.end(sample("a"))
    session.close()
    await session.drain()
    assert [finish.response for finish in told.finishes] == ["four"]


async def test_a_failure_is_told_if_the_run_goes_on(
    session: Session, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FAILURE_SECONDS", 0.0)
    session.end(sample("a", "HTTP 500"))
    await session.drain()
    assert [finish.error for finish in told.finishes] == ["HTTP 500"]
    assert session.limit.errors == 1


async def test_a_failure_that_the_end_of_the_run_explains_is_none(session: Session, told: Told) -> None:
    session.end(sample("a", "the server closed the connection"))
    session.close()
    await session.drain()
    session.end(sample("b", "the run is ending"))
    await session.drain()
    assert told.finishes == []
