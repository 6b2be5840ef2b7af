"""From calls to weights."""

from collections.abc import Mapping

import numpy as np
import pytest

from joulebench_api.contracts.energy import Method
from joulebench_runner.attribution.arrays import Floats, as_floats
from joulebench_runner.attribution.buckets import Bucket
from joulebench_runner.attribution.core import Occupancy, attribute
from joulebench_runner.attribution.segments import RATE_SCALE, UNKNOWN, Calls, Claims, claims
from joulebench_runner.attribution.ticks import Ticks
from joulebench_runner.errors import RunnerError

S = 1_000_000_000


def make_calls(*rows: Mapping[str, object]) -> Calls:
    """Calls with times in seconds; `chunks` are times of content."""
    chunks = [list(row.get("chunks", [])) for row in rows]  # type: ignore[call-overload]

    def column(name: str, default: float, scale: int = 1) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        return np.array([int(float(row.get(name, default)) * scale) for row in rows], dtype=np.int64)  # type: ignore[arg-type]

    return Calls(
        send_ns=column("send", 0, S),
        end_ns=column("end", 10, S),
        chunk_offset=np.cumsum([0, *(len(one) for one in chunks)]),
        chunk_ns=np.array([int(time * S) for one in chunks for time in one], dtype=np.int64),
        prompt_tokens=column("prompt", UNKNOWN),
        cached_prompt_tokens=column("cached", UNKNOWN),
        output_tokens=column("output", UNKNOWN),
    )


def rows_of(made: Claims) -> list[tuple[int, float, float, float]]:
    """(claimant, start, end, tokens a second) of the weighted segments."""
    s = made.segments
    rates = np.round((s.rate - 1) / RATE_SCALE, 3)
    return sorted(
        zip(s.claimant.tolist(), (s.start_ns / S).tolist(), (s.end_ns / S).tolist(), rates.tolist(), strict=True)
    )


def joules(calls: Calls, method: Method) -> Floats:
    """Energy of each call on a device at 100 W, in joules."""
    made = claims(calls, method)
    zeros = np.zeros(101, dtype=np.int64)
    ticks = Ticks(np.arange(101) * (S // 10), np.arange(101) * 10_000, zeros, zeros, S // 10)
    bucket = np.full(2 * len(calls), int(Bucket.QUERIES))
    result = attribute(ticks, Occupancy(made.segments, bucket, start_ns=0, end_ns=10 * S))
    return as_floats(result.claimant_mj.reshape(-1, 2).sum(axis=1) / 1000)


def test_prefill_weighs_by_uncached_prompt_tokens_and_decode_by_streamed_tokens() -> None:
    calls = make_calls({"chunks": [2, 4, 5, 8], "end": 9, "prompt": 120, "cached": 20, "output": 8})

    made = claims(calls, Method.PHASE, kappa=0.5)

    # Two tokens a chunk; of those of the first chunk one is the prefill's own and one was decoded before it.
    assert rows_of(made) == [
        (0, 0.0, 2.0, (0.5 * 100 + 1) / 2),
        (1, 2.0, 4.0, 1.0),
        (1, 4.0, 5.0, 2.0),
        (1, 5.0, 8.0, round(2 / 3, 3)),
        (1, 8.0, 9.0, 0.0),
    ]
    assert made.split.tolist() == [True]
    assert made.fallback.tolist() == [False]


def test_chunks_that_arrive_together_are_one_stamp_with_all_their_tokens() -> None:
    made = claims(make_calls({"chunks": [2, 2, 4, 4, 4], "prompt": 10, "output": 5}), Method.PHASE, kappa=1.0)

    assert rows_of(made) == [(0, 0.0, 2.0, 11 / 2), (1, 2.0, 4.0, 1.5), (1, 4.0, 10.0, 0.0)]


def test_the_tail_keeps_a_call_in_flight() -> None:
    calls = make_calls({"chunks": [1, 2], "end": 10, "prompt": 10, "output": 2})

    assert joules(calls, Method.PHASE).tolist() == [1000.0]


def test_a_fully_cached_prompt_still_weighs_one_token() -> None:
    made = claims(
        make_calls({"chunks": [2], "end": 2, "prompt": 50, "cached": 50, "output": 1}), Method.PHASE, kappa=0.4
    )

    assert rows_of(made) == [(0, 0.0, 2.0, 0.2)]


def test_an_answer_in_one_piece_has_no_phases_but_all_its_tokens() -> None:
    made = claims(make_calls({"end": 4, "prompt": 10, "output": 7}), Method.PHASE, kappa=1.0)

    assert rows_of(made) == [(0, 0.0, 4.0, 4.0)]
    assert made.split.tolist() == [False]


def test_a_one_word_answer_and_its_end_token_can_be_told_apart() -> None:
    one_word = make_calls({"chunks": [2], "end": 3, "prompt": 10, "output": 2})
    coalesced = make_calls({"chunks": [2, 2], "end": 3, "prompt": 10, "output": 2})

    assert claims(one_word, Method.PHASE).split.tolist() == [True]
    assert claims(coalesced, Method.PHASE).split.tolist() == [False]


def test_a_call_without_usage_falls_back_to_equal() -> None:
    calls = make_calls({"chunks": [5]}, {"chunks": [5, 10], "prompt": 1000, "output": 500})

    made = claims(calls, Method.PHASE)

    assert made.fallback.tolist() == [True, False]
    assert joules(calls, Method.PHASE).tolist() == [500.0, 500.0]


def test_equal_is_blind_to_tokens_and_phase_is_not() -> None:
    calls = make_calls({"chunks": [5, 10], "prompt": 300, "output": 2}, {"chunks": [5, 10], "prompt": 100, "output": 2})

    assert joules(calls, Method.EQUAL).tolist() == [500.0, 500.0]
    by_phase = joules(calls, Method.PHASE)
    assert by_phase[0] == pytest.approx(500 * 0.75 + 250, abs=0.01)


def test_more_output_tokens_cost_more() -> None:
    other = {"chunks": [1, 10], "prompt": 10, "output": 50}
    few, many = ({"chunks": [1, 10], "prompt": 10, "output": count} for count in (20, 40))

    assert joules(make_calls(many, other), Method.PHASE)[0] > joules(make_calls(few, other), Method.PHASE)[0]


def test_a_call_that_failed_midway_claims_its_time() -> None:
    assert joules(make_calls({"end": 3, "chunks": [1]}), Method.PHASE).tolist() == [300.0]


def test_prefill_and_decode_of_equal_end_and_begin_at_the_first_content() -> None:
    made = claims(make_calls({"chunks": [4], "end": 6}), Method.EQUAL)

    assert rows_of(made) == [(0, 0.0, 4.0, round(-1 / RATE_SCALE, 3)), (1, 4.0, 6.0, round(-1 / RATE_SCALE, 3))]
    assert made.segments.equal.tolist() == [1, 1]


@pytest.mark.parametrize("method", [Method.PHASE, Method.EQUAL])
def test_no_calls_make_no_claims(method: Method) -> None:
    assert len(claims(make_calls(), method).segments) == 0


@pytest.mark.parametrize("method", [Method.TOKEN, Method.AFFINE, Method.MARGINAL, Method.WINDOW])
def test_a_method_that_is_not_there_is_refused_with_those_that_are(method: Method) -> None:
    with pytest.raises(RunnerError, match=method.value) as caught:
        claims(make_calls(), method)

    assert caught.value.remedy is not None
    assert "Phase" in caught.value.remedy
