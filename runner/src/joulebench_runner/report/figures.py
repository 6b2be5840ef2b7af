"""The page's figures, made with plotly. Colours of text and grid are set in the page, which knows light from dark."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped]  # it has no types
from plotly.subplots import make_subplots  # type: ignore[import-untyped]  # likewise

from joulebench_api.contracts.meter import Stage
from joulebench_api.contracts.summary import StageTimes
from joulebench_runner.attribution.arrays import Bools, Floats
from joulebench_runner.report.tables import Flights, Tables, Verdict
from joulebench_runner.report.thinning import in_flight, keep_extremes, lanes
from joulebench_runner.results.statistics import accuracy

MOST_POINTS: Final = 6000
"""Of all devices' power together."""
MOST_BARS: Final = 400
"""Calls that are drawn one by one; more are counted."""
MOST_LANES: Final = 24
MOST_SUBJECTS: Final = 60
BINS: Final = 30

# Blue and orange can be told apart with every common colour blindness, and both are seen on white and on black.
COLOURS: Final = {
    Verdict.RIGHT: "#2f86c9",
    Verdict.WRONG: "#e08a2c",
    Verdict.UNSCORED: "#8b929c",
    Verdict.ERROR: "#b04f9b",
}
_DEVICE_COLOURS: Final = ("#2f86c9", "#009e73", "#b04f9b", "#e08a2c", "#56b4e9", "#8b929c", "#d55e00", "#a89f1d")
STAGE_COLOURS: Final = {
    Stage.STARTUP: "#8b929c",
    Stage.BASELINE: "#009e73",
    Stage.WARMUP: "#d9b310",
    Stage.RUN: "#2f86c9",
    Stage.SHUTDOWN: "#8b929c",
    Stage.EXPORT: "#b04f9b",
}
_LABEL_FROM: Final = 0.09
"""A stage gets its name written where it takes at least this part of the width."""


@dataclass(frozen=True)
class Figure:
    """A figure, its title, and what it shows in a sentence for those who do not see it."""

    key: str
    title: str
    words: str
    figure: go.Figure


@dataclass(frozen=True)
class _Axis:
    """Times since the beginning, in a unit that gives small numbers."""

    origin: float
    size: float
    unit: str

    def of(self, seconds: Floats) -> Floats:
        return (seconds - self.origin) / self.size


def figures(tables: Tables, stages: Sequence[StageTimes], *, scored: bool) -> list[Figure]:
    """All figures for which there is something to show."""
    found = [power_figure(tables, stages)]
    found += [_distribution_figure(tables, *one, scored=scored) for one in _DISTRIBUTIONS]
    found.append(subject_figure(tables) if scored else None)
    return [one for one in found if one is not None]


def power_figure(tables: Tables, stages: Sequence[StageTimes]) -> Figure | None:
    """Power over time, with the stages behind it and the calls in flight below."""
    spans = list(_spans(stages))
    if not any(len(power.seconds) for power in tables.powers) and not len(tables.flights.start):
        return None
    axis = _axis(tables, spans)
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.68, 0.32], vertical_spacing=0.05)
    _add_power(figure, tables, axis)
    _add_flights(figure, tables, axis)
    _add_stages(figure, spans, axis)
    figure.update_xaxes(title_text=f"time since the start ({axis.unit})", row=2, col=1)
    figure.update_yaxes(title_text="power (W)", rangemode="tozero", row=1, col=1)
    _lay_out(figure, height=460)
    figure.update_layout(barmode="overlay", bargap=0.15, legend={"y": 1.06}, margin={"t": 56}, hovermode="closest")
    words = "Mean power between the ticks of each device's counter; bands are the stages; below, the model calls."
    return Figure("power", "Power over time", words, figure)


def _spans(stages: Sequence[StageTimes]) -> Iterator[tuple[Stage, float, float]]:
    for stage in stages:
        if stage.seconds is not None and stage.started_at:
            start = datetime.fromisoformat(stage.started_at).timestamp()
            yield stage.name, start, start + stage.seconds


def _axis(tables: Tables, spans: Sequence[tuple[Stage, float, float]]) -> _Axis:
    times = [power.seconds[[0, -1]] for power in tables.powers if len(power.seconds)]
    times += [tables.flights.start, tables.flights.end, np.array([time for _, *both in spans for time in both])]
    known = np.concatenate(times)
    length = float(known.max() - known.min())
    size, unit = next(((s, u) for s, u in ((3600.0, "hours"), (60.0, "minutes")) if length > 5 * s), (1.0, "seconds"))
    return _Axis(float(known.min()), size, unit)


