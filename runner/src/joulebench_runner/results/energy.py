"""The whole run's attribution: every window, every device, every call."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from joulebench_api.contracts.energy import Domain, Method
from joulebench_api.contracts.meter import Stage
from joulebench_runner.attribution.arrays import Bools, Floats, Ints, as_ints
from joulebench_runner.attribution.bounds import call_bounds
from joulebench_runner.attribution.buckets import Bucket
from joulebench_runner.attribution.core import Attribution, Occupancy, Segments, attribute
from joulebench_runner.attribution.foreign import foreign_segments
from joulebench_runner.attribution.segments import UNKNOWN, Calls, claims
from joulebench_runner.config import EnergySettings, Upstream
from joulebench_runner.journal.schema import Kind
from joulebench_runner.results.arrow import pc
from joulebench_runner.results.calls import CallTable, cut_off_sends
from joulebench_runner.results.series import DeviceFacts, Series
from joulebench_runner.results.stages import Span
from joulebench_runner.results.tables import Journal, equals, floats, ints, row_column, truths

ENOUGH_COVERAGE = 0.99
"""Below this the energy of a stage outside the measured window is not known."""


@dataclass
class CallEnergy:
    """By call, over all devices. Where `seen` is False nothing is known; energies are whole millijoules.

    `prefill_mj`, `decode_mj` hold where `split`. `whole`: ticks cover all of the call's time, so the upper bound holds.
    """

    prefill_mj: Ints
    decode_mj: Ints
    low_mj: Floats
    high_mj: Floats
    seen: Bools
    whole: Bools
    split: Bools
    fallback: Bools

    @classmethod
    def unknown(cls, calls: int) -> "CallEnergy":
        """Nothing known about any call."""
        zeros, no = np.zeros(calls, dtype=np.int64), np.zeros(calls, dtype=np.bool_)
        return cls(zeros, zeros.copy(), np.zeros(calls), np.zeros(calls), no, no.copy(), no.copy(), no.copy())

    @property
    def total_mj(self) -> Ints:
        """int64[N]."""
        return self.prefill_mj + self.decode_mj


@dataclass
class DeviceTotals:
    """One device over all measured windows. `buckets_mj`: int64[len(Bucket)]."""

    facts: DeviceFacts
    buckets_mj: Ints = field(default_factory=lambda: np.zeros(len(Bucket), dtype=np.int64))
    total_mj: int = 0
    ticks: int = 0
    covered_ns: int = 0
    window_ns: int = 0
    conserved: bool = True
    period_ns: int | None = None

    def add(self, result: Attribution, window: Span) -> None:
        """Take in one window."""
        self.buckets_mj += result.totals_mj
        self.total_mj += result.total_mj
        self.ticks += max(len(result.ticks) - 1, 0)
        self.conserved &= result.conserved()
        self.covered_ns += result.ticks.covered_ns(window.start_ns, window.end_ns)
        self.window_ns += window.end_ns - window.start_ns
        self.period_ns = self.period_ns or result.ticks.period_ns

    @property
    def coverage(self) -> float:
        """Part of the measured time that good ticks cover, 0 to 1."""
        return self.covered_ns / self.window_ns if self.window_ns else 0.0

    @property
    def watts(self) -> float:
        """Mean power over the covered part."""
        lost = self.buckets_mj[[Bucket.BOUNDARY, Bucket.COUNTER_RESET, Bucket.MISSED_TICKS]].sum()
        return float(self.total_mj - lost) * 1e6 / self.covered_ns if self.covered_ns else float("nan")


@dataclass
class RunEnergy:
    """What the run's energy was and where it went. Without devices `problem` says why there is none."""

    calls: CallEnergy
    devices: list[DeviceTotals] = field(default_factory=list)
    problem: str | None = None
    foreign_reason: str | None = None
    clock_error_ns: int | None = None
    stages_mj: list[int | None] = field(default_factory=list)
    """By span."""
    baseline_watts: float | None = None
    window_ns: int = 0
    """Length of all windows."""
    measured_ns: int = 0
    """Length of those in which there were devices."""

    @property
    def coverage(self) -> float:
        """Part of the windows that good ticks cover, 0 to 1, the worst device."""
        without = self.window_ns - self.measured_ns
        return min(device.covered_ns / (device.window_ns + without) for device in self.devices)

    @property
    def mean_watts(self) -> float | None:
        """Mean power of all devices together over the windows in which there were any."""
        watts = sum(device.watts * device.window_ns / self.measured_ns for device in self.devices)
        return None if np.isnan(watts) else watts

    @property
    def buckets_mj(self) -> Ints:
        """int64[len(Bucket)], over all devices."""
        return as_ints(np.sum([device.buckets_mj for device in self.devices], axis=0))


