"""Fewer points, the same picture."""

import numpy as np

from joulebench_runner.attribution.arrays import Floats, Ints


def keep_extremes(values: Floats, *, most: int) -> Ints:
    """Rows to keep, in order, at most `most`: of each of equally many neighbours the lowest, the highest and where the
    values are not known. All where there are few enough."""
    if len(values) <= most:
        return np.arange(len(values))
    kept = {0, len(values) - 1}
    for part in np.array_split(np.arange(len(values)), max((most - 2) // 3, 1)):
        unknown = np.isnan(values[part])
        kept |= {int(part[unknown][0])} if unknown.any() else set()
        if not unknown.all():
            kept |= {int(part[np.nanargmin(values[part])]), int(part[np.nanargmax(values[part])])}
    return np.array(sorted(kept), dtype=np.int64)


def lanes(start: Floats, end: Floats) -> Ints:
    """int64[N]: for intervals sorted by start, the first row of a chart in which each has room."""
    free_from: list[float] = []
    lane = np.zeros(len(start), dtype=np.int64)
    for place, (begins, ends) in enumerate(zip(start.tolist(), end.tolist(), strict=True)):
        found = next((one for one, free in enumerate(free_from) if free <= begins), len(free_from))
        free_from[found : found + 1] = [ends]
        lane[place] = found
    return lane


def in_flight(start: Floats, end: Floats) -> tuple[Floats, Floats]:
    """(times, counts): how many intervals are open from each time on."""
    times = np.concatenate([start, end])
    steps = np.concatenate([np.ones(len(start)), -np.ones(len(end))])
    order = np.lexsort((steps, times))  # at equal times an end goes before a start
    return times[order], np.cumsum(steps[order])


def fair_limit(sizes: Ints, *, budget: int) -> int:
    """The largest limit at which sizes, each cut to it, sum to at most `budget`; the largest size if all fit."""
    ordered = np.sort(sizes)
    if not len(ordered) or int(ordered.sum()) <= budget:
        return int(ordered[-1]) if len(ordered) else 0
    left = budget
    for place, size in enumerate(ordered.tolist()):
        remaining = len(ordered) - place
        if size * remaining > left:
            return left // remaining
        left -= size
    return int(ordered[-1])
