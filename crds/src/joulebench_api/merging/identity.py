"""What makes a cell the same cell: a hash over what was written, and over nothing else.

Left out are fields whose value is the schema's default: so a default that a later release adds, and that the API server
then fills into stored objects, changes no hash. Decimals count by their value, not by their spelling.
"""

import base64
import decimal
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any

from joulebench_api.merging.layers import Written
from joulebench_api.merging.shapes import OPEN, Form, Shape, defaults, shapes
from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRunSpec
from joulebench_api.v1alpha1.decimals import decimal_text

HASH_LENGTH = 10
ROUND_LENGTH = 6

_BASE_36 = "0123456789abcdefghijklmnopqrstuvwxyz"


def cell_hash(spec: Written, *, model: type[ApiModel] = BenchmarkRunSpec) -> str:
    """Ten letters and digits (50 bits) that stand for what was written of a run's spec."""
    text = json.dumps(canonical(spec, model), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:HASH_LENGTH]


def round_suffix(scheduled: datetime) -> str:
    """Six characters that stand for the minute a round was scheduled for; later rounds sort after earlier ones."""
    minutes, digits = int(scheduled.timestamp()) // 60, ""
    for _ in range(ROUND_LENGTH):
        minutes, digit = divmod(minutes, len(_BASE_36))
        digits = _BASE_36[digit] + digits
    return digits


def canonical(value: Written, model: type[ApiModel]) -> dict[str, Any]:
    """The one form of all spellings of an object: without nulls, without defaults, decimals as text."""
    known, preset = shapes(model), _canonical_defaults(model)
    result = {}
    for name, given in value.items():
        here = _canonical(given, known.get(name, OPEN))
        if given is not None and not (name in preset and here == preset[name]):
            result[name] = here
    return result


@cache
def _canonical_defaults(model: type[ApiModel]) -> Mapping[str, Any]:
    known = shapes(model)
    return {name: _canonical(default, known[name]) for name, default in defaults(model)}


def _canonical(value: Any, shape: Shape) -> Any:
    if isinstance(value, ApiModel):
        value = value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(value, Mapping) and shape.model is not None:
        return canonical(value, shape.model)
    if isinstance(value, Mapping) and shape.entry is not None:
        return {name: _canonical(each, shape.entry) for name, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_canonical(each, shape.entry or OPEN) for each in value]
    if shape.form is Form.DECIMAL:
        return _decimal(value)
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _scalar(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_scalar(each) for each in value]
    if isinstance(value, Enum):
        return value.value
    # JSON does not tell 1.0 from 1, and the API server may write either.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _decimal(value: Any) -> Any:
    try:
        return decimal_text(decimal.Decimal(str(value)))
    except decimal.InvalidOperation:  # not a decimal: the schema says so elsewhere
        return value
