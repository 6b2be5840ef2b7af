"""Flags from environment variables."""

import argparse

import pytest

from joulebench_exporter.cli import main, parsers
from joulebench_exporter.environment import PREFIX, Parser


@pytest.fixture
def parser() -> Parser:
    made = Parser(prog="meter", allow_abbrev=False)
    made.add_argument("--listen", required=True)
    made.add_argument("--rapl-root", default="/sys")
    made.add_argument("--period", type=int, default=100)
    made.add_argument("--device-file", action="append", default=[])
    made.add_argument("--exit-with-stdin", action="store_true")
    return made


def parse(parser: Parser, *words: str, **variables: str) -> argparse.Namespace:
    return parser.parse(words, {PREFIX + name: value for name, value in variables.items()})


def test_a_variable_stands_for_its_flag_required_ones_too(parser: Parser) -> None:
    parsed = parse(parser, LISTEN="unix:/e", RAPL_ROOT="/host", PERIOD="7")
    assert (parsed.listen, parsed.rapl_root, parsed.period) == ("unix:/e", "/host", 7)


@pytest.mark.parametrize("words", [("--listen", "unix:/c"), ("--listen=unix:/c",)])
def test_the_command_line_counts_more(parser: Parser, words: tuple[str, ...]) -> None:
    assert parse(parser, *words, LISTEN="unix:/e").listen == "unix:/c"


def test_lists_are_separated_by_commas_and_never_mixed_with_the_command_line(parser: Parser) -> None:
    assert parse(parser, LISTEN="x", DEVICE_FILE="a, b,").device_file == ["a", "b"]
    assert parse(parser, "--device-file", "c", LISTEN="x", DEVICE_FILE="a,b").device_file == ["c"]


@pytest.mark.parametrize(("value", "switch"), [("true", True), ("1", True), ("False", False), ("", False)])
def test_switches_are_true_or_false(parser: Parser, value: str, switch: bool) -> None:
    assert parse(parser, LISTEN="x", EXIT_WITH_STDIN=value).exit_with_stdin is switch


def test_a_value_may_begin_with_a_dash(parser: Parser) -> None:
    assert parse(parser, LISTEN="--x").listen == "--x"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PERIOD": "soon"}, "argument --period: invalid int value: 'soon' (environment variable {}PERIOD)"),
        ({"EXIT_WITH_STDIN": "maybe"}, "neither true nor false (environment variable {}EXIT_WITH_STDIN)"),
    ],
)
def test_a_wrong_value_is_refused_and_the_variable_named(
    parser: Parser, capsys: pytest.CaptureFixture[str], variables: dict[str, str], said: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(parser, "--listen", "x", **variables)
    assert caught.value.code == 2
    assert said.format(PREFIX) in capsys.readouterr().err


def test_a_wrong_word_of_the_command_line_is_not_blamed_on_the_environment(
    parser: Parser, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(parser, "--period", "soon", LISTEN="x", PERIOD="7")
    assert "environment" not in capsys.readouterr().err


def test_what_a_cluster_sets_for_a_service_of_the_exporters_name_is_no_flag() -> None:
    """A Service `joulebench-exporter` gives each pod of its namespace such variables."""
    service = {
        PREFIX + name for name in ("SERVICE_HOST", "SERVICE_PORT", "PORT", "PORT_9780_TCP", "PORT_9780_TCP_ADDR")
    }
    assert all(not service & set(parser.variables()) for parser in parsers())


def test_every_flag_has_one() -> None:
    command, doctor = (set(parser.variables()) for parser in parsers())
    assert {
        PREFIX + name for name in ("LISTEN", "HTTP", "SENSOR", "AUTH", "TLS_CERT", "RECORD", "DEVICE_FILE")
    } <= command
    assert PREFIX + "SECONDS" in doctor
    assert PREFIX + "HELP" not in command


@pytest.mark.parametrize("words", [[], ["doctor"]])
def test_the_command_reads_them(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PREFIX + "LISTEN", "unix:/nowhere")
    monkeypatch.setenv(PREFIX + "TICK", "often")
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert f"(environment variable {PREFIX}TICK)" in capsys.readouterr().err
