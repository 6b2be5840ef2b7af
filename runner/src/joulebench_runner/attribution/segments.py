"""From calls to segments: who was in flight when, with which weight.

A call makes two claims, so that its prefill and decode energies are known apart: claimant 2i is the prefill of call i,
claimant 2i + 1 its decode. A call whose phases cannot be told apart (the answer came in one piece) has all in 2i.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from joulebench_api.contracts.energy import Method
from joulebench_runner.attribution.arrays import Bools, Floats, Ints, as_bools
from joulebench_runner.attribution.core import MAX_RATE, Segments
from joulebench_runner.errors import BadInputError

DEFAULT_KAPPA: Final = 0.4
"""Energy of an uncached prompt token / energy of an output token.

A prior, stated with every result: below 1, because the tokens of a prompt share one pass over the weights, and a decode
step makes one such pass for a token of each sequence. It depends on model and device.
"""

RATE_SCALE: Final = 1 << 16
"""Rates are tokens a second x 65,536 as integers, so that their sums are exact."""

UNKNOWN: Final = -1
"""In columns of counts: the server did not say."""

NS: Final = 1_000_000_000


@dataclass(frozen=True)
class Calls:
    """C calls by columns.

    `send_ns`, `end_ns`: int64[C]. `chunk_offset`: int64[C+1] into `chunk_ns`: when each chunk with content came, in
    order.
    `prompt_tokens`, `cached_prompt_tokens`, `output_tokens`: int64[C], UNKNOWN where the server did not say.
    """

    send_ns: Ints
    end_ns: Ints
    chunk_offset: Ints
    chunk_ns: Ints
    prompt_tokens: Ints
    cached_prompt_tokens: Ints
    output_tokens: Ints

    def __len__(self) -> int:
        return len(self.send_ns)

    @property
    def chunks(self) -> Ints:
        """int64[C]: chunks with content of each call."""
        return np.diff(self.chunk_offset)

    @property
    def has_usage(self) -> Bools:
        """bool[C]: prompt and output tokens are known."""
        return as_bools((self.prompt_tokens != UNKNOWN) & (self.output_tokens != UNKNOWN))


@dataclass(frozen=True)
class Claims:
    """The segments of C calls.

    `split`: bool[C], whether prefill and decode could be told apart. `fallback`: bool[C], whether a call is split by
    `Equal` because its tokens are not known.
    """

    segments: Segments
    split: Bools
    fallback: Bools


def claims(calls: Calls, method: Method, *, kappa: float = DEFAULT_KAPPA) -> Claims:
    """The claims that calls make under a method; BadInputError for a method that is not there."""
    if method is Method.PHASE:
        return phase_claims(calls, kappa=kappa)
    if method is Method.EQUAL:
        return equal_claims(calls)
    raise BadInputError(
        f"energy.attribution: method {method.value} is not available in this release",
        remedy=f"Use {Method.PHASE.value} or {Method.EQUAL.value}.",
    )


def equal_claims(calls: Calls) -> Claims:
    """Every call in flight gets the same; prefill ends with the first chunk that has content."""
    everyone = np.arange(len(calls))
    return Claims(_equal_segments(calls, everyone), calls.chunks > 0, np.zeros(len(calls), dtype=np.bool_))


def phase_claims(calls: Calls, *, kappa: float) -> Claims:
    """Calls weigh by the tokens that they have the server work on.

    Prefill [send, first content): kappa x uncached prompt tokens (at least one). Decode, from chunk to chunk: the
    output tokens, spread evenly over the chunks; the first output token is the prefill's own. The tail [last content,
    end) keeps a call in flight with the least weight. Calls without usage take an equal share.
    """
    weighted = calls.has_usage
    stamps = _Stamps.of(calls)
    streamed = stamps.count > 0
    parts = [
        _equal_segments(calls, np.flatnonzero(~weighted)),
        _prefill(calls, stamps, np.flatnonzero(weighted), kappa),
        _decode(stamps, weighted),
        _tail(calls, stamps, np.flatnonzero(weighted & streamed)),
    ]
    # Of two tokens in one chunk the second is the end of the answer, which has no text: it came after the chunk.
    one_word = (calls.output_tokens <= 1) | ((calls.output_tokens == 2) & (calls.chunks == 1))
    told_apart = np.where(weighted, (stamps.count > 1) | one_word, streamed)
    return Claims(_with_length(Segments.concatenate(*parts)), told_apart, ~weighted)


@dataclass(frozen=True)
class _Stamps:
    """Chunks that arrived together (one read of the socket may bring several) as one stamp with all their tokens."""

    call: Ints  # int64[T]
    time_ns: Ints  # int64[T]
    tokens: Floats  # float64[T]; 0 where the output tokens are not known
    new_call: Bools  # bool[T]: the call's first stamp
    count: Ints  # int64[C]: stamps of each call
    first_ns: Ints  # int64[C]: of the first stamp; the end for calls without one
    last_ns: Ints  # int64[C]
    first_tokens: Floats  # float64[C]

    @classmethod
    def of(cls, calls: Calls) -> "_Stamps":
        chunk_call = np.repeat(np.arange(len(calls)), calls.chunks)
        new_call = np.diff(chunk_call, prepend=-1) != 0
        new = new_call | (np.diff(calls.chunk_ns, prepend=0) != 0)
        at = np.flatnonzero(new)
        call = chunk_call[at]
        per_chunk = np.maximum(calls.output_tokens, 0) / np.maximum(calls.chunks, 1)
        tokens = np.diff(at, append=len(chunk_call)) * per_chunk[call]
        count = np.bincount(call, minlength=len(calls))
        first_ns, last_ns, first_tokens = calls.end_ns.copy(), calls.end_ns.copy(), np.zeros(len(calls))
        firsts = np.flatnonzero(new_call[at])
        lasts = np.append(firsts[1:], len(at)) - 1 if len(firsts) else firsts
        first_ns[call[firsts]] = calls.chunk_ns[at[firsts]]
        last_ns[call[lasts]] = calls.chunk_ns[at[lasts]]
        first_tokens[call[firsts]] = tokens[firsts]
        return cls(call, calls.chunk_ns[at], tokens, new_call[at], count, first_ns, last_ns, first_tokens)


def _prefill(calls: Calls, stamps: _Stamps, chosen: Ints, kappa: float) -> Segments:
    """[send, first content), or the whole call where nothing was streamed; then all output tokens are in it."""
    cached = np.maximum(calls.cached_prompt_tokens, 0)
    prompt = np.maximum(calls.prompt_tokens - cached, 1)
    # What came with the first stamp, besides the one token that prefill itself yields, was decoded before it.
    decoded = np.where(stamps.count > 0, stamps.first_tokens, calls.output_tokens)
    weight = kappa * prompt + np.maximum(decoded - 1, 0)
    starts, ends = calls.send_ns[chosen], stamps.first_ns[chosen]
    return _weighted(2 * chosen, starts, ends, weight[chosen])


def _decode(stamps: _Stamps, weighted: Bools) -> Segments:
    """From each stamp to the next: the tokens that came with the later one."""
    later = np.flatnonzero(~stamps.new_call & weighted[stamps.call])
    starts, ends = stamps.time_ns[later - 1], stamps.time_ns[later]
    return _weighted(2 * stamps.call[later] + 1, starts, ends, stamps.tokens[later])


def _tail(calls: Calls, stamps: _Stamps, chosen: Ints) -> Segments:
    starts, ends = stamps.last_ns[chosen], calls.end_ns[chosen]
    return _weighted(2 * chosen + 1, starts, ends, np.zeros(len(chosen)))


def _weighted(claimant: Ints, start_ns: Ints, end_ns: Ints, tokens: Floats) -> Segments:
    per_second = tokens * NS / np.maximum(end_ns - start_ns, 1)
    # The one that is added is the least weight: whoever is in flight has a share, so all energy finds an owner.
    rate = np.minimum(np.rint(per_second * RATE_SCALE), MAX_RATE - 1).astype(np.int64) + 1
    return Segments(claimant, start_ns, end_ns, rate, np.zeros_like(claimant))


def _equal_segments(calls: Calls, chosen: Ints) -> Segments:
    has_chunks = calls.chunks[chosen] > 0
    first = calls.end_ns[chosen].copy()
    first[has_chunks] = calls.chunk_ns[calls.chunk_offset[chosen[has_chunks]]]
    claimant = np.concatenate([2 * chosen, 2 * chosen + 1])
    starts, ends = np.concatenate([calls.send_ns[chosen], first]), np.concatenate([first, calls.end_ns[chosen]])
    return _with_length(Segments(claimant, starts, ends, np.zeros_like(claimant), np.ones_like(claimant)))


def _with_length(segments: Segments) -> Segments:
    keep = segments.end_ns > segments.start_ns
    return Segments(
        *(getattr(segments, name)[keep] for name in ("claimant", "start_ns", "end_ns", "rate", "equal")),
    )
