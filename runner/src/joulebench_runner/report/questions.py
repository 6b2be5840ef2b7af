"""The questions that the page lists: wrong ones first, with as much of their texts as fits."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa

from joulebench_runner.report.tables import Tables, Verdict
from joulebench_runner.report.thinning import fair_limit
from joulebench_runner.report.withheld import has_canary, reason_to_withhold
from joulebench_runner.results.arrow import pc
from joulebench_runner.results.folder import QUERIES, TURNS, RunFolder

MOST_SHOWN: Final = 2000
BUDGET_BYTES: Final = 4_200_000
"""Of all questions together, so that the page, with its library of 4.8 MB and its figures, stays below 10 MB."""
TURN_BUDGET: Final = 6000
"""Rows of calls on the page."""
_READ_AT_MOST: Final = 20_000
"""Characters of a text that are read at all: a run may have gigabytes of them."""

TEXTS: Final = ("messages", "response", "reference", "explanation", "unscored_reason", "error")
_PLAIN: Final = (
    "query_id", "record_id", "epoch", "attempt", "subject", "score", "scorer", "started_at", "prompt_tokens",
    "cached_prompt_tokens", "output_tokens", "finish_reason", "turns", "calls", "ttft_seconds", "tpot_seconds",
    "e2e_seconds", "energy_joules", "energy_low_joules", "energy_high_joules", "prefill_joules", "decode_joules",
    "energy_method",
)  # fmt: skip
_OF_TURN: Final = (
    "query_id", "attempt", "retry", "alias", "role", "started_at", "ttft_seconds", "tpot_seconds", "e2e_seconds",
    "prompt_tokens", "output_tokens", "finish_reason", "status", "error_kind", "energy_joules", "energy_low_joules",
    "energy_high_joules", "energy_bucket",
)  # fmt: skip

Row = dict[str, Any]


@dataclass(frozen=True)
class Questions:
    """`rows`: JSON-ready, in the order of showing."""

    rows: Sequence[Row]
    left_out: int
    withheld: str | None


@dataclass(frozen=True)
class Text:
    """The beginning of a text, and how long the whole is."""

    start: str
    characters: int


def shown_questions(run: RunFolder, tables: Tables, *, most: int = MOST_SHOWN) -> Questions:
    """The first `most` questions: wrong ones, then errors, unscored, right ones; in the order of asking."""
    if not run.has(QUERIES):
        return Questions((), 0, None)
    order = np.argsort(tables.verdict, kind="stable")[:most]
    rank = {int(row): place for place, row in enumerate(order)}
    texts = _read_texts(run, rank)
    withheld = reason_to_withhold(run) or _marked(texts.values())
    plain = _read_plain(run, rank)
    rows = [plain[place] | {"verdict": Verdict(tables.verdict[place]).name.lower()} for place in rank]
    _add_turns(run, rows)
    shown = {} if withheld else _cut(texts, budget=max(BUDGET_BYTES - len(orjson.dumps(rows)), 0))
    for place, row in zip(rank, rows, strict=True):
        row["texts"] = shown.get(place, {})
    return Questions(rows, tables.questions - len(rows), withheld)


def _chosen(run: RunFolder, columns: Sequence[str], rank: Mapping[int, int]) -> Iterator[tuple[int, Row]]:
    """(place in the file, row) of the chosen rows, without ever holding a whole column."""
    wanted = np.array(sorted(rank), dtype=np.int64)
    before = 0
    for batch in run.batches(QUERIES, columns=columns, rows=1024):
        inside = wanted[(wanted >= before) & (wanted < before + batch.num_rows)]
        yield from zip(inside.tolist(), batch.take(pa.array(inside - before, pa.int64())).to_pylist(), strict=True)
        before += batch.num_rows


def _read_plain(run: RunFolder, rank: Mapping[int, int]) -> dict[int, Row]:
    return {place: _compact(row) for place, row in _chosen(run, _PLAIN, rank)}


def _compact(row: Row) -> Row:
    """Without nulls; numbers with six digits; times in ISO 8601."""
    return {name: _short(value) for name, value in row.items() if value is not None}


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return value.isoformat(timespec="milliseconds") if hasattr(value, "isoformat") else value


def _read_texts(run: RunFolder, rank: Mapping[int, int]) -> dict[int, dict[str, Any]]:
    return {place: _texts_of(row) for place, row in _chosen(run, TEXTS, rank)}


def _texts_of(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = {name: _start(row[name]) for name in TEXTS[1:] if row[name] is not None}
    found["messages"] = [(role, _start(text)) for role, text in spoken(row["messages"])]
    return found


def _start(text: str) -> Text:
    return Text(text[:_READ_AT_MOST], len(text))


def spoken(messages: str | None) -> list[tuple[str, str]]:
    """(role, text) of messages in OpenAI's shape; what is not text is named in brackets."""
    if messages is None:
        return []
    try:
        found = json.loads(messages)
    except ValueError:
        return [("messages", messages)]
    parts = found if isinstance(found, list) else [found]
    return [
        (str(one.get("role", "")), _content(one.get("content"))) if isinstance(one, dict) else ("", str(one))
        for one in parts
    ]