def _add_power(figure: go.Figure, tables: Tables, axis: _Axis) -> None:
    most = max(MOST_POINTS // max(len(tables.powers), 1), 300)
    for place, power in enumerate(tables.powers):
        rows = keep_extremes(power.watts, most=most)
        figure.add_scatter(
            x=np.round(axis.of(power.seconds[rows]), 4),
            y=np.round(power.watts[rows], 2),
            name=power.name,
            mode="lines",
            # The power at a tick is that of the time since the tick before.
            line={"shape": "vh", "width": 1.3, "color": _DEVICE_COLOURS[place % len(_DEVICE_COLOURS)]},
            hovertemplate="%{y:.1f} W<extra>%{fullData.name}</extra>",
            row=1,
            col=1,
        )


def _add_flights(figure: go.Figure, tables: Tables, axis: _Axis) -> None:
    flights = _sorted(tables.flights)
    lane = lanes(flights.start, flights.end) if len(flights.start) <= MOST_BARS else None
    if lane is not None and lane.max(initial=0) < MOST_LANES:
        _add_bars(figure, tables, flights, axis, lane + 1)
        figure.update_yaxes(title_text="calls", tickformat="d", autorange="reversed", nticks=5, row=2, col=1)
        return
    times, counts = in_flight(flights.start, flights.end)
    rows = keep_extremes(counts, most=MOST_POINTS // 2)
    line = {"shape": "hv", "width": 1.2, "color": _DEVICE_COLOURS[5]}
    figure.add_scatter(
        x=np.round(axis.of(times[rows]), 4), y=counts[rows], name="calls in flight", mode="lines", line=line,
        fill="tozeroy", hovertemplate="%{y:d} in flight<extra></extra>", row=2, col=1,
    )  # fmt: skip
    figure.update_yaxes(title_text="in flight", rangemode="tozero", row=2, col=1)


def _sorted(flights: Flights) -> Flights:
    order = np.argsort(flights.start, kind="stable")
    return Flights(flights.start[order], flights.end[order], flights.question[order])


def _add_bars(figure: go.Figure, tables: Tables, flights: Flights, axis: _Axis, lane: Any) -> None:
    asked = flights.question >= 0
    verdict = np.where(asked, np.append(tables.verdict, 0)[flights.question], -1)
    groups = [(one.name.lower(), COLOURS[one], verdict == one) for one in reversed(Verdict)]
    for name, colour, rows in [*groups, ("no question (warm-up)", "#b9bec6", verdict == -1)]:
        if not rows.any():
            continue
        ids = [tables.query_id[place] if place >= 0 else "" for place in flights.question[rows].tolist()]
        figure.add_bar(
            base=axis.of(flights.start[rows]), x=(flights.end[rows] - flights.start[rows]) / axis.size,
            y=lane[rows], orientation="h", name=name, marker={"color": colour, "line": {"width": 0}}, customdata=ids,
            hovertemplate="%{x:.2f} " + axis.unit + " %{customdata}<extra>%{fullData.name}</extra>", row=2, col=1,
        )  # fmt: skip


def _add_stages(figure: go.Figure, spans: Sequence[tuple[Stage, float, float]], axis: _Axis) -> None:
    if not spans:
        return
    whole = max(end for _, _, end in spans) - min(start for _, start, _ in spans)
    for stage, start, end in spans:
        left, right = axis.of(np.array([start, end])).tolist()
        figure.add_shape(
            type="rect", xref="x2", yref="paper", x0=left, x1=right, y0=0, y1=1, layer="below", line={"width": 0},
            fillcolor=STAGE_COLOURS[stage], opacity=0.13,
        )  # fmt: skip
        if end - start >= _LABEL_FROM * whole:
            figure.add_annotation(
                text=stage.value, xref="x2", yref="paper", x=(left + right) / 2, y=1.0, yanchor="bottom",
                showarrow=False, font={"size": 11},
            )  # fmt: skip


_DISTRIBUTIONS: Final = (
    ("energy_joules", "Energy per question", "J"),
    ("ttft_seconds", "TTFT, time to first token", "s"),
    ("tpot_seconds", "TPOT, time per output token", "s"),
    ("e2e_seconds", "E2E, the whole answer", "s"),
)


def _distribution_figure(tables: Tables, measure: str, title: str, unit: str, *, scored: bool) -> Figure | None:
    values = tables.measures[measure]
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    if np.percentile(known, 95) < 1:
        values, known, unit = values * 1000, known * 1000, f"m{unit}"
    edges, logarithmic = bin_edges(known)
    figure = go.Figure()
    for name, colour, dash, rows in _groups(tables, scored=scored):
        own = values[rows & ~np.isnan(values)]
        if not len(own):
            continue
        counts, _ = np.histogram(own, bins=edges)
        label = f"{name}: {len(own):,}, median {np.median(own):.3g} {unit}"
        figure.add_scatter(
            x=np.round(np.concatenate([edges[:1], edges]), 9), y=np.concatenate([[0], counts, [0]]), name=label,
            mode="lines", fill="tozeroy", line={"shape": "hv", "width": 1.8, "color": colour, "dash": dash},
            hovertemplate="%{y:d} from %{x:.3g} " + unit + "<extra>" + name + "</extra>",
        )  # fmt: skip
        figure.add_vline(x=float(np.median(own)), line={"color": colour, "width": 1.4, "dash": "dot"})
    figure.update_xaxes(title_text=unit, type="log" if logarithmic else "linear")
    figure.update_yaxes(title_text="questions", rangemode="tozero", tickformat="d", nticks=5)
    _lay_out(figure, height=270)
    words = f"How many questions had which value, in {unit}; dotted lines are the medians."
    return Figure(measure, title, words, figure)


def _groups(tables: Tables, *, scored: bool) -> Iterator[tuple[str, str, str, Bools]]:
    """(name, colour, dash, bool[Q]); right and wrong apart where answers are scored."""
    if not scored:
        yield "all", COLOURS[Verdict.RIGHT], "solid", tables.verdict >= 0
        return
    yield "right", COLOURS[Verdict.RIGHT], "solid", tables.verdict == Verdict.RIGHT
    yield "wrong", COLOURS[Verdict.WRONG], "dash", tables.verdict == Verdict.WRONG
    others = (tables.verdict == Verdict.UNSCORED) | (tables.verdict == Verdict.ERROR)
    yield "unscored or failed", COLOURS[Verdict.UNSCORED], "dot", others


def bin_edges(values: Floats) -> tuple[Floats, bool]:
    """Edges of bins for known values, and whether they grow by a factor: for long tails, which would be one bin."""
    low, high, middle = float(values.min()), float(values.max()), float(np.median(values))
    bins = int(np.clip(np.sqrt(len(values)) * 1.5, 8, BINS))
    if low > 0 and high > 20 * middle:
        return np.geomspace(low, high * 1.000001, bins + 1), True
    return np.linspace(low, high if high > low else low + max(abs(low), 1.0), bins + 1), False


def subject_figure(tables: Tables) -> Figure | None:
    """Accuracy of each subject with its 95 % interval, the most asked ones."""
    asked = np.bincount(tables.subject.codes[tables.subject.codes >= 0], minlength=len(tables.subject.names))
    if len(asked) < 2:
        return None
    most_asked = np.argsort(-asked, kind="stable")[:MOST_SUBJECTS]
    rows = [(tables.subject.names[code], int(asked[code]), *_accuracy(tables, int(code))) for code in most_asked]
    rows.sort(key=lambda row: (row[2], row[0]))
    names, counts, values, lows, highs = zip(*rows, strict=True)
    figure = go.Figure()
    figure.add_scatter(
        x=values, y=[f"{_shortened(name)} ({count:,})" for name, count in zip(names, counts, strict=True)],
        mode="markers", marker={"size": 9, "color": COLOURS[Verdict.RIGHT]}, name="accuracy",
        error_x={
            "type": "data", "symmetric": False, "color": "#8b929c", "thickness": 1.4, "width": 4,
            "array": np.subtract(highs, values), "arrayminus": np.subtract(values, lows),
        },
        hovertemplate="%{y}: %{x:.1%}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%")
    figure.update_yaxes(type="category", automargin=True, dtick=1)
    _lay_out(figure, height=70 + 25 * len(rows))
    left_out = len(asked) - len(rows)
    words = "Accuracy with its 95 % interval; in brackets, how many were asked."
    if left_out:
        words += f" The {len(rows)} most asked subjects; {left_out} more are in queries.parquet."
    return Figure("subjects", "Accuracy by subject", words, figure)


def _accuracy(tables: Tables, code: int) -> tuple[float, float, float]:
    rows = tables.subject.codes == code
    found = accuracy(tables.correct[rows] & (tables.verdict[rows] == Verdict.RIGHT), tables.record[rows])
    if found is None:
        raise ValueError(f"subject {code} was never asked")
    return found.value, found.low, found.high


def _shortened(name: str, most: int = 28) -> str:
    # plotly reads some HTML tags in its texts; a subject is plain text.
    plain = name if len(name) <= most else f"{name[: most - 1]}\u2026"
    return plain.replace("&", "&amp;").replace("<", "&lt;")


def _lay_out(figure: go.Figure, *, height: int) -> None:
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 56, "r": 14, "t": 34, "b": 46},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 11}},
        hoverlabel={"font": {"size": 12}},
        font={"size": 12},
    )
