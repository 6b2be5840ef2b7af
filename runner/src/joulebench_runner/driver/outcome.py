"""What a finished inspect-ai sample says about its question: response, score, error. Pure."""

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from joulebench_api.contracts.meter import Finish
from joulebench_runner.driver.queries import Query

if TYPE_CHECKING:
    from inspect_ai.log import EvalSample
    from inspect_ai.scorer import Score

# fmt: off
_WORDS: Final[Mapping[str, float]] = {
    "c": 1.0, "i": 0.0, "p": 0.5, "n": 0.0,  # inspect-ai's letters: correct, incorrect, partial, no answer
    "yes": 1.0, "true": 1.0, "correct": 1.0, "pass": 1.0,
    "no": 0.0, "false": 0.0, "incorrect": 0.0, "fail": 0.0,
}
# fmt: on


def finish_of(sample: "EvalSample", query: Query, *, scored: bool) -> Finish:
    """The message for the meter. Exactly one of correct, unscored reason and error is set."""
    outcome = _Outcome(query, response=sample.output.completion if sample.output.choices else None)
    # First, since a scorer that finds no answer after a timeout may well fail on that.
    if sample.limit is not None and sample.limit.type in {"time", "working"}:
        return outcome.failed(f"no answer within the query timeout of {sample.limit.limit:g} s")
    if sample.error is not None:
        where = "the scorer failed: " if failed_in_scoring(sample) else ""
        return outcome.failed(where + sample.error.message)
    if not sample.output.choices:
        return outcome.failed("the model was never asked" if not sample.output.model else "the model gave no answer")
    if not scored:
        return outcome.unscored("this task is not scored")
    if not sample.scores:
        return outcome.unscored("the task has no scorer")
    scorer, score = next(iter(sample.scores.items()))
    return outcome.scored(scorer, score)


def failed_in_scoring(sample: "EvalSample") -> bool:
    """Whether the sample's error came from a scorer, by the order of its events."""
    scoring = False
    for event in sample.events:
        if event.event == "span_begin" and event.name == "scorers":
            scoring = True
        if event.event == "error":
            return scoring
    return False


class _Outcome:
    """Builds the message for one question."""

    def __init__(self, query: Query, *, response: str | None) -> None:
        self._fields: dict[str, Any] = {
            "query_id": query.query_id,
            "attempt": query.attempt,
            "response": response,
        }

    def failed(self, error: str) -> Finish:
        return Finish(**self._fields, error=error)

    def unscored(self, reason: str) -> Finish:
        return Finish(**self._fields, unscored_reason=reason)

    def scored(self, scorer: str, score: "Score") -> Finish:
        fields = {**self._fields, "scorer": scorer, "explanation": score.explanation}
        value, reason = numeric(score.value)
        if value is None:
            return Finish(**fields, unscored_reason=str(score.reason or score.explanation or reason))
        return Finish(**fields, score=value, correct=value >= 1.0)


def numeric(value: object) -> tuple[float | None, str]:
    """A score as a number (1 is full marks), or None and why not. NaN is inspect-ai's word for unscored."""
    if isinstance(value, bool | int | float):
        return (None, "the scorer gave no score") if math.isnan(value) else (float(value), "")
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, Mapping) and len(value) == 1:
        return numeric(next(iter(value.values())))
    return None, f"the scorer gave several values: {json.dumps(value, default=str)[:200]}"


def _from_text(value: str) -> tuple[float | None, str]:
    word = value.strip().lower()
    if word in _WORDS:
        return _WORDS[word], ""
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    return (None, f"the scorer gave {value!r}, which is no score") if math.isnan(number) else (number, "")
