"""Decimals, durations and percentages: what is written is what is meant."""

import decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from joulebench_api.v1alpha1.decimals import Decimal, decimal_text, parse_decimal
from joulebench_api.v1alpha1.texts import Duration, Percent

DECIMALS = st.decimals(min_value=0, max_value=10**12 - 1, places=9, allow_nan=False, allow_infinity=False)


@given(DECIMALS)
def test_a_decimal_s_text_reads_back_as_the_same_number(value: decimal.Decimal) -> None:
    assert parse_decimal(decimal_text(value)) == value


@given(st.integers(min_value=0, max_value=10**12 - 1))
def test_an_integer_and_its_text_are_the_same_decimal(value: int) -> None:
    assert parse_decimal(value) == parse_decimal(str(value)) == value


@given(st.decimals(min_value=0, max_value=1000, places=6, allow_nan=False, allow_infinity=False))
def test_a_float_is_the_decimal_that_was_written(value: decimal.Decimal) -> None:
    assert parse_decimal(float(decimal_text(value))) == value


@given(DECIMALS)
def test_equal_decimals_are_written_alike(value: decimal.Decimal) -> None:
    adapter: TypeAdapter[decimal.Decimal] = TypeAdapter(Decimal)

    assert adapter.dump_python(value) == adapter.dump_python(adapter.validate_python(f"{value:f}"))


@pytest.mark.parametrize(
    "value", ["", "1e3", ".5", "5.", "-1", "+1", "1_000", "1\n", "٣", True, None, float("nan"), [1]]
)
def test_what_is_not_a_decimal_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="is not a decimal number"):
        parse_decimal(value)


@given(st.integers(min_value=0, max_value=99_999 * 3_600_000))
def test_a_duration_s_text_reads_back_as_the_same_time(milliseconds: int) -> None:
    duration = Duration.of(milliseconds=milliseconds)

    assert Duration.parse(str(duration)).milliseconds == milliseconds
    assert duration.seconds == milliseconds / 1000


@given(st.lists(st.tuples(st.integers(0, 99_999), st.sampled_from(["h", "m", "s", "ms"])), min_size=1, max_size=4))
def test_a_duration_is_the_sum_of_its_parts_in_any_order(parts: list[tuple[int, str]]) -> None:
    size = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}

    duration = Duration.parse("".join(f"{count}{unit}" for count, unit in parts))

    assert duration.milliseconds == sum(count * size[unit] for count, unit in parts)


@pytest.mark.parametrize(
    "value", ["", "5", "1.5s", "-1s", "2d", "1h2m3s4ms5h", "100000s", "1 h", "1s\n", 5, True, None]
)
def test_what_is_not_a_duration_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="is not a duration"):
        Duration.parse(value)


def test_a_duration_stays_the_text_that_was_written() -> None:
    assert TypeAdapter(Duration).dump_json(Duration.parse("90m")) == b'"90m"'


@given(st.integers(0, 100))
def test_a_percentage_is_a_part_of_one(percent: int) -> None:
    assert Percent.parse(f"{percent}%").fraction == percent / 100


@pytest.mark.parametrize("value", ["5", "-1%", "101%", "100.1%", "5 %", 5])
def test_what_is_not_a_percentage_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="is not a percentage"):
        Percent.parse(value)


@pytest.mark.parametrize(("kind", "pattern"), [(Duration, r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"), (Percent, None)])
def test_texts_with_a_form_say_it_in_their_schema(kind: type, pattern: str | None) -> None:
    schema = TypeAdapter(kind).json_schema()

    assert schema["type"] == "string"
    assert pattern in (None, schema["pattern"])
