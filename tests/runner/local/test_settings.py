"""The processes' settings from the benchmark's fields."""

from decimal import Decimal

from joulebench_api.contracts.summary import Prices, TokenPrices
from joulebench_api.loading import load
from joulebench_runner.config import MeterSettings
from joulebench_runner.local.settings import pricing_settings

RUN = """
apiVersion: joulebench.dev/v1alpha1
kind: BenchmarkRun
metadata: {name: priced}
spec:
  server: {template: {spec: {preset: smollm2-135m-instruct}}}
  judge:
    server:
      external:
        url: http://127.0.0.1:1/v1
        model: wise
        tokenPrices: {inputPerMillion: "0.25", outputPerMillion: 2}
  task: {name: everyday}
  cost: {currency: CHF, electricityPerKWh: "0.27", pue: "1.2"}
"""


def test_prices_come_from_cost_and_from_the_servers_of_others() -> None:
    assert pricing_settings(load(RUN, source="run.yaml").run.spec) == Prices(
        currency="CHF",
        electricity_per_kwh=Decimal("0.27"),
        pue=Decimal("1.2"),
        tokens={"judge": TokenPrices(input_per_million=Decimal("0.25"), output_per_million=Decimal(2))},
    )


def test_prices_are_text_in_a_settings_file() -> None:
    prices = pricing_settings(load(RUN, source="run.yaml").run.spec)
    assert '"electricity_per_kwh":"0.27"' in prices.model_dump_json()
    assert MeterSettings.model_fields["pricing"].annotation is Prices
