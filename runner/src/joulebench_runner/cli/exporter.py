"""`joulebench exporter`: live watts of this machine, or of an exporter elsewhere."""

import asyncio
import csv
import json
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from joulebench_runner.errors import BadInputError

if TYPE_CHECKING:
    from rich.table import Table

    from joulebench_exporter.client import Description, ExporterClient
    from joulebench_runner.watching.readings import Reading

_EPILOG = """
\b
Examples:
  joulebench exporter                                 watts of this machine, live; Ctrl-C ends it with totals
  joulebench exporter --csv power.csv --duration 60   record a minute
  joulebench exporter --json | jq .power_watts        one line a device and interval, for programs
  joulebench exporter --target unix:/run/joulebench/exporter.sock

\b
Columns of --csv and fields of --json (empty, or null: nobody tells):
  time                 RFC 3339, UTC          power_watts    mean since the line before
  device, name, kind   of the counter         energy_joules  since the start
  utilisation_percent, memory_bytes (in use), temperature_celsius

\b
Kinds: measured by a hardware counter, modelled from CPU time, or simulated. Watching costs next to nothing, so it can
run beside a benchmark; a benchmark records all ticks by itself.
"""


@click.command(epilog=_EPILOG, short_help="Show and record live watts.")
@click.option("--target", metavar="ADDRESS", help="An exporter that runs, such as unix:/path or 127.0.0.1:9780.")
@click.option("--sensor", default="auto", show_default=True, help="Of an exporter of our own: auto, rapl, modelled.")
@click.option("--idle-watts", type=float, help="Modelled sensor: power of the idle machine.")
@click.option("--watts-per-core", type=float, help="Modelled sensor: additional power of each busy core.")
@click.option("--csv", "csv_file", type=click.Path(dir_okay=False, path_type=Path), help="Record into a CSV file.")
@click.option(
    "--interval", type=click.FloatRange(0.1, 1.0), default=1.0, show_default=True, help="Seconds between readings."
)
@click.option("--duration", type=click.FloatRange(0, min_open=True), help="Seconds to watch.  [default: until Ctrl-C]")
@click.option("--json", "as_json", is_flag=True, help="Print readings as lines of JSON and nothing else.")
def exporter(
    *,
    target: str | None,
    sensor: str,
    idle_watts: float | None,
    watts_per_core: float | None,
    csv_file: Path | None,
    interval: float,
    duration: float | None,
    as_json: bool,
) -> None:
    """Show the watts of each device of this machine, live, and the joules since the start."""
    flags = {"--sensor": sensor, "--idle-watts": idle_watts, "--watts-per-core": watts_per_core}
    options = [word for flag, value in flags.items() if value is not None for word in (flag, str(value))]
    with ExitStack() as stack:
        recorders = [_csv_recorder(stack, csv_file)] if csv_file is not None else []
        recorders += [_print_lines] if as_json else _live(stack)

        def on_readings(readings: "Sequence[Reading]") -> None:
            for record in recorders:
                record(readings)

        totals = asyncio.run(_watch(target, options, interval=interval, duration=duration, on_readings=on_readings))
    if not as_json:
        _print_totals(totals, csv_file)


async def _watch(
    target: str | None,
    options: Sequence[str],
    *,
    interval: float,
    duration: float | None,
    on_readings: "Callable[[Sequence[Reading]], None]",
) -> "list[Reading]":
    from joulebench_runner.journal.clock import boot_id  # noqa: PLC0415 - keeps --help fast
    from joulebench_runner.watching.watch import Watch  # noqa: PLC0415 - keeps --help fast

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with _connected(target, options) as client:
        if duration is not None:
            loop.call_later(duration, stop.set)
        watch = Watch(
            client=client, interval_seconds=interval, on_start=_say_notes, on_readings=on_readings, boot_id=boot_id()
        )
        last = await watch.run(stop)
    on_readings(last)
    return last


def _connected(target: str | None, options: Sequence[str]) -> "AbstractAsyncContextManager[ExporterClient]":
    from joulebench_exporter.client import ExporterClient  # noqa: PLC0415 - keeps --help fast
    from joulebench_runner.watching.local import local_exporter  # noqa: PLC0415 - keeps --help fast

    return local_exporter(options) if target is None else ExporterClient(target)


def _say_notes(description: "Description") -> None:
    for note in description.notes:
        click.secho(f"note: {note}", fg="yellow", err=True)


def _csv_recorder(stack: ExitStack, path: Path) -> "Callable[[Sequence[Reading]], None]":
    from joulebench_runner.watching.readings import CSV_FIELDS  # noqa: PLC0415 - keeps --help fast

    try:
        file = stack.enter_context(path.open("w", newline="", encoding="utf-8"))
    except OSError as error:
        raise BadInputError(f"--csv {path}: {error.strerror}", remedy="Name a file that can be written.") from error
    writer = csv.DictWriter(file, CSV_FIELDS, extrasaction="ignore")
    writer.writeheader()

    def record(readings: "Sequence[Reading]") -> None:
        writer.writerows(reading.as_dict() for reading in readings)
        file.flush()

    return record


def _print_lines(readings: "Sequence[Reading]") -> None:
    for reading in readings:
        click.echo(json.dumps(reading.as_dict()))


def _live(stack: ExitStack) -> "list[Callable[[Sequence[Reading]], None]]":
    """A table that renews itself, on a terminal alone."""
    from rich.console import Console  # noqa: PLC0415 - keeps --help fast
    from rich.live import Live  # noqa: PLC0415 - keeps --help fast

    console = Console()
    if not console.is_terminal:
        return []
    live = stack.enter_context(Live(console=console, auto_refresh=False, transient=True))
    return [lambda readings: live.update(_table(readings), refresh=True)]


def _print_totals(totals: "Sequence[Reading]", csv_file: Path | None) -> None:
    from rich.console import Console  # noqa: PLC0415 - keeps --help fast

    Console(file=sys.stdout).print(_table(totals))
    if csv_file is not None:
        click.echo(f"recorded: {csv_file}")


def _table(readings: "Sequence[Reading]") -> "Table":
    from rich.table import Table  # noqa: PLC0415 - keeps --help fast

    columns = ("device", "kind", "now", "mean", "since start", "busy", "memory", "temperature")
    table = Table(*columns)
    for one in readings:
        shown: dict[str, Any] = {
            " W": one.power_watts,
            "W": one.mean_watts,
            "J": one.energy_joules,
            "%": one.utilisation_percent,
            "GiB": None if one.memory_bytes is None else one.memory_bytes / 2**30,
            "°C": one.temperature_celsius,
        }
        figures = ["-" if value is None else f"{value:.1f} {unit.strip()}" for unit, value in shown.items()]
        table.add_row(one.name, one.kind, *figures)
    return table
