"""Which beginnings of prompts are in the KV cache already (automatic prefix caching). Pure."""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice

from joulebench_simulator import tokens
from joulebench_simulator.scheduler import BLOCK_TOKENS


class PrefixCache:
    """Remembers whole blocks of prompts, the most recently used ones."""

    def __init__(self, *, blocks: int) -> None:
        """`blocks`: how many are remembered; 0 turns the cache off."""
        self._most = blocks
        self._known: OrderedDict[int, None] = OrderedDict()
        self.queried_tokens = 0
        self.hit_tokens = 0

    def look_up(self, text: str) -> int:
        """Tokens at the beginning of a prompt that are known; its blocks are known from now on."""
        if not self._most:
            return 0
        hits, missed = 0, False
        for block in _blocks(text):
            missed = missed or block not in self._known
            hits += not missed
            self._known[block] = None
            self._known.move_to_end(block)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        self.queried_tokens += tokens.count(text)
        self.hit_tokens += hits * BLOCK_TOKENS
        return hits * BLOCK_TOKENS


def _blocks(text: str) -> Iterator[int]:
    """One number for each whole block, which depends on all that stands before it."""
    chain, pieces = 0, iter(tokens.split(text))
    while len(block := tuple(islice(pieces, BLOCK_TOKENS))) == BLOCK_TOKENS:
        chain = hash((chain, block))
        yield chain
