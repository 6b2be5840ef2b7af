"""A small run by hand: a device at a steady 100 W, one meter, and whatever the test adds."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from joulebench_api.contracts.energy import Domain, Method
from joulebench_runner.config import EnergySettings, MeterSettings, Upstream
from joulebench_runner.journal.schema import FIELDS, Kind
from joulebench_runner.results.build import Results, build
from joulebench_runner.results.tables import Journal

SECOND = 1_000_000_000
COMMON: dict[str, pa.DataType] = {
    "sequence": pa.int64(),
    "time_ns": pa.int64(),
    "instance_id": pa.string(),
    "boot_id": pa.string(),
}
REALTIME_NS = 1_790_000_000 * SECOND  # 2026-09-21T14:13:20Z


@dataclass(frozen=True)
class Pair:
    """A clock pair, as a journal's segment has one."""

    boot_id: str
    instance_id: str
    monotonic_ns: int
    realtime_ns: int


def ns(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * SECOND)


@dataclass
class RunBuilder:
    """Journal rows; times are given in seconds of the meter's clock."""

    rows: dict[Kind, list[dict[str, Any]]] = field(default_factory=lambda: {kind: [] for kind in Kind})
    instance: str = "meter-1"
    boot: str = "boot-1"
    clocks: list[Pair] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    calls: int = 0

    def add(self, kind: Kind, at: float, /, **values: Any) -> "RunBuilder":
        common = {"time_ns": ns(at), "instance_id": self.instance, "boot_id": self.boot, "sequence": 0}
        named = {(f"row_{name}" if name in FIELDS[kind] else name): value for name, value in common.items()}
        self.rows[kind].append(values | named)
        if all(pair.instance_id != self.instance for pair in self.clocks):
            self.clocks.append(Pair(self.boot, self.instance, 0, REALTIME_NS))
        return self

    def stage(self, name: str, start: float, end: float | None) -> "RunBuilder":
        self.add(Kind.STAGE, start, stage=name, event="start")
        return self if end is None else self.add(Kind.STAGE, end, stage=name, event="end")

    def plan(self, **task: Any) -> "RunBuilder":
        known = {"name": "everyday", "revision": "r1", "records": 3, "sha256": "0" * 64} | task
        return self.add(Kind.PLAN, 0, json=json.dumps({"task": known}), query_ids=["q1"])

    def begin(self, query: str, at: float = 1, **values: Any) -> "RunBuilder":
        known = {"attempt": 0, "task": "everyday", "record_id": query, "epoch": 1, "messages": "[]", "reference": "42"}
        return self.add(Kind.QUERY_BEGIN, at, query_id=query, **(known | values))

    def finish(self, query: str, at: float = 9, *, attempt: int = 0, **values: Any) -> "RunBuilder":
        return self.add(Kind.QUERY_FINISH, at, query_id=query, attempt=attempt, **({"correct": True} | values))

    def call(
        self, query: str | None, start: float, end: float, *, chunks: tuple[float, ...] = (), **values: Any
    ) -> "RunBuilder":
        self.calls += 1
        defaults: dict[str, Any] = {
            "call_id": f"c{self.calls}", "alias": "model", "role": "model", "stage": "run", "query_id": query,
            "attempt": None if query is None else 0, "retry": 0, "endpoint": "chat/completions", "status": 200,
            "server_url": "http://s/v1", "upstream_streamed": bool(chunks), "prompt_tokens": 10, "output_tokens": 2,
            "intended_ns": ns(start), "send_ns": ns(start), "end_ns": ns(end), "finish_reason": "stop",
            "content_chunk_ns": [ns(chunk) for chunk in chunks],
            "first_content_ns": ns(chunks[0]) if chunks else None,
            "last_content_ns": ns(chunks[-1]) if chunks else None,
        }  # fmt: skip
        return self.add(Kind.CALL, end, **(defaults | values))

    def call_begin(self, query: str, at: float) -> "RunBuilder":
        return self.add(
            Kind.CALL_BEGIN, at, call_id=f"cut-{query}", alias="model", query_id=query, attempt=0, send_ns=ns(at)
        )

    def device(self, device: str = "cpu-0", **facts: Any) -> "RunBuilder":
        known = {
            "exporter": "exporter-1", "boot_id": "boot-1", "device": device, "name": "A processor", "domain": "CPU",
            "scope": "Package", "sensor": "rapl", "sensor_kind": "measured", "source": "powercap",
            "tick_period_seconds": 0.1,
        }  # fmt: skip
        return self.add(Kind.DEVICE, 0, **(known | facts))

    def ticks(
        self, device: str = "cpu-0", *, start: float = 0, end: float = 12, watts: float = 100, step: float = 0.1,
        exporter: str = "exporter-1", first_sequence: int = 1, first_mj: int = 0, flags: dict[int, int] | None = None,
        shift: float = 0,
    ) -> "RunBuilder":  # fmt: skip
        count = round((end - start) / step) + 1
        return self.add(
            Kind.TICKS, end, exporter=exporter, device=device, first_sequence=first_sequence,
            time_ns=[ns(start + place * step + shift) for place in range(count)],
            bracket_ns=[0] * count,
            energy_mj=[first_mj + round(place * step * watts * 1000) for place in range(count)],
            flags=[(flags or {}).get(place, 0) for place in range(count)],
        )  # fmt: skip

    def look(self, at: float, device: str = "gpu-0", *, told_at: float | None = None, **values: Any) -> "RunBuilder":
        """What a device showed at a time of the exporter's clock; told a little later."""
        known: dict[str, Any] = {"exporter": "exporter-1", "device": device, "time_ns": ns(at), "suspect": []}
        return self.add(Kind.LOOK, at if told_at is None else told_at, **(known | values))

    def scrape(self, at: float, running: float | None, own: int, **values: Any) -> "RunBuilder":
        known: dict[str, Any] = {
            "alias": "model", "server_url": "http://s/v1", "send_ns": ns(at), "receive_ns": ns(at), "running": running,
            "own_in_flight": own, "names": [], "labels": [], "values": [],
        }  # fmt: skip
        return self.add(Kind.SCRAPE, at, **(known | values))

    def journal(self) -> Journal:
        return Journal({kind: self._table(kind) for kind in Kind}, self.clocks, self.problems)

    def _table(self, kind: Kind) -> pa.Table:
        types: dict[str, pa.DataType] = dict(FIELDS[kind])
        types |= {(f"row_{name}" if name in FIELDS[kind] else name): type_ for name, type_ in COMMON.items()}
        return pa.Table.from_pylist(self.rows[kind], schema=pa.schema(types))

    def results(self, *, outcome: Any = "completed", settings: MeterSettings | None = None, **options: Any) -> Results:
        return build(self.journal(), settings or make_settings(), outcome=outcome, **options)

    def row(self, query: str, **options: Any) -> dict[str, Any]:
        rows = self.results(**options).tables["queries.parquet"].to_pylist()
        (found,) = [row for row in rows if row["query_id"] == query]
        return found

    def turn(self, call: str, **options: Any) -> dict[str, Any]:
        rows = self.results(**options).tables["turns.parquet"].to_pylist()
        (found,) = [row for row in rows if row["call_id"] == call]
        return found