def run_energy(
    journal: Journal,
    calls: CallTable,
    *,
    spans: Sequence[Span],
    windows: Sequence[Span],
    series: Sequence[Series],
    problems: Sequence[str],
    settings: EnergySettings,
    upstreams: Sequence[Upstream],
    kappa: float,
) -> RunEnergy:
    """Attribute all windows on all devices that serve the run."""
    run = RunEnergy(CallEnergy.unknown(len(calls)))
    chosen = _chosen(series, settings)
    described = _described(journal)
    run.stages_mj = [_span_energy_mj(span, _serving(chosen, span, described)) for span in spans]
    run.baseline_watts = _baseline_watts(spans, chosen, described)
    run.problem = _problem(settings, upstreams, series=series, chosen=chosen, windows=windows, problems=problems)
    if run.problem is not None:
        return run
    aliases = {upstream.alias for upstream in upstreams if upstream.measured}
    run.foreign_reason = _foreign_reason(journal, upstreams)
    totals = {_identity(one): DeviceTotals(one.facts) for one in chosen}
    for window in windows:
        scene = _Scene.of(journal, calls, window, aliases=aliases, method=settings.method, kappa=kappa)
        _attribute_window(run, totals, scene, window, _serving(chosen, window, described))
    run.devices = [device for device in totals.values() if device.window_ns]
    run.clock_error_ns = max(one.clock.bound_ns for one in chosen)
    return run


def _identity(series: Series) -> tuple[str, str]:
    """A device's own id need not be unique among machines."""
    return series.facts.boot_id, series.facts.device


def _chosen(series: Sequence[Series], settings: EnergySettings) -> list[Series]:
    """Devices of the wanted domains. PSYS overlaps the packages and is taken only where it is the one domain wanted."""
    wanted = set(settings.domains) - ({Domain.PSYS} if len(set(settings.domains)) > 1 else set())
    return [one for one in series if one.facts.domain in wanted]


def _problem(
    settings: EnergySettings,
    upstreams: Sequence[Upstream],
    *,
    series: Sequence[Series],
    chosen: Sequence[Series],
    windows: Sequence[Span],
    problems: Sequence[str],
) -> str | None:
    """Why there is no energy; the first reason that holds."""
    domains = ", ".join(sorted({one.facts.domain for one in series}))
    wanted = ", ".join(settings.domains)
    reasons = (
        (settings.problem is not None, settings.problem),
        (settings.policy == "Disabled", "energy is disabled (spec.energy.policy)"),
        (
            not any(upstream.measured for upstream in upstreams),
            "no model server of this run uses devices that are measured",
        ),
        (not series, "; ".join(problems) or "no energy ticks arrived"),
        (not chosen, f"no device of the wanted domains ({wanted}); there are devices of {domains}"),
        (not windows, "the run ended before its first question, so nothing was measured"),
        (
            not any(_overlaps(one, window) for one in chosen for window in windows),
            "no energy ticks arrived while questions ran",
        ),
    )
    return next((reason for holds, reason in reasons if holds), None)


