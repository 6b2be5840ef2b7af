"""Ticks, and what they cover."""

import numpy as np
import pytest

from joulebench_exporter.ticks import TickFlag as ExportersFlag
from joulebench_runner.attribution.ticks import TickFlag, Ticks

MS = 1_000_000


def make_ticks(times: list[int], energy: list[int]) -> Ticks:
    zeros = np.zeros(len(times), dtype=np.int64)
    return Ticks(np.array(times) * MS, np.array(energy), zeros, zeros, 100 * MS)


@pytest.mark.parametrize("flag", TickFlag)
def test_flags_mean_what_the_exporter_means(flag: TickFlag) -> None:
    assert ExportersFlag[flag.name or ""].value == flag.value


def test_the_fewest_ticks_that_span_a_window_are_taken() -> None:
    ticks = make_ticks([0, 100, 200, 300, 400], [0, 1, 2, 3, 4])

    assert (ticks.over(150 * MS, 250 * MS).time_ns // MS).tolist() == [100, 200, 300]
    assert (ticks.over(100 * MS, 200 * MS).time_ns // MS).tolist() == [100, 200]
    assert (ticks.over(350 * MS, 900 * MS).time_ns // MS).tolist() == [300, 400]


def test_coverage_and_energy_are_of_the_part_that_ticks_cover() -> None:
    ticks = make_ticks([100, 200, 3000, 3100], [0, 50, 4000, 4100])

    assert ticks.covered_ns(0, 4000 * MS) == 200 * MS
    assert ticks.energy_between_mj(150 * MS, 3050 * MS) == pytest.approx(25 + 50)
    assert ticks.watts.tolist() == pytest.approx([0.5, 3950 / 2800, 1.0])
