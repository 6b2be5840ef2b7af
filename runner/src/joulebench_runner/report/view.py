"""What the page says in words and numbers, ready to be set."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from joulebench_api.contracts.energy import SensorKind
from joulebench_api.contracts.summary import Distribution, Energy, Gpu, Range, StageTimes, Summary
from joulebench_runner.results.folder import RunFolder
from joulebench_runner.results.words import NOT_KNOWN, joules, kind_in_words, seconds

STATES = {
    "completed": "completed",
    "failed": "failed",
    "error-limit": "stopped: too many questions failed",
    "interrupted": "interrupted",
}


@dataclass(frozen=True)
class Card:
    """A headline number."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class Part:
    """A part of the energy, in millijoules."""

    name: str
    millijoules: int
    meaning: str
    colour: str

    @property
    def exact(self) -> str:
        """To the millijoule, such as `1,234.567`."""
        return exact_joules(self.millijoules)


@dataclass(frozen=True)
class Split:
    """Where the joules went; `parts` with anything in them. `rest` is what does not add up, and should be 0."""

    parts: Sequence[Part]
    total_millijoules: int

    @property
    def rest(self) -> int:
        """Total less the sum of the parts."""
        return self.total_millijoules - sum(part.millijoules for part in self.parts)

    @property
    def total(self) -> str:
        """To the millijoule."""
        return exact_joules(self.total_millijoules)

    def percent(self, part: Part) -> float:
        """The part's share of the total."""
        return 100 * part.millijoules / self.total_millijoules if self.total_millijoules else 0.0


def exact_joules(millijoules: int) -> str:
    """Joules with all three decimals, made from integers."""
    sign, size = "-" if millijoules < 0 else "", abs(millijoules)
    return f"{sign}{size // 1000:,}.{size % 1000:03d}"


def title(summary: Summary) -> str:
    """Model and task."""
    return summary.model.name if summary.task is None else f"{summary.model.name} on {summary.task.name}"


def cards(summary: Summary) -> list[Card]:
    """The headline numbers, the most asked for first."""
    return [*_answers(summary), *_energy_cards(summary), *_speed(summary)]


def _answers(summary: Summary) -> Iterator[Card]:
    counts, right = summary.counts, summary.accuracy
    others = "".join(
        f", {count:,} {name}" for name, count in (("unscored", counts.unscored), ("errors", counts.errors)) if count
    )
    if right is None:
        # Where nothing is scored, "unscored" is no news.
        yield Card("Questions", f"{counts.answered:,}", f"answered of {counts.asked:,}; this task is not scored")
        return
    interval = f"95 % interval {right.low:.1%} to {right.high:.1%}"
    yield Card("Accuracy", f"{right.value:.1%}", f"{counts.correct:,} of {counts.asked:,} right{others}; {interval}")


def _energy_cards(summary: Summary) -> Iterator[Card]:
    energy, each = summary.energy, summary.energy.per_query
    spread = f"median {joules(each.median)}, 90 % from {joules(each.p5)} to {joules(each.p95)}" if each else ""
    yield Card("Energy per question", NOT_KNOWN if each is None else joules(each.mean), spread)
    if summary.accuracy is not None:
        yield _per_correct(energy, summary.counts.correct)
    per_token = summary.efficiency.joules_per_output_token
    yield Card("Energy per output token", NOT_KNOWN if per_token is None else joules(per_token), _tokens(summary))


def _per_correct(energy: Energy, correct: int) -> Card:
    if energy.per_correct_joules is None:
        return Card(
            "Energy per correct answer", NOT_KNOWN if correct else "none", "" if correct else "none was correct"
        )
    all_in = energy.per_correct_all_in_joules
    note = "" if all_in is None else f"{joules(all_in)} with idle time and judge"
    return Card("Energy per correct answer", joules(energy.per_correct_joules), note)


def _tokens(summary: Summary) -> str:
    output, prompt = summary.tokens.output, summary.tokens.prompt
    return "" if output is None or prompt is None else f"{output:,} output and {prompt:,} prompt tokens"


def _speed(summary: Summary) -> Iterator[Card]:
    rate, questions = summary.throughput.output_tokens_per_second, summary.throughput.queries_per_second
    note = "" if questions is None else f"{questions:.3g} questions per second"
    yield Card("Output tokens per second", NOT_KNOWN if rate is None else f"{rate:,.1f}", note)
    yield _latency("TTFT", "time to first token", summary.latency.ttft_seconds)
    yield _latency("TPOT", "time per output token", summary.latency.tpot_seconds)
    yield _latency("E2E", "the whole answer", summary.latency.e2e_seconds)


def _latency(name: str, note: str, spread: Distribution | None) -> Card:
    if spread is None:
        return Card(name, NOT_KNOWN, note)
    return Card(name, seconds(spread.median), f"{note}, median; 95 % within {seconds(spread.p95)}")


def kind_line(summary: Summary) -> str:
    """Whether the joules are real and whole, in a sentence."""
    return kind_in_words(summary.energy)


