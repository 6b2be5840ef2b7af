"""The exporter's pods in a namespace that is not watched."""

from typing import Any, cast

from joulebench_operator.cache import Cache
from joulebench_operator.errors import ApiRefusalError
from joulebench_operator.exporter_pods import ExporterPods
from joulebench_operator.kinds import BENCHMARK_RUN, POD, Key
from joulebench_operator.kube import Kube
from joulebench_operator.objects import Object

NAMESPACE = "meters"
RUN = Key(BENCHMARK_RUN.name, "team", "first")


def pod(name: str, version: int) -> Object:
    """An exporter's pod as a list tells it: without its kind."""
    labels = {"app.kubernetes.io/component": "exporter", "app.kubernetes.io/managed-by": "joulebench"}
    return {"metadata": {"name": name, "namespace": NAMESPACE, "labels": labels, "resourceVersion": str(version)}}


class Pods:
    """An API server that knows pods; `found` is set by the test."""

    def __init__(self) -> None:
        self.found: list[Object] | ApiRefusalError = []
        self.asked: set[tuple[str, str]] = set()

    async def pods(self, namespace: str, selector: str) -> list[Object]:
        """Those that a selector finds."""
        self.asked.add((namespace, selector))
        if isinstance(self.found, ApiRefusalError):
            raise self.found
        return self.found


def looking() -> tuple[Pods, Cache, list[Key], ExporterPods]:
    """A cluster with one run that may care."""
    server, cache, told = Pods(), Cache(), list[Key]()
    run: dict[str, Any] = {"kind": RUN.kind, "metadata": {"name": RUN.name, "namespace": RUN.namespace}, "spec": {}}
    cache.put(run)
    return server, cache, told, ExporterPods(NAMESPACE, cache=cache, kube=cast("Kube", server), changed=told.append)


def known(cache: Cache) -> list[str]:
    return [str(item["metadata"]["name"]) for item in cache.all(POD, NAMESPACE)]


async def test_runs_are_looked_at_when_an_exporter_comes_changes_or_goes() -> None:
    server, cache, told, exporters = looking()
    for found, names in [([pod("a", 1)], ["a"]), ([pod("a", 2)], ["a"]), ([], [])]:
        told.clear()
        server.found = found
        await exporters.round()
        assert (known(cache), told) == (names, [RUN])
    assert server.asked == {(NAMESPACE, "app.kubernetes.io/managed-by=joulebench,app.kubernetes.io/component=exporter")}


async def test_nobody_is_told_when_nothing_has_changed() -> None:
    server, _, told, exporters = looking()
    server.found = [pod("a", 1)]
    await exporters.round()
    told.clear()
    await exporters.round()
    assert told == []


async def test_what_was_known_stays_while_the_api_server_is_away() -> None:
    server, cache, told, exporters = looking()
    server.found = [pod("a", 1)]
    await exporters.round()
    told.clear()
    server.found = ApiRefusalError("no", remedy="wait", status=500)
    await exporters.round()
    assert (known(cache), told) == (["a"], [])
