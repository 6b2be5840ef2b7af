"""Largest-remainder rounding: real shares become integers whose sum is given, and each moves by less than one.

Hamilton's method: everybody gets the floor of the share, and what is left goes one by one to the largest fractional
parts. A share of exactly zero never gets anything: the r units that are left are the sum of fractional parts that are
each below one, so more than r of them (or r = 0) are above zero.
"""

import numpy as np

from joulebench_runner.attribution.arrays import Floats, Ints, as_ints


def split(total: int, shares: Floats) -> Ints:
    """Split an integer total in proportion to non-negative real shares; ties go to the lower index."""
    if total == 0 or not len(shares):
        return np.zeros(len(shares), dtype=np.int64)
    quotas = shares * (total / shares.sum())
    parts = as_ints(np.floor(quotas))
    left = total - int(parts.sum())
    _check(left, left, len(parts))
    # A stable sort of the negated fractions keeps ties in index order.
    parts[np.argsort(parts - quotas, kind="stable")[:left]] += 1
    return parts


def split_rows(totals: Ints, quotas: Floats) -> Ints:
    """Round each row of `quotas` (rows x columns, a row sums to its total) to integers; ties go to the first column."""
    parts = as_ints(np.floor(quotas))
    if not len(totals):
        return parts
    left = totals - parts.sum(axis=1)
    _check(int(left.min()), int(left.max()), parts.shape[1])
    fractions = quotas - parts
    for unit in range(int(left.max())):
        rows = np.flatnonzero(left > unit)
        columns = np.argmax(fractions[rows], axis=1)
        parts[rows, columns] += 1
        fractions[rows, columns] = -1.0
    return parts


def _check(least: int, most: int, count: int) -> None:
    if least < 0 or most > count:
        raise ArithmeticError(f"shares do not add up to their total: {least} to {most} units left for {count} parts")
