"""Where a local run's models are: a server of its own, others that are up already, or one under two names."""

from pathlib import Path
from typing import Any

import pytest

from joulebench_api.defaults import resolve
from joulebench_api.loading import load
from joulebench_runner.config import MeterSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.local.plan import LocalOptions
from joulebench_runner.local.planning import plan_run
from joulebench_runner.local.run_file import RunFile

FILE = """
apiVersion: joulebench.dev/v1alpha1
kind: ModelServer
metadata: {{name: big}}
spec: {{engine: Simulator, model: any-name}}
---
apiVersion: joulebench.dev/v1alpha1
kind: ModelServer
metadata: {{name: small}}
spec: {{engine: Simulator, model: any-name}}
---
apiVersion: joulebench.dev/v1alpha1
kind: BenchmarkRun
metadata: {{name: helped}}
spec:
  server: {server}
  {others}
  task: {{name: everyday}}
"""
BIG, SMALL = "{modelServerRef: {name: big}}", "{modelServerRef: {name: small}}"
HERE = "{external: {url: http://127.0.0.1:1/v1, model: here}}"
KEYED = "{external: {url: https://api.example/v1, model: far, apiKeySecretRef: {name: far}}}"
OTHERS = {
    "submodel": ("submodels: [{{name: helper, server: {}}}]", "spec.submodels[0].server"),
    "judge": ("judge: {{server: {}}}", "spec.judge.server"),
}
roles = pytest.mark.parametrize("role", OTHERS)


def planned(folder: Path, *, server: str = BIG, role: str = "submodel", other: str, sensor: str = "auto") -> Any:
    text = FILE.format(server=server, others=OTHERS[role][0].format(other))
    loaded = load(text, source="run.yaml")
    return plan_run(
        type(loaded)(run=resolve(loaded.run), servers=loaded.servers, warnings=[]),
        run_file=RunFile(run_id="r", rerun_token=None, same={}, starts=[]),
        run_dir=folder,
        stored_below=Path(),
        socket_dir=folder,
        options=LocalOptions(sensor=sensor),
    )


def meter(folder: Path, **options: Any) -> MeterSettings:
    found: MeterSettings = planned(folder, **options).meter_settings
    return found


@roles
def test_another_model_may_be_the_models_own_server(tmp_path: Path, role: str) -> None:
    plan = planned(tmp_path, role=role, other=BIG)
    model, other = plan.meter_settings.upstreams
    assert (other.role, other.alias) == (role, "helper" if role == "submodel" else "judge")
    assert other.model_copy(update={"alias": "model", "role": "model"}) == model
    assert model.measured
    assert plan.meter_settings.provenance["servers"].keys() == {"model", other.alias}


@roles
def test_another_model_may_be_up_already(tmp_path: Path, role: str) -> None:
    model, other = meter(tmp_path, role=role, other=HERE, sensor="modelled").upstreams
    assert (other.role, other.model, other.base_urls) == (role, "here", ["http://127.0.0.1:1/v1"])
    assert (model.measured, other.measured) == (True, True)


def test_a_server_beside_the_simulator_uses_none_of_its_devices(tmp_path: Path) -> None:
    model, other = meter(tmp_path, other=HERE).upstreams
    assert (model.measured, other.measured) == (True, False)


@roles
def test_a_second_server_is_not_started(tmp_path: Path, role: str) -> None:
    for other in (SMALL, "{template: {spec: {engine: Simulator, model: m}}}"):
        with pytest.raises(BadInputError, match="a local run starts one model server") as caught:
            planned(tmp_path, role=role, other=other)
        assert caught.value.message.startswith(OTHERS[role][1])
        assert f"name the {role} under external" in str(caught.value.remedy)


@roles
def test_a_key_is_read_from_the_environment_and_missed_by_its_field(
    tmp_path: Path, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAR_API_KEY", raising=False)
    with pytest.raises(BadInputError, match="FAR_API_KEY is not set") as caught:
        planned(tmp_path, role=role, other=KEYED)
    assert caught.value.message.startswith(f"{OTHERS[role][1]}.external.apiKeySecretRef")
    monkeypatch.setenv("FAR_API_KEY", "k")
    _, other = meter(tmp_path, role=role, other=KEYED).upstreams
    assert (other.key_variable, other.measured) == ("FAR_API_KEY", False)
