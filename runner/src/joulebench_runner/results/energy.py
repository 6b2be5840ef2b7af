"""The whole run's attribution: every window, every device, every call."""

from collections.abc import Callable, Sequence
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
from joulebench_runner.attribution.foreign import foreign_segments, gap_segments
from joulebench_runner.attribution.segments import UNKNOWN, Calls, claims
from joulebench_runner.config import EnergySettings, Upstream
from joulebench_runner.journal.schema import Kind
from joulebench_runner.ownership import OwnPods
from joulebench_runner.results.arrow import pc
from joulebench_runner.results.calls import CallTable, cut_off
from joulebench_runner.results.ownership import ALWAYS, ALWAYS_NS, Holding, Holdings
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

    def add(self, result: Attribution, window: "_Part") -> None:
        """Take in one stretch of the measured time."""
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
    own: OwnPods | None = None,
    held: Holdings | None = None,
) -> RunEnergy:
    """Attribute all windows on all devices that serve the run.

    `held`: when each of `series` did, on a cluster, where a device may serve one pod of the run (`own`) or none.
    """
    run = RunEnergy(CallEnergy.unknown(len(calls)))
    chosen = _chosen(series, settings, held)
    described = _described(journal)
    run.stages_mj = [_span_energy_mj(span, _serving(chosen, span, described)) for span in spans]
    run.baseline_watts = _baseline_watts(spans, chosen, described)
    run.problem = _problem(settings, upstreams, series=series, chosen=chosen, windows=windows, problems=problems)
    if run.problem is not None:
        return run
    aliases = {upstream.alias for upstream in upstreams if upstream.measured}
    run.foreign_reason = _foreign_reason(journal, upstreams, own or OwnPods())
    totals = {_identity(one.series): DeviceTotals(one.series.facts) for one in chosen}
    who = _Who(journal, calls, aliases=aliases, own=own, method=settings.method, kappa=kappa)
    for window in windows:
        parts = _serving(chosen, window, described)
        _attribute_window(run, totals, who, window, parts, clock_error_ns=journal.clock_error_ns)
    run.devices = [device for device in totals.values() if device.window_ns]
    run.clock_error_ns = max(one.series.clock.bound_ns for one in chosen) + journal.clock_error_ns
    return run


def _identity(series: Series) -> tuple[str, str]:
    """A device's own id need not be unique among machines."""
    return series.facts.boot_id, series.facts.device


@dataclass(frozen=True)
class _Device:
    """A device that counts, and when it serves the run."""

    series: Series
    holdings: Sequence[Holding]


@dataclass(frozen=True)
class _Part:
    """One stretch of one device in which the same pods had it, within one span."""

    series: Series
    holding: Holding

    @property
    def start_ns(self) -> int:
        return self.holding.start_ns

    @property
    def end_ns(self) -> int:
        return self.holding.end_ns


def _chosen(series: Sequence[Series], settings: EnergySettings, held: Holdings | None) -> list[_Device]:
    """Devices of the wanted domains. PSYS overlaps the packages and is taken only where it is the one domain wanted."""
    wanted = set(settings.domains) - ({Domain.PSYS} if len(set(settings.domains)) > 1 else set())
    times = [[ALWAYS]] * len(series) if held is None else held.by_series
    return [_Device(one, found) for one, found in zip(series, times, strict=True) if one.facts.domain in wanted]


