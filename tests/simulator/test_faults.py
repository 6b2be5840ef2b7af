"""Which requests go wrong."""

from pathlib import Path

import pytest

from joulebench_simulator.errors import BadOptionError, RequestError
from joulebench_simulator.faults import FaultKind, Faults, parse_rule, read_rules


def met(text: str, *, count: int = 10, age: float = 0.0) -> list[int]:
    """The numbers of the requests that meet a rule."""
    faults = Faults(rules=[parse_rule(text)])
    return [number for number in range(1, count + 1) if faults.of(number=number, age_seconds=age)]


def test_requests_are_chosen_by_number() -> None:
    assert met("hang,requests=3") == [3]
    assert met("hang,requests=3-5") == [3, 4, 5]
    assert met("hang,requests=9-") == [9, 10]


def test_requests_are_chosen_by_chance_and_always_the_same_ones() -> None:
    chosen = met("hang,probability=0.3", count=1000)
    assert 240 < len(chosen) < 360
    assert chosen == met("hang,probability=0.3", count=1000)


def test_requests_are_chosen_by_time() -> None:
    assert [bool(met("hang,from=2s,until=5s", age=age)) for age in (0.0, 2.0, 4.9, 5.0)] == [False, True, True, False]


def test_the_first_rule_that_fits_counts() -> None:
    faults = Faults(rules=[parse_rule("hang,requests=2"), parse_rule("status,code=429,retry-after=1")])
    kinds = [fault.kind for number in (1, 2) if (fault := faults.of(number=number, age_seconds=0.0))]
    assert kinds == [FaultKind.STATUS, FaultKind.HANG]


def test_a_request_may_ask_for_its_own() -> None:
    fault = Faults().of(number=1, age_seconds=0.0, asked="close,chunks=7")
    assert fault is not None
    assert (fault.kind, fault.chunks) == (FaultKind.CLOSE, 7)
    with pytest.raises(RequestError, match="'explode' is not a fault"):
        Faults().of(number=1, age_seconds=0.0, asked="explode")


def test_a_file_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    file.write_text('[{"fault": "status", "code": 429, "retry-after": 1, "until": "5s"}]')
    assert read_rules(file) == [parse_rule("status,code=429,retry-after=1,until=5s")]


@pytest.mark.parametrize("text", ["explode", "hang,often=1", "hang,requests=x", "status,code=abc", "slow,delay=1"])
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(BadOptionError, match=text.split(",", maxsplit=1)[0]):
        parse_rule(text)
