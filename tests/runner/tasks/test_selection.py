"""Which records are asked, and in which order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_runner.errors import BadInputError
from joulebench_runner.tasks.selection import order_hash, select

IDS = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=40, unique=True)
SEED = st.integers()


@given(ids=IDS, seed=SEED, limit=st.integers(min_value=1, max_value=39))
def test_limit_n_is_a_prefix_of_limit_n_plus_one(ids: list[str], seed: int, limit: int) -> None:
    assert select(ids, seed=seed, limit=limit) == select(ids, seed=seed, limit=limit + 1)[:limit]


@given(ids=IDS, seed=SEED, data=st.data())
def test_the_order_of_the_source_does_not_matter(ids: list[str], seed: int, data: st.DataObject) -> None:
    assert select(data.draw(st.permutations(ids)), seed=seed) == select(ids, seed=seed)


@given(ids=IDS, seed=SEED)
def test_without_limit_every_record_is_asked_once(ids: list[str], seed: int) -> None:
    assert sorted(select(ids, seed=seed)) == sorted(ids)


@given(ids=IDS, seed=SEED, data=st.data())
def test_named_records_are_asked_in_the_same_order_as_in_a_full_run(
    ids: list[str], seed: int, data: st.DataObject
) -> None:
    wanted = data.draw(st.lists(st.sampled_from(ids), min_size=1, unique=True))
    assert select(ids, seed=seed, wanted=wanted) == [name for name in select(ids, seed=seed) if name in wanted]


def test_another_seed_asks_in_another_order() -> None:
    ids = [str(number) for number in range(50)]
    assert select(ids, seed=1) != select(ids, seed=2)


def test_ordered_records_keep_their_order() -> None:
    assert select(["c", "a", "b"], seed=1, limit=2, ordered=True) == ["c", "a"]


def test_an_unknown_record_id_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInputError, match="'question-11'") as caught:
        select(["question-1", "question-2"], seed=1, wanted=["question-11"])
    assert "'question-1'" in str(caught.value.remedy)


def test_nothing_left_names_the_filters() -> None:
    with pytest.raises(BadInputError, match=r"2 records in the source, task\.recordIds names 0, task\.limit is 5"):
        select(["a", "b"], seed=1, limit=5, wanted=[])


def test_the_order_hash_tells_orders_apart() -> None:
    assert order_hash(["a", "b"]) != order_hash(["b", "a"])
