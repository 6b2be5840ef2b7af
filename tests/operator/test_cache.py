"""The picture of the cluster."""

from typing import Any

from joulebench_operator.cache import Cache
from joulebench_operator.inquiry import MeterStatus
from joulebench_operator.kinds import POD, Key
from joulebench_operator.objects import Object


def pod(name: str, *, version: int = 1, uid: str = "1", owner: str | None = None, **labels: str) -> Object:
    references = [{"kind": "Job", "name": "job", "uid": owner, "controller": True}] if owner else []
    metadata = {
        "name": name,
        "namespace": "team",
        "uid": uid,
        "resourceVersion": str(version),
        "labels": labels,
        "ownerReferences": references,
        "managedFields": [{"manager": "kubelet"}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


def cache(*items: Object) -> Cache:
    made = Cache()
    for item in items:
        made.put(item)
    return made


def version(found: Object | None) -> Any:
    return None if found is None else found["metadata"]["resourceVersion"]


def test_an_older_state_of_the_same_object_changes_nothing() -> None:
    """Versions are compared as numbers: "10" is newer than "9"."""
    found = cache(pod("a", version=10), pod("a", version=9))
    assert version(found.get(Key("Pod", "team", "a"))) == "10"


def test_a_new_object_of_the_same_name_takes_the_place_of_the_old_one() -> None:
    found = cache(pod("a", version=10), pod("a", version=9, uid="2"))
    assert version(found.get(Key("Pod", "team", "a"))) == "9"


def test_what_is_of_no_use_is_not_kept() -> None:
    found = cache(pod("a")).get(Key("Pod", "team", "a"))
    assert found is not None
    assert "managedFields" not in found["metadata"]


def test_objects_are_found_by_owner_and_by_labels() -> None:
    owner = {"metadata": {"name": "job", "namespace": "team", "uid": "7"}}
    found = cache(pod("a", owner="7", part="runner"), pod("b", owner="8"), pod("c", part="runner", run="first"))
    assert [item["metadata"]["name"] for item in found.owned(POD, owner)] == ["a"]
    assert [item["metadata"]["name"] for item in found.labelled(POD, "team", {"part": "runner"})] == ["a", "c"]
    assert found.labelled(POD, "other", {"part": "runner"}) == []


def test_what_is_removed_is_gone() -> None:
    found = cache(pod("a"))
    found.remove(Key("Pod", "team", "a"))
    found.remove(Key("Pod", "team", "a"))
    assert found.all(POD, "team") == []


def test_only_a_new_answer_is_one() -> None:
    made, asked = Cache(), MeterStatus("http://10.0.0.1:8781")
    assert made.answer(asked) is None
    assert made.answered(asked, None)
    assert not made.answered(asked, None)
    assert made.answered(asked, 1)
    made.forget(asked)
    assert made.answer(asked) is None
