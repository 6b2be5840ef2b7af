"""`joulebench list`: what can be named in a benchmark, and what of it is here."""

import asyncio
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

_EPILOG = """
\b
Examples:
  joulebench list tasks --data ./data      where questions come from, their licence, and whether they are here
  joulebench list engines
  joulebench list presets --json
  joulebench list sensors                  what this machine can measure, and why not better
"""

Row = Mapping[str, Any]

_COLUMNS = {
    "tasks": ("name", "scored", "questions", "licence", "source", "local"),
    "engines": ("name", "startable", "use"),
    "presets": ("name", "engine", "licence", "source", "local"),
    "sensors": ("sensor", "kind", "name", "domain", "scope", "tick_seconds"),
}
"""What a table shows; JSON has all."""


@click.command(name="list", epilog=_EPILOG, short_help="List tasks, engines, presets or sensors.")
@click.argument("what", type=click.Choice(["tasks", "engines", "presets", "sensors"]))
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data"),
    show_default=True,
    help="Tasks: the folder in which to look for their questions.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON and nothing else.")
def listing(what: str, *, data: Path, as_json: bool) -> None:
    """List what a benchmark can name."""
    kinds: dict[str, Callable[[], Sequence[Row]]] = {
        "tasks": lambda: _tasks(data),
        "engines": _engines,
        "presets": _presets,
        "sensors": lambda: asyncio.run(_sensors()),
    }
    rows = kinds[what]()
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        _print(rows, _COLUMNS[what])


def _tasks(data: Path) -> list[Row]:
    from joulebench_runner.tasks.data import file_name  # noqa: PLC0415 - keeps --help fast
    from joulebench_runner.tasks.registry import REGISTRY  # noqa: PLC0415 - keeps --help fast

    rows: list[Row] = []
    for name, entry in sorted(REGISTRY.items()):
        file = None if entry.hub is None else data / name / file_name(entry.hub)
        rows.append(
            {
                "name": name,
                "title": entry.title,
                "scored": entry.scored,
                "questions": entry.records,
                "licence": entry.licence,
                "source": "made here" if entry.hub is None else f"hub:{entry.hub.id}",
                "revision": None if entry.hub is None else entry.hub.revision,
                "local": file is None or file.is_file(),
                "more": None if file is None or file.is_file() else f"joulebench fetch {name} --to {data}",
            }
        )
    return rows


def _engines() -> list[Row]:
    from joulebench_api.engines.registry import BUILDERS, LOCAL  # noqa: PLC0415 - keeps --help fast
    from joulebench_api.v1alpha1.engine import Engine  # noqa: PLC0415 - keeps --help fast

    return [
        {
            "name": engine.value,
            "startable": engine in LOCAL,
            "use": "server.template" + ("" if engine in LOCAL else ", on a cluster")
            if engine in BUILDERS
            else "start it yourself, name it by server.external.url",
        }
        for engine in Engine
    ]


def _presets() -> list[Row]:
    from joulebench_api.engines.presets import PRESETS  # noqa: PLC0415 - keeps --help fast

    return [
        {
            "name": preset.name,
            "engine": preset.engine.value,
            "model": preset.model_name,
            "licence": preset.licence,
            "source": f"PyPI: {preset.distribution}",
            "local": importlib.util.find_spec(preset.package) is not None,
        }
        for preset in PRESETS.values()
    ]


async def _sensors() -> list[Row]:
    """What an exporter finds here by itself."""
    from joulebench_runner.watching.local import local_exporter  # noqa: PLC0415 - keeps --help fast

    async with local_exporter(("--sensor", "auto")) as client:
        description = await client.describe()
    for note in description.notes:
        click.secho(f"note: {note}", fg="yellow", err=True)
    return [
        {
            "sensor": device.sensor,
            "kind": device.sensor_kind.value,
            "device": device.uuid,
            "name": device.name,
            "domain": device.domain.value,
            "scope": device.scope.value,
            "tick_seconds": device.tick_period_seconds,
            "more": device.source,
        }
        for device in description.devices
    ]


def _print(rows: Sequence[Row], columns: Sequence[str]) -> None:
    """A table of the short columns; what is long stands below it."""
    from rich.console import Console  # noqa: PLC0415 - keeps --help fast
    from rich.table import Table  # noqa: PLC0415 - keeps --help fast

    table = Table(*(name.replace("_", " ") for name in columns))
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in columns))
    Console().print(table)
    for row in rows:
        if row.get("more"):
            click.echo(f"{row[columns[0]]}: {row['more']}")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
