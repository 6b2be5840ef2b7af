"""`joulebench report`: the page of a run, made again from its result files."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import click

from joulebench_runner.cli.named import is_brought, run_folder
from joulebench_runner.cli.prices import COST_EPILOG, chosen_prices, cost_option

_EPILOG = """
\b
Examples:
  joulebench report runs/demo                    writes runs/demo/report.html
  joulebench report runs/demo --open             and shows it
  joulebench report brun/nightly --open          of a run on a cluster: writes nightly.html
  joulebench report runs/demo --out demo.html --cost electricityPerKWh=0.31 --cost currency=EUR
"""


@click.command(epilog=_EPILOG + COST_EPILOG, short_help="Write a run's report page again.")
@click.argument("named", metavar="DIR")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write.  [default: DIR/report.html]"
)
@click.option("--open", "open_it", is_flag=True, help="Show it in the browser.")
@click.option("--partial", is_flag=True, help="Report on what there is of an incomplete folder.")
@cost_option
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON and nothing else.")
def report(named: str, *, out: Path | None, open_it: bool, partial: bool, costs: Sequence[str], as_json: bool) -> None:
    """Write the report of the run in DIR: one page that shows everything, needs no network and can be sent to others.

    Every run writes it at its end. Nothing is asked again: it shows the result files as they are, and what the run
    costs at other prices if --cost says some (`joulebench reprice` writes those into a summary as well).
    """
    with run_folder(named) as folder:
        path = out or (Path(f"{folder.name}.html") if is_brought(named, folder) else None)
        _report(folder, out=path, open_it=open_it, partial=partial, costs=costs, as_json=as_json)


def _report(
    folder: Path, *, out: Path | None, open_it: bool, partial: bool, costs: Sequence[str], as_json: bool
) -> None:
    from joulebench_runner.report import write_report  # noqa: PLC0415 - keeps --help fast
    from joulebench_runner.results.cost import repriced  # noqa: PLC0415
    from joulebench_runner.results.folder import open_run  # noqa: PLC0415

    run = open_run(folder, partial=partial)
    if costs:
        prices = chosen_prices(costs, before=run.summary.cost.prices)
        run = replace(run, summary=repriced(run.summary, prices))
    written = write_report(run, to=out)
    for problem in run.problems:
        click.secho(f"note: {problem}", fg="yellow", err=True)
    if as_json:
        click.echo(json.dumps(asdict(written) | {"path": str(written.path), "problems": list(run.problems)}))
    else:
        click.echo(f"{written.path}  ({written.size_bytes / 1e6:.1f} MB, {_shown(written.shown, written.questions)})")
        if written.withheld:
            click.echo(f"texts are left out: {written.withheld}")
    if open_it:
        click.launch(written.path.absolute().as_uri())


def _shown(shown: int, questions: int) -> str:
    return (
        f"{questions:,} questions" if shown == questions else f"{shown:,} of {questions:,} questions, wrong ones first"
    )
