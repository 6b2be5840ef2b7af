"""The picture of the cluster."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from joulebench_operator.cache import Cache
from joulebench_operator.inquiry import MeterStatus
from joulebench_operator.kinds import BENCHMARK_RUN, POD, Key
from joulebench_operator.names import PART_LABEL, RUN_LABEL
from joulebench_operator.objects import Object
from joulebench_operator.runs.uses import is_finished, uses


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


def test_an_answer_to_our_own_write_does_not_bring_back_what_the_watch_told_the_end_of() -> None:
    found = cache(pod("a", version=1))
    found.end(pod("a", version=3))
    found.put(pod("a", version=1))
    found.put(pod("a", version=2))
    assert found.all(POD, "team") == []
    found.put(pod("a", version=4))
    assert len(found.all(POD, "team")) == 1


def test_a_new_object_of_the_same_name_takes_the_place_of_the_old_one() -> None:
    found = cache(pod("a", version=10), pod("a", version=9, uid="2"))
    assert version(found.get(Key("Pod", "team", "a"))) == "9"


def test_what_is_of_no_use_is_not_kept() -> None:
    spec = {"nodeName": "gpu-1", "containers": [{"name": "meter"}]}
    found = cache({**pod("a"), "spec": spec}).get(Key("Pod", "team", "a"))
    assert found is not None
    assert "managedFields" not in found["metadata"]
    assert found["spec"] == {"nodeName": "gpu-1"}


def test_objects_are_found_by_owner_and_by_labels() -> None:
    owner = {"metadata": {"name": "job", "namespace": "team", "uid": "7"}}
    found = cache(pod("a", owner="7", part="runner"), pod("b", owner="8"), pod("c", part="runner", run="first"))
    assert [item["metadata"]["name"] for item in found.owned(POD, owner)] == ["a"]
    assert [item["metadata"]["name"] for item in found.labelled(POD, "team", {"part": "runner"})] == ["a", "c"]
    assert found.labelled(POD, "other", {"part": "runner"}) == []


def test_objects_are_found_by_the_labels_and_the_owner_that_they_have_now() -> None:
    """Servers' and runs' labels are indexed."""
    label, owner = "joulebench.dev/run", {"metadata": {"name": "job", "namespace": "team", "uid": "7"}}
    first, second = pod("a", owner="7"), pod("a", version=2, owner="8")
    first["metadata"]["labels"], second["metadata"]["labels"] = {label: "first"}, {label: "second"}
    found = cache(first, second)
    assert (found.labelled(POD, "team", {label: "first"}), found.owned(POD, owner)) == ([], [])
    assert len(found.labelled(POD, "team", {label: "second"})) == 1
    found.remove(Key("Pod", "team", "a"))
    assert found.labelled(POD, "team", {label: "second"}) == []


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.sampled_from("12"), st.booleans())))
def test_an_index_finds_what_a_look_at_everything_finds(
    steps: list[tuple[str, str, str, bool]],
) -> None:
    made = Cache()
    for version, (name, run, part, stays) in enumerate(steps, start=1):
        made.put(pod(name, version=version, **{RUN_LABEL: run, PART_LABEL: part}))
        if not stays:
            made.remove(Key("Pod", "team", name))
    for labels in ({RUN_LABEL: "x"}, {PART_LABEL: "1"}, {RUN_LABEL: "y", PART_LABEL: "2"}):
        fitting = [one for one in made.all(POD, "team") if labels.items() <= one["metadata"]["labels"].items()]
        assert made.labelled(POD, "team", labels) == fitting


def run(name: str, *, servers: list[str], ended: bool, token: str | None) -> Object:
    sources = [{"server": {"modelServerRef": {"name": one}}} for one in servers]
    status = {
        "conditions": [{"type": "Finished", "status": str(ended)}],
        "attempts": [{"number": 1, "rerunToken": "one"}],
    }
    spec = {"server": {"template": {}}, "submodels": sources, **({} if token is None else {"rerunToken": token})}
    return {
        "kind": "BenchmarkRun",
        "metadata": {"name": name, "namespace": "team"},
        "spec": spec,
        "status": status,
    }


RUN = st.builds(
    run,
    st.sampled_from("abc"),
    servers=st.lists(st.sampled_from("xyz")),
    ended=st.booleans(),
    token=st.sampled_from([None, "one", "two"]),
)


@given(st.lists(RUN | st.sampled_from("abc")))
def test_the_runs_on_a_server_are_those_that_a_look_at_everything_finds(steps: list[Object | str]) -> None:
    made = Cache()
    for step in steps:
        if isinstance(step, str):
            made.remove(Key("BenchmarkRun", "team", step))
        else:
            made.put(step)
    for servers in (["x"], ["y", "z"], []):
        fitting = [
            one for one in made.all(BENCHMARK_RUN, "team") if not is_finished(one) and uses(one).keys() & {*servers}
        ]
        assert made.runs_on(servers, "team") == fitting


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


def test_of_a_job_that_is_over_no_more_is_kept_than_decisions_read() -> None:
    pods = {"initContainers": [{"name": "preflight", "image": "x"}], "containers": [{"name": "meter"}]}
    spec = {"completions": 2, "backoffLimit": 2, "template": {"spec": pods}}
    job = {"kind": "Job", "metadata": {"name": "a", "namespace": "team"}, "spec": spec}
    found = cache(job).get(Key("Job", "team", "a"))
    assert found is not None
    assert found["spec"] == spec
    found = cache({**job, "status": {"conditions": [{"type": "Complete", "status": "True"}]}}).get(
        Key("Job", "team", "a")
    )
    assert found is not None
    assert found["spec"] == {"completions": 2, "template": {"spec": {"initContainers": [{"name": "preflight"}]}}}
