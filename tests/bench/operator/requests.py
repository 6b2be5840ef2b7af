"""What an operator writes, by the API server's own count, and what the operator itself says."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.api import Api, socket_in

_SAMPLE = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_WRITING = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"})
_GOOD = re.compile(r"2..")
Written = Counter[str]
"""Requests that changed something, by resource and verb."""


def samples(page: str, name: str) -> list[tuple[Mapping[str, str], float]]:
    """The samples of one metric: labels and value."""
    found = (one for one in _SAMPLE.finditer(page) if one["name"] == name)
    return [(dict(_LABEL.findall(one["labels"] or "")), float(one["value"])) for one in found]


def written(api: Api) -> Written:
    """What was written so far to the kinds that nobody but an operator, and the bench with its applies, writes to.

    Jobs' status is the Job controller's, and events are counted apart: others write them too.
    """
    page = api.request("GET", "/metrics").message
    count: Written = Counter()
    for labels, value in samples(page, "apiserver_request_total"):
        resource = "/".join(filter(None, (labels["resource"], labels["subresource"])))
        if labels["verb"] in _WRITING and _GOOD.fullmatch(labels["code"]) and _is_of_operators(labels, resource):
            count[f"{resource} {labels['verb']}"] += round(value)
    return count


def _is_of_operators(labels: Mapping[str, str], resource: str) -> bool:
    if resource == "benchmarkruns" and labels["verb"] == "APPLY":
        # The bench's own applies.
        return False
    return resource in {"benchmarkruns", "benchmarkruns/status", "configmaps", "jobs", "modelservers/status"}


def own_page(namespace: Path, port: int) -> str:
    """`/metrics` of a process in the cluster's network."""
    with socket_in(namespace, "127.0.0.1", port, timeout_seconds=10) as connection:
        connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        parts = iter(lambda: connection.recv(65_536), b"")
        return b"".join(parts).decode()
