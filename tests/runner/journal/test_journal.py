"""The journal: what was acknowledged is on disk, and what is on disk can be read, wherever the writer was cut off."""

import asyncio
import errno
import os
import shutil
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from joulebench_runner.errors import JournalError
from joulebench_runner.journal import schema
from joulebench_runner.journal.clock import Clock, boot_id
from joulebench_runner.journal.reader import read
from joulebench_runner.journal.schema import Kind
from joulebench_runner.journal.writer import SEGMENT_SECONDS, Journal


class FakeTime:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000

    @property
    def clock(self) -> Clock:
        return Clock(monotonic_ns=lambda: self.now_ns, realtime_ns=lambda: self.now_ns + 5)


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
async def make(tmp_path: Path, time: FakeTime) -> AsyncIterator[Callable[..., Journal]]:
    """Opens journals in `tmp_path` and closes them at the end."""
    made: list[Journal] = []

    def open_one(**options: Any) -> Journal:
        names = {"run_id": "run-1", "run_name": "a run", "instance_id": "meter-1", "boot": "boot-1"}
        made.append(Journal(tmp_path, **(names | {"clock": time.clock} | options)))
        return made[-1]

    yield open_one
    for journal in made:
        if journal.error is None:
            await journal.close()


def note(journal: Journal, text: str) -> None:
    journal.append(Kind.NOTE, topic="test", subject="s", message=text)


def notes(folder: Path) -> list[str]:
    messages: list[Any] = read(folder).table(Kind.NOTE)["message"].to_pylist()
    return messages


async def test_committed_rows_are_read_back_with_their_segment(
    tmp_path: Path, make: Callable[..., Journal], time: FakeTime
) -> None:
    journal = make()
    note(journal, "one")
    time.now_ns += 7
    note(journal, "two")
    await journal.commit()
    contents = read(tmp_path)
    table = contents.table(Kind.NOTE)
    assert table["message"].to_pylist() == ["one", "two"]
    assert table["sequence"].to_pylist() == [0, 1]
    assert table["time_ns"].to_pylist() == [1_000_000_000, 1_000_000_007]
    assert table["instance_id"].to_pylist() == ["meter-1", "meter-1"]
    assert table["boot_id"].to_pylist() == ["boot-1", "boot-1"]
    (segment,) = contents.segments
    assert (segment.run_id, segment.run_name, segment.rows, segment.closed) == ("run-1", "a run", 2, False)
    assert segment.realtime_ns - segment.monotonic_ns == 5
    assert contents.problems == []


async def test_every_kind_comes_back_under_its_own_fields(tmp_path: Path, make: Callable[..., Journal]) -> None:
    journal = make()
    journal.append(Kind.TICKS, exporter="e", device="d", first_sequence=3, time_ns=[5, 6], energy_mj=[1, 2])
    journal.append(Kind.PING, exporter="e", boot_id="exporter boot", t0_ns=1, t1_ns=2, t2_ns=3, t3_ns=4)
    await journal.commit()
    contents = read(tmp_path)
    ticks = contents.table(Kind.TICKS)
    assert ticks["time_ns"].to_pylist() == [[5, 6]]
    assert ticks["row_time_ns"].to_pylist() == [1_000_000_000]
    assert contents.table(Kind.PING)["boot_id"].to_pylist() == ["exporter boot"]
    assert contents.table(Kind.PING)["row_boot_id"].to_pylist() == ["boot-1"]
    for kind in Kind:
        assert set(schema.FIELDS[kind]) <= set(contents.table(kind).column_names)


async def test_a_missing_folder_is_an_empty_journal(tmp_path: Path) -> None:
    contents = read(tmp_path / "nothing")
    assert (contents.segments, contents.problems) == ([], [])
    assert contents.table(Kind.CALL).num_rows == 0


async def test_commit_returns_only_after_the_fsync_that_covers_its_rows(
    tmp_path: Path, make: Callable[..., Journal]
) -> None:
    on_disk: list[int] = []

    def recording_fsync(descriptor: int) -> None:
        os.fsync(descriptor)
        on_disk.append(len(notes(tmp_path)))

    journal = make(fsync=recording_fsync)
    for count in range(1, 6):
        note(journal, str(count))
        await journal.commit()
        assert on_disk[-1] == count