def _described(journal: Journal) -> set[tuple[str, str]]:
    """Which meter (by instance) was told of which device."""
    table = journal.tables[Kind.DEVICE]
    instances: list[Any] = row_column(table, "instance_id").to_pylist()
    devices: list[Any] = table["device"].to_pylist()
    return set(zip(instances, devices, strict=True))


def _serving(chosen: Sequence[Series], span: Span, described: AbstractSet[tuple[str, str]]) -> list[Series]:
    """The devices of one start: those that its meter was told of, and those whose ticks came to a later one.

    A run that was gone on with may have had others before: they say nothing about this time.
    """
    return [
        one
        for one in chosen
        if one.meter_boot_id == span.boot_id
        and ((span.instance_id, one.facts.device) in described or _overlaps(one, span))
    ]


def _overlaps(series: Series, window: Span) -> bool:
    ticks = series.ticks
    return (
        series.meter_boot_id == window.boot_id
        and len(ticks) > 1
        and int(ticks.time_ns[0]) < window.end_ns
        and int(ticks.time_ns[-1]) > window.start_ns
    )


@dataclass(frozen=True)
class _Scene:
    """Who was in flight in one window: ended calls, calls that were cut off, and foreign requests."""

    rows: Ints
    """int64[n]: rows of the call table; claimants 2i and 2i + 1 are call i's."""
    occupancy: Occupancy
    split: Bools
    fallback: Bools

    @classmethod
    def of(
        cls,
        journal: Journal,
        calls: CallTable,
        window: Span,
        *,
        aliases: AbstractSet[str],
        method: Method,
        kappa: float,
    ) -> "_Scene":
        rows = _rows_in(calls, window, aliases)
        ended = claims(calls.arrays(rows), method, kappa=kappa)
        cut = cut_off_sends(journal, window.instance_id, aliases)
        cut_claims = claims(_without_usage(cut, window.end_ns), Method.EQUAL)
        others = _foreign(journal, window, aliases)
        first_cut, first_other = 2 * len(rows), 2 * (len(rows) + len(cut))
        segments = [ended.segments, _shifted(cut_claims.segments, first_cut)]
        segments += [_shifted(one, first_other + place) for place, one in enumerate(others)]
        bucket = np.concatenate(
            [
                np.repeat(calls.bucket[rows], 2),
                np.full(2 * len(cut), int(Bucket.ABANDONED)),
                np.full(len(others), int(Bucket.FOREIGN)),
            ]
        )
        occupancy = Occupancy(Segments.concatenate(*segments), bucket, start_ns=window.start_ns, end_ns=window.end_ns)
        return cls(rows, occupancy, ended.split, ended.fallback)


def _rows_in(calls: CallTable, window: Span, aliases: AbstractSet[str]) -> Ints:
    same = truths(pc.equal(row_column(calls.table, "instance_id"), window.instance_id))
    inside = (calls.ints("end_ns") > window.start_ns) & (calls.ints("send_ns") < window.end_ns)
    return np.flatnonzero(same & inside & calls.measured(aliases))


def _without_usage(send_ns: Ints, end_ns: int) -> Calls:
    count, unknown = len(send_ns), np.full(len(send_ns), UNKNOWN, dtype=np.int64)
    return Calls(
        send_ns=send_ns,
        end_ns=np.full(count, end_ns, dtype=np.int64),
        chunk_offset=np.zeros(count + 1, dtype=np.int64),
        chunk_ns=np.zeros(0, dtype=np.int64),
        prompt_tokens=unknown,
        cached_prompt_tokens=unknown,
        output_tokens=unknown,
    )


def _shifted(segments: Segments, by: int) -> Segments:
    return Segments(segments.claimant + by, segments.start_ns, segments.end_ns, segments.rate, segments.equal)


