"""What the administrator's prices are to a run that does not say its own."""

from decimal import Decimal

from joulebench_api.configuration import OperatorConfiguration
from joulebench_api.contracts.summary import Prices, TokenPrices
from joulebench_api.parties import parties
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRunSpec


def prices(written: BenchmarkRunSpec, configuration: OperatorConfiguration) -> Prices | None:
    """The prices of accelerators by product and of tokens by alias; None if there are none for it.

    `written`: the spec as somebody wrote it. What it says itself goes before all this, and this before the
    configuration's defaults, which know no products.
    """
    by_product = _by_product(configuration) if written.cost.accelerator_per_hour is None else {}
    tokens = _of_tokens(written, configuration)
    if not by_product and not tokens:
        return None
    return Prices(accelerator_per_hour_by_product=by_product, tokens=tokens)


def _by_product(configuration: OperatorConfiguration) -> dict[str, Decimal]:
    return {product: Decimal(str(price)) for product, price in configuration.prices.accelerator_per_hour.items()}


def _of_tokens(written: BenchmarkRunSpec, configuration: OperatorConfiguration) -> dict[str, TokenPrices]:
    known = configuration.prices.tokens
    return {
        party.alias: TokenPrices(**known[external.model].model_dump(by_alias=False, mode="python"))
        for party in parties(written)
        if (external := party.source.external) is not None and external.token_prices is None and external.model in known
    }
