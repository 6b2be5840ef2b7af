"""The ring: the last ticks, by sequence number and by time."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from joulebench_exporter.ring import Columns, Ring
from joulebench_exporter.ticks import Tick, TickFlag


def filled(*, capacity: int, ticks: int) -> Ring:
    """Tick n at time 100 n, with energy 7 n."""
    ring = Ring(capacity=capacity)
    for n in range(1, ticks + 1):
        ring.append(Tick(sequence=n, time_ns=100 * n, bracket_ns=n, energy_mj=7 * n, flags=TickFlag(n % 2)))
    return ring


def sequences(columns: Columns) -> list[int]:
    assert len(columns.bracket_ns) == len(columns.energy_mj) == len(columns.flags) == len(columns)
    assert [time_ns // 100 for time_ns in columns.time_ns] == [energy // 7 for energy in columns.energy_mj]
    first = columns.first_sequence
    assert [time_ns // 100 for time_ns in columns.time_ns] == list(range(first, first + len(columns)))
    return [time_ns // 100 for time_ns in columns.time_ns]


def test_a_new_ring_is_empty() -> None:
    ring = Ring(capacity=4)
    assert (ring.oldest, ring.newest) == (1, 0)
    assert sequences(ring.after(0, limit=10)) == []
    assert sequences(ring.window(from_ns=0, to_ns=10)) == []


def test_the_newest_ticks_are_kept() -> None:
    ring = filled(capacity=4, ticks=10)
    assert (ring.oldest, ring.newest) == (7, 10)
    assert sequences(ring.after(0, limit=10)) == [7, 8, 9, 10]


def test_reading_on_takes_the_oldest_first() -> None:
    ring = filled(capacity=8, ticks=10)
    assert sequences(ring.after(4, limit=3)) == [5, 6, 7]
    assert sequences(ring.after(7, limit=3)) == [8, 9, 10]
    assert sequences(ring.after(10, limit=3)) == []


def test_all_columns_come_through_unchanged() -> None:
    columns = filled(capacity=4, ticks=6).after(4, limit=2)
    assert [list(column) for column in (columns.bracket_ns, columns.flags)] == [[5, 6], [1, 0]]


def test_a_window_has_the_last_tick_before_it_and_the_first_one_after_it() -> None:
    ring = filled(capacity=8, ticks=8)
    assert sequences(ring.window(from_ns=250, to_ns=450)) == [2, 3, 4, 5]


def test_a_window_that_begins_and_ends_on_ticks_needs_no_others() -> None:
    ring = filled(capacity=8, ticks=8)
    assert sequences(ring.window(from_ns=200, to_ns=400)) == [2, 3, 4]
    assert sequences(ring.window(from_ns=300, to_ns=300)) == [3]


def test_a_window_between_two_ticks_is_these_two() -> None:
    assert sequences(filled(capacity=8, ticks=8).window(from_ns=310, to_ns=320)) == [3, 4]


def test_a_window_beyond_what_is_kept_gives_the_nearest_edge() -> None:
    ring = filled(capacity=4, ticks=8)
    assert sequences(ring.window(from_ns=0, to_ns=100)) == [5]
    assert sequences(ring.window(from_ns=900, to_ns=950)) == [8]
    assert sequences(ring.window(from_ns=0, to_ns=10_000)) == [5, 6, 7, 8]


def test_what_is_read_between_two_ticks_changes_nothing_for_later_reads() -> None:
    ring, read = Ring(capacity=4), list[list[int]]()
    for n in range(1, 8):
        ring.append(Tick(sequence=n, time_ns=100 * n, bracket_ns=n, energy_mj=7 * n))
        if n % 3 == 0:
            read.append(sequences(ring.after(0, limit=10)))
    assert read == [[1, 2, 3], [3, 4, 5, 6]]
    assert sequences(ring.after(0, limit=10)) == [4, 5, 6, 7]


def test_a_ring_that_grows_keeps_what_nobody_has_read_yet() -> None:
    ring = filled(capacity=4, ticks=3)
    ring.grow(capacity=8)
    assert sequences(ring.after(0, limit=10)) == [1, 2, 3]


def test_a_reader_beside_the_writer_gets_each_tick_once() -> None:
    ring, last, read = Ring(capacity=30_000), 20_000, list[int]()

    def write() -> None:
        for n in range(1, last + 1):
            ring.append(Tick(sequence=n, time_ns=100 * n, bracket_ns=n, energy_mj=7 * n))

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        read += sequences(ring.after(len(read), limit=1000))
    writer.join()
    while part := sequences(ring.after(len(read), limit=1000)):
        read += part
    assert read == list(range(1, last + 1))


@given(
    capacity=st.integers(min_value=1, max_value=9),
    ticks=st.integers(min_value=0, max_value=150),
    limit=st.integers(min_value=1, max_value=5),
)
def test_following_a_ring_gives_each_kept_tick_once(capacity: int, ticks: int, limit: int) -> None:
    ring, read = filled(capacity=capacity, ticks=ticks), list[int]()
    while part := sequences(ring.after(read[-1] if read else 0, limit=limit)):
        read += part
    assert read == list(range(max(1, ticks - capacity + 1), ticks + 1))


@given(
    capacity=st.integers(min_value=1, max_value=9),
    ticks=st.integers(min_value=1, max_value=150),
    from_ns=st.integers(min_value=0, max_value=15_200),
    length_ns=st.integers(min_value=0, max_value=3200),
)
def test_a_window_is_what_a_plain_search_finds(capacity: int, ticks: int, from_ns: int, length_ns: int) -> None:
    ring, to_ns = filled(capacity=capacity, ticks=ticks), from_ns + length_ns
    kept = range(ring.oldest, ticks + 1)
    before = [n for n in kept if 100 * n <= from_ns][-1:]
    between = [n for n in kept if from_ns < 100 * n < to_ns]
    after = [n for n in kept if 100 * n >= to_ns][:1]
    assert sequences(ring.window(from_ns=from_ns, to_ns=to_ns)) == sorted({*before, *between, *after})
