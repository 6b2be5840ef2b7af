"""Continuous batching, step by step."""

from hypothesis import given
from hypothesis import strategies as st

from joulebench_simulator.scheduler import BLOCK_TOKENS, Limits, Scheduler, Sequence, Work

MOST_STEPS = 20_000


def sequence(prompt: int, output: int, *, cached: int = 0) -> Sequence:
    return Sequence(owner=None, prompt_tokens=prompt, output_tokens=output, cached_tokens=cached)


def scheduler(*sequences: Sequence, **limits: int) -> Scheduler:
    made = Scheduler(Limits(**limits))
    for one in sequences:
        made.add(one)
    return made


def shape(work: list[Work]) -> list[tuple[int, int]]:
    return [(one.prefill, one.decode) for one in work]


def run(made: Scheduler) -> list[list[tuple[int, int]]]:
    """All steps until nothing is left."""
    steps = []
    while work := made.plan():
        steps.append(shape(work))
        made.finish(work)
        assert len(steps) < MOST_STEPS
    return steps


def test_a_prompt_is_computed_once_and_then_one_token_a_step() -> None:
    assert run(scheduler(sequence(5, 3))) == [[(5, 0)], [(0, 1)], [(0, 1)]]


def test_a_long_prompt_is_cut_into_chunks_beside_the_decoding_of_others() -> None:
    made = scheduler(sequence(4, 4), sequence(20, 1), max_batched_tokens=8)
    assert run(made) == [[(4, 0), (4, 0)], [(0, 1), (7, 0)], [(0, 1), (7, 0)], [(0, 1), (2, 0)]]


def test_running_sequences_go_before_waiting_ones() -> None:
    first, second = sequence(8, 5), sequence(8, 5)
    made = scheduler(first, second, max_batched_tokens=8)
    made.finish(made.plan())
    assert [(one.sequence, one.prefill, one.decode) for one in made.plan()] == [(first, 0, 1), (second, 7, 0)]


def test_no_more_sequences_run_than_allowed() -> None:
    made = scheduler(*(sequence(2, 4) for _ in range(5)), max_sequences=2)
    assert max(len(step) for step in run(made)) == 2


def test_what_is_cached_is_not_computed_again() -> None:
    assert run(scheduler(sequence(40, 1, cached=32))) == [[(8, 0)]]


def test_a_wholly_cached_prompt_still_computes_its_last_token() -> None:
    assert run(scheduler(sequence(40, 1, cached=40))) == [[(1, 0)]]


def test_no_output_is_done_after_the_prompt() -> None:
    made = scheduler(sequence(7, 0))
    (done,) = made.finish(made.plan())
    assert (done.done, done.produced, made.plan()) == (True, 0, [])


def test_when_memory_is_full_the_last_one_starts_again_later() -> None:
    first, last = sequence(16, 20), sequence(16, 20)
    made = scheduler(first, last, kv_tokens=3 * BLOCK_TOKENS)
    made.finish(made.plan())
    assert shape(made.plan()) == [(0, 1)]  # the first takes the last free block
    assert (made.preemptions, list(made.waiting), last.computed) == (1, [last], 0)
    steps = run(made)
    assert (17, 0) in [one for step in steps for one in step], "prompt and the token that was out are computed again"
    assert first.produced == last.produced == 20


def test_a_removed_sequence_frees_its_memory_at_once() -> None:
    first, second = sequence(32, 9), sequence(32, 9)
    made = scheduler(first, second, kv_tokens=32)
    work = made.plan()
    made.remove(first)
    assert made.used_blocks == 0
    assert made.finish(work) == []
    assert [one.sequence for one in made.plan()] == [second]


@given(
    wanted=st.lists(st.tuples(st.integers(1, 60), st.integers(0, 40)), min_size=1, max_size=12),
    sequences=st.integers(1, 6),
    batched=st.integers(1, 50),
    blocks=st.integers(7, 20),
)
def test_everything_is_finished_within_the_limits(
    wanted: list[tuple[int, int]], sequences: int, batched: int, blocks: int
) -> None:
    made = scheduler(
        *(sequence(prompt, output) for prompt, output in wanted),
        max_sequences=sequences, max_batched_tokens=batched, kv_tokens=blocks * BLOCK_TOKENS,
    )  # fmt: skip
    everything = list(made.waiting)
    for _ in range(MOST_STEPS):
        work = made.plan()
        if not work:
            break
        assert len(work) <= sequences
        assert sum(one.prefill + one.decode for one in work) <= batched
        assert 0 <= made.used_blocks == sum(one.blocks for one in made.running) <= blocks
        made.finish(work)
    assert all(one.done and one.produced == one.output_tokens for one in everything)
    assert (made.used_blocks, made.running, list(made.waiting)) == (0, [], [])
