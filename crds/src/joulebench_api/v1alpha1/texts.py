"""Texts with a form of their own: durations, percentages, quantities, names and addresses."""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from joulebench_api.problems import shown
from joulebench_api.v1alpha1.base import refusal
from joulebench_api.v1alpha1.rules import Cel, Violation
from joulebench_api.v1alpha1.values import Form, ValueRule

DURATION_PATTERN = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
"""Gateway API's pattern (GEP-2257)."""

PERCENT_PATTERN = r"^(100|[0-9]{1,2}(\.[0-9]{1,3})?)%$"
QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"
DNS_1035_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"

_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


class _PatternText(str):
    """Text that is checked when it is read and stays the text that was written."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: Any) -> Self:
        """The checked text; raises ValidationError."""
        raise NotImplementedError

    @classmethod
    def pattern(cls) -> str:
        """The pattern for the schema."""
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": cls.pattern()}


class Duration(_PatternText):
    """A length of time such as `500ms`, `30s` or `1h30m`."""

    __slots__ = ()

    @classmethod
    def pattern(cls) -> str:
        """Gateway API's pattern."""
        return DURATION_PATTERN

    @classmethod
    def parse(cls, value: Any) -> Self:
        """The checked duration; raises ValidationError."""
        if isinstance(value, str) and re.fullmatch(DURATION_PATTERN, value):
            return cls(value)
        raise refusal(_not_a_duration(value))

    @classmethod
    def of(cls, *, milliseconds: int) -> Self:
        """The shortest way to write a length of time, such as `1h30m` for 5,400,000 ms."""
        parts, rest = [], milliseconds
        for unit, size in _MILLISECONDS.items():
            count, rest = divmod(rest, size)
            parts.append(f"{count}{unit}" if count else "")
        return cls.parse("".join(parts) or "0s")

    @property
    def milliseconds(self) -> int:
        """Its length in milliseconds, exactly."""
        parts = re.findall(r"([0-9]+)(h|ms|m|s)", self)
        return sum(int(count) * _MILLISECONDS[unit] for count, unit in parts)

    @property
    def seconds(self) -> float:
        """Its length in seconds."""
        return self.milliseconds / 1000


def _not_a_duration(value: Any) -> Violation:
    remedy = "write whole numbers with h, m, s or ms, such as 30s or 1h30m"
    if isinstance(value, str) and (days := re.fullmatch(r"([0-9]{1,3})d(ays?)?", value)):
        remedy = f"days do not exist in a duration: write {int(days[1]) * 24}h"
    if isinstance(value, int) and not isinstance(value, bool):
        remedy = f"a unit is needed: write {value}s if seconds are meant"
    return Violation(path=(), message=f"{shown(value)} is not a duration", remedy=remedy)


def _positive(value: Duration) -> Iterable[Violation]:
    if value.milliseconds == 0:
        yield Violation(path=(), message=f"must be longer than 0, found {value}", value=value)


PositiveDuration = Annotated[
    Duration, ValueRule(_positive, (Cel("duration(self) > duration('0s')", "must be longer than 0"),))
]


class Percent(_PatternText):
    """A part of a whole, such as `5%`."""

    __slots__ = ()

    @classmethod
    def pattern(cls) -> str:
        """0 to 100 with at most three digits after the point, and the sign."""
        return PERCENT_PATTERN

    @classmethod
    def parse(cls, value: Any) -> Self:
        """The checked percentage; raises ValidationError."""
        if isinstance(value, str) and re.fullmatch(PERCENT_PATTERN, value):
            return cls(value)
        raise refusal(
            Violation(path=(), message=f"{shown(value)} is not a percentage", remedy='write 0% to 100%, such as "5%"')
        )

    @property
    def fraction(self) -> float:
        """The percentage as a part of one: 0.05 for `5%`."""
        return float(Decimal(self[:-1]) / 100)


def _quantity_text(value: Any) -> Any:
    # `size: 10` is as good to Kubernetes as `size: "10"`.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise refusal(Violation(path=(), message=f"{shown(value)} is not an address", remedy=_URL_REMEDY)) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or re.search(r"\s", value):
        raise refusal(Violation(path=(), message=f"{shown(value)} is not an address", remedy=_URL_REMEDY))
    if parts.username is not None or parts.password is not None:
        # Not shown: it may be a password.
        raise refusal(
            Violation(
                path=(), message="holds a user name or password", remedy="name the key by apiKeySecretRef instead"
            )
        )
    return value


_URL_REMEDY = "write it with http:// or https://, such as http://127.0.0.1:11434/v1"

NAME_LENGTH = 1024
URL_LENGTH = 2048
TEXT_LENGTH = 65_536

NonEmpty = Annotated[str, Field(min_length=1, max_length=NAME_LENGTH)]
"""A name, a path or another short text. Its bound keeps the cost of the API server's rules bounded."""
Text = Annotated[str, Field(max_length=TEXT_LENGTH)]
"""A text of any kind, such as a prompt."""
Quantity = Annotated[
    str,
    BeforeValidator(_quantity_text),
    Form(QUANTITY_PATTERN, "a quantity", "write it as 500m, 2 or 10Gi"),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "pattern": QUANTITY_PATTERN,
            "maxLength": 32,
            "x-kubernetes-validations": [
                Cel("type(self) == string || self >= 0", "must not be negative").as_schema(),
            ],
        }
    ),
]
HTTP_URL_PATTERN = r"^https?://[^/?#@\s]+([/?#]\S*)?$"
HttpUrl = Annotated[
    str,
    AfterValidator(_http_url),
    WithJsonSchema({"type": "string", "pattern": HTTP_URL_PATTERN, "maxLength": URL_LENGTH}),
    Field(max_length=URL_LENGTH),
]
StoreUrl = Annotated[
    str,
    Form(r"^[a-z][a-z0-9+.-]*://[^\s/]\S*$", "the address of a store", "write it as s3://bucket/folder"),
    Field(max_length=URL_LENGTH),
]
CurrencyCode = Annotated[
    str, Form(r"^[A-Z]{3}$", "a currency code", "write the three letters of ISO 4217, such as EUR")
]
_DNS_REMEDY = "use lower-case letters, digits and '-'; begin with a letter and do not end with '-'"
Dns1035 = Annotated[str, Form(DNS_1035_PATTERN, "a name that Kubernetes takes (DNS-1035)", _DNS_REMEDY)]
ObjectName = Annotated[Dns1035, Field(max_length=45)]
"""Name of a BenchmarkRun or ModelServer: what is made from it (pods, Services) must stay within 63 characters."""
SubmodelName = Annotated[Dns1035, Field(max_length=15)]
CampaignName = Annotated[Dns1035, Field(max_length=27)]
"""27 + `-` + 10 of a cell's hash + `-` + 6 of a round stay within 45."""
