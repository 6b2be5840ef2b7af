"""A campaign's cells: which there are, in which order, and what they are called."""

import copy
import itertools
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from joulebench_api.merging import Cell, cell_hash, cells, written
from joulebench_api.merging.identity import round_suffix
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRunSpec
from joulebench_api.v1alpha1.campaign import BenchmarkCampaign
from joulebench_api.v1alpha1.energy import Energy
from joulebench_api.v1alpha1.numbers import PositiveInt


def template(model: str, **fields: Any) -> dict[str, Any]:
    return {"template": {"spec": {"engine": "vLLM", "model": model, **fields}}}


SPEC: dict[str, Any] = {
    "defaults": {"taskLimit": 200, "epochs": 2, "generation": {"temperature": 0, "seed": 1}},
    "models": [
        {"name": "small", "server": template("org/small"), "generation": {"seed": 2}},
        {
            "name": "big",
            "server": template("org/big", engineArgs={"x": 1, "y": 2}, parallelism={"tensor": 2}, args=["--a"]),
            "variants": [
                {"name": "base"},
                {"name": "other", "engineArgs": {"x": None, "z": 3}, "args": ["--b"], "parallelism": {"pipeline": 2}},
            ],
        },
    ],
    "benchmarks": [
        {"name": "gsm8k", "task": {"name": "gsm8k"}},
        {"name": "gpqa", "task": {"name": "gpqa", "limit": 50}, "epochs": 4, "generation": {"seed": 3}},
    ],
}


def with_changes(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(SPEC), **changes}


def names(found: list[Cell]) -> list[tuple[str, str | None, str]]:
    return [(cell.model, cell.variant, cell.benchmark) for cell in found]


def cell(spec: dict[str, Any], *which: str | None) -> Cell:
    return next(cell for cell in cells("c", spec) if (cell.model, cell.variant, cell.benchmark) == which)


def test_every_model_in_every_variant_meets_every_benchmark() -> None:
    assert names(cells("c", SPEC)) == [
        ("small", None, "gsm8k"),
        ("small", None, "gpqa"),
        ("big", "base", "gsm8k"),
        ("big", "base", "gpqa"),
        ("big", "other", "gsm8k"),
        ("big", "other", "gpqa"),
    ]


def test_the_other_orders_hold_the_same_cells() -> None:
    first = cells("c", SPEC)
    by_benchmark = cells("c", with_changes(order="BenchmarkFirst"))
    mixed = cells("c", with_changes(order="Interleaved"))

    assert [cell.benchmark for cell in by_benchmark] == ["gsm8k"] * 3 + ["gpqa"] * 3
    assert {each.name for each in first} == {each.name for each in by_benchmark} == {each.name for each in mixed}
    neighbours = list(itertools.pairwise(mixed[:3]))
    assert all(a.model != b.model or a.variant != b.variant for a, b in neighbours)
    assert all(a.benchmark != b.benchmark for a, b in neighbours)


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ({"models": ["small"]}, 4),
        ({"models": ["big"], "benchmarks": ["gpqa"]}, 4),
        ({"variants": ["other"]}, 4),
        ({"models": ["small"], "variants": ["other"]}, 6),
        ({"benchmarks": ["gsm8k", "gpqa"]}, 0),
        ({}, 6),
    ],
)
def test_an_exclude_matches_cells_by_all_that_it_names(exclude: dict[str, Any], left: int) -> None:
    assert len(cells("c", with_changes(exclude=[exclude]))) == left


def test_an_include_adds_cells_also_where_the_matrix_excludes_them() -> None:
    spec = with_changes(
        exclude=[{"models": ["small"], "benchmarks": ["gpqa"]}],
        include=[{"name": "short", "model": "small", "benchmark": "gpqa", "epochs": 1, "seed": 5}],
    )
    added = cells("c", spec)[-1]

    assert (added.include, added.model, added.benchmark) == ("short", "small", "gpqa")
    assert (added.spec["epochs"], added.spec["seed"], added.spec["task"]["limit"]) == (1, 5, 50)
    assert str(added) == "small x gpqa (short)"


def test_defaults_reach_a_cell_whose_benchmark_says_nothing() -> None:
    assert cell(SPEC, "small", None, "gsm8k").spec["epochs"] == 2
    assert cell(SPEC, "small", None, "gsm8k").spec["task"] == {"name": "gsm8k", "limit": 200}


def test_a_benchmark_goes_before_its_model_and_a_model_before_the_defaults() -> None:
    assert cell(SPEC, "small", None, "gsm8k").spec["generation"] == {"temperature": 0, "seed": 2}
    assert cell(SPEC, "small", None, "gpqa").spec["generation"] == {"temperature": 0, "seed": 3}
    assert cell(SPEC, "small", None, "gpqa").spec["epochs"] == 4
    assert cell(SPEC, "small", None, "gpqa").spec["task"]["limit"] == 50


def test_a_variant_is_merged_into_the_template_and_null_takes_an_option_away() -> None:
    spec = cell(SPEC, "big", "other", "gsm8k").spec["server"]["template"]["spec"]

    assert spec["engineArgs"] == {"y": 2, "z": 3}
    assert spec["args"] == ["--b"]
    assert spec["parallelism"] == {"tensor": 2, "pipeline": 2}
    assert cell(SPEC, "big", "base", "gsm8k").spec["server"] == SPEC["models"][1]["server"]


