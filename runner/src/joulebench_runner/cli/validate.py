"""`joulebench validate`: everything that is wrong with any number of files, told at once, without a cluster."""

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from joulebench_runner.errors import ExitCode

if TYPE_CHECKING:
    from joulebench_api.checking.files import LoadedDocument
    from joulebench_api.problems import Problem

SUFFIXES = (".yaml", ".yml")
STDIN = "-"

_EPILOG = """
\b
Examples:
  joulebench validate bench.yaml
  joulebench validate examples/ servers.yaml      folders are searched for .yaml and .yml
  kubectl get brun nightly -o yaml | joulebench validate -
  kustomize build overlays/prod | joulebench validate --strict -
  joulebench validate --json bench.yaml | jq '.problems[] | select(.severity == "error")'

\b
What is told:
  error      refused by joulebench; the value, and what would be right
  warning    taken, but perhaps not what is meant: a task, tool, preset or ModelServer that is not known here,
             a decimal without quotes, which a cluster refuses
  note       nothing is wrong: objects of others and fields that a cluster wrote are left out

\b
Exit codes: 0 nothing is wrong, 2 something is (with --strict also warnings).
"""


@dataclass
class _Found:
    """What the files hold."""

    files: int = 0
    documents: "list[LoadedDocument]" = field(default_factory=list)
    problems: "list[Problem]" = field(default_factory=list)


@click.command(epilog=_EPILOG, short_help="Say everything that is wrong with files.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Print the problems as JSON and nothing else.")
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
def validate(files: tuple[str, ...], *, as_json: bool, strict: bool) -> None:
    """Check FILE...: files, folders, or - for standard input.

    A file holds any number of documents: ModelServers, BenchmarkRuns, BenchmarkCampaigns, OperatorConfigurations; what
    else is in it is left out. Nothing is started and no network is used. Cells of campaigns are made and checked, too.
    """
    found = _read(files)
    counts = Counter(problem.severity.value for problem in found.problems)
    valid = not counts["error"] and not (strict and counts["warning"])
    if as_json:
        click.echo(_report(found, counts, valid=valid))
    else:
        _print(found, counts)
    sys.exit(ExitCode.DONE if valid else ExitCode.BAD_INPUT)


def _read(names: Sequence[str]) -> _Found:
    # Imported here, so that --help and completion stay fast.
    from joulebench_api.checking.names_used import check_names  # noqa: PLC0415
    from joulebench_api.loading import load_all  # noqa: PLC0415
    from joulebench_api.problems import Position, problem_at  # noqa: PLC0415

    found = _Found()
    for source, strangers in _sources(names):
        text = _text(source)
        if isinstance(text, str):
            found.files += 1
            loaded = load_all(text, source="<stdin>" if source == STDIN else source, strangers=strangers)
            found.documents += loaded.documents
            found.problems += loaded.problems
        else:
            found.problems.append(
                problem_at(Position(source), (), f"cannot be read: {_reason(text)}", remedy="check the file's name")
            )
    found.problems += check_names(found.documents)
    if not found.documents and not any(problem.severity == "error" for problem in found.problems):
        nothing = problem_at(Position(", ".join(names)), (), "holds nothing of joulebench", remedy="give other files")
        found.problems.append(nothing)
    order = {source: place for place, source in enumerate(dict.fromkeys(problem.source for problem in found.problems))}
    found.problems.sort(key=lambda problem: (order[problem.source], problem.line or 0, problem.column or 0))
    return found


def _sources(names: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Files to read, each once, and whether it was found in a folder."""
    seen: set[str] = set()
    for name in names:
        folder = name != STDIN and Path(name).is_dir()
        for source in _in_folder(name) if folder else [name]:
            if source not in seen:
                seen.add(source)
                yield source, folder


def _in_folder(name: str) -> Iterator[str]:
    for parent, folders, files in os.walk(name):
        # Templates of Helm charts are not YAML before they are rendered.
        chart = "Chart.yaml" in files
        folders[:] = sorted(
            each for each in folders if not each.startswith(".") and not (chart and each == "templates")
        )
        yield from (str(Path(parent) / file) for file in sorted(files) if file.endswith(SUFFIXES))


def _text(source: str) -> str | OSError | UnicodeDecodeError:
    try:
        return sys.stdin.read() if source == STDIN else Path(source).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        return error


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not text in UTF-8"


def _print(found: _Found, counts: Counter[str]) -> None:
    colours = {"error": "red", "warning": "yellow", "note": "blue"}
    for problem in found.problems:
        click.echo(_heading(problem, click.style(problem.severity.value, fg=colours[problem.severity.value])))
        for line in _more(problem):
            click.echo(f"    {line}")
    kinds = Counter(document.kind for document in found.documents)
    what = ", ".join(_amount(count, kind) for kind, count in sorted(kinds.items())) or "nothing of joulebench"
    told = ", ".join(_amount(counts[severity], severity) for severity in colours if counts[severity])
    click.echo(f"{_amount(found.files, 'file')} with {what}: {told or 'nothing is wrong'}")


def _heading(problem: "Problem", severity: str) -> str:
    place = ":".join(str(part) for part in (problem.source, problem.line, problem.column) if part is not None)
    return ": ".join(part for part in (place, severity, problem.path, problem.message) if part)


def _more(problem: "Problem") -> Iterator[str]:
    value = _shown(problem.value)
    if value is not None and str(value).lower() not in problem.message.lower():
        yield f"value: {value}"
    if problem.remedy is not None:
        yield problem.remedy


def _amount(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def _report(found: _Found, counts: Counter[str], *, valid: bool) -> str:
    report = {
        "valid": valid,
        "files": found.files,
        "documents": len(found.documents),
        "counts": {f"{severity}s": counts[severity] for severity in ("error", "warning", "note")},
        "problems": [_row(problem) for problem in found.problems],
    }
    return json.dumps(report, indent=2, ensure_ascii=False)


def _row(problem: "Problem") -> dict[str, Any]:
    return {
        "severity": problem.severity.value,
        "file": problem.source,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "value": _shown(problem.value),
        "message": problem.message,
        "remedy": problem.remedy,
    }


def _shown(value: Any) -> str | int | float | None:
    """The value if it is a single one, without the user name and password of an address.

    Lists and objects stand in the file, and may hold what is not to be printed.
    """
    if isinstance(value, str):
        return re.sub(r"://[^\s/@]*@", "://...@", value)
    return value if isinstance(value, int | float) else None
