"""The models that a run asks."""

from typing import Any

from joulebench_api.parties import parties
from joulebench_api.v1alpha1 import BenchmarkRunSpec

EXTERNAL: dict[str, Any] = {"external": {"url": "http://a/v1", "model": "m"}}


def found(**spec: Any) -> list[tuple[str, str, str]]:
    read = BenchmarkRunSpec.model_validate({"server": EXTERNAL, "task": {"name": "gsm8k"}, **spec})
    return [(party.alias, party.role, party.field) for party in parties(read)]


def test_the_model_under_test_is_first_then_submodels_by_their_names_and_the_judge() -> None:
    others = [{"name": "small", "server": EXTERNAL}, {"name": "tiny", "server": EXTERNAL}]
    assert found(submodels=others, judge={"server": EXTERNAL}) == [
        ("model", "model", "spec.server"),
        ("small", "submodel", "spec.submodels[0].server"),
        ("tiny", "submodel", "spec.submodels[1].server"),
        ("judge", "judge", "spec.judge.server"),
    ]
    assert found() == [("model", "model", "spec.server")]


def test_each_says_how_it_is_asked() -> None:
    spec = BenchmarkRunSpec.model_validate(
        {
            "server": EXTERNAL,
            "task": {"name": "gsm8k"},
            "generation": {"maxTokens": 1},
            "submodels": [{"name": "small", "server": EXTERNAL, "generation": {"maxTokens": 2}}],
            "judge": {"server": EXTERNAL},
        }
    )
    assert [party.generation and party.generation.max_tokens for party in parties(spec)] == [1, 2, None]
