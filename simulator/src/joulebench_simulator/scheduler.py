"""Continuous batching, as data: which tokens of which sequences the next step computes. No clock, no I/O.

The rules are vLLM's (https://docs.vllm.ai/en/latest/design/arch_overview.html, "V1 scheduler"): running sequences go
first, then waiting ones in the order they came; long prompts are cut into chunks that fit the step's token budget; when
the KV cache is full, the sequence that came last gives up its blocks and starts again later (recompute).
"""

from collections import deque
from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import Any, Final

BLOCK_TOKENS: Final = 16
"""Tokens in one block of the KV cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one step, and the memory, can hold."""

    max_sequences: int = 256
    max_batched_tokens: int = 8192
    kv_tokens: int = 262_144

    @property
    def kv_blocks(self) -> int:
        """Whole blocks in the KV cache."""
        return self.kv_tokens // BLOCK_TOKENS


class Sequence:
    """One answer under way. `computed` tokens of it are in the KV cache, `produced` of its output are out."""

    __slots__ = ("blocks", "cached", "computed", "done", "index", "output_tokens", "owner", "produced", "prompt_tokens")

    def __init__(
        self, *, owner: Any, prompt_tokens: int, output_tokens: int, index: int = 0, cached_tokens: int = 0
    ) -> None:
        """`owner` and `index` are for whoever asks; `cached_tokens` of the prompt need no computing."""
        self.owner = owner
        self.index = index
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.cached = min(cached_tokens, prompt_tokens - 1)
        self.computed = 0
        self.produced = 0
        self.blocks = 0
        self.done = False

    @property
    def length(self) -> int:
        """Tokens so far."""
        return self.prompt_tokens + self.produced


@dataclass(slots=True)
class Work:
    """What one step does for one sequence: so many tokens of prompt (or of recomputing), or one of decoding."""

    sequence: Sequence
    prefill: int
    decode: int


class Scheduler:
    """The queues and the memory of one engine."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.running: list[Sequence] = []
        self.waiting: deque[Sequence] = deque()
        self.used_blocks = 0
        self.preemptions = 0

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence. One that could never fit into the KV cache is the caller's to refuse."""
        self.waiting.append(sequence)

    def fits(self, tokens: int) -> bool:
        """Whether so long a sequence can be finished when it is alone."""
        return -(-tokens // BLOCK_TOKENS) <= self.limits.kv_blocks

    def remove(self, sequence: Sequence) -> None:
        """Drop a sequence, wherever it is, and free its memory."""
        if sequence.done:
            return
        sequence.done = True
        self._free(sequence)
        if sequence in self.running:
            self.running.remove(sequence)
        else:
            self.waiting.remove(sequence)

    def plan(self) -> list[Work]:
        """The next step; empty if there is nothing to do."""
        work, budget, preempted = self._plan_running(self.limits.max_batched_tokens)
        if not preempted:
            self._admit(work, budget)
        return work

    def finish(self, work: Many[Work]) -> list[Sequence]:
        """Book a step that was done; gives the sequences that got one more output token, or are done without any."""
        advanced = []
        for one in work:
            sequence = one.sequence
            if sequence.done:
                continue  # cancelled while the step was under way
            sequence.computed += one.prefill + one.decode
            if sequence.computed < sequence.length:
                continue
            if sequence.produced < sequence.output_tokens:
                sequence.produced += 1
            advanced.append(sequence)
            if sequence.produced >= sequence.output_tokens:
                self.remove(sequence)
        return advanced

    def _plan_running(self, budget: int) -> tuple[list[Work], int, bool]:
        work: list[Work] = []
        preempted = False
        while len(work) < len(self.running) and budget > 0:
            sequence = self.running[len(work)]
            tokens = min(sequence.length - sequence.computed, budget)
            if self._grow(sequence, sequence.computed + tokens):
                work.append(_work(sequence, tokens))
                budget -= tokens
            else:
                self._preempt(self.running[-1])
                preempted = True
        return work, budget, preempted

    def _admit(self, work: list[Work], budget: int) -> None:
        while self.waiting and len(self.running) < self.limits.max_sequences and budget > 0:
            sequence = self.waiting[0]
            tokens = min(sequence.length - sequence.cached, budget)
            if not self._grow(sequence, sequence.cached + tokens):
                return
            sequence.computed = sequence.cached
            self.running.append(self.waiting.popleft())
            work.append(_work(sequence, tokens))
            budget -= tokens

    def _preempt(self, sequence: Sequence) -> None:
        self.preemptions += 1
        self._free(sequence)
        sequence.computed = sequence.cached = 0
        self.running.remove(sequence)
        self.waiting.appendleft(sequence)

    def _grow(self, sequence: Sequence, tokens: int) -> bool:
        """Give a sequence the blocks for so many tokens, if they are free."""
        more = -(-tokens // BLOCK_TOKENS) - sequence.blocks
        if more > self.limits.kv_blocks - self.used_blocks:
            return False
        if more > 0:
            sequence.blocks += more
            self.used_blocks += more
        return True

    def _free(self, sequence: Sequence) -> None:
        self.used_blocks -= sequence.blocks
        sequence.blocks = 0


def _work(sequence: Sequence, tokens: int) -> Work:
    decoding = tokens == 1 and sequence.produced > 0
    return Work(sequence, 0, 1) if decoding else Work(sequence, tokens, 0)
