"""Sums over many index ranges of one array, without cancellation.

The obvious way, differences of a prefix sum, loses all digits of a small sum behind a large prefix: a call that was
alone with a tiny weight makes the prefix of P/W grow by nine orders of magnitude. So each range is put together from
the aligned blocks of a binary tree instead: only positive numbers inside the range are added, at most 2 log2(length) of
them. Which blocks make up a range is worked out once and used for every device,
for so many ranges at a time as the processor's caches hold.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from joulebench_runner.attribution.arrays import Floats, Ints

AT_ONCE: Final = 1 << 16
"""Ranges that are worked out together."""


class RangeSums:
    """Sums of `values[start:stop]` for many ranges; each stop must be greater than its start."""

    def __init__(self, starts: Ints, stops: Ints, size: int) -> None:
        self._leaves = 1 << max(size - 1, 0).bit_length()
        lots = [slice(first, first + AT_ONCE) for first in range(0, len(starts), AT_ONCE)]
        self._lots = [_Lot.of(starts[lot] + self._leaves, stops[lot] + self._leaves) for lot in lots]

    def sums(self, values: Floats) -> Floats:
        """One sum a range."""
        tree = self._tree(values)
        return np.concatenate([np.zeros(0), *(np.add.reduceat(tree[lot.nodes], lot.firsts) for lot in self._lots)])

    def _tree(self, values: Floats) -> Floats:
        """Node 1 is the sum of all, nodes 2i and 2i + 1 are the halves of node i, the leaves are the values."""
        tree = np.zeros(2 * self._leaves)
        tree[self._leaves : self._leaves + len(values)] = values
        level = self._leaves
        while level > 1:
            tree[level // 2 : level] = tree[level : 2 * level : 2] + tree[level + 1 : 2 * level : 2]
            level //= 2
        return tree


@dataclass(frozen=True)
class _Lot:
    """Some ranges: the tree nodes that make them up, range after range, and where each range's nodes begin."""

    nodes: Any  # int32 or int64
    firsts: Ints

    @classmethod
    def of(cls, low: Ints, high: Ints) -> "_Lot":
        """From the leaves at which the ranges start and stop."""
        small = np.int32 if len(high) and int(high.max()) < 1 << 31 else np.int64
        low, high = low.astype(small), high.astype(small)
        count = np.zeros(len(low), dtype=np.int64)  # nodes of each range so far
        owner, found = np.arange(len(low)), []
        while len(owner):
            for odd, node in ((low & 1 == 1, low), (high & 1 == 1, high - 1)):
                which = owner[odd]
                found.append((which, count[which], node[odd]))
                count[which] += 1
            low, high = (low + 1) >> 1, high >> 1
            open_ranges = low < high
            owner, low, high = owner[open_ranges], low[open_ranges], high[open_ranges]
        firsts = np.cumsum(count) - count
        nodes = np.zeros(int(count.sum()), dtype=small)
        for which, place, node in found:
            nodes[firsts[which] + place] = node
        return cls(nodes, firsts)
