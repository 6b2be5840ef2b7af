"""What stands in the journal: one schema, declared once.

A segment is one Arrow IPC stream. Each row is one event: its `kind` says which of the struct columns holds it, all
others are null. One file a segment keeps group commit to one fsync; typed columns keep reading fast.

Times are int64 nanoseconds of CLOCK_MONOTONIC on the meter's machine, except in `ticks`, which stay in their exporter's
clock (the raw pings are journalled beside them, so that offsets can be computed again), in `look`, likewise, and in
`ping`, which has both.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import pyarrow as pa


class Kind(StrEnum):
    """Kinds of journal rows; each is the name of its struct column."""

    STAGE = "stage"
    PLAN = "plan"
    QUERY_BEGIN = "query_begin"
    QUERY_FINISH = "query_finish"
    ACTION = "action"
    CALL_BEGIN = "call_begin"
    CALL = "call"
    DEVICE = "device"
    TICKS = "ticks"
    LOOK = "look"
    PING = "ping"
    SCRAPE = "scrape"
    NOTE = "note"
    SUSPEND = "suspend"
    TOPOLOGY = "topology"
    OWNERS = "owners"


_STR, _I32, _I64, _U64, _F64, _BOOL = pa.string(), pa.int32(), pa.int64(), pa.uint64(), pa.float64(), pa.bool_()
_I64S, _I32S, _F64S, _STRS = pa.list_(pa.int64()), pa.list_(pa.int32()), pa.list_(pa.float64()), pa.list_(pa.string())

FIELDS: Final[Mapping[Kind, Mapping[str, pa.DataType]]] = {
    Kind.STAGE: {"stage": _STR, "event": _STR},
    # `json` is contracts.meter.Plan; `query_ids` left out of it.
    Kind.PLAN: {"json": _STR, "query_ids": _STRS},
    Kind.QUERY_BEGIN: {
        "query_id": _STR,
        "attempt": _I32,
        "task": _STR,
        "record_id": _STR,
        "epoch": _I32,
        "subject": _STR,
        "messages": _STR,  # JSON
        "reference": _STR,
    },
    Kind.QUERY_FINISH: {
        "query_id": _STR,
        "attempt": _I32,
        "response": _STR,
        "score": _F64,
        "correct": _BOOL,
        "scorer": _STR,
        "explanation": _STR,
        "unscored_reason": _STR,
        "error": _STR,
    },
    Kind.ACTION: {
        "action_id": _STR,
        "query_id": _STR,
        "attempt": _I32,
        "name": _STR,
        "kind": _STR,
        "start_ns": _I64,
        "end_ns": _I64,
        "error": _STR,
    },
    # Written when a call is sent, so that a call which a crash cut off is known to have been in flight.
    Kind.CALL_BEGIN: {"call_id": _STR, "alias": _STR, "query_id": _STR, "attempt": _I32, "send_ns": _I64},
    # Written when a call has ended, well or not.
    Kind.CALL: {
        "call_id": _STR,
        "alias": _STR,
        "role": _STR,
        "stage": _STR,  # the stage in which it was sent
        "query_id": _STR,  # null: unjoined
        "attempt": _I32,
        "retry": _I32,  # 0 for the first try
        "endpoint": _STR,  # such as chat/completions
        "model": _STR,
        "server_pod": _STR,
        "server_url": _STR,
        "caller_streamed": _BOOL,
        "upstream_streamed": _BOOL,
        "intended_ns": _I64,  # when the call should have been sent: when the caller's request had arrived
        "send_ns": _I64,
        "headers_ns": _I64,
        "first_chunk_ns": _I64,  # first chunk of any kind
        "first_content_ns": _I64,  # first chunk with content, reasoning or a tool call
        "last_content_ns": _I64,
        "end_ns": _I64,
        "content_chunk_ns": _I64S,
        "status": _I32,
        "error": _STR,
        "error_kind": _STR,  # see meter: connect, status, closed, broken_stream, timeout, cancelled
        "finish_reason": _STR,
        "prompt_tokens": _I64,
        "cached_prompt_tokens": _I64,
        "output_tokens": _I64,
        "usage_missing_reason": _STR,
        "request_bytes": _I64,
        "response_bytes": _I64,
    },
    # One row a device, whenever an exporter is (re)connected.
    Kind.DEVICE: {
        "exporter": _STR,  # exporter instance id
        "boot_id": _STR,
        "device": _STR,  # device UUID
        "name": _STR,
        "domain": _STR,
        "scope": _STR,
        "sensor": _STR,
        "sensor_kind": _STR,
        "source": _STR,
        "tick_period_seconds": _F64,
        "counter_origin_uj": _I64,  # what the hardware's counter said at sequence 1; null: it ends with its exporter
        "counter_wraps_uj": _I64,  # where that counter begins at 0 again; null: never
    },
    # One row a batch: columns in lists of the same length.
    Kind.TICKS: {
        "exporter": _STR,
        "device": _STR,
        "first_sequence": _I64,
        "time_ns": _I64S,  # exporter's CLOCK_MONOTONIC: when the tick was seen
        "bracket_ns": _I64S,  # the counter moved within (time - bracket, time]
        "energy_mj": _I64S,  # cumulative
        "flags": _I32S,  # joulebench_exporter.client.TickFlag
    },
    # What a device showed beside its energy, about once a second; null: it does not tell. No joules are made from it.
    Kind.LOOK: {
        "exporter": _STR,
        "device": _STR,
        "time_ns": _I64,  # exporter's CLOCK_MONOTONIC: end of the look
        "power_watts": _F64,
        "power_average_watts": _F64,
        "power_limit_watts": _F64,
        "utilisation_percent": _I32,
        "memory_utilisation_percent": _I32,
        "memory_used_bytes": _I64,
        "memory_total_bytes": _I64,
        "temperature_celsius": _I32,
        "clock_mhz": _I32,
        "memory_clock_mhz": _I32,
        "clock_reasons": _U64,  # joulebench_exporter.diagnostics.CLOCK_REASONS
        "fan_percent": _I32,
        "suspect": _STRS,  # names of the columns above whose values cannot be true; the values are as they were told
    },
    # t0: meter sends, t1: exporter receives, t2: exporter sends, t3: meter receives.
    Kind.PING: {"exporter": _STR, "boot_id": _STR, "t0_ns": _I64, "t1_ns": _I64, "t2_ns": _I64, "t3_ns": _I64},
    Kind.SCRAPE: {
        "alias": _STR,
        "server_url": _STR,
        "send_ns": _I64,
        "receive_ns": _I64,
        "own_in_flight": _I32,  # the most of our own calls in flight between send and receive
        "running": _F64,  # requests that the server says are running; null where it does not say
        "names": _STRS,
        "labels": _STRS,  # `k="v",...`, empty without labels
        "values": _F64S,
        "error": _STR,
    },
    Kind.NOTE: {"topic": _STR, "subject": _STR, "message": _STR},
    # The machine slept for `slept_ns` at some moment within [start, end] of the clock that stands still meanwhile.
    Kind.SUSPEND: {"start_ns": _I64, "end_ns": _I64, "slept_ns": _I64},
    # contracts.topology.Topology as JSON, whenever it has changed.
    Kind.TOPOLOGY: {"json": _STR},
    # Who has a device, whenever an exporter tells it anew: one entry a container in lists of the same length.
    Kind.OWNERS: {
        "exporter": _STR,
        "device": _STR,
        "time_ns": _I64,  # exporter's CLOCK_MONOTONIC: when it told
        "known": _BOOL,  # false: nobody knows, which is not the same as nobody
        "problem": _STR,  # why this may be out of date, or is not known
        "namespaces": _STRS,
        "pods": _STRS,
        "containers": _STRS,
        "partitions": _STRS,  # the part of the device that the container has; empty: all of it
    },
}

_COLUMNS: "list[pa.Field[Any]]" = [
    pa.field("sequence", _I64, nullable=False),
    pa.field("kind", _STR, nullable=False),
    pa.field("time_ns", _I64, nullable=False),
    *(pa.field(kind.value, pa.struct(list(fields.items()))) for kind, fields in FIELDS.items()),
]

SCHEMA: Final = pa.schema(_COLUMNS)

# Keys of the schema's metadata, in every segment:
META_SCHEMA_VERSION: Final = "joulebench.schema_version"
META_RUN_ID: Final = "joulebench.run_id"
META_RUN_NAME: Final = "joulebench.run_name"
META_BOOT_ID: Final = "joulebench.boot_id"
META_INSTANCE_ID: Final = "joulebench.instance_id"
META_MONOTONIC_NS: Final = "joulebench.monotonic_ns"
META_REALTIME_NS: Final = "joulebench.realtime_ns"

# Key of a batch's own metadata: the CRC-32, in decimal, of the bytes of the batch before it (of the first one with the
# schema in front of it). A closed segment ends with a batch without rows, so that the last one with rows has one.
META_PREVIOUS_CRC32: Final = b"joulebench.previous_crc32"