def tone(energy: Energy) -> str:
    """How that sentence is coloured: only measured joules that add up are good without more."""
    if energy.kind is None or (energy.conserved and energy.kind is not SensorKind.MEASURED):
        return "warn"
    return "good" if energy.conserved else "bad"


def split(energy: Energy) -> Split | None:
    """The identity, part by part; None without joules."""
    if energy.total_joules is None:
        return None
    parts = [part for part in _parts(energy) if part.millijoules]
    return Split(parts, _millijoules(energy.total_joules))


def _parts(energy: Energy) -> Iterator[Part]:
    yield from _of_questions(energy)
    yield _part("judge", energy.judge_joules, "the judge's calls", "#56b4e9")
    yield _part("shared", energy.shared_joules, "in flight together, not split by this method", "#a89f1d")
    yield _part("idle", energy.idle_joules, "nothing was in flight", "#8b929c")
    yield _part("foreign", energy.foreign_joules, "others' requests on the same server", "#b04f9b")
    for reason, value in energy.unattributed.items():
        yield _part(
            f"unattributed: {reason}", value, _REASONS.get(reason, "could not be given to a question"), "#d55e00"
        )
    yield _part("boundary", energy.boundary_joules, "ticks that reach over the ends of the measured time", "#c3c8cf")


_REASONS: Mapping[str, str] = {
    "unjoined": "calls that carried no question's id",
    "abandoned": "attempts that never finished; the question was asked again, or never answered",
    "missed_ticks": "while ticks were missing",
}


def _of_questions(energy: Energy) -> Iterator[Part]:
    if energy.prefill_joules is None or energy.decode_joules is None:
        yield _part("questions", energy.queries_joules, "calls to the model and its submodels for questions", "#2f86c9")
        return
    yield _part("prefill", energy.prefill_joules, "questions, before the first token", "#1b5e94")
    yield _part("decode", energy.decode_joules, "questions, after it", "#2f86c9")


def _part(name: str, value: float | None, meaning: str, colour: str) -> Part:
    return Part(name, _millijoules(value or 0.0), meaning, colour)


def _millijoules(value: float) -> int:
    """The summary's joules are integers of millijoules, divided by 1000."""
    return round(value * 1000)


def warnings(run: RunFolder) -> list[str]:
    """All that a reader should know before using a number."""
    energy, found = run.summary.energy, list(run.summary.warnings)
    found += [f"incomplete folder: {problem}" for problem in run.problems]
    if energy.fallback_calls:
        found.append(f"{energy.fallback_calls:,} calls reported no token counts; their energy was split by Equal")
    if energy.total_joules is not None and not energy.conserved:
        found.append("the joules do not add up: do not use them")
    if energy.foreign_joules is None and energy.foreign_reason:
        found.append(f"joules of others' requests are not known: {energy.foreign_reason}")
    if run.summary.client.limited:
        found.append("the client was the bottleneck: latencies and rates are its own, not the server's")
    return found


def stage_rows(stages: Sequence[StageTimes]) -> list[tuple[str, str, str, str]]:
    """(name, start, seconds, joules)."""
    return [
        (
            stage.name.value,
            stage.started_at.replace("T", " ").removesuffix("Z"),
            "" if stage.seconds is None else seconds(stage.seconds),
            "" if stage.energy_joules is None else joules(stage.energy_joules),
        )
        for stage in stages
    ]


def board_rows(boards: Sequence[Gpu]) -> list[tuple[str, str, list[str]]]:
    """(name, identity, figures) of each board that was looked at."""
    return [(board.name, board.device, list(_board_figures(board))) for board in boards if board.looks]


def _board_figures(board: Gpu) -> Iterator[str]:
    yield _range(board.power_watts, "W")
    yield _range(board.utilisation_percent, "%")
    yield _range(board.memory_used_bytes, "GiB", per=1 << 30)
    yield _range(board.temperature_celsius, "°C")
    yield NOT_KNOWN if board.throttling_seconds is None else _throttled(board)
    yield ", ".join(f"{count:,} of {name}" for name, count in board.suspect_readings.items()) or "none"


def _range(values: Range | None, unit: str, *, per: int = 1) -> str:
    if values is None:
        return NOT_KNOWN
    mean, low, high = (f"{value / per:,.1f}" for value in (values.mean, values.min, values.max))
    return f"{mean} {unit} ({low} to {high})"


def _throttled(board: Gpu) -> str:
    reasons = board.throttling_seconds_by_reason.items()
    each = ", ".join(f"{name} {seconds(held)}" for name, held in reasons)
    return seconds(board.throttling_seconds or 0.0) + (f" ({each})" if each else "")


def flat(value: JsonValue, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested objects as (dotted name, text); lists on one line, nulls left out."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from flat(inner, f"{prefix}.{name}" if prefix else name)
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for place, inner in enumerate(value):
            yield from flat(inner, f"{prefix}[{place}]")
    elif isinstance(value, list):
        yield prefix, " ".join(map(str, value))
    elif value is not None:
        yield prefix, str(value)
