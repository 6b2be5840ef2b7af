"""Stored answers, scored again: by a task's own rule, or by inspect-ai over its logs; no model is asked."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.runner.results.recorded import files, record

from joulebench_runner.errors import BadInputError
from joulebench_runner.rescoring.choose import rescored
from joulebench_runner.results.folder import RunFolder
from joulebench_runner.results.redo import Redone, redo

# inspect-ai calls its retry library by a name that this one has given up.
pytestmark = pytest.mark.filterwarnings("ignore:The 'initial' parameter is deprecated:DeprecationWarning")

ANSWERS = {"q1": "#### 42", "q2": "it is 7"}

# inspect-ai's evaluations register hooks in their process, so this one gets a process of its own.
EVALUATE = """
import json, sys
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import match, model_graded_qa

folder, scorer, metadata, answers = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
def saying(texts):
    outputs = [ModelOutput.from_content("mockllm/model", text) for text in texts]
    for output in outputs:
        output.usage = ModelUsage(input_tokens=1, output_tokens=1)  # else it is counted, with a download
    return get_model("mockllm/model", custom_outputs=outputs, memoize=False)

model, grader = saying(answers.values()), saying(["GRADE: C"] * len(answers))
samples = [Sample(id=key, input="What?", target="42", metadata=metadata) for key in answers]
scorer = {"match": match, "model_graded_qa": lambda: model_graded_qa(model=grader)}[scorer]()
task = Task(name="quiz", dataset=samples, scorer=scorer)
eval(task, model=model, log_dir=folder, log_format="eval", display="none", max_samples=1, log_realtime=False)
"""


def evaluated(folder: Path, *, scorer: str = "match", metadata: dict[str, Any] | None = None) -> None:
    """Leave inspect-ai's log of the answers in a folder."""
    command = [sys.executable, "-c", EVALUATE, str(folder), scorer, json.dumps(metadata or {}), json.dumps(ANSWERS)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs of a task whose records say that numbers are wanted."""
    folder = tmp_path_factory.mktemp("logs")
    evaluated(folder, metadata={"form": "number"})
    return folder


def recorded(run: Any, settings: Any, folder: Path, *, task: str = "gsm8k", **plan: Any) -> RunFolder:
    """Two answers that the run called right and wrong, whatever they are."""
    run.rows[next(kind for kind in run.rows if kind == "plan")].clear()
    run.plan(name=task, **plan)
    for query, response in ANSWERS.items():
        run.begin(query, task=task).call(query, 2, 6, chunks=(3, 6))
        run.finish(query, 7, response=response, correct=query == "q2", score=float(query == "q2"), scorer="old")
    return record(run.rows, settings(run_dir=folder))


def rows(redone: Redone) -> dict[str, dict[str, Any]]:
    import pyarrow.parquet as pq

    return {row["query_id"]: row for row in pq.read_table(redone.folder / "queries.parquet").to_pylist()}


def test_a_tasks_own_rule_judges_the_stored_answers(run: Any, settings: Any, tmp_path: Path) -> None:
    before = recorded(run, settings, tmp_path / "run")
    untouched = files(before.path)
    again = redo(before, rescored(before, scorer=None))
    found = rows(again)
    assert (found["q1"]["correct"], found["q1"]["score"], found["q1"]["scorer"]) == (True, 1.0, "gsm8k")
    assert (found["q2"]["correct"], found["q2"]["score"]) == (False, 0.0)
    assert "gsm8k/1" in found["q1"]["explanation"]
    assert found["q1"]["response"] == "#### 42"
    assert again.provenance["redone"]["with"] == {"scorer": "gsm8k", "answers": 2, "changed": 2}  # type: ignore[call-overload, index]
    assert files(before.path) == untouched


def test_joules_stay_and_those_of_a_correct_answer_follow(run: Any, settings: Any, tmp_path: Path) -> None:
    run.begin("q3").call("q3", 7, 8).finish("q3", 9, response="#### 42", correct=False, score=0.0)
    before = recorded(run, settings, tmp_path / "run")
    again = redo(before, rescored(before, scorer=None))
    assert again.summary.energy.queries_joules == before.summary.energy.queries_joules
    assert (before.summary.counts.correct, again.summary.counts.correct) == (1, 2)
    assert again.summary.energy.per_correct_joules == before.summary.energy.per_correct_joules / 2  # type: ignore[operator]


def test_a_failed_question_stays_failed(run: Any, settings: Any, tmp_path: Path) -> None:
    run.begin("q3").finish("q3", 9, response="#### 42", correct=None, error="no answer within the timeout")
    before = recorded(run, settings, tmp_path / "run")
    again = redo(before, rescored(before, scorer=None))
    assert again.summary.counts.errors == 1
    assert rows(again)["q3"]["error"] == "no answer within the timeout"


def test_an_answer_that_only_its_scorer_failed_on_gets_its_verdict(run: Any, settings: Any, tmp_path: Path) -> None:
    run.begin("q3").finish("q3", 9, response="#### 42", correct=None, error="the scorer failed: boom")
    before = recorded(run, settings, tmp_path / "run")
    assert before.summary.counts.errors == 1
    assert redo(before, rescored(before, scorer=None)).summary.counts.errors == 0


def test_an_empty_answer_is_unscored_with_the_reason(run: Any, settings: Any, tmp_path: Path) -> None:
    run.begin("q3").finish("q3", 9, response=" ", correct=False)
    before = recorded(run, settings, tmp_path / "run")
    again = redo(before, rescored(before, scorer=None))
    assert again.summary.counts.unscored == 1
    assert rows(again)["q3"]["unscored_reason"] == "empty answer"


def test_a_rule_that_reads_metadata_takes_it_from_the_logs(run: Any, settings: Any, tmp_path: Path, logs: Path) -> None:
    before = recorded(run, settings, tmp_path / "run", task="everyday")
    with pytest.raises(BadInputError, match=r"holds no \.eval file"):
        rescored(before, scorer=None)
    (before.path / "logs").symlink_to(logs)
    assert [row["correct"] for row in rows(redo(before, rescored(before, scorer=None))).values()] == [True, False]


@pytest.mark.parametrize(("scorer", "name"), [(None, "match"), ("includes", "includes")])
def test_inspects_scorers_judge_the_samples_of_its_logs(  # noqa: PLR0917 - fixtures
    run: Any, settings: Any, tmp_path: Path, logs: Path, scorer: str | None, name: str
) -> None:
    before = recorded(run, settings, tmp_path / "run", task="inspect:quiz/letters")
    (before.path / "logs").symlink_to(logs)
    again = redo(before, rescored(before, scorer=scorer))
    assert [row["correct"] for row in rows(again).values()] == [True, False]
    assert rows(again)["q1"]["scorer"] == f"inspect_ai/{name}"


def test_a_task_may_be_a_single_file(
    run: Any, settings: Any, tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one_file_of_tasks.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    before = recorded(run, settings, tmp_path / "run", task="inspect:one_file_of_tasks/letters")
    (before.path / "logs").symlink_to(logs)
    assert [row["correct"] for row in rows(redo(before, rescored(before, scorer=None))).values()] == [True, False]


@pytest.mark.parametrize("scorer", ["model_graded_qa", "model_graded_fact"])
def test_a_scorer_that_asks_a_model_is_refused(
    run: Any, settings: Any, tmp_path: Path, logs: Path, scorer: str
) -> None:
    before = recorded(run, settings, tmp_path / "run", task="inspect:quiz/letters")
    (before.path / "logs").symlink_to(logs)
    with pytest.raises(BadInputError, match="it asks a model") as caught:
        rescored(before, scorer=scorer)
    assert "run the benchmark anew" in str(caught.value.remedy)


def test_a_task_whose_own_scorer_asks_a_model_is_refused(run: Any, settings: Any, tmp_path: Path) -> None:
    before = recorded(run, settings, tmp_path / "run", task="inspect:quiz/letters")
    evaluated(before.path / "logs", scorer="model_graded_qa")
    with pytest.raises(BadInputError, match="it asks a model"):
        rescored(before, scorer=None)


def test_an_unknown_scorer_is_refused_with_the_nearest(run: Any, settings: Any, tmp_path: Path, logs: Path) -> None:
    before = recorded(run, settings, tmp_path / "run")
    (before.path / "logs").symlink_to(logs)
    with pytest.raises(BadInputError, match="matsch") as caught:
        rescored(before, scorer="matsch")
    assert "'match'" in str(caught.value.remedy)


def test_a_log_without_the_answer_is_refused(run: Any, settings: Any, tmp_path: Path, logs: Path) -> None:
    run.begin("q3").finish("q3", 9, response="not in the log")
    before = recorded(run, settings, tmp_path / "run", task="inspect:quiz/letters")
    (before.path / "logs").symlink_to(logs)
    with pytest.raises(BadInputError, match="'q3'"):
        rescored(before, scorer="match")


def test_a_log_that_was_cut_off_is_named(run: Any, settings: Any, tmp_path: Path, logs: Path) -> None:
    before = recorded(run, settings, tmp_path / "run")
    (before.path / "logs").mkdir()
    (whole,) = logs.glob("*.eval")
    (before.path / "logs" / "a.eval").write_bytes(whole.read_bytes()[:300])
    with pytest.raises(BadInputError, match=r"a\.eval cannot be read"):
        rescored(before, scorer="match")


def test_references_of_another_kind_are_refused(run: Any, settings: Any, tmp_path: Path) -> None:
    run.begin("q3", reference="Tom").finish("q3", 9, response="#### 1")
    before = recorded(run, settings, tmp_path / "run")
    with pytest.raises(BadInputError, match="cannot compare with 'Tom'"):
        rescored(before, scorer="gsm8k")


@pytest.mark.parametrize(
    ("plan", "words"), [({"task": "fixed_length", "scored": False}, "is not scored"), ({}, "asked nothing")]
)
def test_what_cannot_be_scored_says_why(
    run: Any, settings: Any, tmp_path: Path, plan: dict[str, Any], words: str
) -> None:
    if plan:
        before = recorded(run, settings, tmp_path / "run", **plan)
    else:
        run.rows[next(kind for kind in run.rows if kind == "plan")].clear()
        before = record(run.rows, settings(run_dir=tmp_path / "run"))
    with pytest.raises(BadInputError, match=words):
        rescored(before, scorer=None)
