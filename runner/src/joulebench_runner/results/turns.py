"""`turns.parquet`: every call."""

import numpy as np
import pyarrow as pa

from joulebench_api.contracts.energy import Method
from joulebench_runner.attribution.arrays import Bools, Floats, Ints
from joulebench_runner.attribution.buckets import Bucket
from joulebench_runner.results.arrow import ArrowColumn, pc
from joulebench_runner.results.calls import CallTable
from joulebench_runner.results.energy import CallEnergy
from joulebench_runner.results.schema import TURNS
from joulebench_runner.results.tables import nullable_floats, nullable_ints, row_column
from joulebench_runner.results.wallclock import WallClock

_SECONDS = {
    "send_seconds": "send_ns",
    "headers_seconds": "headers_ns",
    "first_chunk_seconds": "first_chunk_ns",
    "ttft_seconds": "first_content_ns",
    "last_content_seconds": "last_content_ns",
    "e2e_seconds": "end_ns",
}


def turns_table(calls: CallTable, energy: CallEnergy, *, method: Method, clock: WallClock) -> pa.Table:
    """One row a call, in the journal's order."""
    tokens = calls.output_tokens - 1
    per_token = np.where(tokens > 0, calls.decode_seconds / np.maximum(tokens, 1), np.nan)
    made: dict[str, ArrowColumn] = {
        "started_at": clock.timestamps(row_column(calls.table, "instance_id"), calls.ints("intended_ns")),
        "tpot_seconds": nullable_floats(per_token),
        "content_chunks": pc.fill_null(pc.list_value_length(calls.table["content_chunk_ns"]), 0),
        **{name: nullable_floats(calls.seconds(end, "intended_ns")) for name, end in _SECONDS.items()},
        **_energy_columns(calls, energy, method),
    }
    columns = [made.get(name, calls.table[name] if name in calls.table.column_names else None) for name in TURNS.names]
    return pa.table([pc.cast(column, kind) for column, kind in zip(columns, TURNS.types, strict=True)], schema=TURNS)


def _energy_columns(calls: CallTable, energy: CallEnergy, method: Method) -> dict[str, ArrowColumn]:
    names = np.array([bucket.name.lower() for bucket in Bucket], dtype=object)
    methods = np.where(energy.fallback, Method.EQUAL.value, method.value)
    return {
        **energy_arrays(
            mj=energy.total_mj,
            low_mj=energy.low_mj,
            high_mj=energy.high_mj,
            prefill_mj=energy.prefill_mj,
            decode_mj=energy.decode_mj,
            known=energy.seen,
            bounded=energy.whole,
            split=energy.split,
        ),
        "energy_method": pa.array(methods, pa.string(), mask=~energy.seen),
        "energy_bucket": pa.array(names[calls.bucket], pa.string(), mask=~energy.seen),
    }


def energy_arrays(
    *,
    mj: Floats | Ints,
    low_mj: Floats,
    high_mj: Floats,
    prefill_mj: Floats | Ints,
    decode_mj: Floats | Ints,
    known: Bools,
    bounded: Bools,
    split: Bools,
) -> dict[str, ArrowColumn]:
    """The energy columns that queries and turns have in common."""

    def joules(millijoules: Floats | Ints, where: Bools) -> ArrowColumn:
        return nullable_floats(np.where(where, millijoules / 1000.0, np.nan))

    return {
        "energy_mj": nullable_ints(mj.astype(np.int64), known),
        "energy_joules": joules(mj, known),
        "energy_low_joules": joules(low_mj, known),
        "energy_high_joules": joules(high_mj, known & bounded),
        "prefill_joules": joules(prefill_mj, known & split),
        "decode_joules": joules(decode_mj, known & split),
    }
