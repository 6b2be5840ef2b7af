"""Servers that are awake only while somebody needs them."""

from typing import Any

import pytest
from tests.operator.servers.builders import World, child, conditions, run, running, scheduled, time, world

from joulebench_operator.servers.needs import is_needed


def _replicas(here: World) -> int:
    found: int = child(here.decide(), "Deployment")["spec"]["replicas"]
    return found


def _on_demand(**spec: Any) -> World:
    return world(activation="OnDemand", **spec)


def test_it_is_made_asleep() -> None:
    here = _on_demand()
    assert conditions(here.decide()) == {"Ready": "False Asleep"}
    assert _replicas(here) == 0
    assert "lastUsedTime" not in here.decide().status


def test_a_run_wakes_it() -> None:
    here = _on_demand(replicas=2)
    here.cache.put(run())
    assert _replicas(here) == 2
    assert here.decide().status["lastUsedTime"] == time(60)
    assert conditions(here.decide())["Ready"] == "False Starting"


def test_its_last_use_is_written_once_a_minute() -> None:
    here = _on_demand()
    here.cache.put(run())
    here.written()
    here.seconds = 119
    assert here.written().status["lastUsedTime"] == time(60)
    here.seconds = 120
    assert here.written().status["lastUsedTime"] == time(120)
    assert here.decide().again_after_seconds == 60


@pytest.mark.parametrize(("spec", "seconds"), [({}, 600), ({"idleTimeout": "15m"}, 900)])
def test_it_sleeps_again_when_it_was_idle_for_long(spec: dict[str, Any], seconds: int) -> None:
    here = _on_demand(**spec)
    here.cache.put(run())
    here.written()
    here.cache.put(run(finished=True))

    here.seconds = 60 + seconds - 1
    assert _replicas(here) == 1
    assert here.decide().again_after_seconds == 1
    here.seconds += 1
    assert _replicas(here) == 0
    assert conditions(here.decide()) == {"Ready": "False Asleep"}
    assert here.decide().again_after_seconds is None
    assert here.decide().status["lastUsedTime"] == time(60)


def test_while_its_pods_end_it_is_not_at_rest() -> None:
    here = _on_demand()
    here.pod(**running(ready=50))
    assert conditions(here.decide()) == {"Ready": "False Asleep", "Reconciling": "True Asleep"}


def test_one_that_is_always_awake_needs_nobody() -> None:
    here = world()
    here.pod(**scheduled())
    assert _replicas(here) == 1
    assert "lastUsedTime" not in here.decide().status


def _named(name: str) -> dict[str, Any]:
    return {"modelServerRef": {"name": name}}


@pytest.mark.parametrize(
    ("other", "needed"),
    [
        (run(), True),
        (run(server=_named("other"), judge={"server": _named("llama")}), True),
        (run(server=_named("other"), submodels=[{"name": "a", "server": _named("llama")}]), True),
        (run(server=_named("other")), False),
        (run(server={"external": {"url": "http://x", "model": "llama"}}), False),
        (run(validated=False), False),
        (run(finished=True), False),
        (run(suspend=True), False),
        ({**run(), "status": {}}, False),
        ({**run(), "metadata": {**run()["metadata"], "deletionTimestamp": time(1)}}, False),
        ({**run(), "metadata": {**run()["metadata"], "namespace": "others"}}, False),
    ],
)
def test_who_needs_a_server(other: dict[str, Any], needed: bool) -> None:
    here = _on_demand()
    here.cache.put(other)
    assert is_needed(here.item, here.cache) is needed