def test_a_variant_s_generation_lies_between_its_model_s_and_the_benchmark_s() -> None:
    spec = with_changes()
    spec["models"][1]["variants"][0]["generation"] = {"seed": 9, "maxTokens": 7}

    assert cell(spec, "big", "base", "gsm8k").spec["generation"] == {"temperature": 0, "seed": 9, "maxTokens": 7}
    assert cell(spec, "big", "base", "gpqa").spec["generation"] == {"temperature": 0, "seed": 3, "maxTokens": 7}


def test_making_cells_changes_nothing_in_the_campaign() -> None:
    spec = with_changes()
    cells("c", spec)
    assert spec == SPEC


def test_a_cell_s_name_is_the_campaign_s_with_ten_letters_and_digits() -> None:
    found = cells("a-campaign", SPEC)

    assert all(re.fullmatch(r"a-campaign-[a-z2-7]{10}", each.name) for each in found)
    assert len({each.name for each in found}) == len(found)


def test_the_round_is_six_characters_that_sort_by_time() -> None:
    minutes = [
        datetime(2026, 1, 1, 2, 0, tzinfo=UTC),
        datetime(2026, 1, 1, 2, 1, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
    ]
    suffixes = [round_suffix(minute) for minute in minutes]

    assert suffixes == sorted(set(suffixes))
    assert all(re.fullmatch(r"[0-9a-z]{6}", suffix) for suffix in suffixes)
    assert round_suffix(datetime(2026, 1, 1, 2, 0, 59, tzinfo=UTC)) == suffixes[0]


# --- the hash ---------------------------------------------------------------------------------------------------------

RUN: dict[str, Any] = {
    "server": template("org/a"),
    "task": {"name": "gsm8k"},
    "generation": {"temperature": "0.7"},
    "cost": {"electricityPerKWh": "0.25"},
}


@pytest.mark.parametrize(
    "change",
    [
        {"generation": {"temperature": 0.7}},
        {"generation": {"temperature": "0.70"}},
        {"generation": {"temperature": "0.7", "seed": None}},
        {"epochs": 1},
        {"epochs": None},
        {"energy": {}},
        {"warmup": {"queries": 3}},
        {"timeouts": {"run": "24h"}},
        {"server": template("org/a", replicas=1, parallelism={"tensor": 1}, startupTimeout="30m", engineArgs={})},
        {"server": {**template("org/a"), "access": "Exclusive"}},
    ],
)
def test_another_spelling_or_a_default_that_is_written_out_changes_no_hash(change: dict[str, Any]) -> None:
    assert cell_hash(RUN | change) == cell_hash(RUN)


@pytest.mark.parametrize(
    "change",
    [
        {"generation": {"temperature": "0.71"}},
        {"generation": {}},
        {"epochs": 2},
        {"energy": {"policy": "Preferred"}},
        {"server": template("org/a", replicas=2)},
        {"server": template("org/a", engineArgs={"x": 1})},
        {"server": template("org/a", engineArgs={"x": True})},
        {"results": {"store": {"claimTemplate": {"size": "10Gi"}}}},
        {"task": {"name": "gsm8k", "params": {"a": []}}},
    ],
)
def test_what_was_written_anew_changes_the_hash(change: dict[str, Any]) -> None:
    assert cell_hash(RUN | change) != cell_hash(RUN)


def test_true_and_one_are_not_the_same() -> None:
    one, true = (RUN | {"server": template("org/a", engineArgs={"x": value})} for value in (1, True))
    assert cell_hash(one) != cell_hash(true)


def test_the_hash_is_the_same_in_every_release() -> None:
    # A change here renames the cells of every campaign that is stored somewhere: then all their runs run again.
    assert cell_hash(RUN) == "baxl7syuj5"


@given(st.permutations(list(RUN)), st.permutations(list(RUN["server"]["template"]["spec"])))
def test_the_order_of_keys_changes_no_hash(order: list[str], inner: list[str]) -> None:
    spec = {key: RUN["server"]["template"]["spec"][key] for key in inner}
    shuffled = {key: RUN[key] for key in order} | {"server": {"template": {"spec": spec}}}
    assert cell_hash(shuffled) == cell_hash(RUN)


@given(st.decimals(min_value=0, max_value=1000, places=6, allow_nan=False, allow_infinity=False), st.integers(0, 3))
def test_the_spelling_of_a_decimal_changes_no_hash(value: Any, zeros: int) -> None:
    plain = format(value, "f")
    spellings = [plain, plain + "0" * zeros, float(plain)]
    assert len({cell_hash(RUN | {"cost": {"electricityPerKWh": spelling}}) for spelling in spellings}) == 1


class _LaterEnergy(Energy):
    smoothing: PositiveInt = 5


class _LaterSpec(BenchmarkRunSpec):
    """A later release: two new fields that the schema gives defaults."""

    energy: _LaterEnergy = Field(default_factory=_LaterEnergy)
    pause: PositiveInt = 10


def test_a_default_that_a_later_release_adds_changes_no_hash() -> None:
    stored = RUN | {"pause": 10, "energy": {"policy": "Required", "smoothing": 5}}

    assert cell_hash(stored, model=_LaterSpec) == cell_hash(RUN | {"energy": {"policy": "Required"}})
    assert cell_hash(RUN | {"pause": 11}, model=_LaterSpec) != cell_hash(RUN)


def test_a_campaign_that_was_read_has_the_cells_of_what_was_written() -> None:
    campaign = BenchmarkCampaign.model_validate({"metadata": {"name": "c"}, "spec": SPEC})

    assert [each.name for each in cells("c", written(campaign.spec))] == [each.name for each in cells("c", SPEC)]
