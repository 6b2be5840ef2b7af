"""The driver's pure parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_api.contracts.meter import PlanReply, ResolvedTask
from joulebench_runner.config import GenerationSettings
from joulebench_runner.driver.environment import driver_environment
from joulebench_runner.driver.generation import as_inspect, as_request, merged
from joulebench_runner.driver.outcome import numeric
from joulebench_runner.driver.queries import ErrorLimit, QueryBook


def book(*, epochs: int = 2) -> QueryBook:
    task = ResolvedTask(name="t", revision="1", records=2, epochs=epochs, sha256="")
    return QueryBook(task, ["a", "b"])


def test_every_record_and_epoch_has_an_id_of_its_own_in_the_order_of_asking() -> None:
    assert [(query.record_id, query.epoch) for query in book().to_ask()] == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert len(set(book().query_ids)) == 4


def test_finished_questions_are_not_asked_and_others_get_their_next_attempt() -> None:
    queries = book()
    first, second, *_ = queries.query_ids
    queries.apply(PlanReply(finished=[first], attempts={second: 2}))
    assert [(query.record_id, query.epoch, query.attempt) for query in queries.to_ask()] == [
        ("b", 1, 2),
        ("a", 2, 0),
        ("b", 2, 0),
    ]


@pytest.mark.parametrize(
    ("limit", "errors", "exceeded"),
    [(None, 99, False), (0, 0, False), (0, 1, True), (3, 3, False), (3, 4, True), (0.25, 2, False), (0.25, 3, True)],
)
def test_the_error_limit_is_a_count_or_a_part(limit: float | None, errors: int, exceeded: bool) -> None:
    counter = ErrorLimit(limit, questions=10)
    for _ in range(errors):
        counter.count()
    assert counter.exceeded == exceeded


def test_errors_of_earlier_attempts_count() -> None:
    assert ErrorLimit(2, questions=10, errors=3).exceeded


@pytest.mark.parametrize(
    ("value", "score"),
    [
        ("C", 1.0), ("I", 0.0), ("P", 0.5), ("N", 0.0), (True, 1.0), (False, 0.0), (0.7, 0.7), (3, 3.0), ("yes", 1.0),
        ("0.5", 0.5), ({"only": "C"}, 1.0), ({"a": 1, "b": 0}, None), ([1, 0], None), ("perhaps", None),
        (float("nan"), None), ("nan", None),
    ],
)  # fmt: skip
def test_scores_become_numbers_or_say_why_not(value: object, score: float | None) -> None:
    found, reason = numeric(value)
    assert found == score
    assert bool(reason) == (score is None)


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(min_value=0, max_value=2),
        "max_tokens": st.integers(min_value=1, max_value=9),
        "stop": st.lists(st.text(min_size=1), min_size=1),
        "seed": st.integers(),
    },
)


@given(run=OPTIONS, task=OPTIONS)
def test_the_run_goes_before_the_task(run: dict[str, object], task: dict[str, object]) -> None:
    both = merged(GenerationSettings.model_validate(run), task=task).model_dump(exclude_none=True)  # type: ignore[arg-type]  # JSON values
    assert both == {**task, **run}


def test_extra_bodies_are_merged_and_template_parameters_travel_in_them() -> None:
    run = GenerationSettings(extra_body={"a": 1}, chat_template_params={"think": False})
    options = merged(run, task={"extra_body": {"a": 0, "ignore_eos": True}})
    extra = {"a": 1, "ignore_eos": True, "chat_template_kwargs": {"think": False}}
    assert as_inspect(options) == {"extra_body": extra}
    assert as_request(options) == extra


def test_top_logprobs_ask_for_logprobs() -> None:
    assert as_inspect(GenerationSettings(top_logprobs=3)) == {"logprobs": True, "top_logprobs": 3}


def test_a_users_inspect_settings_do_not_reach_the_driver() -> None:
    found = driver_environment({"PATH": "/bin", "INSPECT_EVAL_LIMIT": "1", "OPENAI_ORG_ID": "x"})
    assert found["PATH"] == "/bin"
    assert found["INSPECT_DISPLAY"] == "none"
    assert not {"INSPECT_EVAL_LIMIT", "OPENAI_ORG_ID"} & found.keys()
