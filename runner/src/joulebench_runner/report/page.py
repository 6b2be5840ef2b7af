"""The page itself: template, styles, script, library and data in one file that loads nothing."""

import base64
import hashlib
import json
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]  # it has no types

from joulebench_runner import __version__
from joulebench_runner.report import view
from joulebench_runner.report.figures import STAGE_COLOURS, Figure, figures
from joulebench_runner.report.provenance import groups
from joulebench_runner.report.questions import Questions
from joulebench_runner.report.tables import Tables
from joulebench_runner.results.folder import RunFolder
from joulebench_runner.results.words import by_model, costs, joules

_DISTRIBUTIONS = ("energy_joules", "ttft_seconds", "tpot_seconds", "e2e_seconds")


def render(run: RunFolder, tables: Tables, questions: Questions) -> str:
    """The whole page as HTML."""
    summary = run.summary
    made = {one.key: one for one in figures(tables, summary.stages, scored=summary.accuracy is not None)}
    library, script = get_plotlyjs(), asset("page.js")
    return _template().render(
        title=view.title(summary),
        summary=summary,
        state=view.STATES[summary.state],
        cards=view.cards(summary),
        tone=view.tone(summary.energy),
        kind_line=view.kind_line(summary),
        warnings=view.warnings(run),
        split=view.split(summary.energy),
        models=list(by_model(summary.models)),
        boards=view.board_rows(summary.gpus),
        stages=view.stage_rows(summary.stages),
        stage_colours={stage.value: colour for stage, colour in STAGE_COLOURS.items()},
        cost=list(costs(summary.cost)),
        power=made.get("power"),
        distributions=[made[key] for key in _DISTRIBUTIONS if key in made],
        subjects=made.get("subjects"),
        questions=questions,
        asked=tables.questions,
        groups=groups(run),
        provenance=json.dumps(run.provenance, indent=2, ensure_ascii=False),
        joules=joules,
        style=Markup(asset("page.css")),  # noqa: S704 - a file of this package
        library=Markup(library),  # noqa: S704 - a file of the library
        script=Markup(script),  # noqa: S704 - a file of this package
        policy=policy(library, script),
        data=script_json(_data(made, questions)),
        version=__version__,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _data(made: dict[str, Figure], questions: Questions) -> bytes:
    drawn = {key: orjson.Fragment(one.figure.to_json()) for key, one in made.items()}
    return orjson.dumps({"figures": drawn, "questions": questions.rows, "withheld": questions.withheld})


def script_json(data: bytes) -> Markup:
    """JSON that can stand in a `<script>`: nothing in it can end the script or begin a comment."""
    escaped = data.decode()
    for character in "<>&\u2028\u2029":
        escaped = escaped.replace(character, f"\\u{ord(character):04x}")
    return Markup(escaped)  # noqa: S704 - escaped for where it stands, just above


def policy(*scripts: str) -> str:
    """A content security policy that runs these scripts alone and lets nothing be loaded or sent."""
    hashes = " ".join(f"'sha256-{_hash(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:;"
        " base-uri 'none'; form-action 'none'"
    )


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def asset(name: str) -> str:
    """A file of the page."""
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    loader = PackageLoader("joulebench_runner.report", "assets")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2")
