"""Requests that are not ours."""

import numpy as np

from joulebench_runner.attribution.core import Segments
from joulebench_runner.attribution.foreign import foreign_segments

S = 1_000_000_000


def seen(running: list[float], own: list[int], times: list[int]) -> Segments:
    return foreign_segments(
        time_ns=np.array(times) * S, running=np.array(running), own_in_flight=np.array(own), claimant=9
    )


def test_the_smaller_excess_of_two_scrapes_is_foreign_between_them() -> None:
    found = seen(running=[5, 4, 2, 2], own=[2, 2, 2, 2], times=[0, 1, 2, 3])

    assert found.equal.tolist() == [2]
    assert (found.start_ns.tolist(), found.end_ns.tolist(), found.claimant.tolist()) == ([0], [S], [9])


def test_one_scrape_alone_says_nothing() -> None:
    assert len(seen(running=[2, 9, 2], own=[2, 2, 2], times=[0, 1, 2])) == 0
    assert len(seen(running=[9], own=[0], times=[0])) == 0


def test_scrapes_far_apart_or_silent_say_nothing() -> None:
    assert len(seen(running=[9, 9], own=[0, 0], times=[0, 60])) == 0
    assert len(seen(running=[9, float("nan"), 9], own=[0, 0, 0], times=[0, 1, 2])) == 0
