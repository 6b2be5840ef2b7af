"""One upstream call as it will stand in the journal, filled in while it runs."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

from joulebench_runner.meter.chunks import JsonObject, finish_reason_of, has_content, usage_of
from joulebench_runner.meter.client import ErrorKind

_ERROR_TEXT_LIMIT: Final = 2000


@dataclass(slots=True, kw_only=True)
class CallRecord:
    """The fields of the journal's `call` rows; see `journal.schema` for their meaning. Times: CLOCK_MONOTONIC, ns."""

    call_id: str
    alias: str
    role: str
    stage: str
    query_id: str | None
    attempt: int | None
    retry: int
    endpoint: str
    model: str | None
    server_pod: str | None = None
    server_url: str
    caller_streamed: bool
    upstream_streamed: bool
    intended_ns: int
    send_ns: int
    headers_ns: int | None = None
    first_chunk_ns: int | None = None
    first_content_ns: int | None = None
    last_content_ns: int | None = None
    end_ns: int | None = None
    content_chunk_ns: list[int] = field(default_factory=list)
    status: int | None = None
    error: str | None = None
    error_kind: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    cached_prompt_tokens: int | None = None
    output_tokens: int | None = None
    usage_missing_reason: str | None = None
    request_bytes: int
    response_bytes: int = 0

    def on_chunk(self, chunk: JsonObject, *, time_ns: int) -> None:
        """Note what a chunk of a stream tells."""
        if self.first_chunk_ns is None:
            self.first_chunk_ns = time_ns
        if has_content(chunk):
            self.first_content_ns = self.first_content_ns or time_ns
            self.last_content_ns = time_ns
            self.content_chunk_ns.append(time_ns)
        self.on_answer(chunk)

    def on_answer(self, answer: JsonObject) -> None:
        """Note finish reason and token counts of a chunk or of an unstreamed answer."""
        self.finish_reason = finish_reason_of(answer) or self.finish_reason
        usage = usage_of(answer)
        if usage is not None:
            self.prompt_tokens = usage.prompt_tokens
            self.cached_prompt_tokens = usage.cached_prompt_tokens
            self.output_tokens = usage.output_tokens

    def fail(self, kind: ErrorKind, error: str) -> None:
        """Note that the call failed; the first reason stands."""
        if self.error_kind is None:
            self.error_kind = kind.value
            self.error = error[:_ERROR_TEXT_LIMIT]

    def as_row(self) -> dict[str, Any]:
        """The fields of the journal row, with the reason why token counts are missing where they are."""
        row = asdict(self)
        if self.prompt_tokens is None or (self.output_tokens is None and self.endpoint != "embeddings"):
            row["usage_missing_reason"] = self._why_no_usage()
        return row

    def _why_no_usage(self) -> str:
        if self.error_kind is not None:
            return f"the call failed ({self.error_kind})"
        return "the server did not report usage" + (" in its stream" if self.upstream_streamed else "")
