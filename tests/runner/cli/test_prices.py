"""The option --cost."""

from decimal import Decimal
from pathlib import Path

import pytest

from joulebench_api.contracts.summary import Prices, TokenPrices
from joulebench_runner.cli.prices import chosen_prices
from joulebench_runner.errors import BadInputError

BEFORE = Prices(currency="EUR", electricity_per_kwh=Decimal("0.3"))


def test_what_is_not_given_stays() -> None:
    assert chosen_prices([], before=BEFORE) == BEFORE
    after = chosen_prices(["pue=1.2", "electricityPerKWh=0.25"], before=BEFORE)
    assert after == Prices(currency="EUR", electricity_per_kwh=Decimal("0.25"), pue=Decimal("1.2"))


def test_token_prices_are_of_the_model_unless_an_alias_is_named() -> None:
    given = ["tokenPrices.inputPerMillion=1", "tokenPrices.judge.outputPerMillion=2"]
    assert chosen_prices(given, before=BEFORE).tokens == {
        "model": TokenPrices(input_per_million=Decimal(1)),
        "judge": TokenPrices(output_per_million=Decimal(2)),
    }


def test_a_file_holds_the_same_names(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("currency: CHF\ncarbonGramsPerKWh: 45\ntokenPrices: {judge: {outputPerMillion: '2'}}\n")
    after = chosen_prices([str(file), "carbonGramsPerKWh=46"], before=BEFORE)
    assert (after.currency, after.carbon_grams_per_kwh) == ("CHF", Decimal(46))
    assert after.tokens["judge"].output_per_million == Decimal(2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("electricityPerKwh=1", "there is no price 'electricityPerKwh'"),
        ("tokenPrices.inputPerMilion=1", "there is no price 'inputPerMilion'"),
        ("pue=0.5", "must be at least 1"),
        ("currency=Euro", "currency"),
        ("electricityPerKWh=-1", "electricityPerKWh"),
        ("tokenPrices=3", "tokenPrices holds prices by name"),
        ("absent.yaml", "cannot be read"),
    ],
)
def test_a_wrong_price_is_refused_with_its_name(text: str, words: str) -> None:
    with pytest.raises(BadInputError, match=words) as caught:
        chosen_prices([text], before=BEFORE)
    assert caught.value.remedy


def test_a_file_that_holds_no_prices_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("- 1\n")
    with pytest.raises(BadInputError, match="holds no prices"):
        chosen_prices([str(file)], before=BEFORE)


def test_a_price_of_all_accelerators_takes_the_place_of_those_by_product() -> None:
    before = BEFORE.model_copy(update={"accelerator_per_hour_by_product": {"NVIDIA-L4": Decimal(1)}})
    assert chosen_prices(["acceleratorPerHour=3"], before=before).accelerator_per_hour_by_product == {}
    assert chosen_prices(["pue=2"], before=before).accelerator_per_hour_by_product == {"NVIDIA-L4": Decimal(1)}
