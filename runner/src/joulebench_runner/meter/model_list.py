"""What a server says to `GET /v1/models`. Pure."""

import difflib
from collections.abc import Iterable

import orjson


def listed(body: bytes) -> list[str]:
    """Names and aliases in a list of models; empty if it is none."""
    try:
        entries = orjson.loads(body)["data"]
        names = [name for entry in entries for name in (entry["id"], *(entry.get("aliases") or ()))]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return []
    return [name for name in names if isinstance(name, str)]


def nearest_first(model: str, names: Iterable[str]) -> str:
    """Names as a phrase, those most like `model` first."""

    def unlikeness(name: str) -> float:
        return -difflib.SequenceMatcher(a=model.lower(), b=name.lower()).ratio()

    return ", ".join(repr(name) for name in sorted(set(names), key=unlikeness)[:10])
