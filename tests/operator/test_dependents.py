"""Who must be looked at when something changes."""

from typing import Any

import pytest

from joulebench_operator.cache import Cache
from joulebench_operator.dependents import touched
from joulebench_operator.objects import Object
from joulebench_operator.runs.uses import is_finished


def item(kind: str, name: str, *, namespace: str = "team", **fields: Any) -> Object:
    labels = fields.pop("labels", {})
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace, "labels": labels}, **fields}


def run(name: str, *, server: str | None = None, judge: str | None = None, finished: bool = False) -> Object:
    reference = {"modelServerRef": {"name": server}} if server else {"template": {}}
    spec = {"server": reference, **({"judge": {"server": {"modelServerRef": {"name": judge}}}} if judge else {})}
    ended = {"conditions": [{"type": "Finished", "status": "True"}], "attempts": [{"number": 1}]}
    return item("BenchmarkRun", name, spec=spec, status=ended if finished else {})


def names(item: Object, *known: Object) -> set[str]:
    cache = Cache()
    for one in known:
        cache.put(one)
    return {f"{key.kind}/{key.name}" for key in touched(item, cache)}


SERVER = item("ModelServer", "llama", spec={})


@pytest.mark.parametrize("kind", ["Deployment", "Service", "Pod", "Job", "ConfigMap"])
def test_a_child_touches_whose_it_is_by_its_label(kind: str) -> None:
    child = item(kind, "x", labels={"joulebench.dev/server": "llama", "joulebench.dev/run": "first"})
    assert names(child, SERVER, run("first")) == {"ModelServer/llama", "BenchmarkRun/first"}
    assert names(child, SERVER) == {"ModelServer/llama"}


def test_a_server_touches_itself_and_the_unfinished_runs_that_name_it() -> None:
    runs = [run("a", server="llama"), run("b", judge="llama"), run("c", server="other")]
    assert names(SERVER, SERVER, *runs, run("d", server="llama", finished=True)) == {
        "ModelServer/llama",
        "BenchmarkRun/a",
        "BenchmarkRun/b",
    }


def test_a_run_touches_the_server_that_it_wakes() -> None:
    sleeper = item("ModelServer", "llama", spec={"activation": "OnDemand"})
    assert names(run("a", server="llama"), sleeper, run("a", server="llama")) == {"BenchmarkRun/a", "ModelServer/llama"}
    assert names(run("a", server="llama"), SERVER, run("a", server="llama")) == {"BenchmarkRun/a"}


def test_a_run_that_gives_way_touches_the_runs_that_wait_for_their_turn() -> None:
    first, second = run("a", server="llama"), run("b", server="llama")
    assert names(first, SERVER, first, second) == {"BenchmarkRun/a"}
    for held_up in (
        run("a", server="llama", finished=True),
        {**first, "spec": {**first["spec"], "suspend": True}},
        {**first, "status": {"conditions": [{"type": "Stalled", "status": "True", "reason": "InvalidSpec"}]}},
        {**first, "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "ServerNotFound"}]}},
        {**first, "metadata": {**first["metadata"], "deletionTimestamp": "now"}},
    ):
        assert names(held_up, SERVER, held_up, second) == {"BenchmarkRun/a", "BenchmarkRun/b"}


def test_a_run_that_is_gone_touches_the_runs_that_wait_for_their_turn() -> None:
    assert "BenchmarkRun/b" in names(run("a", server="llama"), SERVER, run("b", server="llama"))


def test_an_exporter_touches_every_unfinished_run_wherever_it_is() -> None:
    exporter = item("Pod", "exporter-1", namespace="system", labels={"app.kubernetes.io/component": "exporter"})
    assert names(exporter, run("a"), run("b", finished=True)) == {"BenchmarkRun/a"}


def test_an_exporter_touches_the_servers_on_its_node_whose_devices_are_not_known() -> None:
    labels = {"app.kubernetes.io/component": "exporter"}
    exporter = item("Pod", "exporter-1", namespace="system", labels=labels, spec={"nodeName": "gpu-1"})
    unknown, elsewhere, known = (
        item("ModelServer", name, status={"endpoints": [endpoint]})
        for name, endpoint in (
            ("unknown", {"pod": "a", "node": "gpu-1"}),
            ("elsewhere", {"pod": "b", "node": "gpu-2"}),
            ("known", {"pod": "c", "node": "gpu-1", "devices": ["GPU-1"]}),
        )
    )
    assert names(exporter, unknown, elsewhere, known) == {"ModelServer/unknown"}


def test_a_server_s_pod_touches_the_runs_that_must_tell_their_runners_where_it_is() -> None:
    made = item("ModelServer", "first-model", labels={"joulebench.dev/run": "first"})
    runs = [run("first"), run("a", server="llama"), run("b", server="llama", finished=True)]
    assert names(_pod_of("first-model"), made, SERVER, *runs) == {"ModelServer/first-model", "BenchmarkRun/first"}
    assert names(_pod_of("llama"), made, SERVER, *runs) == {"ModelServer/llama", "BenchmarkRun/a"}


def _pod_of(server: str) -> Object:
    return item("Pod", "x", labels={"joulebench.dev/server": server})


def test_a_run_with_a_new_token_is_not_finished_any_more() -> None:
    ended = run("a", finished=True)
    ended["status"]["attempts"] = [{"number": 1, "rerunToken": "one"}]
    ended["spec"]["rerunToken"] = "one"
    assert is_finished(ended)
    ended["spec"]["rerunToken"] = "two"
    assert not is_finished(ended)
