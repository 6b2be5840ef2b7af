"""The table of good and bad objects, judged by the real API server."""

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.cluster.api import Answer, Api
from tests.crds.api_server import refusals
from tests.crds.rules_table import ROWS, Row

from joulebench_api.crd.kinds import KINDS

_PLURALS = {kind.name: kind.plural for kind in KINDS}
_STRICT = "fieldValidation=Strict"
_NAMESPACE = "rules"


@pytest.fixture(scope="module")
def judge(request: pytest.FixtureRequest) -> Iterator[Api]:
    """A client, and a namespace for the objects that are changed."""
    request.getfixturevalue("crds")
    cluster = request.getfixturevalue("cluster")
    cluster.kubectl("create", "namespace", _NAMESPACE)
    client = cluster.api()
    yield client
    client.close()
    cluster.kubectl("delete", "namespace", _NAMESPACE, "--wait=false")


def _path(row: Row) -> str:
    return f"/apis/joulebench.dev/v1alpha1/namespaces/{_NAMESPACE}/{_PLURALS[row.kind]}"


def _judged(api: Api, row: Row) -> Answer:
    """What the API server says to the object, or to the change from the old to the new one."""
    path = _path(row)
    if row.old is None:
        return api.request("POST", f"{path}?{_STRICT}&dryRun=All", row.object)
    stored = api.create(path, row.old)
    place = f"{path}/{stored['metadata']['name']}"
    try:
        changed: dict[str, Any] = copy.deepcopy(row.object)
        changed["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"]
        return api.request("PUT", f"{place}?{_STRICT}&dryRun=All", changed)
    finally:
        api.request("DELETE", place)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_the_api_server_judges_each_row(judge: Api, row: Row) -> None:
    answer = _judged(judge, row)

    assert answer.good is row.good, answer.message
    if not row.good:
        assert answer.status in {400, 422}, answer.message
        assert _names_the_field(row, answer.message), answer.message


def _names_the_field(row: Row, message: str) -> bool:
    """Whether the message has a path, or the words of a rule, that the table's own evaluator found broken."""
    if row.needs_server:
        return "metadata.labels" in message
    found = [reason.removeprefix("$").removeprefix(".") for reason in refusals(row.object, row.old)]
    return any(part in message for reason in found for part in _telling_parts(reason))


def _telling_parts(reason: str) -> list[str]:
    path, _, words = reason.partition(": ")
    # About the whole object, only the words tell which field it is: 'spec' is a required property.
    return [path, words] if path else [words, *(f"{name}:" for name in re.findall(r"^'(\w+)'", words))]
