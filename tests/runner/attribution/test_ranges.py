"""Range sums equal plain sums, whatever stands outside the range."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from joulebench_runner.attribution.ranges import RangeSums


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=70), st.data())
def test_each_range_is_the_sum_of_its_values(values: list[float], data: st.DataObject) -> None:
    edges = st.integers(0, len(values))
    pairs = data.draw(st.lists(st.tuples(edges, edges).filter(lambda pair: pair[0] != pair[1]), max_size=20))
    starts, stops = (np.array([pick(pair) for pair in pairs], dtype=np.int64) for pick in (min, max))

    sums = RangeSums(starts, stops, len(values)).sums(np.array(values))

    expected = [sum(values[start:stop]) for start, stop in zip(starts, stops, strict=True)]
    np.testing.assert_allclose(sums, expected, rtol=1e-12)


def test_a_huge_value_outside_the_range_costs_no_digits() -> None:
    values = np.array([1e15, 1e-3, 2e-3, 1e15])

    assert RangeSums(np.array([1]), np.array([3]), 4).sums(values).tolist() == [3e-3]
