"""`joulebench reattribute`, `rescore`, `reprice`: a finished run's results, made anew beside the old ones."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from joulebench_runner.cli.prices import COST_EPILOG, chosen_prices, cost_option

if TYPE_CHECKING:
    from joulebench_runner.results.folder import RunFolder
    from joulebench_runner.results.redo import Change, Redone

Command = TypeVar("Command", bound=Callable[..., Any])

_WHERE = """
\b
The run's own files stay as they are. The new ones are the same set, in DIR/redone/<number>-<what>/, and their
provenance.json says what was redone, from what, with what, when and by which version. No model and no network is used.
"""

_REATTRIBUTE = f"""
\b
Examples:
  joulebench reattribute runs/gsm8k --method Equal
  joulebench reattribute runs/gsm8k --method Equal --json | jq .summary.energy.per_correct_joules
  joulebench reattribute runs/cut-off --method Phase --partial     some segments of its journal are gone

\b
Methods:
  Phase   by work: uncached prompt tokens in prefill, streamed tokens in decode
  Equal   every call in flight the same share
{_WHERE}"""

_RESCORE = f"""
\b
Examples:
  joulebench rescore runs/gsm8k                      the task's own scorer, as this version has it
  joulebench rescore runs/gsm8k --scorer match       one of inspect-ai's
  joulebench rescore runs/gsm8k --json | jq .redone.with.changed

\b
A scorer that asks a model is refused: run the benchmark anew for that.
{_WHERE}"""

_REPRICE = f"""
\b
Examples:
  joulebench reprice runs/gsm8k --cost currency=EUR --cost electricityPerKWh=0.31
  joulebench reprice runs/gsm8k --cost prices.yaml --json | jq .summary.cost.paid
{COST_EPILOG}{_WHERE}"""


def _common(command: Command) -> Command:
    for add in (
        click.option("--json", "as_json", is_flag=True, help="Print the new summary and where it lies as JSON."),
        click.option(
            "--partial", is_flag=True, help="Go on with what there is where parts of the run are missing; say which."
        ),
        click.option("--out", type=click.Path(path_type=Path), help="Another folder for the new files, new or empty."),
        click.argument("folder", metavar="DIR", type=click.Path(path_type=Path)),
    ):
        command = add(command)
    return command


@click.command(epilog=_REATTRIBUTE, short_help="Split a run's joules by another method.")
@click.option("--method", required=True, metavar="NAME", help="Phase or Equal.")
@_common
def reattribute(*, folder: Path, method: str, out: Path | None, partial: bool, as_json: bool) -> None:
    """Split the joules of the run in DIR over its questions again, by another method."""
    from joulebench_runner.results.changes import by_method, method_named  # noqa: PLC0415 - keeps --help fast

    chosen = method_named(method)
    _redo(folder, lambda _: by_method(chosen), out=out, partial=partial, as_json=as_json)


@click.command(epilog=_RESCORE, short_help="Score a run's answers again.")
@click.option("--scorer", metavar="NAME", help="Another scorer: a task's of ours, or inspect-ai's.")
@_common
def rescore(*, folder: Path, scorer: str | None, out: Path | None, partial: bool, as_json: bool) -> None:
    """Score the stored answers of the run in DIR again."""
    from joulebench_runner.rescoring.choose import rescored  # noqa: PLC0415 - keeps --help fast

    _redo(folder, lambda run: rescored(run, scorer=scorer), out=out, partial=partial, as_json=as_json)


@click.command(epilog=_REPRICE, short_help="Reckon a run's costs at other prices.")
@cost_option
@_common
def reprice(*, folder: Path, costs: tuple[str, ...], out: Path | None, partial: bool, as_json: bool) -> None:
    """Reckon what the run in DIR cost at other prices."""
    from joulebench_runner.results.changes import at_prices  # noqa: PLC0415 - keeps --help fast

    if not costs:
        raise click.UsageError("give at least one price with --cost")
    _redo(
        folder,
        lambda run: at_prices(chosen_prices(costs, before=run.meter_settings.pricing)),
        out=out,
        partial=partial,
        as_json=as_json,
    )


def _redo(
    folder: Path, change: "Callable[[RunFolder], Change]", *, out: Path | None, partial: bool, as_json: bool
) -> None:
    from joulebench_runner.results.folder import open_run  # noqa: PLC0415 - keeps --help fast
    from joulebench_runner.results.redo import redo  # noqa: PLC0415 - keeps --help fast

    run = open_run(folder, partial=partial)
    for problem in run.problems:
        click.secho(f"note: {problem}", fg="yellow", err=True)
    redone = redo(run, change(run), out=out)
    if as_json:
        _print_json(redone)
    else:
        _print(redone)


def _print_json(redone: "Redone") -> None:
    document = {
        "folder": str(redone.folder),
        "redone": redone.provenance["redone"],
        "summary": redone.summary.model_dump(mode="json"),
    }
    json.dump(document, sys.stdout, indent=2)
    click.echo()


def _print(redone: "Redone") -> None:
    from joulebench_runner.cli.table import print_comparison, print_summary  # noqa: PLC0415 - keeps --help fast

    print_summary(redone.summary, folder=redone.folder)
    print_comparison(redone.before, redone.summary)
