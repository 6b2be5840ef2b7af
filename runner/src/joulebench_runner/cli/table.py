"""The table at the end of a run: what a correct answer cost, in figures that say how they were made."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from joulebench_api.contracts.summary import Accuracy, CostFigure, Distribution, Energy, Summary
from joulebench_runner.report import REPORT
from joulebench_runner.results.words import NOT_KNOWN, by_model, costs, digits, joules, kind_in_words, seconds


def print_summary(summary: Summary, *, folder: Path, console: Console | None = None) -> None:
    """Print the table and where the results lie."""
    shown = console or Console()
    shown.print(_table(summary))
    for line in (kind_in_words(summary.energy), *(f"note: {warning}" for warning in summary.warnings)):
        shown.print(Text(line))
    # A path that is broken over lines cannot be copied.
    shown.print(Text(f"results: {folder}"), soft_wrap=True)
    if (folder / REPORT).exists():
        shown.print(Text(f"report: {folder / REPORT}"), soft_wrap=True)
    if summary.stored is not None and summary.stored.problem is None:
        shown.print(Text(f"copy: {summary.stored.url}"), soft_wrap=True)


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
    (console or Console()).print(Text("before -> now: " + (", ".join(shown) or "the chief figures are the same")))


def _percent(accuracy: Accuracy | None) -> str:
    return NOT_KNOWN if accuracy is None else f"{accuracy.value:.1%}"


def _in_joules(summary: Summary) -> str:
    value = summary.energy.per_correct_joules
    return NOT_KNOWN if value is None else joules(value)


def _total(figure: CostFigure) -> str:
    return NOT_KNOWN if figure.total is None else digits(figure.total)


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


def _rows(summary: Summary) -> Iterator[tuple[str, str]]:
    counts, energy, latency = summary.counts, summary.energy, summary.latency
    yield "questions", _counts(summary)
    if summary.accuracy is not None:
        yield "accuracy", _accuracy(summary.accuracy)
    yield "energy per question", _joules_spread(energy.per_query)
    if summary.accuracy is not None:
        yield "energy per correct answer", _per_correct(energy, counts.correct)
    yield "energy in all", _where(energy)
    yield from ((f"  {alias}", words) for alias, words in by_model(summary.models))
    yield from costs(summary.cost)
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
