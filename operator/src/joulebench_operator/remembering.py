"""What follows from a spec alone is worked out once: an object is looked at many times while its spec stays."""

import json
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from joulebench_api.configuration import OperatorConfiguration
from joulebench_operator.decision import Context, Settings
from joulebench_operator.objects import Object

_Result = TypeVar("_Result")

REMEMBERED: Final = 256
"""How many results: those of the objects that go on at one time, some 20 kB each."""


class Remembered(Generic[_Result]):
    """A pure function of an object's name, namespace, labels and spec, and of the configuration and the settings, with
    its last results. What it raises is not remembered.
    """

    def __init__(self, work: Callable[[Object, Context], _Result]) -> None:
        self._work = work
        self._known: dict[str, tuple[OperatorConfiguration, Settings, _Result]] = {}
        """By what was read of the object, the one that was asked for last at the end."""

    def __call__(self, item: Object, context: Context) -> _Result:
        """The function's result."""
        text = _read_of(item)
        known = self._known.pop(text, None)
        if known is None or known[0] is not context.configuration or known[1] != context.settings:
            known = (context.configuration, context.settings, self._work(item, context))
        self._known[text] = known
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        return known[2]


def _read_of(item: Object) -> str:
    metadata = item["metadata"]
    return json.dumps([metadata["namespace"], metadata["name"], metadata.get("labels"), item.get("spec")])
