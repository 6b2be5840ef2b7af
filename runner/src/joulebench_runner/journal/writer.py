"""Writes the journal: rows gather in memory and go to disk together, off the event loop.

One fsync serves everybody who waits for it (group commit): while one is under way, new rows gather for the next.
Only one process writes into a folder at a time.
"""

import asyncio
import contextlib
import errno
import io
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from joulebench_api.contracts import SCHEMA_VERSION
from joulebench_runner.errors import JournalError
from joulebench_runner.journal.clock import SYSTEM_CLOCK, Clock, boot_id
from joulebench_runner.journal.names import SEGMENT_SUFFIX
from joulebench_runner.journal.schema import (
    FIELDS,
    META_BOOT_ID,
    META_INSTANCE_ID,
    META_MONOTONIC_NS,
    META_PREVIOUS_CRC32,
    META_REALTIME_NS,
    META_RUN_ID,
    META_RUN_NAME,
    META_SCHEMA_VERSION,
    SCHEMA,
    Kind,
)

BATCH_SECONDS: Final = 0.25
"""Rows lie in memory no longer than this, also when nobody waits for them."""
SEGMENT_SECONDS: Final = 5.0
SEGMENT_BYTES: Final = 8 * 1024 * 1024

_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression="lz4")
_PYTHON_TYPES: Final[dict[pa.DataType, type | tuple[type, ...]]] = {
    pa.string(): str,
    pa.int32(): int,
    pa.int64(): int,
    pa.uint64(): int,
    pa.float64(): (int, float),
    pa.bool_(): bool,
}
_TYPES: Final = {
    kind: {name: _PYTHON_TYPES.get(type_, list) for name, type_ in fields.items()} for kind, fields in FIELDS.items()
}

Row = dict[str, Any]


class Journal:
    """The journal of one run, open for writing. Belongs to one event loop."""

    def __init__(
        self,
        folder: Path,
        *,
        run_id: str,
        run_name: str,
        instance_id: str,
        clock: Clock = SYSTEM_CLOCK,
        boot: str | None = None,
        fsync: Callable[[int], None] = os.fsync,
        on_closed: Callable[[Path], None] = lambda _path: None,
    ) -> None:
        """Open the journal in `folder` (made if it is missing); segments that lie there stay, new ones follow them.

        `on_closed` is told each segment once it is closed and on disk, from the journal's own thread.
        `boot` and `fsync` stand in for the system's in tests. Raises JournalError when the folder cannot be used.
        """
        self._clock = clock
        self._metadata = {
            META_SCHEMA_VERSION: str(SCHEMA_VERSION),
            META_RUN_ID: run_id,
            META_RUN_NAME: run_name,
            META_BOOT_ID: boot_id() if boot is None else boot,
            META_INSTANCE_ID: instance_id,
        }
        self._segments = _Segments(folder, clock=clock, fsync=fsync, on_closed=on_closed)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._rows: list[Row] = []
        self._sequence = 0
        self._due = 0.0
        """When the oldest gathered row must be on its way to the disk, in the event loop's time."""
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._closed = False
        self.failed = asyncio.Event()
        """Set once a write has failed; nothing is acknowledged from then on."""
        self.error: JournalError | None = None

    def append(self, kind: Kind, /, **fields: Any) -> None:
        """Add one row; returns at once. Wrong field names or types raise TypeError and leave the journal as it was."""
        _check(kind, fields)
        if self.error is not None:
            return  # commit() tells; keeping rows that can never be written would only fill the memory
        if self._closed:
            raise JournalError(f"the journal is closed; a row of kind {kind} came too late")
        row = {
            "sequence": self._sequence,
            "kind": kind.value,
            "time_ns": self._clock.monotonic_ns(),
            kind.value: fields,
        }
        self._rows.append(row)
        self._sequence += 1
        if len(self._rows) == 1:
            self._due = asyncio.get_running_loop().time() + BATCH_SECONDS
            if self._flushing is None:
                # Sooner than the timer that closes the segment, which may be running.
                self._arm(BATCH_SECONDS)

    async def commit(self) -> None:
        """Return once everything appended so far is on disk. Raises JournalError if it could not be written."""
        target = self._sequence
        while self.error is None and self._durable < target:
            await asyncio.shield(self._flush())
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        """Write what is left and close the segment. Raises JournalError if that fails."""
        if self._closed:
            return
        self._closed = True
        try:
            while self.error is None and (self._rows or self._flushing is not None):
                await asyncio.shield(self._flush())
            if self.error is None:
                await self._in_thread(self._segments.close)
        finally:
            self._disarm()
            self._thread.shutdown(wait=True)
        if self.error is not None:
            raise self.error

    @property
    def _durable(self) -> int:
        """Rows below this sequence number are on disk."""
        return self._segments.durable

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._on_timer)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        self._flush()

    def _flush(self) -> "asyncio.Task[None]":
        """The write that is under way, or a new one for all rows that have gathered."""
        if self._flushing is None:
            self._disarm()
            self._flushing = asyncio.get_running_loop().create_task(self._write_gathered())
        return self._flushing

    async def _write_gathered(self) -> None:
        rows, self._rows = self._rows, []
        # Until the rows are on disk nobody may believe they are; so the thread itself moves `durable`.
        await self._in_thread(lambda: self._segments.write(rows, metadata=self._metadata))
        self._flushing = None
        if self.error is not None or self._closed:
            return
        if self._rows:
            self._arm(max(0.0, self._due - asyncio.get_running_loop().time()))
        elif self._segments.is_open:
            self._arm(self._segments.seconds_left())

    async def _in_thread(self, work: Callable[[], None]) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
            self._flushing = None
            self._rows = []
            self._segments.abandon()
            self.error = _write_error(self._segments.folder, error)
            self.failed.set()


