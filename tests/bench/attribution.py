"""Attribution of 10,000 queries over 36,000 ticks (an hour at 10 Hz) on 8 devices: its time, and that it is exact."""

import time

import numpy as np

from joulebench_api.contracts.energy import Method
from joulebench_runner.attribution.buckets import Bucket
from joulebench_runner.attribution.core import Attribution, Occupancy, attribute
from joulebench_runner.attribution.segments import Calls, claims
from joulebench_runner.attribution.ticks import Ticks

QUERIES, TICKS, DEVICES = 10_000, 36_000, 8
TICK_NS = 100_000_000
HOUR_NS = TICKS * TICK_NS
BAR_SECONDS = {"two segments a query": 0.5, "100 chunks a query": 5.0}


def make_calls(rng: np.random.Generator, chunks: int) -> Calls:
    """Some 60 calls in flight at any time, each with its prefill and then `chunks` chunks."""
    send = np.sort(rng.integers(0, HOUR_NS - 40 * 10**9, QUERIES))
    gaps = rng.integers(1, 40 * 10**9 // (chunks + 2), (QUERIES, chunks + 1))
    chunk_ns = send[:, None] + np.cumsum(gaps, axis=1)
    # Only the ends of the chunks matter for two segments a query: prefill and decode.
    return Calls(
        send_ns=send,
        end_ns=chunk_ns[:, -1].copy(),
        chunk_offset=np.arange(QUERIES + 1) * (chunks + 1),
        chunk_ns=chunk_ns.ravel(),
        prompt_tokens=rng.integers(20, 2000, QUERIES),
        cached_prompt_tokens=np.zeros(QUERIES, dtype=np.int64),
        output_tokens=rng.integers(10, 600, QUERIES),
    )


def make_ticks(rng: np.random.Generator) -> Ticks:
    """An hour of a device between 100 and 700 W."""
    steps = rng.integers(90_000_000, 110_000_000, TICKS)
    zeros = np.zeros(TICKS, dtype=np.int64)
    return Ticks(np.cumsum(steps) - TICK_NS, np.cumsum(rng.integers(10_000, 70_000, TICKS)), zeros, zeros, TICK_NS)


def run(calls: Calls, devices: list[Ticks]) -> tuple[float, list[Attribution]]:
    """Seconds from calls and ticks to integer millijoules of every query on every device."""
    began = time.perf_counter()
    claimed = claims(calls, Method.PHASE)
    bucket = np.full(2 * len(calls), int(Bucket.QUERIES))
    occupancy = Occupancy(claimed.segments, bucket, start_ns=0, end_ns=HOUR_NS)
    results = [attribute(ticks, occupancy) for ticks in devices]
    return time.perf_counter() - began, results


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(7)
    devices = [make_ticks(rng) for _ in range(DEVICES)]
    print(f"attribution, {QUERIES:,} queries x {TICKS:,} ticks x {DEVICES} devices, method Phase")
    for (name, bar), chunks in zip(BAR_SECONDS.items(), (1, 99), strict=True):
        calls = make_calls(rng, chunks)
        seconds, results = min((run(calls, devices) for _ in range(3)), key=lambda timed: timed[0])
        exact = all(result.conserved() for result in results)
        joules = sum(result.total_mj for result in results) / 1000
        print(
            f"  {name:<22} {seconds:6.3f} s  {seconds / bar:5.2f} x the bar of {bar} s  exact: {exact}  {joules:,.0f} J"
        )


if __name__ == "__main__":
    main()
