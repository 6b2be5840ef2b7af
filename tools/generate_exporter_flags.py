"""The reference page of the exporter's flags and environment variables, from its parsers."""

import argparse

from joulebench_exporter.cli import parsers

_INTRODUCTION = """\
# Flags of the exporter

Every flag of `joulebench-exporter` may also stand in the environment. What stands on the command line counts instead of
the variable. In a variable, lists are separated by commas, switches are `true` or `false`, and an empty value is none.
The exporter that `joulebench run` starts reads the variables too.

`JOULEBENCH_MODELLED_IDLE_WATTS` and `JOULEBENCH_MODELLED_WATTS_PER_CORE` stand for `--idle-watts` and
`--watts-per-core`.
"""
_HEAD = "\n## {}\n\n| flag | environment variable | meaning |\n|---|---|---|\n"


def render() -> str:
    """The page as Markdown."""
    sections = (
        _HEAD.format(f"`{parser.prog}`") + "".join(_line(name, flag) for name, flag in parser.variables().items())
        for parser in parsers()
    )
    return _INTRODUCTION + "".join(sections)


def _line(name: str, flag: argparse.Action) -> str:
    value = flag.metavar or ("" if flag.choices is None else "{" + ",".join(map(str, flag.choices)) + "}")
    words = f"{flag.option_strings[-1]} {value}".strip().replace("|", "\\|")
    meaning = (flag.help or "").replace("%(default)s", str(flag.default)).replace("|", "\\|")
    return f"| `{words}` | `{name}` | {meaning} |\n"
