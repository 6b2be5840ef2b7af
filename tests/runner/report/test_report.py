"""What stands in the report, and what does not."""

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]  # it has no types
import pytest
from tests.synthetic_run import write_run

from joulebench_api.contracts.energy import SensorKind
from joulebench_api.contracts.summary import Gpu, ModelUse, Range, Tokens
from joulebench_runner.errors import BadInputError, RunnerError
from joulebench_runner.report import report_or_warning, view, write_report
from joulebench_runner.report.figures import bin_edges, figures
from joulebench_runner.report.page import policy, script_json
from joulebench_runner.report.questions import shown_questions, spoken
from joulebench_runner.report.tables import read_tables
from joulebench_runner.results.folder import RunFolder, open_run

HOSTILE = "</script><img src=x onerror=alert(1)>\u2028\u2029<!--<script>&amp;"
SECRET = "what has it got in its pocketses"


def opened(folder: Path, **options: Any) -> RunFolder:
    return open_run(write_run(folder, **options))


def page(run: RunFolder) -> str:
    return write_report(run).path.read_text()


def data_of(text: str) -> dict[str, Any]:
    """What the page's script reads."""
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    data: dict[str, Any] = json.loads(found)
    return data


def own_text(text: str) -> str:
    """The page without its library, whose own strings name all sorts of things."""
    scripts = re.findall(r"<script>.*?</script>", text, re.DOTALL)
    return text.replace(max(scripts, key=len), "")


def test_the_page_says_what_was_run_and_what_it_cost(tmp_path: Path) -> None:
    run = opened(tmp_path)
    text = html.unescape(own_text(page(run)))
    for words in (
        "tiny-model on quiz",
        "66.7%",
        "Joules are simulated",
        "every joule is accounted for",
        "TTFT",
        "A processor",
    ):
        assert words in text, words


def test_several_models_have_a_part_of_the_page_and_one_has_none(tmp_path: Path) -> None:
    run = opened(tmp_path)
    assert "<h2>The models</h2>" not in page(run)
    tokens = Tokens(prompt=10, cached_prompt=0, output=20, calls_without_usage=0)
    uses = [
        ModelUse(alias=alias, role=role, name=f"{alias}-7b", calls=4, tokens=tokens, energy_joules=8.0)
        for alias, role in (("model", "model"), ("helper", "submodel"))
    ]
    text = own_text(page(replace(run, summary=run.summary.model_copy(update={"models": uses}))))
    assert "<dt>helper</dt><dd>8.00 J, 4 calls, 20 output tokens  (helper-7b)</dd>" in text


@pytest.mark.parametrize(
    ("kind", "conserved", "tone"),
    [
        (SensorKind.MEASURED, True, "good"),
        (SensorKind.MODELLED, True, "warn"),
        (SensorKind.MEASURED, False, "bad"),
        (None, False, "warn"),
    ],
)
def test_only_measured_joules_that_add_up_are_shown_as_good(
    tmp_path: Path, kind: SensorKind | None, conserved: bool, tone: str
) -> None:
    energy = opened(tmp_path).summary.energy.model_copy(update={"kind": kind, "conserved": conserved})
    assert view.tone(energy) == tone


def test_the_parts_of_the_energy_add_up_exactly(tmp_path: Path) -> None:
    run = opened(tmp_path)
    split = view.split(run.summary.energy)
    assert split is not None
    assert split.rest == 0
    assert [part.name for part in split.parts] == [
        "prefill",
        "decode",
        "judge",
        "idle",
        "unattributed: abandoned",
        "boundary",
    ]
    assert sum(split.percent(part) for part in split.parts) == pytest.approx(100)
    assert "the parts add up to it, to the millijoule" in own_text(page(run))


def test_parts_that_do_not_add_up_are_told(tmp_path: Path) -> None:
    run = opened(tmp_path)
    wrong = run.summary.energy.model_copy(update={"idle_joules": 0.0, "conserved": False})
    (tmp_path / "summary.json").write_text(run.summary.model_copy(update={"energy": wrong}).model_dump_json())
    text = own_text(page(open_run(tmp_path)))
    assert "DO NOT add up to it: 12345 mJ are left over" in text
    assert "do not use them" in text


@pytest.mark.parametrize(("millijoules", "text"), [(0, "0.000"), (1_234_567, "1,234.567"), (-5, "-0.005")])
def test_exact_joules_have_three_decimals(millijoules: int, text: str) -> None:
    assert view.exact_joules(millijoules) == text


def test_wrong_answers_come_first_and_what_is_left_out_is_told(tmp_path: Path) -> None:
    run = opened(tmp_path, questions=120)
    shown = shown_questions(run, read_tables(run), most=60)
    assert [row["verdict"] for row in shown.rows] == ["wrong"] * 39 + ["error"] * 2 + ["right"] * 19
    assert shown.left_out == 60
    assert shown.rows[0]["query_id"] == f"{0:016x}"
    assert shown.rows[0]["calls_shown"][0]["role"] == "model"


