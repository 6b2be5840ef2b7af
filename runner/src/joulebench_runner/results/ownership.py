"""When each device served pods of the run: what its exporter told of owners, put into stretches of the meter's clock.

An exporter tells who has a device with its first ticks, and again after each change; what it told holds until it tells
otherwise. Of the time before, nobody knows.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

import numpy as np

from joulebench_api.contracts.topology import Topology
from joulebench_runner.attribution.arrays import Ints, as_ints
from joulebench_runner.journal.schema import Kind
from joulebench_runner.ownership import OWNED, OwnPods, Pod
from joulebench_runner.results.arrow import pc
from joulebench_runner.results.series import Series, exporter_clock
from joulebench_runner.results.tables import Journal, ints, row_column

ALWAYS_NS: Final = 1 << 62


@dataclass(frozen=True)
class Told:
    """What was told of one device's owners, at a time of the meter's clock."""

    time_ns: int
    pods: frozenset[Pod]
    known: bool = True
    problem: str | None = None


@dataclass(frozen=True)
class Holding:
    """A time, [start, end) of the meter's clock, in which a device served the run.

    `pods`: those of the run that had it; None: it is not asked (no cluster, or a device that is not given to pods).
    `others`: pods of others that had it too.
    """

    start_ns: int = -ALWAYS_NS
    end_ns: int = ALWAYS_NS
    pods: frozenset[Pod] | None = None
    others: frozenset[Pod] = frozenset()

    def within(self, start_ns: int, end_ns: int) -> "Holding | None":
        """The part of it in [start, end); None where there is none."""
        start, end = max(self.start_ns, start_ns), min(self.end_ns, end_ns)
        return Holding(start, end, self.pods, self.others) if end > start else None


ALWAYS: Final = Holding()


@dataclass(frozen=True)
class Holdings:
    """Of each device series (by its place among them) the times in which it served the run, and what is not known."""

    by_series: Sequence[Sequence[Holding]]
    problems: Sequence[str] = ()


def own_pods(journal: Journal) -> OwnPods | None:
    """The run's servers by all topologies it was told; None for runs without (not on a cluster)."""
    texts = journal.tables[Kind.TOPOLOGY]["json"].to_pylist()
    pods = OwnPods()
    for text in texts:
        pods = pods.seen(Topology.model_validate_json(str(text)))
    return pods if texts else None


def holdings(journal: Journal, series: Sequence[Series], own: OwnPods | None) -> Holdings:
    """When each device served the run: always, where there are no pods to tell devices apart by."""
    found: list[Sequence[Holding]] = []
    problems: list[str] = []
    for one in series:
        if own is None or one.facts.domain not in OWNED:
            found.append([ALWAYS])
            continue
        told = _told(journal, one)
        found.append(held(told, own, tick_ns=one.ticks.time_ns))
        problems += _problems(one, told)
    return Holdings(found, problems)


def held(told: Iterable[Told], own: OwnPods, *, tick_ns: Ints) -> list[Holding]:
    """The stretches in which pods of the run have a device. A change counts from the first tick at or after it, so that
    every tick is in one stretch. Pure.
    """
    latest = {_at_tick(one.time_ns, tick_ns): one for one in sorted(told, key=lambda one: one.time_ns)}
    found: list[Holding] = []
    for start_ns, one in latest.items():
        pods = own.own(one.pods)
        last = found[-1] if found else None
        if last is not None and last.end_ns == ALWAYS_NS:
            if (last.pods, last.others) == (pods, one.pods - pods):
                continue
            found[-1] = Holding(last.start_ns, start_ns, last.pods, last.others)
        if pods:
            found.append(Holding(start_ns, ALWAYS_NS, pods, one.pods - pods))
    return found


def _at_tick(time_ns: int, tick_ns: Ints) -> int:
    place = int(np.searchsorted(tick_ns, time_ns, "left"))
    return int(tick_ns[place]) if place < len(tick_ns) else time_ns


def _told(journal: Journal, series: Series) -> list[Told]:
    """By all exporters of one series, in the meter's clock."""
    table = journal.tables[Kind.OWNERS]
    here = pc.and_(
        pc.equal(table["device"], series.facts.device), pc.equal(row_column(table, "boot_id"), series.meter_boot_id)
    )
    rows = table.filter(here)
    found: list[Told] = []
    for exporter in series.exporters:
        part = rows.filter(pc.equal(rows["exporter"], exporter))
        times = ints(part, "time_ns")
        clock = exporter_clock(
            journal,
            exporter,
            series.meter_boot_id,
            same_boot=series.facts.boot_id == series.meter_boot_id,
            times=times,
        )
        if clock is not None:
            meter_ns = as_ints(clock.to_meter(times)).tolist()
            found += [
                Told(
                    time_ns,
                    frozenset(zip(row["namespaces"], row["pods"], strict=True)),
                    bool(row["known"]),
                    row["problem"],
                )
                for time_ns, row in zip(meter_ns, part.to_pylist(), strict=True)
            ]
    return found


def _problems(series: Series, told: Sequence[Told]) -> list[str]:
    """A device whose owners were never known is no run's, which its reader should know."""
    if any(one.known for one in told):
        return []
    reasons = dict.fromkeys(one.problem for one in told if one.problem)
    why = "; ".join(reasons) or "its exporter does not ask the kubelet"
    return [f"{series.facts.device}: it is not known which pod has it: {why}"]


def shared_with(found: Holdings, series: Sequence[Series]) -> list[str]:
    """Of devices that others had too, in words."""
    words = []
    for one, parts in zip(series, found.by_series, strict=True):
        others: AbstractSet[Pod] = frozenset().union(*(part.others for part in parts))
        if others:
            names = ", ".join(f"{namespace}/{pod}" for namespace, pod in sorted(others))
            words.append(
                f"device {one.facts.device} was given to {names} too: while no call of this run was in flight its "
                "energy counts as foreign, and the energy of the calls may hold some of theirs"
            )
    return words
