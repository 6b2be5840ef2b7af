"""The table at the end of a run: what a correct answer cost, in figures that say how they were made."""

from collections.abc import Iterator
from decimal import Context, Decimal
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from joulebench_api.contracts.energy import SensorKind
from joulebench_api.contracts.summary import Accuracy, Cost, CostFigure, Distribution, Energy, Summary

NOT_KNOWN = "not known"

_KIND_WORDS = {
    SensorKind.MEASURED: "measured by a hardware counter",
    SensorKind.MODELLED: "modelled from CPU time with stated coefficients, not measured",
    SensorKind.SIMULATED: "simulated; no hardware was involved",
}


def print_summary(summary: Summary, *, folder: Path, console: Console | None = None) -> None:
    """Print the table and where the results lie."""
    shown = console or Console()
    shown.print(_table(summary))
    for line in (kind_in_words(summary.energy), *(f"note: {warning}" for warning in summary.warnings)):
        shown.print(Text(line))
    # A path that is broken over lines cannot be copied.
    shown.print(Text(f"results: {folder}"), soft_wrap=True)


def print_comparison(before: Summary, after: Summary, *, console: Console | None = None) -> None:
    """Say which of the chief figures became others when the results were made anew."""
    pairs = {
        "accuracy": (_percent(before.accuracy), _percent(after.accuracy)),
        "energy per correct answer": (_in_joules(before), _in_joules(after)),
        "electricity": (_total(before.cost.electricity), _total(after.cost.electricity)),
        "tokens at API price": (_total(before.cost.tokens), _total(after.cost.tokens)),
        "carbon": (_total(before.cost.carbon_grams), _total(after.cost.carbon_grams)),
    }
    shown = [f"{name} {old} -> {new}" for name, (old, new) in pairs.items() if old != new]
    (console or Console()).print(Text("before -> now: " + (", ".join(shown) or "all the same")))


def _percent(accuracy: Accuracy | None) -> str:
    return NOT_KNOWN if accuracy is None else f"{accuracy.value:.1%}"


def _in_joules(summary: Summary) -> str:
    value = summary.energy.per_correct_joules
    return NOT_KNOWN if value is None else joules(value)


def _total(figure: CostFigure) -> str:
    return NOT_KNOWN if figure.total is None else _digits(figure.total)


