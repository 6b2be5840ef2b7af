"""Condition words, and the messages between operator and runner."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from joulebench_api.conditions import (
    ADVICE,
    CAMPAIGN_CONDITIONS,
    CONDITION_MEANINGS,
    PREFLIGHT_REASONS,
    RUN_CONDITIONS,
    SERVER_CONDITIONS,
    ConditionType,
    Reason,
)
from joulebench_api.contracts.meter import ResolvedTask
from joulebench_api.contracts.preflight import Finding, PreflightReport
from joulebench_api.contracts.termination import MAX_BYTES, TerminationMessage
from joulebench_api.contracts.topology import Server, Topology
from joulebench_api.v1alpha1.status import RunSummary, StoredFile

TASK = ResolvedTask(name="gsm8k", revision="a" * 40, records=100, sha256="b" * 64)


def test_every_reason_says_what_it_means_and_what_to_do() -> None:
    assert set(ADVICE) == set(Reason)
    for reason, advice in ADVICE.items():
        assert advice.meaning.endswith("."), reason
        assert advice.remedy.endswith("."), reason
        assert "\n" not in advice.meaning + advice.remedy, reason


def test_reasons_and_types_are_words_that_kubernetes_takes() -> None:
    assert all(word.value.isalnum() and word.value[0].isupper() for word in (*Reason, *ConditionType))


def test_every_condition_type_has_a_meaning_and_a_kind_that_uses_it() -> None:
    used = {*RUN_CONDITIONS, *SERVER_CONDITIONS, *CAMPAIGN_CONDITIONS}

    assert set(CONDITION_MEANINGS) == set(ConditionType) == used


def test_every_kind_is_ready_reconciling_or_stalled() -> None:
    for types in (RUN_CONDITIONS, SERVER_CONDITIONS, CAMPAIGN_CONDITIONS):
        assert types[:3] == (ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED)


# --- Preflight ------------------------------------------------------------------------------------------------------


def _finding(text: str = "there is no task 'gsm9k'") -> Finding:
    return Finding(
        field="spec.task.name", value=text, reason=Reason.UNKNOWN_TASK, message=text, remedy="did you mean 'gsm8k'?"
    )


def test_a_report_without_findings_has_passed() -> None:
    assert PreflightReport(runner_version="1", task=TASK).passed
    assert not PreflightReport(runner_version="1", findings=[_finding()]).passed


def test_a_finding_has_a_reason_that_preflight_can_find() -> None:
    assert set(Reason) > PREFLIGHT_REASONS
    with pytest.raises(ValidationError, match="not found by preflight"):
        Finding(field="spec", reason=Reason.RUN_TIMEOUT, message="m")


def test_a_short_report_is_told_as_it_is() -> None:
    report = PreflightReport(runner_version="1", findings=[_finding()], task=TASK)

    assert PreflightReport.model_validate_json(report.as_message()) == report


@given(st.lists(st.text(max_size=3000).map(_finding), max_size=40), st.text(max_size=5000))
def test_a_report_always_fits_into_a_termination_message(findings: list[Finding], parameter: str) -> None:
    task = TASK.model_copy(update={"parameters": {"p": parameter}})
    report = PreflightReport(runner_version="1", findings=findings, task=task)
    text = report.as_message()

    told = PreflightReport.model_validate_json(text)
    assert len(text.encode()) <= MAX_BYTES
    assert len(told.findings) + told.more_findings == len(findings)
    assert told.passed is report.passed


def test_a_report_of_a_newer_runner_can_be_read() -> None:
    text = json.dumps({"schema_version": 2, "runner_version": "9", "something": "new"})

    assert PreflightReport.model_validate_json(text).passed


# --- Termination message --------------------------------------------------------------------------------------------

SUMMARY = RunSummary(accuracy="0.81", joules_per_query="12.5", conserved=True)


def test_a_message_carries_the_figures_that_status_shows() -> None:
    message = TerminationMessage(
        state="completed",
        task=TASK,
        summary=SUMMARY,
        results=StoredFile(url="s3://bench/first", sha256="c" * 64, bytes=2**40),
    )

    told = json.loads(message.as_message())
    assert told["summary"]["joulesPerQuery"] == "12.5"
    assert TerminationMessage.model_validate_json(message.as_message()) == message


@given(st.text(max_size=10_000), st.text(max_size=10_000))
def test_a_message_always_fits(message: str, remedy: str) -> None:
    text = TerminationMessage(
        state="failed", message=message, remedy=remedy, task=TASK, summary=SUMMARY, results=StoredFile(url="s3://b")
    ).as_message()

    assert len(text.encode()) <= MAX_BYTES
    assert TerminationMessage.model_validate_json(text).state == "failed"


# --- Topology -------------------------------------------------------------------------------------------------------


def test_a_topology_of_a_newer_operator_can_be_read() -> None:
    topology = Topology(servers=[Server(alias="model", url="http://x/v1", model="m")])
    text = json.dumps(topology.model_dump() | {"something": "new"})

    assert Topology.model_validate_json(text) == topology
