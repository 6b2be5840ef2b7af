"""A results folder of any size, written without a run: for the report's tests and benchmark."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from joulebench_api.contracts.energy import Method, SensorKind
from joulebench_api.contracts.meter import ResolvedTask, Stage
from joulebench_api.contracts.summary import (
    Accuracy,
    Client,
    Counts,
    DeviceEnergy,
    Distribution,
    Efficiency,
    Energy,
    Latency,
    Model,
    StageTimes,
    Summary,
    Throughput,
    Tokens,
)
from joulebench_runner.results.schema import FILES

START = 1_790_000_000.0
WORDS = (
    "a train leaves the station at noon and ",
    "how many apples are left if ",
    "the answer is therefore <b>42</b> ",
)
SUBJECTS = ("algebra", "geometry", "history", "law & order <b>", "physics")
MICROSECONDS = 1_000_000


def write_run(
    folder: Path,
    *,
    questions: int = 12,
    text_characters: int = 300,
    tick_seconds: float = 0.1,
    seconds_each: float = 0.5,
    calls_each: int = 1,
    texts: Mapping[str, str] | None = None,
    task: Mapping[str, Any] | None = None,
    spec: Mapping[str, Any] | None = None,
    **summary: Any,
) -> Path:
    """Write summary, provenance and tables. `texts` replaces columns of the first question; `task`, `spec` and
    `summary` replace fields. A third of the questions is wrong, every 50th failed."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(11)
    queries = _queries(rng, questions, text_characters=text_characters, seconds_each=seconds_each, texts=texts or {})
    _write(folder / "queries.parquet", "queries.parquet", queries)
    _write(folder / "turns.parquet", "turns.parquet", _turns(queries, calls_each))
    _write(folder / "energy.parquet", "energy.parquet", _ticks(rng, questions * seconds_each + 3, tick_seconds))
    document = _summary(queries, task or {}, seconds=questions * seconds_each)
    (folder / "summary.json").write_text(document.model_copy(update=summary).model_dump_json())
    (folder / "provenance.json").write_text(json.dumps(_provenance(spec or {})))
    return folder


def _write(path: Path, name: str, columns: Mapping[str, Any]) -> None:
    rows = len(next(iter(columns.values())))
    schema = FILES[name]
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(rows, field.type)
        for field in schema
    ]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path, compression="zstd")


