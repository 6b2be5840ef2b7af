"""Merging of layers, lowest first, on what was written."""

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

from joulebench_api.merging.shapes import OPEN, Form, Shape, displaced, shapes
from joulebench_api.v1alpha1.base import ApiModel

Written = Mapping[str, Any]
"""An object as somebody wrote it: plain values under the names of documents."""


def merge(lower: Written, upper: Written, *, model: type[ApiModel]) -> dict[str, Any]:
    """Lay one layer over another; both are (parts of) a `model`. Neither is changed.

    Objects merge, lists replace. A null in a known field says nothing; in an open object it is a value. A field of a
    union displaces the others of the lower layer. So merging is associative, except where three layers say one thing,
    another, and the first again: a union's fields, or an object, a value and an object in an open object. Then the
    order of the layers decides, which is why they are merged from the lowest up.
    """
    known = shapes(model)
    said = _said(upper)
    gone = {name for field in said for name in displaced(model, field)} - said.keys()
    kept = {name: value for name, value in _said(lower).items() if name not in gone}
    merged = {name: _merged(kept.get(name), value, known.get(name, OPEN)) for name, value in said.items()}
    return {name: _plain(value, known.get(name, OPEN)) for name, value in kept.items()} | merged


def merge_all(layers: Iterable[Written], *, model: type[ApiModel]) -> dict[str, Any]:
    """Merge any number of layers, the lowest first."""
    empty: dict[str, Any] = {}
    return reduce(lambda lower, upper: merge(lower, upper, model=model), layers, empty)


def written(value: ApiModel) -> dict[str, Any]:
    """What somebody wrote of an object: fields that were given, under their names in documents, as plain values."""
    dumped: dict[str, Any] = value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return merge({}, dumped, model=type(value))


def _said(layer: Written) -> dict[str, Any]:
    return {name: value for name, value in layer.items() if value is not None}


def _merged(lower: Any, upper: Any, shape: Shape) -> Any:
    if not isinstance(upper, Mapping):
        return _plain(upper, shape)
    below = lower if isinstance(lower, Mapping) else {}
    if shape.model is not None:
        return merge(below, upper, model=shape.model)
    if shape.entry is not None:
        names = {**_said(below), **_said(upper)}
        return {name: _merged(below.get(name), value, shape.entry) for name, value in names.items()}
    return _merged_open(below, upper)


def _merged_open(lower: Written, upper: Written) -> dict[str, Any]:
    values = {
        name: _merged_open(_mapping(lower.get(name)), value) if isinstance(value, Mapping) else value
        for name, value in upper.items()
    }
    return {**lower, **values}


def _mapping(value: Any) -> Written:
    return value if isinstance(value, Mapping) else {}


def _plain(value: Any, shape: Shape) -> Any:
    """The value without the nulls of known fields, so that a layer alone looks as it does among others."""
    if isinstance(value, Mapping) and shape.form is not Form.OPEN:
        return _merged({}, value, shape)
    if isinstance(value, list | tuple) and shape.entry is not None:
        return [_plain(entry, shape.entry) for entry in value]
    return value
