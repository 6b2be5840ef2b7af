"""What follows from a spec is worked out once."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from joulebench_api.configuration import OperatorConfiguration
from joulebench_operator.cache import Cache
from joulebench_operator.decision import Context, Settings
from joulebench_operator.objects import Object
from joulebench_operator.remembering import REMEMBERED, Remembered

CONTEXT = Context(Cache(), OperatorConfiguration(), datetime(2026, 1, 31, tzinfo=UTC), Settings())


def item(name: str = "a", *, size: int = 1, **metadata: object) -> Object:
    return {"metadata": {"name": name, "namespace": "team", **metadata}, "spec": {"size": size}}


class Work:
    """Tells the name, and remembers for whom it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, item: Object, _: Context) -> str:
        self.asked.append(item["metadata"]["name"])
        if item["spec"]["size"] < 0:
            raise ValueError("less than nothing")
        return f"{item['metadata']['name']} {item['spec']['size']}"


def test_what_is_the_same_is_worked_out_once() -> None:
    work = Work()
    found = Remembered(work)
    assert [found(item(resourceVersion=version), CONTEXT) for version in "12"] == ["a 1", "a 1"]
    assert work.asked == ["a"]


@pytest.mark.parametrize(
    ("changed", "context"),
    [
        (item(size=2), CONTEXT),
        (item(labels={"team": "b"}), CONTEXT),
        (item(), replace(CONTEXT, configuration=OperatorConfiguration())),
        (item(), replace(CONTEXT, settings=Settings(images={"runner": "x"}))),
    ],
    ids=["spec", "labels", "configuration", "settings"],
)
def test_what_is_different_is_worked_out_anew(changed: Object, context: Context) -> None:
    work = Work()
    found = Remembered(work)
    found(item(), CONTEXT)
    found(changed, context)
    assert work.asked == ["a", "a"]


def test_an_error_is_told_each_time() -> None:
    found = Remembered(Work())
    for _ in range(2):
        with pytest.raises(ValueError, match="less than nothing"):
            found(item(size=-1), CONTEXT)


def test_what_was_asked_for_lately_is_remembered_longest() -> None:
    work = Work()
    found = Remembered(work)
    found(item("first"), CONTEXT)
    for number in range(REMEMBERED):
        found(item("kept"), CONTEXT)
        found(item(f"other-{number}"), CONTEXT)
    work.asked.clear()
    found(item("kept"), CONTEXT)
    found(item("first"), CONTEXT)
    assert work.asked == ["first"]
