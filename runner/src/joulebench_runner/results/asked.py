"""Which attempt of each question counts."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from joulebench_runner.attribution.arrays import Bools, Ints
from joulebench_runner.journal.schema import Kind
from joulebench_runner.results.arrow import ArrowColumn
from joulebench_runner.results.tables import Journal, codes, index_of, ints, pair_keys


@dataclass(frozen=True)
class Asked:
    """The Q questions that were asked, in the order in which they were first begun.

    `begin`, `finish`: int64[Q], rows of the journal's tables; `finish` is -1 for a question that never finished.
    `keys`: `query_id.attempt` of the attempt that counts: the latest that finished, else the latest.
    `finished_keys`: of all attempts that finished.
    """

    begin: Ints
    finish: Ints
    keys: ArrowColumn
    finished_keys: ArrowColumn

    def __len__(self) -> int:
        return len(self.begin)

    @property
    def finished(self) -> Bools:
        """bool[Q]."""
        return self.finish >= 0


def asked(journal: Journal) -> Asked:
    """Choose one attempt a question."""
    begins, finishes = journal.tables[Kind.QUERY_BEGIN], journal.tables[Kind.QUERY_FINISH]
    begin_keys, finish_keys = pair_keys(begins), pair_keys(finishes)
    # Of two equal finishes the first was acknowledged, so it counts.
    finish = index_of(begin_keys, finish_keys)
    query = codes(begins["query_id"]).codes
    order = np.lexsort((np.arange(len(query)), ints(begins, "attempt"), finish >= 0, query))
    last = np.append(np.diff(query[order]) != 0, True)[: len(order)]
    chosen = order[last]  # sorted by query, that is by first appearance
    return Asked(chosen, finish[chosen], begin_keys.take(pa.array(chosen)), finish_keys)
