"""The columns of a run that its figures are made from, as arrays. No texts: they are read for the shown questions."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pyarrow as pa

from joulebench_runner.attribution.arrays import Bools, Floats, Ints, as_floats
from joulebench_runner.results.folder import ENERGY, QUERIES, TURNS, RunFolder
from joulebench_runner.results.schema import FILES
from joulebench_runner.results.tables import UNKNOWN, Codes, bools, codes, equals, floats, ints, is_null

MEASURES = ("energy_joules", "ttft_seconds", "tpot_seconds", "e2e_seconds")


class Verdict(IntEnum):
    """What became of a question, in the order in which questions are shown."""

    WRONG = 0
    ERROR = 1
    UNSCORED = 2
    RIGHT = 3


@dataclass(frozen=True)
class Power:
    """One device's mean power since the tick before: float64[T] each, NaN where it is not known."""

    name: str
    seconds: Floats
    """Since 1970."""
    watts: Floats


@dataclass(frozen=True)
class Flights:
    """The calls of the model under test: when they were in flight (seconds since 1970), and for which question."""

    start: Floats
    end: Floats
    question: Ints
    """int64[C]: the question's row; -1 for calls without one (warm-up)."""


@dataclass(frozen=True)
class Tables:
    """`verdict`: int64[Q] of Verdict; each measure float64[Q], NaN where not known."""

    query_id: list[str]
    verdict: Ints
    correct: Bools
    record: Ints
    subject: Codes
    measures: Mapping[str, Floats]
    powers: tuple[Power, ...]
    flights: Flights

    @property
    def questions(self) -> int:
        """How many were asked."""
        return len(self.query_id)


def read_tables(run: RunFolder) -> Tables:
    """Read what the figures need; a file that is missing (of a partial folder) gives empty arrays."""
    columns = ["query_id", "record_id", "subject", "correct", "error", *MEASURES]
    queries = _columns(run, QUERIES, columns)
    query_id = codes(queries["query_id"])
    return Tables(
        query_id=query_id.names,
        verdict=_verdicts(queries),
        correct=bools(queries, "correct"),
        record=codes(queries["record_id"]).codes,
        subject=codes(queries["subject"]),
        measures={name: floats(queries, name) for name in MEASURES},
        powers=_powers(run),
        flights=_flights(run, query_id.names),
    )


def _columns(run: RunFolder, name: str, columns: list[str]) -> pa.Table:
    if run.has(name):
        return run.table(name, columns=columns)
    return FILES[name].empty_table().select(columns)


def _verdicts(queries: pa.Table) -> Ints:
    right, unscored, failed = bools(queries, "correct"), is_null(queries, "correct"), ~is_null(queries, "error")
    found = np.where(right, Verdict.RIGHT, np.where(unscored, Verdict.UNSCORED, Verdict.WRONG))
    return np.where(failed, Verdict.ERROR, found).astype(np.int64)


def _powers(run: RunFolder) -> tuple[Power, ...]:
    table = _columns(run, ENERGY, ["device", "name", "domain", "time", "mean_watts"])
    devices = codes(table["device"])
    seconds, watts = _seconds(table, "time"), floats(table, "mean_watts")
    names, domains = table["name"], table["domain"]
    found = []
    for code in range(len(devices.names)):
        rows = np.flatnonzero(devices.codes == code)
        rows = rows[np.argsort(seconds[rows], kind="stable")]
        label = f"{names[int(rows[0])].as_py()} ({domains[int(rows[0])].as_py()})"
        found.append(Power(label, seconds[rows], watts[rows]))
    return tuple(_told_apart(found))


def _told_apart(powers: list[Power]) -> list[Power]:
    """Devices of one name get numbers."""
    names = [power.name for power in powers]
    return [
        Power(f"{power.name} {names[:place].count(power.name)}", power.seconds, power.watts)
        if names.count(power.name) > 1
        else power
        for place, power in enumerate(powers)
    ]


def _seconds(table: pa.Table, name: str) -> Floats:
    micros = ints(table.select([name]).cast(pa.schema([(name, pa.int64())])), name)
    return as_floats(np.where(micros == UNKNOWN, np.nan, micros / 1e6))


def _flights(run: RunFolder, query_ids: list[str]) -> Flights:
    table = _columns(run, TURNS, ["started_at", "query_id", "role", "e2e_seconds"])
    table = table.filter(pa.array(equals(table, "role", "model")))
    start, length = _seconds(table, "started_at"), floats(table, "e2e_seconds")
    known = ~np.isnan(start) & ~np.isnan(length)
    places = {query_id: place for place, query_id in enumerate(query_ids)}
    question = np.array(
        [-1 if one is None else places.get(one, -1) for one in table["query_id"].to_pylist()], dtype=np.int64
    )
    return Flights(start[known], (start + length)[known], question[known])
