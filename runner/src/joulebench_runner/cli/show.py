"""`joulebench show`: a run's table in the terminal, and any question of it in full."""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from joulebench_runner.cli.named import run_folder
from joulebench_runner.errors import BadInputError

if TYPE_CHECKING:
    from joulebench_runner.results.folder import RunFolder

Row = dict[str, Any]

MOST_NAMED = 5
PIPE_WIDTH = 160

_LISTED = (
    "query_id", "record_id", "subject", "correct", "error", "unscored_reason", "energy_joules", "ttft_seconds",
    "e2e_seconds", "output_tokens", "messages", "response", "reference",
)  # fmt: skip

_EPILOG = """
\b
Examples:
  joulebench show runs/demo                      the figures and the first questions
  joulebench show runs/demo --wrong --limit 50   the wrong answers
  joulebench show runs/demo e447                 one question in full; the beginning of its id is enough
  joulebench show brun/nightly                   a run on a cluster
  joulebench show runs/demo --wrong --limit 0 --json | jq -r .queries[].response
"""


@click.command(epilog=_EPILOG, short_help="Show a run, or one question of it, in the terminal.")
@click.argument("named", metavar="DIR")
@click.argument("query", required=False)
@click.option("--wrong", is_flag=True, help="Only wrong answers.")
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="Questions to list; 0: all.")
@click.option("--partial", is_flag=True, help="Show what there is of an incomplete folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
def show(named: str, query: str | None, *, wrong: bool, limit: int, partial: bool, as_json: bool) -> None:
    """Show the run in DIR: its figures and its questions; with QUERY (the beginning of a question's id, or a record's
    id) that question in full: prompt, answer, verdict, joules with their bounds, timings and calls.
    """
    with run_folder(named) as folder:
        _show(folder, query, wrong=wrong, limit=limit, partial=partial, as_json=as_json)


def _show(folder: Path, query: str | None, *, wrong: bool, limit: int, partial: bool, as_json: bool) -> None:
    from joulebench_runner.results.folder import open_run  # noqa: PLC0415 - keeps --help fast

    run = open_run(folder, partial=partial)
    for problem in run.problems:
        click.secho(f"note: {problem}", fg="yellow", err=True)
    if query is not None:
        _show_query(run, query, as_json=as_json)
    else:
        _show_run(run, wrong=wrong, limit=limit, as_json=as_json)


def _show_run(run: "RunFolder", *, wrong: bool, limit: int, as_json: bool) -> None:
    rows, found = _listed(run, wrong=wrong, limit=limit)
    if as_json:
        click.echo(_json({"summary": run.summary.model_dump(mode="json"), "questions": found, "queries": rows}))
        return
    from joulebench_runner.cli.table import print_summary  # noqa: PLC0415 - keeps --help fast

    print_summary(run.summary, folder=run.path)
    _print_questions(rows, found, wrong=wrong)


def _listed(run: "RunFolder", *, wrong: bool, limit: int) -> tuple[list[Row], int]:
    """The first rows, and how many there are in all."""
    rows: list[Row] = []
    found = 0
    for batch in run.batches("queries.parquet", columns=_LISTED):
        for row in batch.to_pylist():
            row["verdict"] = verdict(row)
            if not wrong or row["verdict"] == "wrong":
                found += 1
                rows += [row] if not limit or found <= limit else []
    return rows, found


def verdict(row: Mapping[str, Any]) -> str:
    """What became of a question, in a word."""
    if row["error"] is not None:
        return "error"
    return "unscored" if row["correct"] is None else "right" if row["correct"] else "wrong"


def _print_questions(rows: Sequence[Row], found: int, *, wrong: bool) -> None:
    from rich.console import Console  # noqa: PLC0415 - keeps --help fast
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from joulebench_runner.report.questions import prompt_of  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, width in (("query", 12), ("verdict", 8), ("energy", 8), ("E2E", 8), ("question", None), ("answer", None)):
        table.add_column(name, no_wrap=True, min_width=width, justify="right" if name in {"energy", "E2E"} else "left")
    for row in rows:
        figures = (_joules(row["energy_joules"]), _seconds(row["e2e_seconds"]))
        texts = (_line(prompt_of(row["messages"])), _line(row["error"] or row["response"] or ""))
        table.add_row(*map(Text, (row["query_id"][:12], row["verdict"], *figures, *texts)))
    console = Console()
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    kind = "wrong answers" if wrong else "questions"
    console.print(Text(f"\n{found:,} {kind}" + (f", the first {len(rows):,}:" if len(rows) < found else ":")))
    console.print(table)


def _line(text: str, most: int = 60) -> str:
    """A text on one line, without what would steer the terminal."""
    plain = "".join(character if character.isprintable() else " " for character in " ".join(text[: 4 * most].split()))
    return plain if len(plain) <= most else f"{plain[: most - 1]}\u2026"


def _show_query(run: "RunFolder", query: str, *, as_json: bool) -> None:
    query_id = find_query(run, query)
    row = next(_rows_where(run, "queries.parquet", query_id))
    calls = list(_rows_where(run, "turns.parquet", query_id)) if run.has("turns.parquet") else []
    if as_json:
        click.echo(_json(row | {"verdict": verdict(row), "model_calls": calls}))
        return
    for line in _in_full(row, calls):
        click.echo(line)


def find_query(run: "RunFolder", query: str) -> str:
    """The id of the question that a user names by the beginning of its id, or by its record. BadInputError."""
    known = run.table("queries.parquet", columns=["query_id", "record_id"]).to_pylist()
    ids = [row["query_id"] for row in known]
    found = [one for one in ids if one == query] or [one for one in ids if one.startswith(query)]
    found = found or [row["query_id"] for row in known if row["record_id"] == query]
    if len(found) == 1:
        return str(found[0])
    if found:
        named = ", ".join(found[:MOST_NAMED]) + (", ..." if len(found) > MOST_NAMED else "")
        raise BadInputError(f"{query!r} names {len(found)} questions: {named}", remedy="Give more of the id.")
    near = difflib.get_close_matches(query, [*ids, *{str(row["record_id"]) for row in known}], n=1, cutoff=0.3)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise BadInputError(
        f"{run.path} has no question {query!r}", remedy=f"{hint}`joulebench show {run.path}` lists the questions."
    )


def _rows_where(run: "RunFolder", name: str, query_id: str) -> Iterator[Row]:
    from joulebench_runner.results.arrow import pc  # noqa: PLC0415 - keeps --help fast
    from joulebench_runner.results.schema import FILES  # noqa: PLC0415

    for batch in run.batches(name, columns=FILES[name].names):
        yield from batch.filter(pc.equal(batch["query_id"], query_id)).to_pylist()


def _in_full(row: Row, calls: Sequence[Row]) -> Iterator[str]:
    from joulebench_runner.report.questions import spoken  # noqa: PLC0415 - keeps --help fast

    yield from _facts(row)
    yield from (line for role, text in spoken(row["messages"]) for line in _block(role, text))
    for name in ("response", "reference", "explanation", "unscored_reason", "error"):
        yield from _block("answer" if name == "response" else name.replace("_", " "), row[name])
    for place, call in enumerate(calls, start=1):
        yield f"\ncall {place} of {len(calls)}: {_call(call)}"


def _facts(row: Row) -> Iterator[str]:
    scored = f", score {row['score']:g}" if row["score"] is not None else ""
    yield f"question  {row['query_id']}  (record {row['record_id']}, epoch {row['epoch']}, attempt {row['attempt']})"
    yield f"verdict   {verdict(row)}{scored}" + (f", by {row['scorer']}" if row["scorer"] else "")
    if row["subject"]:
        yield f"subject   {_line(row['subject'])}"
    yield f"energy    {_energy(row)}"
    parts = f"prefill {_joules(row['prefill_joules'])}, decode {_joules(row['decode_joules'])}"
    yield f"          {parts}; split by {row['energy_method'] or 'nothing'}"
    yield f"times     {_times(row)}"
    yield f"tokens    {_tokens(row)}"


def _energy(row: Mapping[str, Any]) -> str:
    low, high = row["energy_low_joules"], row["energy_high_joules"]
    if row["energy_joules"] is None or low is None:
        return _joules(row["energy_joules"])
    return f"{_joules(row['energy_joules'])}  (not below {_joules(low)}, not above {_joules(high)})"


def _times(row: Mapping[str, Any]) -> str:
    names = {"TTFT": "ttft_seconds", "TPOT": "tpot_seconds", "E2E": "e2e_seconds"}
    return ", ".join(f"{name} {_seconds(row[column])}" for name, column in names.items())


def _tokens(row: Mapping[str, Any]) -> str:
    names = {"prompt": "prompt_tokens", "from the cache": "cached_prompt_tokens", "output": "output_tokens"}
    return ", ".join(f"{_known(row[column])} {name}" for name, column in names.items())


def _call(call: Mapping[str, Any]) -> str:
    ending = f"failed: {call['error_kind']} {call['error']}" if call["error"] else f"ended: {call['finish_reason']}"
    retry = f", retry {call['retry']}" if call["retry"] else ""
    return (
        f"{call['alias']}{retry}, attempt {call['attempt']}; {_energy(call)}; {_times(call)}; {_tokens(call)}; {ending}"
    )


def _block(name: str, text: str | None) -> Iterator[str]:
    if text:
        yield f"\n{click.style(name or 'message', bold=True)}"
        # Answers are printed as they are, but must not steer the terminal.
        yield "".join(one if one.isprintable() or one in "\n\t" else "\N{REPLACEMENT CHARACTER}" for one in text)


def _joules(value: float | None) -> str:
    from joulebench_runner.results.words import NOT_KNOWN, joules  # noqa: PLC0415 - keeps --help fast

    return NOT_KNOWN if value is None else joules(value)


def _seconds(value: float | None) -> str:
    from joulebench_runner.results.words import NOT_KNOWN, seconds  # noqa: PLC0415 - keeps --help fast

    return NOT_KNOWN if value is None else seconds(value)


def _known(value: int | None) -> str:
    return "an unknown number" if value is None else f"{value:,}"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=lambda moment: moment.isoformat())
