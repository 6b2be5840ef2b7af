"""Decimal: exact numbers in documents, as an integer or as text, because the Kubernetes conventions forbid floats."""

import decimal
import re
from typing import Annotated, Any

from pydantic import AfterValidator, PlainSerializer, PlainValidator, WithJsonSchema

from joulebench_api.problems import shown
from joulebench_api.v1alpha1.base import refusal
from joulebench_api.v1alpha1.rules import Violation

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


def _positive(value: decimal.Decimal) -> decimal.Decimal:
    if value <= 0:
        raise refusal(Violation(path=(), message=f"must be greater than 0, found {decimal_text(value)}"))
    return value


def _part(value: decimal.Decimal) -> decimal.Decimal:
    if not 0 < value <= 1:
        raise refusal(Violation(path=(), message=f"must be greater than 0 and at most 1, found {decimal_text(value)}"))
    return value


def _one_or_more(value: decimal.Decimal) -> decimal.Decimal:
    if value < 1:
        raise refusal(Violation(path=(), message=f"must be at least 1, found {decimal_text(value)}"))
    return value


Decimal = Annotated[
    decimal.Decimal,
    PlainValidator(parse_decimal),
    PlainSerializer(decimal_text, return_type=str),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": DECIMAL_PATTERN}),
]
PositiveDecimal = Annotated[Decimal, AfterValidator(_positive)]
PartDecimal = Annotated[Decimal, AfterValidator(_part)]
FactorDecimal = Annotated[Decimal, AfterValidator(_one_or_more)]
