"""Types made from other types, so that a new field cannot be forgotten: overlays, and copies without defaults.

An **overlay** is a layer that is laid over others: nothing in it is required and nothing has a default, so that what
it holds is what somebody wrote. Objects in it are overlays too. A list in it replaces a list as a whole, so its entries
are complete: what is required stays required, but nothing has a default either.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from operator import getitem
from types import GenericAlias, UnionType
from typing import Annotated, Any, Optional, Union, get_args, get_origin

from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.rules import OneOf, Rule

Without = Mapping[type[ApiModel], Collection[str]]
"""Attributes that are left out of a type wherever it is met."""

_Convert = Callable[[Any], Any]


def overlay_of(
    model: type[ApiModel],
    *,
    name: str | None = None,
    only: Collection[str] | None = None,
    without: Without | None = None,
) -> type[ApiModel]:
    """A layer over `model`: all its fields (or `only` some), none required, none with a default, all the way down.

    Of its rules only the unions are kept, as `at most one of`: the other field of another rule may stand in another
    layer. What the layers make together is checked when they are merged.
    """
    return _Derivation(without or {}).overlay(model, name=name, only=only)


def complete_of(model: type[ApiModel], *, name: str | None = None, without: Without | None = None) -> type[ApiModel]:
    """`model` without its defaults: what is required stays required, and all rules stay."""
    return _Derivation(without or {}).complete(model, name=name)


class _Derivation:
    """One derivation: each type met in it is made once."""

    def __init__(self, without: Without) -> None:
        self._without = without
        self._overlays: dict[type[ApiModel], type[ApiModel]] = {}
        self._completes: dict[type[ApiModel], type[ApiModel]] = {}

    def overlay(
        self, model: type[ApiModel], *, name: str | None = None, only: Collection[str] | None = None
    ) -> type[ApiModel]:
        if model not in self._overlays or only is not None:
            fields = self._fields(model) if only is None else {key: model.model_fields[key] for key in only}
            made = {key: _optional(field, self._in_overlay) for key, field in fields.items()}
            self._overlays[model] = _made(name or f"{model.__name__}Overlay", model, made, _weakened(model, fields))
        return self._overlays[model]

    def complete(self, model: type[ApiModel], *, name: str | None = None) -> type[ApiModel]:
        if model not in self._completes:
            fields = self._fields(model)
            made = {
                key: (_required if field.is_required() else _optional)(field, self._in_complete)
                for key, field in fields.items()
            }
            self._completes[model] = _made(name or f"{model.__name__}Entry", model, made, _kept(model, fields))
        return self._completes[model]

    def _fields(self, model: type[ApiModel]) -> dict[str, FieldInfo]:
        left_out = self._without.get(model, ())
        return {key: field for key, field in model.model_fields.items() if key not in left_out}

    def _in_overlay(self, annotation: Any) -> Any:
        return _converted(annotation, self.overlay, entry=self._in_complete)

    def _in_complete(self, annotation: Any) -> Any:
        return _converted(annotation, self.complete, entry=self._in_complete)


def _converted(annotation: Any, model: Callable[[type[ApiModel]], type[ApiModel]], *, entry: _Convert) -> Any:
    """The annotation with each API object in it replaced; entries of lists by their own conversion."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        return model(annotation)
    if origin is Annotated:
        return _with_metadata(_converted(arguments[0], model, entry=entry), arguments[1:])
    if origin in (Union, UnionType):
        # `X | Y` cannot be written for types that are known only now.
        return getitem(Union, tuple(_converted(argument, model, entry=entry) for argument in arguments))
    if origin is tuple:
        return GenericAlias(tuple, (entry(arguments[0]), ...))
    return annotation


def _optional(field: FieldInfo, convert: _Convert) -> tuple[Any, Any]:
    annotation = _with_metadata(convert(field.annotation), field.metadata)
    return getitem(Optional, annotation), Field(default=None, alias=field.alias)


def _required(field: FieldInfo, convert: _Convert) -> tuple[Any, Any]:
    return _with_metadata(convert(field.annotation), field.metadata), Field(alias=field.alias)


def _with_metadata(annotation: Any, metadata: Sequence[Any]) -> Any:
    return getitem(Annotated, (annotation, *metadata)) if metadata else annotation


def _weakened(model: type[ApiModel], fields: Mapping[str, FieldInfo]) -> tuple[Rule, ...]:
    names = _aliases(fields)
    unions = (rule.among(names, needed=False) for rule in model.rules if isinstance(rule, OneOf))
    return tuple(union for union in unions if union is not None)


def _kept(model: type[ApiModel], fields: Mapping[str, FieldInfo]) -> tuple[Rule, ...]:
    names = _aliases(fields)
    rules = (rule.among(names, needed=rule.needed) if isinstance(rule, OneOf) else rule for rule in model.rules)
    return tuple(rule for rule in rules if rule is not None)


def _aliases(fields: Mapping[str, FieldInfo]) -> list[str]:
    return [field.alias or key for key, field in fields.items()]


def _made(
    name: str, model: type[ApiModel], fields: Mapping[str, tuple[Any, FieldInfo]], rules: tuple[Rule, ...]
) -> type[ApiModel]:
    made: type[ApiModel] = create_model(
        name,
        __base__=ApiModel,
        __module__=model.__module__,
        __doc__=model.__doc__,
        **dict(fields),  # type: ignore[call-overload]
    )
    made.rules = rules
    made.derived_from = model
    return made
