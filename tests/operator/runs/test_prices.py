"""What the administrator's prices are to a run."""

from decimal import Decimal
from typing import Any

from tests.operator.runs.builders import EXTERNAL

from joulebench_api.configuration import OperatorConfiguration
from joulebench_api.contracts.summary import Prices, TokenPrices
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRunSpec
from joulebench_operator.runs.prices import prices

MODEL = EXTERNAL["external"]["model"]
FLEET = {
    "acceleratorPerHour": {"NVIDIA-H100-80GB-HBM3": "2.50"},
    "tokens": {MODEL: {"inputPerMillion": "0.25", "outputPerMillion": 2}},
}


def found(*, fleet: Any = FLEET, **spec: Any) -> Prices | None:
    written = {"server": EXTERNAL, "task": {"name": "gsm8k"}, **spec}
    return prices(BenchmarkRunSpec.model_validate(written), OperatorConfiguration.model_validate({"prices": fleet}))


def test_accelerators_are_priced_by_product_and_tokens_by_the_models_name() -> None:
    assert found() == Prices(
        accelerator_per_hour_by_product={"NVIDIA-H100-80GB-HBM3": Decimal("2.50")},
        tokens={"model": TokenPrices(input_per_million=Decimal("0.25"), output_per_million=Decimal(2))},
    )


def test_what_a_run_says_itself_goes_before() -> None:
    own = {"external": {**EXTERNAL["external"], "tokenPrices": {"inputPerMillion": 1}}}
    assert found(server=own, cost={"acceleratorPerHour": 3}) is None


def test_a_judge_has_prices_of_its_own() -> None:
    judge = {"server": {"external": {**EXTERNAL["external"], "model": "other"}}}
    priced = found(judge=judge, fleet={"tokens": {"other": {"inputPerMillion": 1}}})
    assert priced is not None
    assert priced.tokens == {"judge": TokenPrices(input_per_million=Decimal(1))}


def test_a_submodel_has_prices_of_its_own() -> None:
    submodels = [{"name": "small", "server": {"external": {**EXTERNAL["external"], "model": "other"}}}]
    priced = found(submodels=submodels, fleet={"tokens": {"other": {"inputPerMillion": 1}}})
    assert priced is not None
    assert priced.tokens == {"small": TokenPrices(input_per_million=Decimal(1))}


def test_without_prices_nothing_is_said() -> None:
    assert found(fleet={}) is None
