"""The processes' settings from the benchmark's fields."""

from decimal import Decimal
from pathlib import Path

import pytest

from joulebench_api.contracts.summary import Prices, TokenPrices
from joulebench_api.defaults import resolve
from joulebench_api.loading import load
from joulebench_runner.config import DriverSettings, EnergySettings, MeterSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.local.settings import driver_settings
from joulebench_runner.translation.settings import pricing_settings

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


def driver(task: str, *, data: Path | None) -> DriverSettings:
    run = resolve(load(RUN.replace("{name: everyday}", task), source="run.yaml").run)
    paths = {"run_dir": Path(), "control_socket": Path("c"), "ready_file": Path("ready.json")}
    energy = EnergySettings()
    meter = MeterSettings(run_id="r", run_name="n", upstreams=[], energy=energy, **paths)
    return driver_settings(run.spec, meter, data=data)


def test_a_folder_plays_the_part_of_a_claim_and_then_the_hub_is_never_asked() -> None:
    found = driver("{name: gsm8k, source: {claim: {name: data}}}", data=Path("/data"))
    assert found.task.data_root == Path("/data")
    assert found.task.offline
    assert not driver("{name: gsm8k}", data=Path("/data")).task.offline


@pytest.mark.parametrize(
    ("source", "words"),
    [("claim: {name: data}", "no claims on a local run"), ("configMap: {name: data}", "configMap: not available")],
)
def test_a_source_of_a_cluster_says_what_to_do_here(source: str, words: str) -> None:
    with pytest.raises(BadInputError, match=words) as caught:
        driver("{name: gsm8k, source: {" + source + "}}", data=None)
    assert "--data DIR" in str(caught.value.remedy)
