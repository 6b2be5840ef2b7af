"""`everyday`: short reading, counting and arithmetic questions with exact answers, made by a seeded generator.

There are as many questions as anybody wants; question i depends on seed, levels and i alone, so that the first N
questions are the same for every limit >= N.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from joulebench_runner.errors import BadInputError
from joulebench_runner.tasks.answers import (
    any_numbers,
    last_statement,
    mentioned,
    normal_word,
    show,
    without_markup,
    without_reasoning,
    words,
)
from joulebench_runner.tasks.everyday_questions import LEVELS, TEMPLATES, Question
from joulebench_runner.tasks.records import Dataset, LoadRequest, Record, Verdict, content_id, seeded

GENERATOR_VERSION: Final = 1
RULE: Final = "everyday/1"
DEFAULT_LIMIT: Final = 40
DEFAULT_LEVELS: Final = (1, 1, 2)
"""A model of 135 million parameters solves about half of level 1 and a third of level 2."""
MAX_TOKENS: Final = 32
SEARCHED_FOR_RECORD_IDS: Final = 10_000
"""`recordIds` are looked for among this many questions."""

_HINTS: Final = {
    "number": "Answer with a number only.",
    "word": "Answer with one word only.",
    "yes-no": "Answer with yes or no only.",
}


def questions(*, seed: int, levels: tuple[int, ...]) -> Iterator[Question]:
    """An endless supply. Each round deals all kinds, in another order; levels take turns."""
    for round_number in itertools.count():
        order = list(TEMPLATES)
        seeded(seed, levels, round_number).shuffle(order)
        for place, template in enumerate(order):
            level = levels[(round_number + place) % len(levels)]
            yield template(seeded(seed, levels, round_number, place), level)


def records(*, seed: int, levels: tuple[int, ...]) -> Iterator[Record]:
    """The questions as records; one that came before is left out."""
    seen: set[str] = set()
    for question in questions(seed=seed, levels=levels):
        record = _record(question)
        if record.record_id not in seen:
            seen.add(record.record_id)
            yield record


def _record(question: Question) -> Record:
    return Record(
        record_id=content_id(question.text, question.answer),
        prompt=f"{question.text} {_HINTS[question.form]}",
        reference=question.answer,
        subject=question.kind,
        metadata={
            "kind": question.kind,
            "level": question.level,
            "form": question.form,
            "choices": list(question.choices),
        },
    )


def levels_from(value: JsonValue) -> tuple[int, ...]:
    """The parameter `level`: one level or a list of them."""
    chosen = value if isinstance(value, list) else [value]
    wrong = [level for level in chosen if isinstance(level, bool) or level not in LEVELS]
    if wrong or not chosen:
        raise BadInputError(
            f"task.params.level is {value!r}; everyday has the levels 1 to 5",
            remedy="Give one level, such as 2, or a list, such as [1, 2, 3].",
        )
    return tuple(int(level) for level in chosen if isinstance(level, int))


async def load(request: LoadRequest) -> Dataset:
    """Generate as many questions as are asked for (or among which record ids are looked up)."""
    levels = levels_from(request.parameters["level"])
    wanted = request.settings.limit or DEFAULT_LIMIT
    supply = SEARCHED_FOR_RECORD_IDS if request.settings.record_ids else wanted
    chosen = tuple(itertools.islice(records(seed=request.seed, levels=levels), supply))
    return Dataset(
        revision=f"everyday/{GENERATOR_VERSION} levels={','.join(map(str, levels))}",
        records=chosen,
        parameters={"level": list(levels), "seed": request.seed},
        warmup_prompts=_warmup_prompts(
            seed=request.seed, levels=levels, count=request.warmup_queries, measured=frozenset(chosen_ids(chosen))
        ),
    )


def chosen_ids(chosen: tuple[Record, ...]) -> Iterator[str]:
    """The records' ids."""
    return (record.record_id for record in chosen)


def _warmup_prompts(*, seed: int, levels: tuple[int, ...], count: int, measured: frozenset[str]) -> tuple[str, ...]:
    """Questions of another seed that are not among the measured ones."""
    others = (record for record in records(seed=~seed, levels=levels) if record.record_id not in measured)
    return tuple(record.prompt for record in itertools.islice(others, count))


@dataclass(frozen=True)
class _Reading:
    tier: str
    answer: str | None
    reason: str | None = None


def grade(response: str, reference: str, metadata: Mapping[str, JsonValue]) -> Verdict:
    """Right or wrong by exact comparison; an empty response is unscored, one without the right form is wrong."""
    text = without_reasoning(response)
    if text is None:
        return Verdict(verdict="wrong", rule=RULE, tier="truncated", reason="the reasoning never ended")
    if not text.strip():
        return Verdict(verdict="unscored", rule=RULE, tier="none", reason="empty answer")
    choices = metadata.get("choices")
    reading = _read(without_markup(text), str(metadata["form"]), [str(choice) for choice in choices or []])  # type: ignore[union-attr]  # our own list
    right = reading.answer is not None and _same(reading.answer, reference)
    return Verdict(
        verdict="right" if right else "wrong",
        rule=RULE,
        tier=reading.tier,
        answer=reading.answer,
        reason=reading.reason,
    )


def _same(answer: str, reference: str) -> bool:
    return normal_word(answer) == normal_word(reference)


def _read(text: str, form: str, choices: list[str]) -> _Reading:
    if form == "number":
        return _read_number(text)
    if form == "yes-no":
        return _read_yes_no(text)
    return _read_word(text, choices)


def _read_number(text: str) -> _Reading:
    statement = last_statement(text)
    if statement is not None and (found := any_numbers(statement)):
        return _Reading("statement", show(found[-1]))
    if found := any_numbers(text):
        return _Reading("last-number", show(found[-1]))
    return _Reading("none", None, "no number in the answer")


def _read_yes_no(text: str) -> _Reading:
    """The first yes or no: an explanation that follows may well hold the other."""
    found = [word for word in words(text) if word in {"yes", "no"}]
    return _Reading("first-yes-no", found[0]) if found else _Reading("none", None, "neither yes nor no in the answer")


def _read_word(text: str, choices: list[str]) -> _Reading:
    statement = last_statement(text)
    if statement is not None and len(found := mentioned(statement, choices)) == 1:
        return _Reading("statement", found[0])
    found = mentioned(text, choices)
    if len(found) == 1:
        return _Reading("only-mention", found[0])
    if found:
        return _Reading("ambiguous", None, f"several candidates in the answer: {', '.join(found)}")
    return _Reading("none", None, "none of the candidates in the answer")
