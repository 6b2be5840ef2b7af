"""Decimal: exact numbers in documents, as an integer or as text, because the Kubernetes conventions forbid floats."""

import decimal
import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from joulebench_api.problems import shown
from joulebench_api.v1alpha1.base import refusal
from joulebench_api.v1alpha1.rules import Cel, Violation
from joulebench_api.v1alpha1.values import ValueRule

DECIMAL_PATTERN = r"^[0-9]{1,12}(\.[0-9]{1,9})?$"


def parse_decimal(value: Any) -> decimal.Decimal:
    """A Decimal from an integer, from text of the pattern or, on this machine only, from a YAML float."""
    if isinstance(value, decimal.Decimal | float) and not isinstance(value, bool):
        text = decimal_text(decimal.Decimal(str(value)))
    elif isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
    else:
        text = value if isinstance(value, str) else ""
    # `fullmatch`, since `$` would let a line end through; `re.ASCII` is implied by the bracketed digits.
    if re.fullmatch(DECIMAL_PATTERN, text) is None:
        raise refusal(Violation(path=(), message=_wrong(value), remedy='write it as 2 or "0.25"'))
    return decimal.Decimal(text)


def _wrong(value: Any) -> str:
    return f"{shown(value)} is not a decimal number of at most 12 digits before and 9 after the point, without a sign"


def decimal_text(value: decimal.Decimal) -> str:
    """The one way to write a Decimal: no exponent, no superfluous zeros."""
    if not value.is_finite():
        return str(value)
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _positive(value: decimal.Decimal) -> Iterable[Violation]:
    if value <= 0:
        yield _wrong_range(value, "greater than 0")


def _part(value: decimal.Decimal) -> Iterable[Violation]:
    if not 0 < value <= 1:
        yield _wrong_range(value, "greater than 0 and at most 1")


def _one_or_more(value: decimal.Decimal) -> Iterable[Violation]:
    if value < 1:
        yield _wrong_range(value, "at least 1")


def _wrong_range(value: decimal.Decimal, words: str) -> Violation:
    return Violation(path=(), message=f"must be {words}, found {decimal_text(value)}", value=value)


def _cel(integer: str, text: str, message: str) -> tuple[Cel, ...]:
    """The rule for each of the two ways to write a Decimal; the text has matched the pattern already."""
    return (Cel(f"type(self) == int ? {integer} : self.matches('{text}')", message),)


Decimal = Annotated[
    decimal.Decimal,
    PlainValidator(parse_decimal),
    PlainSerializer(decimal_text, return_type=str),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "pattern": DECIMAL_PATTERN,
            "maxLength": 22,
            "x-kubernetes-validations": [
                Cel(
                    "type(self) == string || (self >= 0 && self < 1000000000000)",
                    "must be a decimal number of at most 12 digits before the point, without a sign",
                ).as_schema(),
            ],
        }
    ),
]
"""0 or more. Written as an integer or as text; a cluster refuses a float."""

PositiveDecimal = Annotated[Decimal, ValueRule(_positive, _cel("self > 0", "[1-9]", "must be greater than 0"))]
PartDecimal = Annotated[
    Decimal,
    ValueRule(
        _part, _cel("self == 1", r"^(0*1([.]0+)?|0+[.][0-9]*[1-9][0-9]*)$", "must be greater than 0 and at most 1")
    ),
]
FactorDecimal = Annotated[
    Decimal, ValueRule(_one_or_more, _cel("self >= 1", r"^[0-9]*[1-9][0-9]*([.]|$)", "must be at least 1"))
]