async def test_everybody_who_waits_is_served_by_one_fsync(make: Callable[..., Journal]) -> None:
    synced: list[int] = []
    journal = make(fsync=synced.append)

    async def finish(number: int) -> None:
        note(journal, str(number))
        await journal.commit()

    await asyncio.gather(*(finish(number) for number in range(100)))
    # The segment's folder, and at most one batch under way when the others arrived plus the one for all of them.
    assert len(synced) <= 3


async def test_rows_nobody_waits_for_are_written_soon(tmp_path: Path, make: Callable[..., Journal]) -> None:
    written = asyncio.Event()
    loop = asyncio.get_running_loop()

    def fsync(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            loop.call_soon_threadsafe(written.set)

    journal = make(fsync=fsync)
    note(journal, "alone")
    await asyncio.wait_for(written.wait(), timeout=5)
    assert notes(tmp_path) == ["alone"]


async def test_a_segment_is_closed_after_five_seconds(
    tmp_path: Path, make: Callable[..., Journal], time: FakeTime
) -> None:
    journal = make()
    note(journal, "one")
    await journal.commit()
    time.now_ns += int(SEGMENT_SECONDS * 1e9)
    note(journal, "two")
    await journal.commit()
    note(journal, "three")
    await journal.commit()
    segments = read(tmp_path).segments
    assert [(segment.path.name, segment.rows, segment.closed) for segment in segments] == [
        ("00000001.arrows", 2, True),
        ("00000002.arrows", 1, False),
    ]


async def test_a_segment_is_closed_when_it_is_large(tmp_path: Path, make: Callable[..., Journal]) -> None:
    journal = make()
    note(journal, os.urandom(5_000_000).hex())
    await journal.commit()
    note(journal, "next")
    await journal.commit()
    assert [segment.closed for segment in read(tmp_path).segments] == [True, False]


async def test_a_new_writer_goes_on_after_the_segments_that_are_there(
    tmp_path: Path, make: Callable[..., Journal]
) -> None:
    for number in (1, 2):
        journal = make(instance_id=f"meter-{number}")
        note(journal, str(number))
        await journal.close()
    contents = read(tmp_path)
    assert contents.table(Kind.NOTE)["instance_id"].to_pylist() == ["meter-1", "meter-2"]
    assert all(segment.closed for segment in contents.segments)


@pytest.fixture
async def three_batches(tmp_path: Path, make: Callable[..., Journal]) -> tuple[bytes, list[int]]:
    """A stream of three batches that was never closed, and its length after each batch."""
    journal = make()
    ends = []
    for text in ("one", "two", "three"):
        note(journal, text)
        await journal.commit()
        ends.append((tmp_path / "00000001.arrows").stat().st_size)
    return (tmp_path / "00000001.arrows").read_bytes(), ends


async def test_a_stream_cut_anywhere_loses_only_the_cut_batch(
    tmp_path: Path, three_batches: tuple[bytes, list[int]]
) -> None:
    stream, ends = three_batches
    cut_folder = tmp_path / "cut"
    cut_folder.mkdir()
    # Every byte around the ends of batches and in the heads after them, and a comb over the rest.
    near = {end + step for end in (0, *ends) for step in range(-40, 41)}
    for length in sorted(near | set(range(0, len(stream), 97))):
        if not 0 <= length <= len(stream):
            continue
        (cut_folder / "00000001.arrows").write_bytes(stream[:length])
        contents = read(cut_folder)
        whole = sum(end <= length for end in ends)
        assert contents.table(Kind.NOTE)["message"].to_pylist() == ["one", "two", "three"][:whole]
        if length in ends:
            assert contents.problems == []
        elif length < ends[0] or length - ends[whole - 1] >= 8:
            assert len(contents.problems) == 1
            assert "00000001.arrows: cut off" in contents.problems[0]


async def test_a_cut_segment_does_not_hide_those_after_it(
    tmp_path: Path, make: Callable[..., Journal], three_batches: tuple[bytes, list[int]]
) -> None:
    stream, _ = three_batches
    (tmp_path / "00000001.arrows").write_bytes(stream[:-10])
    journal = make()
    note(journal, "later")
    await journal.commit()
    assert notes(tmp_path) == ["one", "two", "later"]


async def test_missing_segments_are_named(tmp_path: Path, make: Callable[..., Journal]) -> None:
    journal = make()
    note(journal, "one")
    await journal.close()
    shutil.copy(tmp_path / "00000001.arrows", tmp_path / "00000004.arrows")
    assert read(tmp_path).problems == ["missing segments: 00000002.arrows, 00000003.arrows"]


def write_segment(folder: Path, metadata: dict[str, str], fields: list[tuple[str, Any]], row: dict[str, Any]) -> None:
    made = pa.schema([pa.field(name, type_) for name, type_ in fields]).with_metadata(metadata)
    with pa.ipc.new_stream(str(folder / "00000001.arrows"), made) as stream:
        stream.write_batch(pa.RecordBatch.from_pylist([row], schema=made))


def test_a_newer_schema_is_refused_and_says_who_reads_it(tmp_path: Path) -> None:
    write_segment(tmp_path, {schema.META_SCHEMA_VERSION: "99"}, [("kind", pa.string())], {"kind": "note"})
    with pytest.raises(JournalError, match="schema version 99") as caught:
        read(tmp_path)
    assert caught.value.remedy == "Read it with a joulebench that knows schema version 99."


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    write_segment(tmp_path, {}, [("kind", pa.string())], {"kind": "note"})
    with pytest.raises(JournalError, match="not a journal segment"):
        read(tmp_path)


def test_fields_that_an_older_writer_did_not_know_are_null(tmp_path: Path) -> None:
    old_note = pa.struct([("topic", pa.string())])
    fields = [("sequence", pa.int64()), ("kind", pa.string()), ("time_ns", pa.int64()), ("note", old_note)]
    row = {"sequence": 0, "kind": "note", "time_ns": 1, "note": {"topic": "old"}}
    write_segment(tmp_path, {schema.META_SCHEMA_VERSION: "1"}, fields, row)
    table = read(tmp_path).table(Kind.NOTE)
    assert table.select(["topic", "message"]).to_pylist() == [{"topic": "old", "message": None}]
    assert read(tmp_path).table(Kind.CALL).num_rows == 0
    assert read(tmp_path).table(Kind.LOOK).num_rows == 0


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        (Kind.NOTE, {"massage": "x"}, "no field 'massage'"),
        (Kind.NOTE, {"message": 3}, "note.message"),
        (Kind.CALL, {"status": "200"}, "call.status"),
        (Kind.CALL, {"content_chunk_ns": 3}, "call.content_chunk_ns"),
    ],
)
async def test_a_wrong_row_is_refused_and_harms_nothing(
    tmp_path: Path, make: Callable[..., Journal], kind: Kind, fields: dict[str, Any], words: str
) -> None:
    journal = make()
    with pytest.raises(TypeError, match=words):
        journal.append(kind, **fields)
    note(journal, "good")
    await journal.commit()
    assert notes(tmp_path) == ["good"]


