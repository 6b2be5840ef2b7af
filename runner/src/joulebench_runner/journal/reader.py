"""Reads a journal back, also one whose writer was killed in the middle of a write."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from joulebench_api.contracts import SCHEMA_VERSION
from joulebench_runner.errors import JournalError
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
    Kind,
)
from joulebench_runner.journal.writer import segment_numbers

_END_OF_STREAM: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_COMMON: Final[dict[str, pa.DataType]] = {
    "sequence": pa.int64(),
    "time_ns": pa.int64(),
    "instance_id": pa.string(),
    "boot_id": pa.string(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What a segment says about itself. `monotonic_ns` and `realtime_ns` were read together when it was made."""

    path: Path
    schema_version: int
    run_id: str
    run_name: str
    boot_id: str
    instance_id: str
    monotonic_ns: int
    realtime_ns: int
    rows: int
    closed: bool
    """Whether its writer ended it in order."""


@dataclass(frozen=True, slots=True)
class JournalContents:
    """A whole journal in memory."""

    segments: Sequence[Segment]
    problems: Sequence[str]
    """What is missing, in words: cut or damaged batches, missing segments. Empty for a journal without a flaw."""
    _tables: Sequence[pa.Table]

    def table(self, kind: Kind) -> pa.Table:
        """All rows of one kind in the order they were written: the fields of `kind`, then `sequence`, `time_ns`,
        `instance_id` and `boot_id` of the row itself.

        Where the kind has a field of the same name, that field keeps it (`ticks.time_ns` are the ticks' own times)
        and the row's is called `row_time_ns` or `row_boot_id`.
        """
        pairs = zip(self.segments, self._tables, strict=True)
        parts = [_rows_of(kind, table, segment) for segment, table in pairs if table.num_rows]
        return pa.concat_tables([_schema(kind).empty_table(), *parts])


def read(folder: Path) -> JournalContents:
    """Read every segment in `folder`; an absent folder is an empty journal.

    Of a stream that was cut off only the cut batch is lost. Raises JournalError for files that are no segments of ours
    and for those that a newer joulebench wrote.
    """
    numbers = segment_numbers(folder)
    problems = [_missing(numbers)] if _gaps(numbers) else []
    segments: list[Segment] = []
    tables: list[pa.Table] = []
    for number in numbers:
        path = folder / f"{number:08d}{SEGMENT_SUFFIX}"
        segment, table, problem = _read_segment(path)
        problems += [problem] if problem else []
        if segment is not None and table is not None:
            segments.append(segment)
            tables.append(table)
    return JournalContents(segments, problems, tables)


def _read_segment(path: Path) -> tuple[Segment | None, pa.Table | None, str | None]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise JournalError(f"cannot read the journal: {error}", remedy="Check the folder's permissions.") from error
    ended = data.endswith(_END_OF_STREAM)
    source = pa.BufferReader(data)
    try:
        stream = pa.ipc.open_stream(source)
    except (pa.ArrowException, OSError):
        # If it is cut off, the writer died before the first batch was complete: nothing in it was ever acknowledged.
        return None, None, f"{path.name}: {_broken(ended=ended)} before its first row"
    metadata = {key.decode(errors="replace"): value.decode(errors="replace") for key, value in _metadata(stream.schema)}
    version = _version(path, metadata)
    if not _is_readable(stream.schema):
        return None, None, f"{path.name}: damaged before its first row"
    batches, found = _batches(data, source, stream)
    table = pa.Table.from_batches(batches, schema=stream.schema)
    problem = "; ".join(f"{path.name}: {words}" for words in found) or None
    try:
        segment = _segment(path, metadata, version=version, rows=table.num_rows, closed=ended and problem is None)
    except ValueError:
        return None, None, f"{path.name}: damaged before its first row"
    return segment, table, problem


def _metadata(schema: pa.Schema) -> Iterable[tuple[bytes, bytes]]:
    return (schema.metadata or {}).items()


def _is_readable(schema: pa.Schema) -> bool:
    """Whether the columns of every row are there, and all names are texts: damage may have made others of them."""
    try:
        names = {field.name for field in schema if _inner_names(field.type)}
    except UnicodeDecodeError:
        return False
    return {"sequence", "kind", "time_ns"} <= names


def _inner_names(type_: pa.DataType) -> list[str]:
    return [inner.name for inner in type_] if isinstance(type_, pa.StructType) else [""]


def _broken(*, ended: bool) -> str:
    """A stream with an end cannot have lost it: something in it is not what was written."""
    return "damaged" if ended else "cut off"