def _queries(
    rng: np.random.Generator,
    count: int,
    *,
    text_characters: int,
    seconds_each: float,
    texts: Mapping[str, str],
) -> dict[str, Any]:
    places = np.arange(count)
    failed = places % 50 == 49
    correct = [None if bad else bool(place % 3) for place, bad in enumerate(failed)]
    joules = np.round(rng.gamma(4, 20, count), 3)
    prose = [
        (f"{place}: " + WORDS[place % 3] * (text_characters // 30 + 1))[:text_characters] for place in range(count)
    ]
    columns: dict[str, Any] = {
        "query_id": [f"{place:016x}" for place in range(count)],
        "task": ["quiz"] * count,
        "record_id": [f"record-{place}" for place in range(count)],
        "epoch": np.ones(count, dtype=np.int64),
        "attempt": np.zeros(count, dtype=np.int64),
        "subject": [SUBJECTS[place % len(SUBJECTS)] for place in range(count)],
        "messages": [json.dumps([{"role": "user", "content": text}]) for text in prose],
        "response": [text[::-1] for text in prose],
        "reference": [str(place) for place in range(count)],
        "score": [None if one is None else float(one) for one in correct],
        "correct": correct,
        "scorer": ["quiz/1"] * count,
        "explanation": ["read the last number"] * count,
        "error": ["the server went away" if bad else None for bad in failed],
        "started_at": ((START + 2 + places * seconds_each) * MICROSECONDS).astype(np.int64),
        "prompt_tokens": rng.integers(50, 500, count),
        "output_tokens": rng.integers(20, 400, count),
        "finish_reason": ["stop"] * count,
        "turns": np.ones(count, dtype=np.int64),
        "calls": np.ones(count, dtype=np.int64),
        "ttft_seconds": rng.gamma(3, 0.03, count),
        "tpot_seconds": rng.gamma(9, 0.001, count),
        "e2e_seconds": rng.gamma(4, seconds_each, count),
        "energy_mj": np.round(joules * 1000).astype(np.int64),
        "energy_joules": joules,
        "energy_low_joules": joules * 0.9,
        "energy_high_joules": joules * 1.1,
        "prefill_joules": joules * 0.25,
        "decode_joules": joules * 0.75,
        "energy_method": ["Phase"] * count,
    }
    for name, text in texts.items():
        columns[name] = [text, *columns[name][1:]]
    return columns


_SHARED = (
    "query_id", "attempt", "started_at", "ttft_seconds", "tpot_seconds", "e2e_seconds", "prompt_tokens",
    "output_tokens", "finish_reason", "energy_mj", "energy_joules", "energy_low_joules", "energy_high_joules",
)  # fmt: skip


def _turns(queries: Mapping[str, Any], calls_each: int) -> dict[str, Any]:
    count = len(queries["query_id"]) * calls_each
    columns: dict[str, Any] = {name: np.repeat(np.asarray(queries[name]), calls_each) for name in _SHARED}
    same = {
        "alias": "model",
        "role": "model",
        "stage": "run",
        "energy_bucket": "queries",
        "endpoint": "chat/completions",
    }
    return {
        **columns,
        **{name: [value] * count for name, value in same.items()},
        "call_id": [f"call-{place}" for place in range(count)],
        "retry": np.zeros(count, dtype=np.int64),
        "status": np.full(count, 200),
    }


def _ticks(rng: np.random.Generator, seconds: float, step: float) -> dict[str, Any]:
    count = max(int(seconds / step), 2)
    since = np.arange(count) * step
    watts = 200 + 80 * np.sin(since / 7) + rng.normal(0, 15, count)
    same = {
        "device": "gpu-0", "name": "Simulated GPU", "domain": "GPU", "scope": "Board", "sensor": "simulated",
        "kind": "simulated", "exporter": "exporter-1", "stage": "run",
    }  # fmt: skip
    return {
        **{name: [value] * count for name, value in same.items()},
        "sequence": np.arange(count),
        "time_ns": (since * 1e9).astype(np.int64),
        "time": ((START + since) * MICROSECONDS).astype(np.int64),
        "mean_watts": watts,
        "flags": np.zeros(count, dtype=np.int64),
    }


def _spread(values: Sequence[float]) -> Distribution:
    p5, median, p95, p99 = np.percentile(values, [5, 50, 95, 99]).tolist()
    array = np.asarray(values)
    return Distribution(
        count=len(array), mean=float(array.mean()), median=median, p5=p5, p95=p95, p99=p99,
        min=float(array.min()), max=float(array.max()), std=float(array.std()),
    )  # fmt: skip


def _summary(queries: Mapping[str, Any], task: Mapping[str, Any], *, seconds: float) -> Summary:
    count, correct = len(queries["query_id"]), sum(map(bool, queries["correct"]))
    errors = sum(one is not None for one in queries["error"])
    output = int(queries["output_tokens"].sum())
    known = {"name": "quiz", "revision": "1", "records": count, "sha256": "0" * 64}
    moments = [(Stage.STARTUP, 0.0, 1.5), (Stage.WARMUP, 1.5, 0.5), (Stage.RUN, 2.0, seconds)]
    return Summary(
        run="01TEST",
        name="synthetic",
        state="completed",
        task=ResolvedTask.model_validate({**known, **task}),
        model=Model(name="tiny-model", engine="Simulator"),
        stages=[
            StageTimes(name=name, started_at=_moment(START + start), seconds=length) for name, start, length in moments
        ],
        counts=Counts(
            asked=count, answered=count - errors, correct=correct, incorrect=count - errors - correct, unscored=0,
            errors=errors,
        ),
        accuracy=Accuracy(value=correct / count, low=0.9 * correct / count, high=min(1.1 * correct / count, 1.0)),
        energy=_energy(int(queries["energy_mj"].sum()), correct, _spread(queries["energy_joules"])),
        tokens=Tokens(
            prompt=int(queries["prompt_tokens"].sum()), cached_prompt=0, output=output, calls_without_usage=0
        ),
        latency=Latency(
            **{name: _spread(queries[name]) for name in ("ttft_seconds", "tpot_seconds", "e2e_seconds")}
        ),
        throughput=Throughput(queries_per_second=count / seconds, output_tokens_per_second=output / seconds),
        efficiency=Efficiency(ipj=0.1, ipw=0.1, joules_per_output_token=1.0),
        client=Client(limited=False, lag_p99_seconds=0.001),
    )  # fmt: skip


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _energy(queries_mj: int, correct: int, each: Distribution) -> Energy:
    prefill, idle, judge, abandoned, boundary = queries_mj // 4, 12_345, 678, 91, 2
    total = queries_mj + idle + judge + abandoned + boundary
    parts: dict[str, Any] = {
        "total_joules": total / 1000, "queries_joules": queries_mj / 1000, "idle_joules": idle / 1000,
        "foreign_joules": 0.0, "judge_joules": judge / 1000, "unattributed_joules": abandoned / 1000,
        "shared_joules": 0.0, "boundary_joules": boundary / 1000,
    }  # fmt: skip
    device = DeviceEnergy(
        device="gpu-0", name="Simulated GPU", domain="GPU", scope="Board", sensor="simulated",
        kind=SensorKind.SIMULATED, ticks=100, tick_period_seconds=0.1, coverage_percent=100.0, **parts,
    )  # fmt: skip
    return Energy(
        sensor="simulated", kind=SensorKind.SIMULATED, method=Method.PHASE, conserved=True, **parts,
        unattributed={"abandoned": abandoned / 1000}, prefill_joules=prefill / 1000,
        decode_joules=(queries_mj - prefill) / 1000, per_query=each, devices=[device],
        per_correct_joules=queries_mj / 1000 / correct if correct else None,
        per_correct_all_in_joules=(queries_mj + idle + judge) / 1000 / correct if correct else None,
    )  # fmt: skip


def _provenance(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "run": "01TEST",
        "planned": {
            "spec": {"task": {"name": "quiz"}, "seed": 7, **spec},
            "machine": {"processor": "A processor", "cores": 2},
            "servers": {"model": {"engine": "Simulator", "command": ["simulator", "--port", "1"]}},
        },
        "versions": {"joulebench-runner": "0.1.0"},
        "energy": {"method": "Phase", "devices": [{"device": "gpu-0", "source": "simulated"}]},
    }
