"""The Parquet files of a results folder: each column declared once, with its type, unit and meaning.

The files are written with these schemas (descriptions and units are in the fields' metadata), and the reference page is
made from them. In every column null means "not known", never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from joulebench_api.contracts import SCHEMA_VERSION

TEXT, WHOLE, NUMBER, TRUTH = pa.string(), pa.int64(), pa.float64(), pa.bool_()
MOMENT: Final = pa.timestamp("us", tz="UTC")

DESCRIPTION: Final = b"description"
UNIT: Final = b"unit"
META_SCHEMA_VERSION: Final = b"joulebench.schema_version"
META_DESCRIPTION: Final = b"joulebench.description"

SECONDS, JOULES, MILLIJOULES, TOKENS, NANOSECONDS, BYTES = (
    "seconds",
    "joules",
    "millijoules",
    "tokens",
    "nanoseconds",
    "bytes",
)


@dataclass(frozen=True)
class Column:
    """One column of one file."""

    name: str
    type: pa.DataType
    description: str
    unit: str | None = None

    def field(self) -> "pa.Field[pa.DataType]":
        """As Arrow knows it."""
        metadata = {DESCRIPTION: self.description.encode()}
        return pa.field(self.name, self.type, metadata=metadata | ({UNIT: self.unit.encode()} if self.unit else {}))


def _schema(description: str, *columns: Column) -> pa.Schema:
    return pa.schema(
        [column.field() for column in columns],
        metadata={META_SCHEMA_VERSION: str(SCHEMA_VERSION).encode(), META_DESCRIPTION: description.encode()},
    )


_ENERGY = (
    Column("energy_mj", WHOLE, "Attributed energy, exact; sums to the summary's figure.", MILLIJOULES),
    Column("energy_joules", NUMBER, "The same in joules.", JOULES),
    Column(
        "energy_low_joules",
        NUMBER,
        "Not less than this, given the times of the counter's ticks and the clocks. The error of the method and of the"
        " sensor's gain are not in it.",
        JOULES,
    ),
    Column(
        "energy_high_joules",
        NUMBER,
        "Not more than this; null without ticks of each device for all of it: then more was used than is known.",
        JOULES,
    ),
    Column(
        "prefill_joules", NUMBER, "The part before the first content chunk; null where it cannot be told apart.", JOULES
    ),
    Column("decode_joules", NUMBER, "The part after it.", JOULES),
)

_TOKENS = (
    Column("prompt_tokens", WHOLE, "Prompt tokens, as the server counted them.", TOKENS),
    Column("cached_prompt_tokens", WHOLE, "Those of them that came from the server's prefix cache.", TOKENS),
    Column("output_tokens", WHOLE, "Output tokens, reasoning included, as the server counted them.", TOKENS),
)

_WHILE = "while its calls were in flight, by the looks nearest to that time (one a second)."
_DEVICES = (
    Column("device_mean_watts", NUMBER, f"Mean power of one device that served it, {_WHILE}", "watts"),
    Column("device_max_watts", NUMBER, f"Highest power that any one of them showed, {_WHILE}", "watts"),
    Column("device_mean_utilisation_percent", NUMBER, f"Mean utilisation of them, {_WHILE}", "percent"),
    Column("device_max_memory_bytes", WHOLE, f"Most memory in use on any one of them, {_WHILE}", BYTES),
    Column("device_max_temperature_celsius", NUMBER, f"Highest temperature of any one of them, {_WHILE}", "celsius"),
    Column(
        "device_throttling_seconds",
        NUMBER,
        "How long the one that was held back longest had its clocks lowered by a limit of power or heat or by a brake,"
        f" {_WHILE}",
        SECONDS,
    ),
)

QUERIES: Final = _schema(
    "One row for each question of each epoch that was asked. Where a question was asked again after an interruption,"
    " the latest attempt that finished counts.",
    Column("query_id", TEXT, "Identity of the question: a hash of task, dataset revision, record and epoch."),
    Column("task", TEXT, "Name of the task."),
    Column("record_id", TEXT, "The dataset's id of the record."),
    Column("epoch", WHOLE, "Which repetition of the record, from 1."),
    Column("attempt", WHOLE, "Which attempt at asking this row is about, from 0."),
    Column("subject", TEXT, "Subject, category or level that the dataset names."),
    Column("messages", TEXT, "The messages that were asked, as JSON."),
    Column("response", TEXT, "The answer."),
    Column("reference", TEXT, "What the dataset gives as the right answer."),
    Column("score", NUMBER, "The scorer's value."),
    Column("correct", TRUTH, "Whether the answer is right; null where it was not scored or the question failed."),
    Column("scorer", TEXT, "Name of the scorer."),
    Column("explanation", TEXT, "The scorer's own words."),
    Column("unscored_reason", TEXT, "Why there is no score."),
    Column("error", TEXT, "Why the question failed; `not finished` where the run ended before its answer."),
    Column("started_at", MOMENT, "When it was begun, UTC, by the meter's clock."),
    *_TOKENS,
    Column(
        "finish_reason", TEXT, "Why the last successful call to the model under test stopped, in the server's words."
    ),
    Column(
        "turns",
        WHOLE,
        "Successful calls to the model under test and its submodels; no column counts the judge's.",
    ),
    Column("calls", WHOLE, "All calls to them, failed ones and retries included."),
    Column(
        "ttft_seconds",
        NUMBER,
        "First call to the model under test: intended send to first content chunk; null if it was not streamed.",
        SECONDS,
    ),
    Column(
        "tpot_seconds",
        NUMBER,
        "(Last - first content chunk) / (output tokens - 1), over its calls to the model under test, weighted by"
        " tokens; null below two tokens or without streaming.",
        "seconds per token",
    ),
    Column("e2e_seconds", NUMBER, "From the first turn's intended send to the last turn's last byte.", SECONDS),
    *_ENERGY,
    Column(
        "energy_method",
        TEXT,
        "How shared energy was split. `Mixed`: some calls reported no token counts and were split by `Equal`. The"
        " energy columns are null for a question without a call on measured devices, and for one that never finished"
        " (that energy is in `unattributed`).",
    ),
    Column("server_pod", TEXT, "The pod that served the last successful call to the model under test."),
    *_DEVICES,
)

TURNS: Final = _schema(
    "One row for each call to a model server: of the model, of judges, of warm-up, and failed ones.",
    Column("call_id", TEXT, "Identity of the call."),
    Column("query_id", TEXT, "The question that it was made for; null where it carried none."),
    Column("attempt", WHOLE, "Which attempt at the question."),
    Column("retry", WHOLE, "0 for the first try, then 1, 2, ..."),
    Column("alias", TEXT, "Name under which the driver reached the server."),
    Column("role", TEXT, "`model`, `judge` or `submodel`."),
    Column("stage", TEXT, "Stage of the run in which it was sent."),
    Column("endpoint", TEXT, "Such as `chat/completions`."),
    Column("model", TEXT, "Name of the model in the request."),
    Column("server_pod", TEXT, "The pod that served it."),
    Column("server_url", TEXT, "The address that it was sent to."),
    Column("caller_streamed", TRUTH, "Whether the caller asked for a stream."),
    Column("upstream_streamed", TRUTH, "Whether the server streamed."),
    Column("started_at", MOMENT, "When it should have been sent (the caller's request had arrived), UTC."),
    Column("send_seconds", NUMBER, "Sent; like the five after it, counted from `started_at`.", SECONDS),
    Column("headers_seconds", NUMBER, "Response headers received.", SECONDS),
    Column("first_chunk_seconds", NUMBER, "First chunk of any kind received.", SECONDS),
    Column("ttft_seconds", NUMBER, "First chunk with content, reasoning or a tool call received.", SECONDS),
    Column("last_content_seconds", NUMBER, "Last such chunk received.", SECONDS),
    Column("e2e_seconds", NUMBER, "Last byte received, or the call given up.", SECONDS),
    Column(
        "tpot_seconds",
        NUMBER,
        "(Last - first content chunk) / (output tokens - 1); null below two tokens.",
        "seconds per token",
    ),
    Column("content_chunks", WHOLE, "Chunks with content, reasoning or a tool call."),
    Column("status", WHOLE, "HTTP status."),
    Column("error", TEXT, "Why the call failed."),
    Column("error_kind", TEXT, "Which kind of failure, such as `connect`, `status`, `broken_stream`, `timeout`."),
    Column("finish_reason", TEXT, "Why the server stopped, in its words."),
    *_TOKENS,
    Column("usage_missing_reason", TEXT, "Why there are no token counts."),
    Column("request_bytes", WHOLE, "Length of the request's body.", BYTES),
    Column("response_bytes", WHOLE, "Length of the response's body.", BYTES),
    *_ENERGY,
    Column("energy_method", TEXT, "How shared energy was split for this call; null outside the measured window."),
    Column("energy_bucket", TEXT, "Whose energy it is: `queries`, `judge`, or the reason of an unattributed part."),
)

ENERGY: Final = _schema(
    "One row for each tick of each device's energy counter, in all stages.",
    Column("device", TEXT, "Identity of the device."),
    Column("name", TEXT, "Product name."),
    Column("domain", TEXT, "`GPU`, `CPU`, `DRAM` or `PSYS`. PSYS overlaps the packages: never add it to them."),
    Column("scope", TEXT, "How much hardware the counter covers."),
    Column("sensor", TEXT, "The sensor that read it."),
    Column("kind", TEXT, "`measured`, `modelled` or `simulated`."),
    Column("exporter", TEXT, "The exporter process; its counter starts at 0."),
    Column("sequence", WHOLE, "Number of the tick in that process."),
    Column("time_ns", WHOLE, "When it was seen, on the meter's monotonic clock.", NANOSECONDS),
    Column("time", MOMENT, "The same in UTC."),
    Column("bracket_ns", WHOLE, "How much earlier the counter may have moved.", NANOSECONDS),
    Column("energy_mj", WHOLE, "Cumulative energy since the exporter's start, exact.", MILLIJOULES),
    Column("energy_joules", NUMBER, "The same in joules.", JOULES),
    Column(
        "delta_mj", WHOLE, "Energy since the tick before; null where it is not known (first tick, reset).", MILLIJOULES
    ),
    Column("mean_watts", NUMBER, "Mean power since the tick before.", "watts"),
    Column("flags", WHOLE, "Sum of 1: gap, 2: reset, 4: wrapped, 8: integrated from power, 65536: the machine slept."),
    Column("stage", TEXT, "Stage of the run at that time."),
)

SERVER_METRICS: Final = _schema(
    "What the model servers' own metrics said, one row for each sample.",
    Column("time", MOMENT, "When the answer was received, UTC."),
    Column("time_ns", WHOLE, "The same on the meter's monotonic clock.", NANOSECONDS),
    Column("alias", TEXT, "Name under which the driver reaches the server."),
    Column("server_url", TEXT, "The server's address."),
    Column("name", TEXT, "Name of the metric, as the server gives it."),
    Column("labels", TEXT, 'Its labels, as `k="v",...`; empty without labels.'),
    Column("value", NUMBER, "Its value, in the unit that its name says."),
)

ACTIONS: Final = _schema(
    "Tool calls and other steps of agents; the file is there only if there are any.",
    Column("action_id", TEXT, "Identity of the action."),
    Column("query_id", TEXT, "The question that it was made for."),
    Column("attempt", WHOLE, "Which attempt at the question."),
    Column("name", TEXT, "Name of the tool."),
    Column("kind", TEXT, "Such as `tool`."),
    Column("started_at", MOMENT, "When it began, UTC."),
    Column("seconds", NUMBER, "How long it took.", SECONDS),
    Column("error", TEXT, "Why it failed."),
)

FILES: Final[Mapping[str, pa.Schema]] = {
    "queries.parquet": QUERIES,
    "turns.parquet": TURNS,
    "energy.parquet": ENERGY,
    "server_metrics.parquet": SERVER_METRICS,
    "actions.parquet": ACTIONS,
}