def test_the_page_names_where_the_questions_are_that_it_leaves_out(tmp_path: Path) -> None:
    written = write_report(opened(tmp_path, questions=2100))
    assert (written.questions, written.shown) == (2100, 2000)
    assert "2,000 of 2,100 questions are on this page" in written.path.read_text()
    assert "100 more are in <code>queries.parquet</code>" in written.path.read_text()


def test_enormous_texts_are_cut_with_a_note_and_the_page_stays_small(tmp_path: Path) -> None:
    written = write_report(opened(tmp_path, questions=2000, text_characters=4000))
    assert written.size_bytes < 10_000_000
    response = data_of(written.path.read_text())["questions"][0]["texts"]["response"]
    assert re.search(r"\[[\d,]+ more characters are in queries.parquet\]$", response)


def test_short_texts_stay_whole_beside_an_enormous_one(tmp_path: Path) -> None:
    run = opened(tmp_path, texts={"response": "<" * 5_000_000})
    rows = {row["query_id"]: row for row in shown_questions(run, read_tables(run)).rows}
    assert "4,980,000 more characters" in rows[f"{0:016x}"]["texts"]["response"]
    assert "more characters" not in rows[f"{1:016x}"]["texts"]["response"]


def test_many_calls_of_a_question_are_cut_with_a_count(tmp_path: Path) -> None:
    run = opened(tmp_path, questions=700, calls_each=20)
    rows = shown_questions(run, read_tables(run)).rows
    assert {(len(row["calls_shown"]), row["calls_left_out"]) for row in rows} == {(8, 12)}


@pytest.mark.parametrize(
    "column", ["messages", "response", "reference", "explanation", "error", "subject", "record_id", "query_id"]
)
def test_hostile_text_cannot_leave_its_place(tmp_path: Path, column: str) -> None:
    text = page(opened(tmp_path, texts={column: HOSTILE}))
    assert HOSTILE not in text
    assert "<img" not in own_text(text)
    assert "\u2028" not in own_text(text)
    assert HOSTILE in json.dumps(data_of(text), ensure_ascii=False).replace('\\"', '"')


def test_a_hostile_name_of_the_run_is_escaped(tmp_path: Path) -> None:
    assert "<img" not in own_text(page(opened(tmp_path, name=HOSTILE, message=HOSTILE, warnings=[HOSTILE])))


def test_json_in_a_script_comes_back_as_it_was() -> None:
    escaped = str(script_json(json.dumps([HOSTILE], ensure_ascii=False).encode()))
    assert not set("<>&\u2028\u2029") & set(escaped)
    assert json.loads(escaped) == [HOSTILE]


def test_the_policy_runs_named_scripts_and_lets_nothing_be_loaded() -> None:
    text = policy("alert(1)")
    assert "default-src 'none'" in text
    assert "script-src 'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='" in text
    assert "http" not in text