def prompt_of(messages: str | None) -> str:
    """What the user asked last."""
    asked = [text for role, text in spoken(messages) if role == "user"]
    return asked[-1] if asked else ""


def _content(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(_part(part) for part in content)
    return "" if content is None else str(content)


def _part(part: Any) -> str:
    if isinstance(part, dict):
        return str(part["text"]) if "text" in part else f"[{part.get('type', 'part')}]"
    return str(part)


def _all(texts: Mapping[str, Any]) -> Iterator[Text]:
    for value in texts.values():
        yield from (text for _, text in value) if isinstance(value, list) else (value,)


def _marked(texts: Iterable[Mapping[str, Any]]) -> str | None:
    if any(has_canary(text.start) for one in texts for text in _all(one)):
        return "its texts carry a canary, by which their authors ask that they not be published"
    return None


def _cut(texts: Mapping[int, Mapping[str, Any]], *, budget: int) -> dict[int, Row]:
    """All texts with as much of each as fits into the budget; short ones stay whole."""
    sizes = np.array([_size(text.start) for one in texts.values() for text in _all(one)], dtype=np.int64)
    limit = fair_limit(sizes, budget=budget)
    return {
        place: {
            name: [[role, cut(text, limit)] for role, text in value] if isinstance(value, list) else cut(value, limit)
            for name, value in one.items()
        }
        for place, one in texts.items()
    }


def _size(text: str) -> int:
    """Bytes that a text takes in the page: JSON, with what could end a script escaped."""
    return len(orjson.dumps(text)) + 5 * sum(map(text.count, "<>&")) + 3 * sum(map(text.count, "\u2028\u2029"))


def cut(text: Text, limit: int) -> str:
    """The text, or as much of it as takes some `limit` bytes and a note of what is left out."""
    size = _size(text.start)
    shown = text.start if size <= limit else text.start[: len(text.start) * limit // size]
    left_out = text.characters - len(shown)
    return shown + f"\n[{left_out:,} more characters are in {QUERIES}]" if left_out else shown


def _add_turns(run: RunFolder, rows: Sequence[Row]) -> None:
    """Give each row its calls, judges' and failed ones too, and say how many are left out."""
    turns = _turns_of(run, {row["query_id"] for row in rows})
    most = fair_limit(np.array([len(turns.get(row["query_id"], ())) for row in rows]), budget=TURN_BUDGET)
    for row in rows:
        own = turns.get(row["query_id"], [])
        row["calls_shown"] = own[: max(most, 1)]
        row["calls_left_out"] = max(len(own) - max(most, 1), 0)


def _turns_of(run: RunFolder, query_ids: set[str]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    wanted = pa.array(sorted(query_ids), pa.string())
    for batch in run.batches(TURNS, columns=_OF_TURN) if run.has(TURNS) else ():
        for row in batch.filter(pc.is_in(batch["query_id"], value_set=wanted)).to_pylist():
            query_id = row.pop("query_id")
            found.setdefault(query_id, []).append(_compact(row))
    return found