def _scrapes(journal: Journal, aliases: AbstractSet[str]) -> dict[str, str]:
    """The scraped servers, each by the first alias it is scraped for (several aliases may be one server)."""
    table = journal.tables[Kind.SCRAPE]
    found: dict[str, str] = {}
    for url, alias in zip(table["server_url"].to_pylist(), table["alias"].to_pylist(), strict=True):
        if url is not None and alias is not None and alias in aliases:
            found.setdefault(url, alias)
    return found


def _foreign(journal: Journal, window: Span, aliases: AbstractSet[str]) -> list[Segments]:
    table = journal.tables[Kind.SCRAPE]
    here = truths(pc.equal(row_column(table, "instance_id"), window.instance_id))
    found = []
    for url, alias in _scrapes(journal, aliases).items():
        rows = np.flatnonzero(here & equals(table, "server_url", url) & equals(table, "alias", alias))
        middle = (ints(table, "send_ns")[rows] + ints(table, "receive_ns")[rows]) // 2
        found.append(
            foreign_segments(
                time_ns=middle,
                running=floats(table, "running")[rows],
                own_in_flight=ints(table, "own_in_flight")[rows],
                claimant=0,
            )
        )
    return found


def _foreign_reason(journal: Journal, upstreams: Sequence[Upstream]) -> str | None:
    """Why foreign load is not known; None where every measured server told how many requests were running."""
    table = journal.tables[Kind.SCRAPE]
    told = set(table.filter(pc.is_valid(table["running"]))["alias"].to_pylist())
    silent = sorted(upstream.alias for upstream in upstreams if upstream.measured and upstream.alias not in told)
    if not silent:
        return None
    return f"the server of {', '.join(silent)} does not tell how many requests are running"


def _attribute_window(
    run: RunEnergy, totals: dict[tuple[str, str], DeviceTotals], scene: _Scene, window: Span, here: Sequence[Series]
) -> None:
    count, rows = len(scene.rows), scene.rows
    run.calls.split[rows], run.calls.fallback[rows] = scene.split, scene.fallback
    run.window_ns += window.end_ns - window.start_ns
    run.measured_ns += window.end_ns - window.start_ns if here else 0
    seen, whole = np.full(count, bool(here)), np.full(count, bool(here))
    for one in here:
        result = attribute(one.ticks, scene.occupancy)
        totals[_identity(one)].add(result, window)
        energy = result.claimant_mj[: 2 * count].reshape(count, 2)
        bounds = call_bounds(result, scene.occupancy, calls=count, clock_error_ns=one.clock.bound_ns)
        run.calls.prefill_mj[rows] += energy[:, 0]
        run.calls.decode_mj[rows] += energy[:, 1]
        run.calls.low_mj[rows] += bounds.low_mj
        run.calls.high_mj[rows] += bounds.high_mj
        seen &= bounds.seen
        whole &= bounds.whole
    run.calls.seen[rows], run.calls.whole[rows] = seen, whole


def _span_energy_mj(span: Span, series: Sequence[Series]) -> int | None:
    """Energy of a stage on all devices; None where ticks do not cover it."""
    here = [one.ticks for one in series]
    length = span.end_ns - span.start_ns
    if not here or length <= 0:
        return None
    if min(ticks.covered_ns(span.start_ns, span.end_ns) for ticks in here) < ENOUGH_COVERAGE * length:
        return None
    return round(sum(ticks.energy_between_mj(span.start_ns, span.end_ns) for ticks in here))


def _baseline_watts(
    spans: Sequence[Span], series: Sequence[Series], described: AbstractSet[tuple[str, str]]
) -> float | None:
    """Mean power in the last baseline stage, over the part that ticks cover."""
    for span in reversed([span for span in spans if span.stage is Stage.BASELINE]):
        here = [one.ticks for one in _serving(series, span, described)]
        covered = [ticks.covered_ns(span.start_ns, span.end_ns) for ticks in here]
        if covered and all(covered):
            energy = (ticks.energy_between_mj(span.start_ns, span.end_ns) for ticks in here)
            return sum(mj * 1e6 / ns for mj, ns in zip(energy, covered, strict=True))
    return None
