"""Decisions as status."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from joulebench_api.conditions import ConditionType, Reason
from joulebench_api.v1alpha1.status import MESSAGE_LENGTH, ConditionStatus
from joulebench_operator.decision import Decision, Wanted
from joulebench_operator.objects import Object
from joulebench_operator.settling import differs, settled

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def run(status: Object | None = None, *, generation: int = 1) -> Object:
    metadata = {"name": "first", "namespace": "team", "uid": "1", "generation": generation}
    return {"kind": "BenchmarkRun", "metadata": metadata, "spec": {}, **({"status": status} if status else {})}


def ready(status: ConditionStatus, reason: Reason = Reason.PENDING, message: str = "") -> Wanted:
    return Wanted(ConditionType.READY, status, reason, message)


def test_a_first_status_has_times_and_the_generation() -> None:
    decision = Decision(conditions=(ready(ConditionStatus.FALSE),), status={"progress": {"total": 3, "failed": None}})
    assert settled(run(), decision, now=NOW) == {
        "observedGeneration": 1,
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "observedGeneration": 1,
                "lastTransitionTime": "2026-01-31T12:00:00Z",
                "reason": "Pending",
                "message": "",
            }
        ],
        "progress": {"total": 3},
    }


def test_the_time_of_a_condition_changes_with_its_status_alone() -> None:
    first = settled(run(), Decision(conditions=(ready(ConditionStatus.FALSE),)), now=NOW)
    later = NOW + timedelta(hours=1)
    reasoned = settled(run(first), Decision(conditions=(ready(ConditionStatus.FALSE, Reason.RUNNING),)), now=later)
    assert reasoned["conditions"][0]["lastTransitionTime"] == "2026-01-31T12:00:00Z"
    true = settled(run(reasoned), Decision(conditions=(ready(ConditionStatus.TRUE, Reason.SUCCEEDED),)), now=later)
    assert true["conditions"][0]["lastTransitionTime"] == "2026-01-31T13:00:00Z"


@given(st.lists(st.sampled_from(ConditionType), unique=True), st.text(), st.integers(min_value=1))
def test_the_same_decision_about_its_own_status_changes_nothing(
    types: list[ConditionType], message: str, generation: int
) -> None:
    wanted = tuple(Wanted(one, ConditionStatus.TRUE, Reason.AS_EXPECTED, message) for one in types)
    decision = Decision(conditions=wanted, status={"stages": ({"name": "run", "endTime": None},)})
    first = settled(run(generation=generation), decision, now=NOW)
    again = settled(run(first, generation=generation), decision, now=NOW + timedelta(days=1))
    assert not differs(first, again)
    assert all(len(one["message"]) <= MESSAGE_LENGTH for one in first["conditions"])


def test_progress_alone_can_be_told_from_other_changes() -> None:
    assert not differs({"progress": 1, "url": "a"}, {"progress": 2, "url": "a"}, apart_from=("progress",))
    assert differs({"progress": 1, "url": "a"}, {"progress": 1}, apart_from=("progress",))