def _table(summary: Summary) -> Table:
    table = Table(title=_title(summary), title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in _rows(summary):
        table.add_row(name, value)
    return table


def _title(summary: Summary) -> str:
    # A run that failed before it had loaded its task has none.
    return summary.model.name if summary.task is None else f"{summary.model.name} on {summary.task.name}"


def kind_in_words(energy: Energy) -> str:
    """Where the joules come from, in a sentence."""
    if energy.kind is None:
        return f"No joules: {energy.problem or 'nothing was measured'}."
    kept = "every joule is accounted for" if energy.conserved else "the joules DO NOT add up; do not use them"
    return f"Joules are {_KIND_WORDS[energy.kind]} ({energy.sensor}); split by {energy.method}; {kept}."


def _rows(summary: Summary) -> Iterator[tuple[str, str]]:
    counts, energy, latency = summary.counts, summary.energy, summary.latency
    yield "questions", _counts(summary)
    if summary.accuracy is not None:
        yield "accuracy", _accuracy(summary.accuracy)
    yield "energy per question", _joules_spread(energy.per_query)
    if summary.accuracy is not None:
        yield "energy per correct answer", _per_correct(energy, counts.correct)
    yield "energy in all", _where(energy)
    yield from _costs(summary.cost)
    yield "output tokens", _tokens(summary)
    yield "TTFT", _seconds(latency.ttft_seconds)
    yield "TPOT", _seconds(latency.tpot_seconds)
    yield "whole answer", _seconds(latency.e2e_seconds)


def _accuracy(accuracy: Accuracy) -> str:
    return f"{accuracy.value:.1%}  (95 % interval {accuracy.low:.1%} to {accuracy.high:.1%})"


def _counts(summary: Summary) -> str:
    counts = summary.counts
    parts = [f"{counts.asked} asked"]
    if summary.accuracy is not None:
        parts.append(f"{counts.correct} correct")
        parts.append(f"{counts.incorrect} incorrect")
    if counts.unscored and summary.accuracy is not None:
        parts.append(f"{counts.unscored} unscored")
    if counts.errors:
        parts.append(f"{counts.errors} errors")
    return ", ".join(parts)


def _joules_spread(spread: Distribution | None) -> str:
    if spread is None:
        return NOT_KNOWN
    return f"{joules(spread.mean)} mean, {joules(spread.median)} median ({joules(spread.p5)} to {joules(spread.p95)})"


def _per_correct(energy: Energy, correct: int) -> str:
    if not correct:
        return "no answer was correct"
    if energy.per_correct_joules is None or energy.per_correct_all_in_joules is None:
        return NOT_KNOWN
    return f"{joules(energy.per_correct_joules)}  ({joules(energy.per_correct_all_in_joules)} with idle time and judge)"


def _where(energy: Energy) -> str:
    if energy.total_joules is None:
        return NOT_KNOWN
    parts = {
        "questions": energy.queries_joules,
        "judge": energy.judge_joules,
        "idle": energy.idle_joules,
        "foreign": energy.foreign_joules,
        "unattributed": energy.unattributed_joules,
        "boundary": energy.boundary_joules,
    }
    shown = ", ".join(f"{joules(value)} {name}" for name, value in parts.items() if value)
    return f"{joules(energy.total_joules)} = {shown}"


def _costs(cost: Cost) -> Iterator[tuple[str, str]]:
    """What has a price; nothing where no prices were given."""
    named = {
        "electricity": (cost.electricity, cost.prices.electricity_per_kwh, _money(cost)),
        "accelerators": (cost.accelerators, cost.prices.accelerator_per_hour, _money(cost)),
        "tokens at API price": (cost.tokens, cost.prices.tokens or None, _money(cost)),
        "carbon": (cost.carbon_grams, cost.prices.carbon_grams_per_kwh, "g CO2e"),
    }
    for name, (figure, price, unit) in named.items():
        if price is not None:
            yield name, _cost(figure, unit)


def _money(cost: Cost) -> str:
    return cost.prices.currency or "(no currency given)"


def _cost(figure: CostFigure, unit: str) -> str:
    if figure.total is None:
        return f"{NOT_KNOWN}: {figure.problem}"
    each = {"question": figure.per_query, "correct answer": figure.per_correct}
    shown = ", ".join(f"{_digits(value)} per {name}" for name, value in each.items() if value is not None)
    return f"{_digits(figure.total)} {unit}" + (f"  ({shown})" if shown else "")


def _digits(value: Decimal) -> str:
    """Three significant digits, without an exponent."""
    return format(Context(prec=3).plus(value), "f")


def _tokens(summary: Summary) -> str:
    if summary.tokens.output is None:
        return NOT_KNOWN
    rate, cost = summary.throughput.output_tokens_per_second, summary.efficiency.joules_per_output_token
    text = str(summary.tokens.output)
    text += f", {rate:.1f} per second" if rate is not None else ""
    return text + (f", {joules(cost)} each" if cost is not None else "")


def _seconds(spread: Distribution | None) -> str:
    if spread is None:
        return NOT_KNOWN
    return f"{seconds(spread.median)} median, {seconds(spread.p95)} p95"


def joules(value: float) -> str:
    """Joules with three significant digits and a fitting prefix, such as `7.41 J`, `310 mJ` or `1.20 kJ`."""
    return _with_prefix(value, "J", {1e6: "M", 1e3: "k", 1.0: "", 1e-3: "m"})


def seconds(value: float) -> str:
    """Seconds with three significant digits, such as `1.25 s` or `38.2 ms`."""
    return _with_prefix(value, "s", {1.0: "", 1e-3: "m"})


def _with_prefix(value: float, unit: str, prefixes: dict[float, str]) -> str:
    for size, prefix in prefixes.items():
        if abs(value) >= size:
            return f"{_three_digits(value / size)} {prefix}{unit}"
    size, prefix = list(prefixes.items())[-1]
    return f"{_three_digits(value / size)} {prefix}{unit}"


def _three_digits(value: float) -> str:
    decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{decimals}f}"