def _batches(
    data: bytes, source: pa.BufferReader, stream: pa.RecordBatchStreamReader
) -> tuple[list[pa.RecordBatch], list[str]]:
    """The batches that can be relied on, and what is wrong with the others."""
    batches: list[pa.RecordBatch] = []
    problems: list[str] = []
    start, end = 0, 0  # of the batch before; the first one's sum includes the schema
    try:
        while True:
            batch, previous_crc32 = _next_batch(stream)
            if end and previous_crc32 is not None and b"%d" % zlib.crc32(data[start:end]) != previous_crc32:
                lost = batches.pop()
                problems.append(f"damaged: {lost.num_rows} rows are not what was written")
            start, end = end, source.tell()
            batch.validate(full=True)
            batches.append(batch)
    except StopIteration:
        return batches, problems
    except (pa.ArrowException, OSError) as error:
        rows = sum(batch.num_rows for batch in batches)
        words = f"{_broken(ended=data.endswith(_END_OF_STREAM))} after {rows} rows ({_first_line(error)})"
        return batches, [*problems, words]


def _next_batch(stream: pa.RecordBatchStreamReader) -> tuple[pa.RecordBatch, bytes | None]:
    """A batch and the sum of the one before it; no sum in journals of writers that knew none."""
    batch, metadata = stream.read_next_batch_with_custom_metadata()
    return batch, None if metadata is None else metadata.get(META_PREVIOUS_CRC32)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _version(path: Path, metadata: dict[str, str]) -> int:
    text = metadata.get(META_SCHEMA_VERSION, "")
    if not text.isdecimal():
        raise JournalError(f"{path} is not a journal segment: it has no {META_SCHEMA_VERSION}")
    if int(text) > SCHEMA_VERSION:
        raise JournalError(
            f"{path} has schema version {text}; this joulebench reads versions up to {SCHEMA_VERSION}",
            remedy=f"Read it with a joulebench that knows schema version {text}.",
        )
    return int(text)


def _segment(path: Path, metadata: dict[str, str], *, version: int, rows: int, closed: bool) -> Segment:
    return Segment(
        path=path,
        schema_version=version,
        run_id=metadata.get(META_RUN_ID, ""),
        run_name=metadata.get(META_RUN_NAME, ""),
        boot_id=metadata.get(META_BOOT_ID, ""),
        instance_id=metadata.get(META_INSTANCE_ID, ""),
        monotonic_ns=int(metadata.get(META_MONOTONIC_NS, "0")),
        realtime_ns=int(metadata.get(META_REALTIME_NS, "0")),
        rows=rows,
        closed=closed,
    )


def _gaps(numbers: list[int]) -> list[int]:
    return sorted(set(range(1, max(numbers, default=0) + 1)) - set(numbers))


def _missing(numbers: list[int]) -> str:
    names = ", ".join(f"{number:08d}{SEGMENT_SUFFIX}" for number in _gaps(numbers))
    return f"missing segments: {names}"


def _schema(kind: Kind) -> pa.Schema:
    fields = FIELDS[kind]
    common = {_common_name(kind, name): type_ for name, type_ in _COMMON.items()}
    return pa.schema([pa.field(name, type_) for name, type_ in (*fields.items(), *common.items())])


def _common_name(kind: Kind, name: str) -> str:
    return f"row_{name}" if name in FIELDS[kind] else name


def _rows_of(kind: Kind, table: pa.Table, segment: Segment) -> pa.Table:
    import pyarrow.compute as pc  # noqa: PLC0415 - costs the start of a meter that has nothing to read 50 ms

    rows = table.filter(pc.equal(table["kind"], pa.scalar(kind.value)))
    schema = _schema(kind)
    common: dict[str, Any] = {
        "sequence": rows["sequence"],
        "time_ns": rows["time_ns"],
        "instance_id": pa.repeat(pa.scalar(segment.instance_id), rows.num_rows),
        "boot_id": pa.repeat(pa.scalar(segment.boot_id), rows.num_rows),
    }
    columns = list(_struct_fields(kind, rows)) + [common[name] for name in _COMMON]
    return pa.Table.from_arrays(columns, schema=schema)


def _struct_fields(kind: Kind, rows: pa.Table) -> Iterable[Any]:
    """The fields of `kind`; those that an older writer did not know are null."""
    import pyarrow.compute as pc  # noqa: PLC0415 - see above

    known = {field.name for field in rows.schema.field(kind.value).type} if kind.value in rows.schema.names else set()
    for name, type_ in FIELDS[kind].items():
        if name in known:
            yield pc.struct_field(rows[kind.value], name)
        else:
            yield pa.nulls(rows.num_rows, type_)  # type: ignore[call-overload]  # stubs list single types only
