"""Server-sent events, split from bytes as they come: any cut between two reads gives the same events.

Line ends are CRLF, LF or CR; an empty line ends an event (WHATWG HTML, section "Server-sent events").
"""

import re
from dataclasses import dataclass
from typing import Final

from joulebench_runner.errors import ServerError

EVENT_LIMIT_BYTES: Final = 64 * 1024 * 1024
"""An event larger than this is no event but a stream of something else."""

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
# A CR before LF is half of CRLF, never a line end of its own.
_EVENT_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_LONGEST_END: Final = 4
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its bytes as they came, with the empty line, and its `data` (None: a comment or keep-alive)."""

    raw: bytes
    data: bytes | None


class Splitter:
    """Cuts a byte stream into events."""

    def __init__(self) -> None:
        self._buffer = b""
        self._searched = 0

    @property
    def rest(self) -> bytes:
        """What came after the last complete event."""
        return self._buffer

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes; return the events that are complete now. Raises ServerError for an endless event."""
        self._buffer += data
        events: list[Event] = []
        start = 0
        position = self._searched
        while found := _EVENT_END.search(self._buffer, position):
            end = found.end()
            if end == len(self._buffer) and self._buffer.endswith(b"\r"):
                break  # its LF may still come
            raw = self._buffer[start:end]
            events.append(Event(raw, _data(raw)))
            start = position = end
        self._buffer = self._buffer[start:]
        self._searched = max(0, len(self._buffer) - _LONGEST_END)
        if len(self._buffer) > EVENT_LIMIT_BYTES:
            raise ServerError(f"the stream has an event of more than {EVENT_LIMIT_BYTES} bytes")
        return events


def _data(raw: bytes) -> bytes | None:
    """The `data` lines of an event, joined by LF; None if it has none."""
    lines = _LINE_END.split(raw.removeprefix(_BYTE_ORDER_MARK))
    parts = [_value(line) for line in lines if line == b"data" or line.startswith(b"data:")]
    return b"\n".join(parts) if parts else None


def _value(line: bytes) -> bytes:
    return line[len(b"data:") :].removeprefix(b" ")