def test_the_page_names_no_address_to_load_from(tmp_path: Path) -> None:
    text = own_text(page(opened(tmp_path)))
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#)""", text)
    assert not re.findall(r"url\(|@import", text)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"spec": {"results": {"redact": "Texts"}}}, "spec.results.redact: Texts"),
        ({"task": {"gated": True}}, "gated data set"),
        ({"task": {"canary": "a-canary"}}, "carries a canary"),
        ({"texts": {"explanation": "BENCHMARK DATA ... Canary GUID 26b5c67b"}}, "carry a canary"),
    ],
)
def test_texts_that_are_not_to_be_published_are_not_in_the_page(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    texts = dict.fromkeys(("messages", "response", "reference", "explanation", "error"), SECRET)
    run = opened(tmp_path, **{**options, "texts": {**texts, **options.get("texts", {})}})
    written = write_report(run)
    text = written.path.read_text()
    assert SECRET not in text
    assert written.withheld is not None
    assert words in written.withheld
    assert words in html.unescape(own_text(text))
    assert all(row["texts"] == {} for row in data_of(text)["questions"])


def test_without_such_a_wish_texts_are_in_the_page(tmp_path: Path) -> None:
    run = opened(tmp_path, texts={"response": SECRET}, spec={"results": {"redact": "None"}})
    assert SECRET in page(run)


def test_figures_are_plotly_s_own_and_show_right_and_wrong_apart(tmp_path: Path) -> None:
    run = opened(tmp_path, questions=30)
    made = {one.key: one for one in figures(read_tables(run), run.summary.stages, scored=True)}
    assert set(made) == {"power", "energy_joules", "ttft_seconds", "tpot_seconds", "e2e_seconds", "subjects"}
    for one in made.values():
        go.Figure(json.loads(one.figure.to_json()))  # its validators refuse what plotly.js would not understand
    assert [trace.name.partition(":")[0] for trace in made["energy_joules"].figure.data] == ["right", "wrong"]
    assert {shape.fillcolor for shape in made["power"].figure.layout.shapes} == {"#8b929c", "#d9b310", "#2f86c9"}


def test_few_calls_are_drawn_one_by_one_and_many_are_counted(tmp_path: Path) -> None:
    few, many = (opened(tmp_path / str(count), questions=count) for count in (20, 500))
    kinds = [{trace.type for trace in figures(read_tables(run), (), scored=True)[0].figure.data} for run in (few, many)]
    assert kinds == [{"scatter", "bar"}, {"scatter"}]


def test_an_hour_of_ticks_becomes_some_thousand_points(tmp_path: Path) -> None:
    run = opened(tmp_path, questions=10, seconds_each=360, tick_seconds=0.1)
    power = figures(read_tables(run), run.summary.stages, scored=True)[0].figure.data[0]
    assert 3000 < len(power.x) <= 6000
    assert power.y.max() == pytest.approx(read_tables(run).powers[0].watts.max(), abs=0.01)


def test_bins_grow_by_a_factor_where_a_tail_is_long() -> None:
    import numpy as np

    assert bin_edges(np.array([1.0, 1.0, 2.0, 90.0]))[1]
    assert not bin_edges(np.array([1.0, 2.0, 3.0]))[1]
    edges, _ = bin_edges(np.array([5.0, 5.0]))
    assert edges[0] == 5.0 < edges[-1]


def test_an_unscored_task_shows_no_accuracy_and_no_subjects(tmp_path: Path) -> None:
    run = opened(tmp_path, accuracy=None)
    text = html.unescape(own_text(page(run)))
    assert "this task is not scored" in text
    assert "Energy per correct answer" not in text
    assert "subjects" not in data_of(text)["figures"]


def test_a_run_without_joules_or_questions_has_a_page_too(tmp_path: Path) -> None:
    write_run(tmp_path, questions=1)
    document = json.loads((tmp_path / "summary.json").read_text())
    document["energy"] |= {name: None for name in document["energy"] if name.endswith("_joules")}
    document["energy"] |= {
        "kind": None,
        "sensor": None,
        "problem": "the server is elsewhere",
        "per_query": None,
        "devices": [],
    }
    document |= {
        "state": "failed",
        "message": "it broke",
        "remedy": "mend it",
        "task": None,
        "accuracy": None,
        "stages": [],
    }
    (tmp_path / "summary.json").write_text(json.dumps(document))
    text = html.unescape(own_text(page(open_run(tmp_path))))
    assert "No joules: the server is elsewhere" in text
    assert "it broke" in text
    assert "mend it" in text
    assert "Where the joules went" not in text


def test_a_partial_folder_reports_on_the_rest_and_says_what_is_missing(tmp_path: Path) -> None:
    write_run(tmp_path)
    for name in ("queries.parquet", "turns.parquet", "energy.parquet", "provenance.json"):
        (tmp_path / name).unlink()
    with pytest.raises(BadInputError, match="lacks provenance"):
        open_run(tmp_path)
    text = page(open_run(tmp_path, partial=True))
    assert "energy.parquet is missing" in text
    assert data_of(text)["questions"] == []


def test_a_report_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    run = opened(tmp_path)
    with pytest.raises(RunnerError, match="cannot write the report"):
        write_report(run, to=tmp_path / "missing" / "report.html")


def test_at_the_end_of_a_run_a_failing_report_is_a_warning(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert report_or_warning(tmp_path) is None
    (tmp_path / "energy.parquet").write_bytes(b"PAR1")
    warning = report_or_warning(tmp_path)
    assert warning is not None
    assert "report.html could not be written: BadInputError" in warning


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (None, []),
        ("not json", [("messages", "not json")]),
        ('[{"role":"user","content":"a"}]', [("user", "a")]),
        ('[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url"}]}]', [("user", "a\n[image_url]")]),
        ('["plain", {"role":"tool"}]', [("", "plain"), ("tool", "")]),
    ],
)
def test_messages_of_any_shape_are_read_as_texts(messages: str | None, expected: list[tuple[str, str]]) -> None:
    assert spoken(messages) == expected


def test_the_page_shows_what_each_board_showed(tmp_path: Path) -> None:
    told = Gpu(
        device="gpu-0",
        name="A board",
        sensor="nvml",
        looks=10,
        power_watts=Range(mean=250.04, max=600, min=100),
        memory_used_bytes=Range(mean=2 * 1024**3, max=3 * 1024**3, min=1024**3),
        throttling_seconds=1.5,
        throttling_seconds_by_reason={"hw_thermal": 1.5},
        suspect_readings={"power_watts": 2},
    )
    silent = Gpu(device="gpu-1", name="A silent board", sensor="nvml")
    text = html.unescape(own_text(page(opened(tmp_path, gpus=[told, silent]))))
    for words in (
        "250.0 W (100.0 to 600.0)",
        "2.0 GiB (1.0 to 3.0)",
        "not known",
        "1.50 s (hw_thermal 1.50 s)",
        "2 of power_watts",
    ):
        assert words in text, words
    assert "A silent board" not in text
