"""Segments are copied as they close, and nobody waits for that."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.object_stores import Gate

from joulebench_runner.config import StoreSettings
from joulebench_runner.errors import StoreError
from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import Kind
from joulebench_runner.journal.writer import Journal
from joulebench_runner.store import Store, bring_back, open_store
from joulebench_runner.store.copier import Copier
from joulebench_runner.store.patience import Patience

DEADLINE_SECONDS = 30


async def until(true: Callable[[], bool]) -> None:
    """Wait for what other threads do."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not true():  # noqa: ASYNC110 - threads that know no event of ours
            await asyncio.sleep(0.01)


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def segment(folder: Path, opened: Callable[..., Journal], copier: Copier, text: str) -> None:
    """Write and close one segment."""
    journal = opened(folder, on_closed=copier.segment_closed)
    journal.append(Kind.NOTE, topic="test", subject="s", message=text)
    await journal.close()


def notes(folder: Path) -> list[str]:
    found: list[Any] = read(folder / "journal").table(Kind.NOTE)["message"].to_pylist()
    return found


async def test_a_segment_is_copied_when_it_closes(
    store: Store, tmp_path: Path, journal_in: Callable[..., Journal]
) -> None:
    folder = tmp_path / "local"
    copier = Copier(lambda: store, folder, url=store.url)
    task = asyncio.create_task(copier.run())
    await segment(folder, journal_in, copier, "one")
    await until(lambda: store.exists("journal/00000001.arrows"))
    await until(lambda: copier.state().behind == 0)
    assert copier.state().last_error is None
    await ended(task)
    copier.close()


async def test_settings_and_the_segments_of_earlier_starts_are_copied_first(store: Store, run_folder: Path) -> None:
    copier = Copier(lambda: store, run_folder, url=store.url)
    assert copier.state().behind == 2
    task = asyncio.create_task(copier.run())
    await until(lambda: copier.state().behind == 0)
    await ended(task)
    copier.close()
    assert set(store.list()) == {"settings/meter.json", "journal/00000001.arrows", "journal/00000002.arrows"}


async def test_a_file_that_is_gone_by_then_holds_nothing_up(store: Store, run_folder: Path) -> None:
    copier = Copier(lambda: store, run_folder, url=store.url)
    (run_folder / "settings/meter.json").unlink()
    task = asyncio.create_task(copier.run())
    await until(lambda: copier.state().behind == 0)
    await ended(task)
    copier.close()
    assert copier.state().last_error is None


async def test_a_run_that_goes_on_has_no_summary_in_its_store(store: Store, run_folder: Path) -> None:
    store.put(run_folder / "summary.json", "summary.json")
    copier = Copier(lambda: store, run_folder, url=store.url)
    task = asyncio.create_task(copier.run())
    await until(lambda: copier.state().behind == 0)
    await ended(task)
    assert not store.exists("summary.json")
    await copier.finish()
    copier.close()
    assert store.exists("summary.json")


@pytest.fixture
def away(gate: Gate, bucket: StoreSettings) -> Callable[[], Store]:
    """Opens the S3 store behind the gate."""
    settings = bucket.model_copy(update={"endpoint": gate.endpoint})
    return lambda: open_store(settings, environ={})


@pytest.fixture
def impatient() -> Callable[[float], Awaitable[None]]:
    """Waits that take no time."""

    async def sleep(_seconds: float) -> None:
        await asyncio.sleep(0.01)

    return sleep


async def test_a_store_that_is_away_for_a_while_gets_everything_in_the_end(
    *,
    gate: Gate,
    bucket: StoreSettings,
    away: Callable[[], Store],
    impatient: Callable[[float], Awaitable[None]],
    tmp_path: Path,
    journal_in: Callable[..., Journal],
) -> None:
    folder = tmp_path / "local"
    copier = Copier(away, folder, url=bucket.url, sleep=impatient)
    task = asyncio.create_task(copier.run())
    await segment(folder, journal_in, copier, "before")
    await until(lambda: copier.state().behind == 0)
    gate.shut()
    for text in ("during", "still away"):
        # Closing does not wait for the store: an answer is acknowledged as ever.
        await asyncio.wait_for(segment(folder, journal_in, copier, text), DEADLINE_SECONDS)
    await until(lambda: copier.state().last_error is not None)
    assert copier.state().behind == 2
    assert "cannot" in (copier.state().last_error or "")
    gate.open()
    await until(lambda: copier.state().behind == 0)
    assert copier.state().last_error is None
    await ended(task)
    await copier.finish()
    copier.close()
    assert bring_back(open_store(bucket, environ={}), tmp_path / "elsewhere")
    assert notes(tmp_path / "elsewhere") == ["before", "during", "still away"]


async def test_a_store_that_is_away_at_the_end_is_told_and_gets_the_rest_later(
    gate: Gate, bucket: StoreSettings, away: Callable[[], Store], run_folder: Path
) -> None:
    gate.shut()
    copier = Copier(away, run_folder, url=bucket.url)
    with pytest.raises(StoreError, match="cannot") as caught:
        await copier.finish(patience=Patience(seconds=0))
    assert caught.value.remedy
    assert copier.state().last_error == caught.value.message
    gate.open()
    await copier.finish(patience=Patience(seconds=0))
    copier.close()
    assert "summary.json" in open_store(bucket, environ={}).list()
    assert copier.state().behind == 0


async def test_a_store_that_never_answers_keeps_nobody_waiting(
    tmp_path: Path, journal_in: Callable[..., Journal]
) -> None:
    answered = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hangs() -> Store:
        asyncio.run_coroutine_threadsafe(answered.wait(), loop).result(DEADLINE_SECONDS)
        raise StoreError("too late")

    copier = Copier(hangs, tmp_path, url="s3://bench/run")
    task = asyncio.create_task(copier.run())
    journal = journal_in(tmp_path, on_closed=copier.segment_closed)
    for number in range(20):
        journal.append(Kind.NOTE, topic="test", subject="s", message=str(number))
        await asyncio.wait_for(journal.commit(), DEADLINE_SECONDS)
    await journal.close()
    assert len(notes(tmp_path)) == 20
    await until(lambda: copier.state().behind == 1)
    answered.set()
    await ended(task)
    copier.close()
