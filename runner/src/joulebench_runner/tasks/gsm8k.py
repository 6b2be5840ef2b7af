r"""`gsm8k`: grade-school mathematics word problems (Cobbe et al. 2021, arXiv 2110.14168), zero-shot.

Graded by comparing numbers exactly. The final answer is read from, in this order: what follows the last `####`, the
last `\boxed{}`, the last "answer is" or "answer:", the last number of the response.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from pydantic import JsonValue

from joulebench_runner.errors import BadInputError
from joulebench_runner.tasks.answers import (
    last_boxed,
    last_statement,
    numbers,
    show,
    without_markup,
    without_reasoning,
)
from joulebench_runner.tasks.data import HubSource, load_rows, require_columns
from joulebench_runner.tasks.everyday import records as everyday_records
from joulebench_runner.tasks.records import Dataset, LoadRequest, Record, Verdict, content_id

HUB: Final = HubSource(
    id="openai/gsm8k", config="main", split="test", revision="cc7b047b6e5bb11b4f1af84efc572db110a51b3c"
)
COLUMNS: Final = {"question": str, "answer": str}
RULE: Final = "gsm8k/1"
MAX_TOKENS: Final = 512

_INSTRUCTION: Final = (
    "Solve this problem step by step. Then give the final answer as one number on a line of its own, after ####."
)
_WARMUP_SENTENCES: Final = 4
"""A problem of the set has about this many sentences."""


async def load(request: LoadRequest) -> Dataset:
    """The problems of a split, with ids that depend on the question alone."""
    loaded = load_rows("gsm8k", hub=HUB, settings=request.settings)
    require_columns(loaded.rows, COLUMNS, origin=loaded.origin)
    unique = {record.record_id: record for record in map(_record, loaded.rows)}
    return Dataset(
        revision=loaded.revision,
        records=tuple(unique.values()),
        parameters={"split": request.settings.split or HUB.split, "origin": _public_origin(loaded.origin)},
        warmup_prompts=_warmup_prompts(seed=request.seed, count=request.warmup_queries),
    )


def _public_origin(origin: str) -> str:
    """The hub's name of the set, or `folder`: where somebody's folder lies says nothing to a reader elsewhere."""
    return origin if origin.startswith("hub:") else "folder"


def prompt(question: str) -> str:
    """What the model is asked."""
    return f"{_INSTRUCTION}\n\n{question}"


def final_answer(worked: str) -> str:
    """The reference number at the end of a worked solution: what follows `####`."""
    _, mark, after = worked.rpartition("####")
    found = numbers(after)
    if not mark or not found:
        raise BadInputError(
            f"gsm8k: the field answer ends without '#### NUMBER': {worked[-80:]!r}",
            remedy="Use the published files unchanged.",
        )
    return show(found[-1])


def _record(row: Mapping[str, Any]) -> Record:
    question = row["question"]
    return Record(record_id=content_id(question), prompt=prompt(question), reference=final_answer(row["answer"]))


def _warmup_prompts(*, seed: int, count: int) -> tuple[str, ...]:
    """Made-up problems of about the same length; never those of the set."""
    supply = everyday_records(seed=seed, levels=(4, 5))
    return tuple(prompt(" ".join(next(supply).prompt for _ in range(_WARMUP_SENTENCES // 2))) for _ in range(count))


def grade(response: str, reference: str, _metadata: Mapping[str, JsonValue]) -> Verdict:
    """Right if the number read out of the response equals the reference; an empty response is unscored."""
    text = without_reasoning(response)
    if text is None:
        return Verdict(verdict="wrong", rule=RULE, tier="truncated", reason="the reasoning never ended")
    if not text.strip():
        return Verdict(verdict="unscored", rule=RULE, tier="none", reason="empty answer")
    tier, found = _read(without_markup(text))
    if found is None:
        return Verdict(verdict="wrong", rule=RULE, tier=tier, reason="no number in the answer")
    right = found == Decimal(reference)
    return Verdict(verdict="right" if right else "wrong", rule=RULE, tier=tier, answer=show(found))


def _read(text: str) -> tuple[str, Decimal | None]:
    """The number and the tier it was read by."""
    _, mark, after_mark = text.rpartition("####")
    # The first number after the mark or the statement: what follows is often an explanation.
    for tier, part in (
        ("hashes", after_mark if mark else None),
        ("boxed", last_boxed(text)),
        ("statement", last_statement(text)),
    ):
        if part is not None and (found := numbers(part)):
            return tier, found[-1 if tier == "statement" else 0]
    found = numbers(text)
    return ("last-number", found[-1]) if found else ("none", None)