def make_settings(
    *, upstreams: list[Upstream] | None = None, run_dir: Path = Path("run"), **energy: Any
) -> MeterSettings:
    model = Upstream(alias="model", role="model", model="tiny", base_urls=["http://s/v1"])
    judge = Upstream(alias="judge", role="judge", model="wise", base_urls=["http://s/v1"])
    return MeterSettings(
        run_id="run-1",
        run_name="a-run",
        run_dir=run_dir,
        control_socket=Path("control.sock"),
        ready_file=Path("ready.json"),
        upstreams=upstreams or [model, judge],
        energy=EnergySettings(**({"domains": [Domain.CPU], "method": Method.PHASE} | energy)),
        engine="LlamaCpp",
    )


@pytest.fixture
def run() -> RunBuilder:
    """A device at 100 W for 12 s; the stage `run` from 1 s to 11 s."""
    return RunBuilder().plan().device().ticks().stage("baseline", 0.2, 0.8).stage("run", 1, 11)


@pytest.fixture
def empty() -> RunBuilder:
    """Nothing at all."""
    return RunBuilder()


@pytest.fixture(scope="session")
def settings() -> Any:
    """`make_settings`."""
    return make_settings


@pytest.fixture(scope="session")
def make() -> Any:
    """`RunBuilder`: for runs of several meters, each with its `instance` and `boot`."""
    return RunBuilder