async def test_after_a_write_error_nothing_is_acknowledged(tmp_path: Path, make: Callable[..., Journal]) -> None:
    full = False

    def fsync(descriptor: int) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)

    journal = make(fsync=fsync)
    note(journal, "before")
    await journal.commit()
    full = True
    for text in ("during", "after"):
        note(journal, text)
        with pytest.raises(JournalError, match="No space left") as caught:
            await journal.commit()
        assert "Free space" in (caught.value.remedy or "")
        full = False  # room again is no reason to trust what was cut
    assert journal.failed.is_set()
    with pytest.raises(JournalError):
        await journal.close()
    assert "before" in notes(tmp_path)


async def test_everybody_who_waits_hears_of_the_write_error(make: Callable[..., Journal]) -> None:
    def fsync(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    journal = make(fsync=fsync)

    async def finish() -> None:
        note(journal, "x")
        await journal.commit()

    results = await asyncio.gather(*(finish() for _ in range(5)), return_exceptions=True)
    assert all(isinstance(result, JournalError) for result in results)


async def test_text_that_is_no_unicode_is_a_write_error_not_a_silent_loss(make: Callable[..., Journal]) -> None:
    journal = make()
    note(journal, "\ud800")
    with pytest.raises(JournalError):
        await journal.commit()


async def test_a_folder_that_cannot_be_made_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot write the journal") as caught:
        Journal(tmp_path / "file" / "journal", run_id="r", run_name="r", instance_id="m", boot="b")
    assert caught.value.remedy


async def test_rows_after_close_are_refused(make: Callable[..., Journal]) -> None:
    journal = make()
    await journal.close()
    with pytest.raises(JournalError, match="closed"):
        note(journal, "late")


def test_this_machine_has_a_boot_id() -> None:
    assert boot_id() == boot_id() != ""


async def test_rows_nobody_waits_for_are_written_soon_in_an_open_segment_too(
    tmp_path: Path, make: Callable[..., Journal]
) -> None:
    written = asyncio.Event()
    loop = asyncio.get_running_loop()
    journal = make(fsync=lambda _descriptor: loop.call_soon_threadsafe(written.set))
    note(journal, "waited for")
    await journal.commit()
    await asyncio.sleep(0)  # the timer that closes the segment is set now
    written.clear()
    note(journal, "alone")
    # The segment would be closed only after five seconds.
    await asyncio.wait_for(written.wait(), timeout=4)
    assert notes(tmp_path) == ["waited for", "alone"]


async def test_each_segment_is_told_once_it_is_closed(
    tmp_path: Path, make: Callable[..., Journal], time: FakeTime
) -> None:
    closed: list[tuple[str, bool]] = []

    def on_closed(path: Path) -> None:
        closed.append((path.name, read(tmp_path).segments[-1].closed))

    journal = make(on_closed=on_closed)
    note(journal, "one")
    await journal.commit()
    assert closed == []
    time.now_ns += int(SEGMENT_SECONDS * 1e9)
    note(journal, "two")
    await journal.commit()
    assert closed == [("00000001.arrows", True)]
    note(journal, "three")
    await journal.close()
    assert [name for name, _ in closed] == ["00000001.arrows", "00000002.arrows"]


@given(at=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_damage_anywhere_is_reported_never_hidden(closed_segment: Path, at: float, bits: int) -> None:
    whole = closed_segment.read_bytes()
    damaged = bytearray(whole)
    place = int(at * len(whole))
    damaged[place] ^= bits
    folder = closed_segment.parent / "damaged"
    folder.mkdir(exist_ok=True)
    (folder / closed_segment.name).write_bytes(damaged)
    try:
        contents = read(folder)
    except JournalError:
        return  # it does not even look like a segment any more
    found = contents.table(Kind.NOTE)["message"].to_pylist()
    assert contents.problems or found == ["one", "two", "three"]
    assert set(found) <= {"one", "two", "three"}


@pytest.fixture
async def closed_segment(tmp_path: Path, make: Callable[..., Journal]) -> Path:
    """One segment of three batches, closed in order."""
    journal = make()
    for text in ("one", "two", "three"):
        note(journal, text)
        await journal.commit()
    await journal.close()
    return tmp_path / "00000001.arrows"


def test_a_damaged_batch_does_not_hide_those_after_it(closed_segment: Path) -> None:
    whole = closed_segment.read_bytes()
    place = whole.index(b"two")
    closed_segment.write_bytes(whole[:place] + b"six" + whole[place + 3 :])
    contents = read(closed_segment.parent)
    assert contents.table(Kind.NOTE)["message"].to_pylist() == ["one", "three"]
    assert contents.problems == ["00000001.arrows: damaged: 1 rows are not what was written"]
    assert not contents.segments[0].closed


def test_garbage_in_the_middle_is_not_taken_for_a_cut(closed_segment: Path) -> None:
    whole = closed_segment.read_bytes()
    place = whole.index(b"one") + 200
    closed_segment.write_bytes(whole[:place] + os.urandom(1000) + whole[place + 1000 :])
    (problem,) = read(closed_segment.parent).problems
    assert "damaged" in problem


@pytest.mark.parametrize("damaged", [b"\xf5equence", b"zequence"])
def test_a_column_whose_name_is_damaged_is_reported(closed_segment: Path, damaged: bytes) -> None:
    whole, length = closed_segment.read_bytes(), b"\x08\0\0\0"
    closed_segment.write_bytes(whole.replace(length + b"sequence", length + damaged))
    contents = read(closed_segment.parent)
    assert contents.problems == ["00000001.arrows: damaged before its first row"]
    assert contents.table(Kind.NOTE).num_rows == 0
