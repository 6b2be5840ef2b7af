"""`joulebench report` and `joulebench show`."""

import json
import shutil
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.synthetic_run import write_run

from joulebench_api.contracts.summary import CostBasis, Prices
from joulebench_runner.cli import named
from joulebench_runner.cli.main import cli
from joulebench_runner.cli.report import report
from joulebench_runner.errors import BadInputError
from joulebench_runner.results.cost import cost

ID = "0000000000000007"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of 60 questions, 20 of them wrong."""
    return write_run(tmp_path / "run", questions=60)


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False, standalone_mode=False)


def refused(*words: object) -> BadInputError:
    result = CliRunner().invoke(cli, [str(word) for word in words], standalone_mode=False)
    assert isinstance(result.exception, BadInputError)
    return result.exception


def test_report_writes_the_page_and_says_where(folder: Path, tmp_path: Path) -> None:
    assert f"{folder / 'report.html'}  (5.0 MB, 60 questions)" in call("report", folder).stdout
    other = tmp_path / "other.html"
    document = json.loads(call("report", folder, "--out", other, "--json").stdout)
    assert (document["path"], document["questions"], document["shown"]) == (str(other), 60, 60)
    assert document["size_bytes"] == other.stat().st_size


def test_report_shows_what_the_run_costs_at_other_prices(tmp_path: Path) -> None:
    basis = CostBasis(
        energy_mj=7_200_000_000, energy_problem=None, accelerators=0, accelerator_ns=None, queries=60, correct=40
    )
    folder = write_run(tmp_path / "priced", questions=60, cost=cost(basis, Prices()))
    assert call("report", folder).exit_code == 0
    assert "electricity" not in own_part(folder / "report.html")

    call("report", folder, "--cost", "electricityPerKWh=0.5", "--cost", "currency=EUR")

    assert "1 EUR  (0.0167 per question, 0.025 per correct answer)" in own_part(folder / "report.html")


def own_part(page: Path) -> str:
    """The page's own words, without its data and library."""
    return page.read_text().split("<script")[0]


def test_report_says_when_texts_are_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "gated", task={"gated": True})
    assert "texts are left out: quiz is a gated data set" in call("report", folder).stdout


def test_an_incomplete_folder_is_refused_unless_the_rest_is_asked_for(folder: Path) -> None:
    (folder / "energy.parquet").unlink()
    assert "lacks energy.parquet" in refused("report", folder).message
    result = call("report", folder, "--partial")
    assert "note: energy.parquet is missing" in result.stderr
    assert (folder / "report.html").exists()


@pytest.mark.parametrize("command", ["report", "show"])
def test_a_folder_that_is_no_run_is_refused(command: str, tmp_path: Path) -> None:
    assert "no results folder" in refused(command, tmp_path).message


def test_show_lists_figures_and_questions(folder: Path) -> None:
    out = call("show", folder, "--limit", 5).stdout
    assert "tiny-model on quiz" in out
    assert "60 questions, the first 5:" in out
    assert len([line for line in out.splitlines() if line.startswith("00000000")]) == 5


def test_show_lists_wrong_answers_alone(folder: Path) -> None:
    out = call("show", folder, "--wrong", "--limit", 0).stdout
    lines = [line.split() for line in out.splitlines() if line.startswith("00000000")]
    assert "20 wrong answers:" in out
    assert [line[1] for line in lines] == ["wrong"] * 20


def test_show_gives_json_to_programs(folder: Path) -> None:
    document = json.loads(call("show", folder, "--wrong", "--limit", 3, "--json").stdout)
    assert document["summary"]["counts"]["asked"] == 60
    assert document["questions"] == 20
    assert [row["verdict"] for row in document["queries"]] == ["wrong"] * 3


def test_show_gives_one_question_in_full(folder: Path) -> None:
    out = call("show", folder, ID).stdout
    for words in (
        ID,
        "record record-7",
        "right, score 1, by quiz/1",
        "not below",
        "prefill",
        "TTFT",
        "answer",
        "call 1 of 1",
    ):
        assert words in out, words


def test_the_beginning_of_an_id_or_a_record_s_id_is_enough(folder: Path) -> None:
    assert ID in call("show", folder, "record-7").stdout
    assert json.loads(call("show", folder, "000000000000003b", "--json").stdout)["record_id"] == "record-59"
    assert json.loads(call("show", folder, ID, "--json").stdout)["model_calls"][0]["call_id"] == "call-7"


def test_a_beginning_of_several_ids_names_them(folder: Path) -> None:
    error = refused("show", folder, "0000")
    assert "names 60 questions: 0000000000000000, " in error.message
    assert "more of the id" in str(error.remedy)


def test_an_unknown_question_names_the_nearest(folder: Path) -> None:
    error = refused("show", folder, "rekord-59")
    assert "has no question 'rekord-59'" in error.message
    assert "Did you mean record-59?" in str(error.remedy)


def test_answers_cannot_steer_the_terminal(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", texts={"response": "\x1b[2Jgone\x07", "subject": "\x1b[1mbold"})
    for words in ([], ["0000000000000000"]):
        shown = call("show", folder, *words).stdout
        assert "gone" in shown
        assert not any(one in shown for one in ("\x1b[2J", "\x07", "\x1b[1mbold"))


def test_a_truncated_table_is_named(folder: Path) -> None:
    path = folder / "queries.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    for command in ("report", "show"):
        assert "queries.parquet cannot be read" in refused(command, folder).message


def test_a_run_on_a_cluster_gets_its_page_here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("brun", "cluster:bring", "joulebench.folders")
    monkeypatch.setattr(EntryPoint, "load", lambda _: lambda name, target: shutil.copytree(folder, target))
    monkeypatch.setattr(named, "entry_points", lambda group: [point])
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(report, ["brun/nightly"], catch_exceptions=False)

    assert done.exit_code == 0
    assert (tmp_path / "nightly.html").stat().st_size > 1_000_000
