"""The journal's calls as arrays, and whose energy each of them used."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from joulebench_runner.attribution.arrays import Bools, Floats, Ints, as_bools
from joulebench_runner.attribution.buckets import Bucket
from joulebench_runner.attribution.segments import Calls
from joulebench_runner.journal.schema import Kind
from joulebench_runner.ownership import OwnPods
from joulebench_runner.results.arrow import ArrowColumn, pc
from joulebench_runner.results.asked import Asked
from joulebench_runner.results.tables import (
    UNKNOWN,
    Journal,
    codes,
    equals,
    index_of,
    ints,
    is_null,
    pair_keys,
    row_column,
    taken,
    truths,
)


@dataclass(frozen=True)
class CallTable:
    """All N calls that ended, in the journal's order, joined to the Q questions.

    `query`: int64[N] into the questions, -1 for calls that count for none. `bucket`: int64[N], whose energy it is.
    """

    table: pa.Table
    query: Ints
    bucket: Ints

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @classmethod
    def of(cls, journal: Journal, asked: Asked) -> "CallTable":
        """Join the calls to the questions."""
        table = journal.tables[Kind.CALL]
        keys = pair_keys(table)
        query = index_of(keys, asked.keys)
        finished = index_of(keys, asked.finished_keys) >= 0
        bucket = np.full(table.num_rows, int(Bucket.ABANDONED), dtype=np.int64)
        bucket[finished] = Bucket.SUPERSEDED
        bucket[finished & (query >= 0)] = Bucket.QUERIES
        bucket[is_null(table, "query_id")] = Bucket.UNJOINED
        bucket[equals(table, "role", "judge")] = Bucket.JUDGE
        return cls(table, query, bucket)

    def ints(self, name: str) -> Ints:
        """An integer column; null is UNKNOWN."""
        return ints(self.table, name)

    @cached_property
    def is_judge(self) -> Bools:
        """bool[N]."""
        return equals(self.table, "role", "judge")

    @cached_property
    def is_model(self) -> Bools:
        """bool[N]: calls to the model under test."""
        return equals(self.table, "role", "model")

    @cached_property
    def succeeded(self) -> Bools:
        """bool[N]: answered in full."""
        status = self.ints("status")
        return as_bools(is_null(self.table, "error") & ((status == UNKNOWN) | ((status >= 200) & (status < 300))))

    @cached_property
    def is_turn(self) -> Bools:
        """bool[N]: a successful call for a question, to the model under test or a submodel; not the judge's."""
        return self.succeeded & ~self.is_judge & (self.query >= 0)

    @cached_property
    def embeds(self) -> Bools:
        """bool[N]: calls that have no output by nature."""
        return equals(self.table, "endpoint", "embeddings")

    @cached_property
    def output_tokens(self) -> Ints:
        """int64[N]; UNKNOWN where the server did not say. Embeddings have none, which is 0."""
        output = self.ints("output_tokens")
        return np.where(self.embeds & (output == UNKNOWN), 0, output)

    @cached_property
    def has_usage(self) -> Bools:
        """bool[N]: the server reported tokens."""
        return as_bools((self.ints("prompt_tokens") != UNKNOWN) & (self.output_tokens != UNKNOWN))

    def measured(self, aliases: AbstractSet[str]) -> Bools:
        """bool[N]: calls to servers whose devices we measure."""
        return _members(self.table["alias"], aliases)

    def served_by(self, serves: Callable[[str | None], bool]) -> Bools:
        """bool[N]: calls to addresses that `serves` says yes to."""
        urls = codes(self.table["server_url"])
        answers = np.array([*map(serves, urls.names), serves(None)], dtype=np.bool_)
        return as_bools(answers[urls.codes])

    def with_pods(self, own: OwnPods) -> "CallTable":
        """With the pods' names, as far as they are known by their addresses."""
        urls = codes(self.table["server_url"])
        pods = [own.pod_at(url) for url in urls.names]
        names = pa.array([*(None if pod is None else pod[1] for pod in pods), None], pa.string())
        found = names.take(pa.array(np.where(urls.codes < 0, len(pods), urls.codes), pa.int64()))
        place = self.table.column_names.index("server_pod")
        column = pc.coalesce(self.table["server_pod"], found)
        return CallTable(self.table.set_column(place, "server_pod", column), self.query, self.bucket)

    def seconds(self, end: str, start: str) -> Floats:
        """float64[N]: from one of a call's times to another; NaN where either is not known."""
        ends, starts = self.ints(end), self.ints(start)
        return np.where((ends == UNKNOWN) | (starts == UNKNOWN), np.nan, (ends - starts) / 1e9)

    @cached_property
    def decode_seconds(self) -> Floats:
        """float64[N]: from the first to the last content chunk; NaN where they are not told apart."""
        seconds = self.seconds("last_content_ns", "first_content_ns")
        return np.where(seconds > 0, seconds, np.nan)

    def arrays(self, rows: Ints) -> Calls:
        """What attribution needs of some calls."""
        part = taken(self.table, rows)
        counts = pc.fill_null(pc.list_value_length(part["content_chunk_ns"]), 0).to_numpy().astype(np.int64)
        chunks = pc.cast(pc.list_flatten(part["content_chunk_ns"]), pa.int64()).to_numpy()
        return Calls(
            send_ns=ints(part, "send_ns"),
            end_ns=ints(part, "end_ns"),
            chunk_offset=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)]),
            chunk_ns=chunks,
            prompt_tokens=ints(part, "prompt_tokens"),
            cached_prompt_tokens=ints(part, "cached_prompt_tokens"),
            output_tokens=self.output_tokens[rows],
        )


def cut_off(journal: Journal, instance_id: str, aliases: AbstractSet[str], *, end_ns: int) -> tuple[Ints, Ints]:
    """Send times, and ends, of one meter's calls that were sent and whose end was never journalled: a crash cut them
    off. `end_ns`: the end of those whose meter was heard of until then.
    """
    begins, ends = journal.tables[Kind.CALL_BEGIN], journal.tables[Kind.CALL]
    ours = truths(pc.equal(row_column(begins, "instance_id"), instance_id))
    open_calls = ours & (index_of(begins["call_id"], ends["call_id"]) < 0) & _members(begins["alias"], aliases)
    ids: list[Any] = begins.filter(pa.array(open_calls))["call_id"].to_pylist()
    gone = np.array([min(journal.gone_ns.get(call_id, end_ns), end_ns) for call_id in ids], dtype=np.int64)
    return ints(begins, "send_ns")[open_calls], gone


def _members(column: ArrowColumn, values: AbstractSet[str]) -> Bools:
    return truths(pc.is_in(column, value_set=pa.array(sorted(values), pa.string())))
