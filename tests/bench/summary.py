"""Summing up a run of 1,000,000 questions: from the journal's tables in memory to all results.

In a process of its own, whose peak memory, tables included, is the figure.
"""

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from joulebench_api.contracts.energy import Domain
from joulebench_runner.config import EnergySettings, MeterSettings, Upstream
from joulebench_runner.journal.schema import FIELDS, Kind
from joulebench_runner.results.build import build
from joulebench_runner.results.tables import Journal

QUERIES = 1_000_000
BAR_SECONDS, BAR_GIB = 30.0, 2.0
GAP_NS, CALL_NS, CHUNKS = 3_600_000, 200_000_000, 4
"""A question every 3.6 ms for an hour, some 55 in flight, each with four streamed chunks."""
TICK_NS = 100_000_000


@dataclass(frozen=True)
class _Pair:
    boot_id: str = "boot"
    instance_id: str = "meter"
    monotonic_ns: int = 0
    realtime_ns: int = 1_790_000_000 * 10**9


def journal(queries: int) -> Journal:
    """A run of one device and one server, columns made at once."""
    rng = np.random.default_rng(7)
    send = np.arange(queries, dtype=np.int64) * GAP_NS + GAP_NS
    end = send + rng.integers(CALL_NS // 2, 3 * CALL_NS // 2, queries)
    ids = pa.array(np.char.mod("%016x", np.arange(queries, dtype=np.uint64)))
    last = int(end.max()) + GAP_NS
    made: dict[Kind, tuple[Any, dict[str, Any]]] = {
        Kind.STAGE: (np.array([0, last]), {"stage": ["run", "run"], "event": ["start", "end"]}),
        Kind.PLAN: (np.array([0]), {"json": [json.dumps({"task": _task(queries)})]}),
        Kind.QUERY_BEGIN: (send, _begins(ids, queries)),
        Kind.QUERY_FINISH: (end, _finishes(ids, queries)),
        Kind.CALL: (end, _calls(ids, send, end, rng)),
        Kind.DEVICE: (np.array([0]), _device()),
        Kind.TICKS: (np.array([last]), _ticks(last, rng)),
    }
    return Journal({kind: _table(kind, *made.get(kind, (np.zeros(0, np.int64), {}))) for kind in Kind}, [_Pair()])


def _task(queries: int) -> dict[str, Any]:
    return {"name": "gsm8k", "revision": "r", "records": queries, "sha256": "0"}


def _same(value: Any, count: int) -> Any:
    return pa.repeat(pa.scalar(value), count)


def _begins(ids: Any, count: int) -> dict[str, Any]:
    texts = {"task": "gsm8k", "messages": '[{"role": "user", "content": "What is 6 x 7?"}]', "reference": "42"}
    numbers = {"attempt": 0, "epoch": 1}
    return {"query_id": ids, "record_id": ids, **{k: _same(v, count) for k, v in (texts | numbers).items()}}


def _finishes(ids: Any, count: int) -> dict[str, Any]:
    right = pa.array(np.arange(count) % 3 > 0)
    texts = {"response": "6 x 7 is 42. #### 42", "scorer": "gsm8k", "attempt": 0}
    return {"query_id": ids, "correct": right, "score": right, **{k: _same(v, count) for k, v in texts.items()}}


def _calls(ids: Any, send: Any, end: Any, rng: np.random.Generator) -> dict[str, Any]:
    count = len(send)
    chunks = send[:, None] + ((end - send)[:, None] * np.arange(1, CHUNKS + 1)) // CHUNKS
    named = {
        "alias": "model", "role": "model", "stage": "run", "endpoint": "chat/completions", "model": "m", "attempt": 0,
        "server_url": "http://s/v1", "retry": 0, "status": 200, "finish_reason": "stop", "cached_prompt_tokens": 0,
    }  # fmt: skip
    offsets: Any = pa.array(np.arange(count + 1, dtype=np.int32) * CHUNKS)
    return {
        "call_id": ids, "query_id": ids, "intended_ns": send, "send_ns": send, "end_ns": end, "headers_ns": send,
        "first_chunk_ns": chunks[:, 0], "first_content_ns": chunks[:, 0], "last_content_ns": chunks[:, -1],
        "content_chunk_ns": pa.ListArray.from_arrays(offsets, pa.array(chunks.ravel())),
        "prompt_tokens": rng.integers(20, 2000, count), "output_tokens": rng.integers(10, 600, count),
        **{name: _same(value, count) for name, value in named.items()},
    }  # fmt: skip


def _device() -> dict[str, Any]:
    texts = {"exporter": "e", "boot_id": "boot", "device": "gpu-0", "name": "GPU", "domain": "GPU", "scope": "Board"}
    texts |= {"sensor": "nvml", "sensor_kind": "measured", "source": "counter"}
    return {**{name: [value] for name, value in texts.items()}, "tick_period_seconds": [0.1]}


def _ticks(last_ns: int, rng: np.random.Generator) -> dict[str, Any]:
    time_ns = np.arange(-1, last_ns // TICK_NS + 2, dtype=np.int64) * TICK_NS
    columns = {"time_ns": time_ns, "bracket_ns": np.zeros_like(time_ns), "flags": np.zeros(len(time_ns), np.int32)}
    columns["energy_mj"] = np.cumsum(rng.integers(10_000, 70_000, len(time_ns)))
    return {"exporter": ["e"], "device": ["gpu-0"], "first_sequence": [1], **{n: [c] for n, c in columns.items()}}


def _table(kind: Kind, time_ns: Any, columns: dict[str, Any]) -> pa.Table:
    count, fields = len(time_ns), dict(FIELDS[kind])
    own: dict[str, tuple[pa.DataType, Any]] = {
        "sequence": (pa.int64(), np.arange(count)),
        "time_ns": (pa.int64(), time_ns),
        "instance_id": (pa.string(), _same("meter", count)),
        "boot_id": (pa.string(), _same("boot", count)),
    }
    arrays = {name: _array(columns.get(name), type_, count) for name, type_ in fields.items()}
    arrays |= {(f"row_{n}" if n in fields else n): _array(value, type_, count) for n, (type_, value) in own.items()}
    return pa.table(arrays)


def _array(values: Any, type_: Any, count: int) -> Any:
    if values is None:
        return pa.nulls(count, type_)
    return values.cast(type_) if isinstance(values, pa.Array) else pa.array(values, type_)


def settings() -> MeterSettings:
    """Of a server on one GPU."""
    paths = {"run_dir": Path(), "control_socket": Path("c"), "ready_file": Path("r")}
    upstream = Upstream(alias="model", role="model", model="m", base_urls=["http://s/v1"])
    energy = EnergySettings(domains=[Domain.GPU])
    return MeterSettings(run_id="bench", run_name="bench", upstreams=[upstream], energy=energy, **paths)


def measure(queries: int) -> dict[str, float]:
    """Seconds of building, by the clock and of the processor, and the peak of this process in GiB."""
    made = journal(queries)
    began, worked = time.perf_counter(), time.process_time()
    results = build(made, settings(), outcome="completed")
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - worked
    if not results.summary.energy.conserved or results.summary.counts.asked != queries:
        raise RuntimeError("the results are wrong")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "gib": peak / 2**30}


def main() -> None:
    """Print the figures of a child process."""
    command = [sys.executable, "-c", f"from tests.bench import summary; print(*summary.measure({QUERIES}).values())"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    seconds, cpu_seconds, gib = map(float, done.stdout.split())
    print(f"summary of {QUERIES:,} questions ({cpu_seconds:.2f} s of the processor)")
    print(f"  time         {seconds:6.2f} s    {seconds / BAR_SECONDS:5.2f} of the bar ({BAR_SECONDS:g} s)")
    print(f"  peak memory  {gib:6.2f} GiB  {gib / BAR_GIB:5.2f} of the bar ({BAR_GIB:g} GiB)")


if __name__ == "__main__":
    main()
