"""Splitting server-sent events: how the bytes were cut on the way must not matter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_runner.errors import ServerError
from joulebench_runner.meter import sse
from joulebench_runner.meter.sse import Event, Splitter

LINES = st.sampled_from(
    [
        b"data: {}",
        b"data:x",
        b"data",
        b"data:  two spaces",
        "data: grüße 🙂".encode(),
        b": comment",
        b"event: e",
        b"",
        b"id: 7",
    ]
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=30).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


def split(*parts: bytes) -> tuple[list[Event], bytes]:
    splitter = Splitter()
    events = [event for part in parts for event in splitter.feed(part)]
    return events, splitter.rest


@given(stream=STREAMS, data=st.data())
def test_any_cut_gives_the_same_events(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    parts = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert split(*parts) == split(stream)
    assert split(*(stream[i : i + 1] for i in range(len(stream)))) == split(stream)


@given(stream=STREAMS)
def test_no_byte_is_lost(stream: bytes) -> None:
    events, rest = split(stream)
    assert b"".join(event.raw for event in events) + rest == stream


@pytest.mark.parametrize(
    ("raw", "data"),
    [
        (b"data: a\n\n", b"a"),
        (b"data:a\r\n\r\n", b"a"),
        (b"data:  a\n\n", b" a"),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"event: x\ndata: a\nid: 3\n\n", b"a"),
        (b"data\n\n", b""),
        (b": keep-alive\n\n", None),
        (b"\xef\xbb\xbfdata: a\n\n", b"a"),
        (b"database: a\n\n", None),
    ],
)
def test_the_data_of_an_event(raw: bytes, data: bytes | None) -> None:
    events, rest = split(raw)
    assert [event.data for event in events] == [data]
    assert rest == b""


def test_a_character_cut_in_two_comes_whole() -> None:
    raw = "data: ü\n\n".encode()
    events, _ = split(raw[:7], raw[7:])
    assert events == [Event(raw, "ü".encode())]


def test_an_event_waits_for_its_empty_line() -> None:
    assert split(b"data: a\n") == ([], b"data: a\n")


def test_an_endless_event_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "EVENT_LIMIT_BYTES", 10)
    with pytest.raises(ServerError, match="more than 10 bytes"):
        split(b"data: 0123456789")