class _Segments:
    """The files. Used by one thread at a time."""

    def __init__(
        self, folder: Path, *, clock: Clock, fsync: Callable[[int], None], on_closed: Callable[[Path], None]
    ) -> None:
        self.folder = folder
        self.durable = 0
        self._clock = clock
        self._fsync = fsync
        self._on_closed = on_closed
        self._file: _SummedFile | None = None
        self._stream: pa.RecordBatchStreamWriter | None = None
        self._opened_ns = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._next = 1 + max(segment_numbers(folder), default=0)
            if not os.access(folder, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        except OSError as error:
            raise _write_error(folder, error) from error

    @property
    def is_open(self) -> bool:
        return self._file is not None

    def seconds_left(self) -> float:
        """Until the open segment must be closed."""
        age_ns = self._clock.monotonic_ns() - self._opened_ns
        return max(0.0, SEGMENT_SECONDS - age_ns / 1e9)

    def write(self, rows: list[Row], *, metadata: dict[str, str]) -> None:
        """Append one batch and fsync it; then close the segment if it is full or old. No rows: only the latter."""
        if rows:
            schema = SCHEMA.with_metadata(self._stamped(metadata)) if self._file is None else SCHEMA
            batch = pa.RecordBatch.from_pylist(rows, schema=schema)
            file, stream = self._open(schema)
            _write_batch(stream, file, batch)
            file.flush()
            self._fsync(file.fileno())
            self.durable = int(rows[-1]["sequence"]) + 1
        if self._file is not None and (self.seconds_left() <= 0 or self._file.tell() >= SEGMENT_BYTES):
            self.close()

    def close(self) -> None:
        """Close the open segment, if there is one."""
        if self._file is None or self._stream is None:
            return
        with self._file as file:
            _write_batch(self._stream, file, pa.RecordBatch.from_pylist([], schema=SCHEMA))
            self._stream.close()
            file.flush()
            self._fsync(file.fileno())
        self._file = self._stream = None
        self._on_closed(Path(file.name))

    def abandon(self) -> None:
        """Let go of the open file after a failed write; what follows in it would not be readable."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # the error that led here has been told
                self._file.close()
        self._file = self._stream = None

    def _stamped(self, metadata: dict[str, str]) -> dict[str, str]:
        clock = self._clock
        return metadata | {
            META_MONOTONIC_NS: str(clock.monotonic_ns()),
            META_REALTIME_NS: str(clock.realtime_ns()),
        }

    def _open(self, schema: pa.Schema) -> "tuple[_SummedFile, pa.RecordBatchStreamWriter]":
        if self._file is None or self._stream is None:
            path = self.folder / f"{self._next:08d}{SEGMENT_SUFFIX}"
            self._file = _SummedFile(path)
            self._stream = pa.ipc.new_stream(self._file, schema, options=_OPTIONS)
            self._opened_ns = self._clock.monotonic_ns()
            self._next += 1
            self._sync_folder()
        return self._file, self._stream

    def _sync_folder(self) -> None:
        """Make the new file's name durable too."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            self._fsync(descriptor)
        finally:
            os.close(descriptor)


class _SummedFile(io.BufferedWriter):
    """A new file that sums up what is written into it."""

    def __init__(self, path: Path) -> None:
        """Raises FileExistsError if there is such a file."""
        super().__init__(io.FileIO(path, "xb"))
        self._crc32 = 0

    def write(self, data: Any, /) -> int:
        self._crc32 = zlib.crc32(data, self._crc32)
        return super().write(data)

    def take_crc32(self) -> int:
        """Of what was written since this was asked last."""
        taken, self._crc32 = self._crc32, 0
        return taken


def _write_batch(stream: pa.RecordBatchStreamWriter, file: _SummedFile, batch: pa.RecordBatch) -> None:
    stream.write_batch(batch, custom_metadata={META_PREVIOUS_CRC32: b"%d" % file.take_crc32()})


def segment_numbers(folder: Path) -> list[int]:
    """The numbers of the segments that lie in `folder`, in order; empty if there is no such folder."""
    names = (path.name for path in folder.glob(f"*{SEGMENT_SUFFIX}"))
    stems = (name.removesuffix(SEGMENT_SUFFIX) for name in names)
    return sorted(int(stem) for stem in stems if stem.isdecimal())


def _check(kind: Kind, fields: Row) -> None:
    types = _TYPES[kind]
    for name, value in fields.items():
        if name not in types:
            raise TypeError(f"journal rows of kind {kind} have no field {name!r}")
        if value is not None and not isinstance(value, types[name]):
            raise TypeError(f"journal field {kind}.{name} takes {types[name]}, not {value!r}")


def _write_error(folder: Path, error: Exception) -> JournalError:
    number = error.errno if isinstance(error, OSError) else None
    remedies = {
        errno.ENOSPC: "Free space on that file system and start the run again: it goes on where it stopped.",
        errno.EDQUOT: "Raise the quota or free space there and start the run again: it goes on where it stopped.",
        errno.EEXIST: "Another process writes into this folder; wait for it, or choose another folder.",
    }
    remedy = remedies.get(number or 0, "Choose a results folder that can be written, on a disk that works.")
    return JournalError(f"cannot write the journal in {folder}: {error}", remedy=remedy)
