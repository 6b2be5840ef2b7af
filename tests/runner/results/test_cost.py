"""What a run costs: exact decimals, or null with the reason."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_api.contracts.summary import Cost, CostBasis, Prices, Summary, TokenPrices, TokensOfServer
from joulebench_runner.results.cost import cost, repriced

KWH_MJ = 3_600_000_000
PRICES = Prices(
    currency="CHF",
    electricity_per_kwh=Decimal("0.27"),
    accelerator_per_hour=Decimal("2.5"),
    carbon_grams_per_kwh=Decimal(40),
    tokens={"model": TokenPrices(input_per_million=Decimal("0.25"), output_per_million=Decimal(2))},
)


def basis(**changes: Any) -> CostBasis:
    known: dict[str, Any] = {
        "energy_mj": 2 * KWH_MJ,
        "energy_problem": None,
        "accelerators": 2,
        "accelerator_ns": 3_600_000_000_000,
        "queries": 4,
        "correct": 2,
        "tokens": {"model": TokensOfServer(prompt=1_000_000, cached_prompt=400_000, output=500_000)},
    }
    return CostBasis(**(known | changes))


def priced(**changes: Any) -> Prices:
    return PRICES.model_copy(update=changes)


def test_energy_hours_carbon_and_tokens_have_their_price() -> None:
    found = cost(basis(), PRICES)
    assert found.electricity.total == Decimal("0.54")
    assert (found.electricity.per_query, found.electricity.per_correct) == (Decimal("0.135"), Decimal("0.27"))
    assert (found.accelerator_hours.total, found.accelerators.total) == (Decimal(1), Decimal("2.5"))
    assert found.carbon_grams.total == 80
    assert found.tokens.total == Decimal("1.25")
    assert (found.paid.total, found.paid_for) == (Decimal("3.04"), ["electricity", "accelerators"])


def test_each_product_has_its_price_and_others_that_of_all() -> None:
    hour_ns = 3_600_000_000_000
    used = basis(accelerator_ns_by_product={"NVIDIA H100 80GB HBM3": 2 * hour_ns, "NVIDIA L4": hour_ns})
    by_product = {"NVIDIA-H100-80GB-HBM3": Decimal(4)}
    assert cost(used, priced(accelerator_per_hour_by_product=by_product)).accelerators.total == Decimal("10.5")
    unknown = cost(used, priced(accelerator_per_hour_by_product=by_product, accelerator_per_hour=None)).accelerators
    assert unknown.total is None
    assert "NVIDIA L4" in str(unknown.problem)


def test_a_basis_without_products_is_priced_as_ever() -> None:
    found = cost(basis(), priced(accelerator_per_hour_by_product={"NVIDIA-L4": Decimal(9)}))
    assert found.accelerators.total == Decimal("2.5")


def test_pue_multiplies_energy_and_carbon() -> None:
    found = cost(basis(), priced(pue=Decimal("1.5")))
    assert (found.energy_kwh.total, found.electricity.total, found.carbon_grams.total) == (
        Decimal(3),
        Decimal("0.81"),
        Decimal(120),
    )


def test_cached_tokens_have_a_price_of_their_own_only_where_one_is_given() -> None:
    of_model = PRICES.tokens["model"].model_copy(update={"cached_input_per_million": Decimal("0.05")})
    assert cost(basis(), priced(tokens={"model": of_model})).tokens.total == Decimal("1.17")


def test_the_judge_is_apart_and_paid_for_on_top() -> None:
    judge = TokensOfServer(prompt=1_000_000, cached_prompt=0, output=0)
    prices = priced(tokens=PRICES.tokens | {"judge": PRICES.tokens["model"]})
    found = cost(basis(tokens=basis().tokens | {"judge": judge}), prices)
    assert (found.tokens.total, found.judge_tokens.total) == (Decimal("1.25"), Decimal("0.25"))
    assert found.paid_for == ["electricity", "accelerators", "judge_tokens"]


def test_a_server_of_others_is_paid_for_by_its_tokens() -> None:
    found = cost(basis(energy_mj=None, energy_problem="it runs elsewhere", accelerator_ns=None), PRICES)
    assert (found.paid.total, found.paid_for) == (Decimal("1.25"), ["tokens"])
    assert found.electricity.problem == "the energy is not known: it runs elsewhere"
    assert found.accelerator_hours.problem == "no accelerator was measured"


@pytest.mark.parametrize(
    ("changes", "figure", "words"),
    [
        ({"electricity_per_kwh": None}, "electricity", "cost.electricityPerKWh is not given"),
        ({"accelerator_per_hour": None}, "accelerators", "cost.acceleratorPerHour is not given"),
        ({"carbon_grams_per_kwh": None}, "carbon_grams", "cost.carbonGramsPerKWh is not given"),
        ({"tokens": {}}, "tokens", "tokenPrices.inputPerMillion of model is not given"),
        ({"tokens": {"model": TokenPrices(input_per_million=Decimal(1))}}, "tokens", "outputPerMillion of model"),
    ],
)
def test_an_unknown_price_gives_null_with_the_reason(changes: dict[str, Any], figure: str, words: str) -> None:
    found = getattr(cost(basis(), priced(**changes)), figure)
    assert found.total is None
    assert found.per_correct is None
    assert words in found.problem


def test_tokens_that_were_not_told_are_never_guessed() -> None:
    found = cost(basis(tokens={"model": TokensOfServer(prompt=10, cached_prompt=None, output=None)}), PRICES)
    assert found.tokens.total is None
    assert found.tokens.problem == "the server of model did not tell the tokens of every call"


def test_nothing_correct_has_no_price_a_correct_answer() -> None:
    assert cost(basis(correct=0), PRICES).electricity.per_correct is None
    assert cost(basis(correct=None), PRICES).electricity.per_query is not None


def test_the_smallest_cost_is_text_without_an_exponent() -> None:
    assert '"per_correct":"0.0000000000375"' in cost(basis(energy_mj=1), PRICES).model_dump_json()


@given(mj=st.integers(0, 10**18), price=st.decimals("0", "1000", places=9))
def test_a_cost_is_within_half_a_unit_of_its_twelfth_digit(mj: int, price: Decimal) -> None:
    found = cost(basis(energy_mj=mj), Prices(electricity_per_kwh=price)).electricity.total
    exact = Fraction(mj, KWH_MJ) * Fraction(price)
    assert found is not None
    assert abs(Fraction(found) - exact) <= exact * Fraction(5, 10**12)


@given(
    mj=st.none() | st.integers(0, 10**15),
    price=st.none() | st.decimals("0", "10", places=4),
    correct=st.none() | st.integers(0, 5),
)
def test_a_figure_has_a_total_or_a_problem_and_survives_json(
    mj: int | None, price: Decimal | None, correct: int | None
) -> None:
    found = cost(basis(energy_mj=mj, correct=correct), Prices(electricity_per_kwh=price, currency="EUR"))
    for figure in (found.energy_kwh, found.electricity, found.carbon_grams, found.paid):
        assert (figure.total is None) == (figure.problem is not None)
    assert Cost.model_validate_json(found.model_dump_json()) == found


def test_a_run_knows_what_its_costs_are_reckoned_from(run: Any, settings: Any) -> None:
    run.begin("q1").finish("q1").call("q1", 2, 4, prompt_tokens=10, cached_prompt_tokens=4, output_tokens=3)
    run.call(None, 4, 5, role="judge", alias="judge", prompt_tokens=7, cached_prompt_tokens=None, output_tokens=1)
    run.call("q1", 5, 6, status=500, prompt_tokens=None, output_tokens=None)
    found = run.results(settings=settings().model_copy(update={"pricing": PRICES})).summary.cost
    assert found.basis.tokens == {
        "model": TokensOfServer(prompt=10, cached_prompt=4, output=3),
        "judge": TokensOfServer(prompt=7, cached_prompt=None, output=1),
    }
    # 100 W over ten seconds, less the failed call's tokens but with its joules.
    assert found.basis.energy_mj == 1_000_000
    assert found.electricity.total == Decimal("0.000075")
    assert found.accelerator_hours.problem == "no accelerator was measured"


def test_accelerator_hours_are_those_of_all_gpus_in_the_measured_window(run: Any, empty: Any, settings: Any) -> None:
    empty.plan().stage("run", 1, 11).begin("q1").finish("q1").call("q1", 2, 4)
    for device in ("gpu-0", "gpu-1"):
        empty.device(device, domain="GPU", sensor="nvml").ticks(device)
    found = empty.results(settings=settings(domains=["GPU"]).model_copy(update={"pricing": PRICES})).summary.cost
    assert found.basis.accelerators == 2
    assert sum(found.basis.accelerator_ns_by_product.values()) == found.basis.accelerator_ns
    assert found.accelerator_hours.total == Decimal("0.00555555555556")


def test_repricing_needs_nothing_but_the_summary(run: Any) -> None:
    before: Summary = run.begin("q1").finish("q1").call("q1", 2, 4).results().summary
    assert before.cost.electricity.total is None
    after = repriced(Summary.model_validate_json(before.model_dump_json()), PRICES)
    assert after.cost.electricity.total == Decimal("0.000075")
    assert after.energy == before.energy


def test_a_summary_of_a_release_without_costs_says_so(run: Any) -> None:
    old = run.results().summary.model_copy(update={"cost": Cost()})
    assert "earlier release" in (repriced(old, PRICES).cost.paid.problem or "")
