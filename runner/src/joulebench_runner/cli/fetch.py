"""`joulebench fetch`: a task's questions on this disk, so that runs need no network."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from joulebench_runner.tasks.fetch import Fetched

_EPILOG = """
\b
Examples:
  joulebench fetch gsm8k --to ./data
  joulebench run examples/gsm8k-laptop.yaml --data ./data
  joulebench fetch gsm8k --split train --to ./data
  joulebench list tasks                               what there is, and where it comes from

\b
DIR gets one folder a task: TASK/SPLIT.jsonl, one JSON object a line, and TASK/manifest.json with the hub's revision and
the SHA-256 of each file, which every run checks. On a cluster a claim with this content is spec.task.source.claim.
For gated data sets accept the licence on the hub and export HF_TOKEN=hf_...
"""


@click.command(epilog=_EPILOG, short_help="Fetch tasks' questions for offline runs.")
@click.argument("tasks", nargs=-1, required=True, metavar="TASK...")
@click.option("--to", "root", required=True, type=click.Path(file_okay=False, path_type=Path), help="The data root.")
@click.option("--split", help="Another split than the task's own.")
@click.option("--subset", help="Another configuration of the data set than the task's own.")
@click.option("--revision", help="Another commit of the data set than the pinned one.")
@click.option("--endpoint", help="A mirror of the hub.  [default: HF_ENDPOINT, or huggingface.co]")
@click.option("--force", is_flag=True, help="Fetch anew what is there.")
@click.option("--json", "as_json", is_flag=True, help="Print what became of each task as JSON and nothing else.")
def fetch(
    tasks: tuple[str, ...],
    *,
    root: Path,
    split: str | None,
    subset: str | None,
    revision: str | None,
    endpoint: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Fetch the questions of TASK... from the hub, at the pinned revision, into DIR."""
    from joulebench_runner.config import TaskSettings  # noqa: PLC0415 - keeps --help fast
    from joulebench_runner.tasks import fetch as fetching  # noqa: PLC0415 - keeps --help fast
    from joulebench_runner.tasks.registry import find  # noqa: PLC0415 - keeps --help fast

    chosen = [find(name) for name in tasks]
    done = []
    for name, task in zip(tasks, chosen, strict=True):
        settings = TaskSettings(
            name=name,
            split=split,
            subset=subset,
            hub_revision=revision,
            hub_endpoint=endpoint,
            hub_token_variable=fetching.TOKEN_VARIABLE,
        )
        found = fetching.fetch(
            task, root=root, settings=settings, force=force, on_rows=_watched_quietly if as_json else _watched
        )
        done.append(found)
        if not as_json:
            click.echo(_line(found))
    if as_json:
        click.echo(json.dumps([_row(found) for found in done], indent=2))


def _watched(task: str, rows: Iterable[dict[str, Any]], count: int) -> Iterable[dict[str, Any]]:
    """With a progress bar on a terminal."""
    with click.progressbar(rows, length=count, label=f"{task}: writing", file=sys.stderr) as bar:
        yield from bar


def _watched_quietly(_task: str, rows: Iterable[dict[str, Any]], _count: int) -> Iterable[dict[str, Any]]:
    return rows


def _line(found: "Fetched") -> str:
    if found.path is None or found.source is None:
        return f"{found.task}: made here by a generator; there is nothing to fetch"
    where = f"{found.source['hub']} at {found.source['revision']}"
    return f"{found.task}: {found.state}: {found.rows} rows of {where} in {found.path}, sha256 {found.sha256}"


def _row(found: "Fetched") -> dict[str, Any]:
    return {
        "task": found.task,
        "state": found.state,
        "path": None if found.path is None else str(found.path),
        "rows": found.rows,
        "sha256": found.sha256,
        "source": found.source,
    }
