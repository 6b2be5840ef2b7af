"""Sums over many index ranges of one array, without cancellation.

The obvious way, differences of a prefix sum, loses all digits of a small sum behind a large prefix: a call that was
alone with a tiny weight makes the prefix of P/W grow by nine orders of magnitude. So each range is put together from
the aligned blocks of a binary tree instead: only positive numbers inside the range are added, at most 2 log2(length) of
them. Which blocks make up a range is worked out once and used for every device.
"""

import numpy as np

from joulebench_runner.attribution.arrays import Floats, Ints


class RangeSums:
    """Sums of `values[start:stop]` for many ranges; each stop must be greater than its start."""

    def __init__(self, starts: Ints, stops: Ints, size: int) -> None:
        self._leaves = 1 << max(size - 1, 0).bit_length()
        self._count = len(starts)
        owners, nodes = self._decompose(starts, stops)
        order = np.argsort(owners, kind="stable")
        self._nodes = nodes[order]
        self._firsts = np.searchsorted(owners[order], np.arange(self._count))

    def _decompose(self, starts: Ints, stops: Ints) -> tuple[Ints, Ints]:
        """The tree nodes that make up each range, as (range, node) pairs."""
        owner = np.arange(self._count)
        low, high = starts + self._leaves, stops + self._leaves
        owners, nodes = [owner[:0]], [low[:0]]
        while len(owner):
            for odd, node in ((low & 1 == 1, low), (high & 1 == 1, high - 1)):
                owners.append(owner[odd])
                nodes.append(node[odd])
            low, high = (low + 1) >> 1, high >> 1
            open_ranges = low < high
            owner, low, high = owner[open_ranges], low[open_ranges], high[open_ranges]
        return np.concatenate(owners), np.concatenate(nodes)

    def sums(self, values: Floats) -> Floats:
        """One sum a range."""
        if not self._count:
            return np.zeros(0)
        return np.add.reduceat(self._tree(values)[self._nodes], self._firsts)

    def _tree(self, values: Floats) -> Floats:
        """Node 1 is the sum of all, nodes 2i and 2i + 1 are the halves of node i, the leaves are the values."""
        tree = np.zeros(2 * self._leaves)
        tree[self._leaves : self._leaves + len(values)] = values
        level = self._leaves
        while level > 1:
            tree[level // 2 : level] = tree[level : 2 * level : 2] + tree[level + 1 : 2 * level : 2]
            level //= 2
        return tree
