"""The two statistics of a summary: an interval for a proportion, and the figures of a distribution."""

import math
from typing import Final

import numpy as np

from joulebench_api.contracts.summary import Accuracy, Distribution
from joulebench_runner.attribution.arrays import Bools, Floats, Ints

Z95: Final = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


def wilson(successes: int, trials: float, *, proportion: float | None = None) -> tuple[float, float]:
    """Wilson's 95 % interval (1927, JASA 22:209). `trials` may be an effective, fractional sample size, and then
    `proportion` says what was observed."""
    observed = successes / trials if proportion is None else proportion
    square = Z95 * Z95
    middle = observed + square / (2 * trials)
    spread = Z95 * math.sqrt(observed * (1 - observed) / trials + square / (4 * trials * trials))
    low, high = (middle - spread) / (1 + square / trials), (middle + spread) / (1 + square / trials)
    # The formula gives exactly 0 and 1 at the ends; floating point need not.
    return (0.0 if observed == 0 else max(low, 0.0)), (1.0 if observed == 1 else min(high, 1.0))


def effective_trials(correct: Bools, cluster: Ints) -> float:
    """How many independent answers repeated answers to the same records are worth (Kish's design effect).

    `correct`: bool[N]; `cluster`: int64[N], which record. The design effect is the variance of the proportion between
    clusters over that of N independent answers, never below 1. Where all answers are alike nothing is known about their
    likeness within a record, and each record counts once.
    """
    # Sorted, since `np.unique` hashes, which takes many times as long.
    order = np.argsort(cluster, kind="stable")
    starts = np.flatnonzero(np.diff(cluster[order], prepend=cluster[order[:1]] - 1))
    clusters = len(starts)
    if clusters in (len(correct), 1):
        return float(clusters)
    proportion = float(correct.mean())
    if proportion in (0.0, 1.0):
        return float(clusters)
    sums = np.add.reduceat((correct - proportion)[order], starts)
    clustered = float((sums**2).sum()) * clusters / (clusters - 1) / len(correct) ** 2
    independent = proportion * (1 - proportion) / len(correct)
    return max(len(correct) / max(clustered / independent, 1.0), 1.0)


def accuracy(correct: Bools, record: Ints) -> Accuracy | None:
    """Correct / all asked with its interval; None when nothing was asked."""
    if not len(correct):
        return None
    value = float(correct.mean())
    low, high = wilson(0, effective_trials(correct, record), proportion=value)
    return Accuracy(value=value, low=low, high=high)


def distribution(values: Floats) -> Distribution | None:
    """Figures over the values that are known (not NaN); percentiles interpolate linearly between order statistics
    (method 7 of Hyndman and Fan 1996). None when none is known."""
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    p5, median, p95, p99 = (float(value) for value in np.percentile(known, [5, 50, 95, 99], method="linear"))
    return Distribution(
        count=len(known),
        mean=float(known.mean()),
        median=median,
        p5=p5,
        p95=p95,
        p99=p99,
        min=float(known.min()),
        max=float(known.max()),
        std=float(known.std(ddof=1)) if len(known) > 1 else None,
    )