def _problem(
    settings: EnergySettings,
    upstreams: Sequence[Upstream],
    *,
    series: Sequence[Series],
    chosen: Sequence[_Device],
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
        (
            not any(one.holdings for one in chosen),
            "; ".join(["no device was given to a pod of this run's servers", *problems]),
        ),
        (not windows, "the run ended before its first question, so nothing was measured"),
        (
            not any(_overlaps(one.series, window) for one in chosen for window in windows),
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


def _serving(chosen: Sequence[_Device], span: Span, described: AbstractSet[tuple[str, str]]) -> list[_Part]:
    """What serves the run within one span: the devices of one start, those that its meter was told of, and those whose
    ticks came to a later one, each while pods of the run had it.

    A run that was gone on with may have had others before: they say nothing about this time.
    """
    here = [
        one
        for one in chosen
        if one.series.meter_boot_id == span.boot_id
        and ((span.instance_id, one.series.facts.device) in described or _overlaps(one.series, span))
    ]
    parts = ((one.series, holding.within(span.start_ns, span.end_ns)) for one in here for holding in one.holdings)
    return [_Part(series, holding) for series, holding in parts if holding is not None]


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
    """Who was in flight in one stretch of time: ended calls, calls that were cut off, and foreign requests."""

    rows: Ints
    """int64[n]: rows of the call table; claimants 2i and 2i + 1 are call i's."""
    occupancy: Occupancy
    split: Bools
    fallback: Bools


class _Who:
    """Finds out who was in flight, on all devices or on those that certain pods had. Each question is answered once."""

    def __init__(
        self,
        journal: Journal,
        calls: CallTable,
        *,
        aliases: AbstractSet[str],
        own: OwnPods | None,
        method: Method,
        kappa: float,
    ) -> None:
        self._journal = journal
        self._calls = calls
        self._aliases = aliases
        self._own = own or OwnPods()
        self._method = method
        self._kappa = kappa
        self._scenes: dict[tuple[str, Holding], _Scene] = {}

    def rows_in(self, window: Span) -> Ints:
        """The calls to servers that are measured, on any device."""
        return self._rows(window.instance_id, Holding(window.start_ns, window.end_ns))

    def scene(self, instance_id: str, holding: Holding) -> _Scene:
        """Who was in flight on the devices that were held like this."""
        key = (instance_id, holding)
        if key not in self._scenes:
            self._scenes[key] = self._look(instance_id, holding)
        return self._scenes[key]

    def _look(self, instance_id: str, holding: Holding) -> _Scene:
        aliases = self._aliases_of(holding)
        rows = self._rows(instance_id, holding)
        ended = claims(self._calls.arrays(rows), self._method, kappa=self._kappa)
        cut, gone = cut_off(self._journal, instance_id, aliases, end_ns=holding.end_ns)
        cut_claims = claims(_without_usage(cut, gone), Method.EQUAL)
        others = _foreign(self._journal, instance_id, aliases, serves=lambda url: self._serves(url, holding))
        first_cut, first_other = 2 * len(rows), 2 * (len(rows) + len(cut))
        segments = [ended.segments, _shifted(cut_claims.segments, first_cut)]
        segments += [_shifted(one, first_other + place) for place, one in enumerate(others)]
        buckets = [
            np.repeat(self._calls.bucket[rows], 2),
            np.full(2 * len(cut), int(Bucket.ABANDONED)),
            np.full(len(others), int(Bucket.FOREIGN)),
        ]
        if holding.others:
            # Nobody can say that the device rests for us while others have it too.
            busy = Segments.concatenate(*segments)
            gaps = gap_segments(busy, start_ns=holding.start_ns, end_ns=holding.end_ns)
            segments.append(_shifted(gaps, first_other + len(others)))
            buckets.append(np.full(1, int(Bucket.FOREIGN)))
        occupancy = Occupancy(
            Segments.concatenate(*segments),
            np.concatenate(buckets),
            start_ns=holding.start_ns,
            end_ns=holding.end_ns,
        )
        return _Scene(rows, occupancy, ended.split, ended.fallback)

    def _rows(self, instance_id: str, holding: Holding) -> Ints:
        calls = self._calls
        same = truths(pc.equal(row_column(calls.table, "instance_id"), instance_id))
        inside = (calls.ints("end_ns") > holding.start_ns) & (calls.ints("send_ns") < holding.end_ns)
        chosen = same & inside & calls.measured(self._aliases_of(holding))
        return np.flatnonzero(chosen & calls.served_by(lambda url: self._serves(url, holding)))

    def _aliases_of(self, holding: Holding) -> AbstractSet[str]:
        if holding.pods is None:
            return self._aliases
        return self._aliases & frozenset().union(*(self._own.aliases_of(pod) for pod in holding.pods))

    def _serves(self, url: str | None, holding: Holding) -> bool:
        """Whether the pods that hold a device may be behind an address: they are, or nobody knows whose it is."""
        pod = None if url is None else self._own.pod_at(url)
        return holding.pods is None or pod is None or pod in holding.pods


def _without_usage(send_ns: Ints, end_ns: Ints) -> Calls:
    count, unknown = len(send_ns), np.full(len(send_ns), UNKNOWN, dtype=np.int64)
    return Calls(
        send_ns=send_ns,
        end_ns=np.maximum(end_ns, send_ns),
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


def _foreign(
    journal: Journal, instance_id: str, aliases: AbstractSet[str], *, serves: Callable[[str], bool]
) -> list[Segments]:
    table = journal.tables[Kind.SCRAPE]
    here = truths(pc.equal(row_column(table, "instance_id"), instance_id))
    found = []
    for url, alias in _scrapes(journal, aliases).items():
        if not serves(url):
            continue
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


def _foreign_reason(journal: Journal, upstreams: Sequence[Upstream], own: OwnPods) -> str | None:
    """Why foreign load is not known; None where every measured server told how many requests were running."""
    table = journal.tables[Kind.SCRAPE]
    aliases = set(table.filter(pc.is_valid(table["running"]))["alias"].to_pylist())
    told = [upstream for upstream in upstreams if upstream.alias in aliases]
    silent = sorted(
        upstream.alias
        for upstream in upstreams
        if upstream.measured and not any(_are_one_server(upstream, other, own) for other in told)
    )
    if not silent:
        return None
    return f"the server of {', '.join(silent)} does not tell how many requests are running"


def _are_one_server(one: Upstream, other: Upstream, own: OwnPods) -> bool:
    """Whether two aliases are one server, which is asked for its metrics under one of them alone."""
    same_address = bool(one.base_urls) and one.base_urls == other.base_urls
    return one.alias == other.alias or same_address or own.are_one_server(one.alias, other.alias)


def _attribute_window(
    run: RunEnergy,
    totals: dict[tuple[str, str], DeviceTotals],
    who: _Who,
    window: Span,
    here: Sequence[_Part],
    *,
    clock_error_ns: int,
) -> None:
    rows = who.rows_in(window)
    run.window_ns += window.end_ns - window.start_ns
    run.measured_ns += _length_ns(here)
    served, seen, whole = (np.full(len(run.calls.seen), value) for value in (False, False, True))
    for part in here:
        scene, series = who.scene(window.instance_id, part.holding), part.series
        mine, count = scene.rows, len(scene.rows)
        run.calls.split[mine], run.calls.fallback[mine] = scene.split, scene.fallback
        result = attribute(series.ticks, scene.occupancy)
        totals[_identity(series)].add(result, part)
        energy = result.claimant_mj[: 2 * count].reshape(count, 2)
        error_ns = series.clock.bound_ns + clock_error_ns
        bounds = call_bounds(result, scene.occupancy, calls=count, clock_error_ns=error_ns)
        run.calls.prefill_mj[mine] += energy[:, 0]
        run.calls.decode_mj[mine] += energy[:, 1]
        run.calls.low_mj[mine] += bounds.low_mj
        run.calls.high_mj[mine] += bounds.high_mj
        served[mine] = True
        seen[mine] |= bounds.seen
        whole[mine] &= bounds.whole
    run.calls.seen[rows], run.calls.whole[rows] = seen[rows], (served & whole)[rows]


def _length_ns(parts: Sequence[_Part]) -> int:
    """The time in which there was any of them."""
    length, until_ns = 0, -ALWAYS_NS
    for part in sorted(parts, key=lambda part: part.start_ns):
        length += max(part.end_ns - max(part.start_ns, until_ns), 0)
        until_ns = max(until_ns, part.end_ns)
    return length


def _span_energy_mj(span: Span, parts: Sequence[_Part]) -> int | None:
    """Energy of a stage on all devices; None where ticks do not cover it."""
    if not parts or span.end_ns <= span.start_ns:
        return None
    for part in parts:
        covered = part.series.ticks.covered_ns(part.start_ns, part.end_ns)
        if covered < ENOUGH_COVERAGE * (part.end_ns - part.start_ns):
            return None
    return round(sum(part.series.ticks.energy_between_mj(part.start_ns, part.end_ns) for part in parts))


def _baseline_watts(
    spans: Sequence[Span], chosen: Sequence[_Device], described: AbstractSet[tuple[str, str]]
) -> float | None:
    """Mean power in the last baseline stage, over the part that ticks cover."""
    for span in reversed([span for span in spans if span.stage is Stage.BASELINE]):
        parts = _serving(chosen, span, described)
        covered = [part.series.ticks.covered_ns(part.start_ns, part.end_ns) for part in parts]
        if covered and all(covered):
            energy = (part.series.ticks.energy_between_mj(part.start_ns, part.end_ns) for part in parts)
            return sum(mj * 1e6 / ns for mj, ns in zip(energy, covered, strict=True))
    return None
