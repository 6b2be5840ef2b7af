"""What the questions asked of each model. The devices draw 100 W; the measured window is 1 s to 11 s."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_api.contracts.energy import Domain
from joulebench_api.contracts.summary import Prices, TokenPrices, TokensOfServer
from joulebench_runner.config import Upstream
from joulebench_runner.journal.schema import Kind

Run = Any  # the builder of conftest.py
MODEL = Upstream(alias="model", role="model", model="big", base_urls=["http://big/v1"])
HELPER = Upstream(alias="helper", role="submodel", model="small", base_urls=["http://small/v1"])
JUDGE = Upstream(alias="judge", role="judge", model="wise", base_urls=["http://big/v1"])
HELPED: dict[str, Any] = {"alias": "helper", "role": "submodel", "server_url": "http://small/v1"}
JUDGED: dict[str, Any] = {"alias": "judge", "role": "judge", "server_url": "http://big/v1"}


@pytest.fixture
def three(settings: Any) -> Any:
    """Settings of a run with a submodel and a judge."""
    return settings(upstreams=[MODEL, HELPER, JUDGE])


def helped(run: Run) -> Run:
    """A question that asked its helper, then the model, then the judge, and the helper once more in vain."""
    run.begin("q1")
    run.call("q1", 2, 3, chunks=(2.5, 3), output_tokens=4, finish_reason="length", server_pod="small-0", **HELPED)
    run.call("q1", 4, 7, chunks=(4.5, 7), output_tokens=6, server_pod="big-0")
    run.call("q1", 7, 8, status=500, error="HTTP 500", prompt_tokens=None, output_tokens=None, **HELPED)
    run.call("q1", 8, 10, chunks=(9, 10), output_tokens=9, **JUDGED)
    return run.finish("q1")


def test_a_submodels_joules_are_the_questions_that_asked_it(run: Run, three: Any) -> None:
    energy = helped(run).results(settings=three).summary.energy
    assert (energy.queries_joules, energy.judge_joules, energy.idle_joules) == (500.0, 200.0, 300.0)
    assert energy.conserved is True
    assert run.row("q1", settings=three)["energy_mj"] == 500_000
    assert [run.turn(call, settings=three)["energy_bucket"] for call in ("c1", "c2", "c3", "c4")] == [
        "queries", "queries", "queries", "judge",
    ]  # fmt: skip


def test_each_model_has_its_own_calls_tokens_and_joules(run: Run, three: Any) -> None:
    model, helper, judge = helped(run).results(settings=three).summary.models
    assert [(one.alias, one.role, one.name) for one in (model, helper, judge)] == [
        ("model", "model", "big"), ("helper", "submodel", "small"), ("judge", "judge", "wise"),
    ]  # fmt: skip
    assert [(one.calls, one.tokens.output, one.energy_joules) for one in (model, helper, judge)] == [
        (1, 6, 300.0), (2, 4, 200.0), (1, 9, 200.0),
    ]  # fmt: skip


def test_tokens_are_of_all_that_worked_on_the_answer_and_speed_is_the_models(run: Run, three: Any) -> None:
    summary, row = helped(run).results(settings=three).summary, run.row("q1", settings=three)
    assert (summary.tokens.output, summary.tokens.prompt) == (10, 20)
    assert summary.efficiency.joules_per_output_token == 50.0
    assert (row["turns"], row["calls"], row["output_tokens"]) == (2, 3, 10)
    assert (row["ttft_seconds"], row["tpot_seconds"]) == (0.5, pytest.approx(2.5 / 5))
    assert row["e2e_seconds"] == 5.0
    assert (row["finish_reason"], row["server_pod"]) == ("stop", "big-0")


def test_a_question_that_asked_its_submodel_alone_has_no_speed(run: Run, three: Any) -> None:
    run.begin("q1").call("q1", 2, 4, chunks=(3, 4), **HELPED).finish("q1")
    row = run.row("q1", settings=three)
    assert (row["turns"], row["output_tokens"], row["energy_joules"], row["e2e_seconds"]) == (1, 2, 200.0, 2.0)
    assert (row["ttft_seconds"], row["tpot_seconds"], row["finish_reason"]) == (None, None, None)


def test_a_submodel_that_was_never_asked_is_no_news(run: Run, three: Any) -> None:
    run.begin("q1").call("q1", 2, 6).finish("q1")
    summary = run.results(settings=three).summary
    assert [(one.alias, one.calls, one.energy_joules) for one in summary.models] == [
        ("model", 1, 400.0), ("helper", 0, 0.0), ("judge", 0, 0.0),
    ]  # fmt: skip
    assert summary.warnings == []


def test_a_submodel_elsewhere_is_missing_from_the_joules_and_that_is_said(run: Run, settings: Any) -> None:
    remote = settings(upstreams=[MODEL, HELPER.model_copy(update={"measured": False})])
    summary = helped(run).results(settings=remote).summary
    assert (summary.energy.queries_joules, summary.energy.conserved) == (300.0, True)
    assert [one.energy_joules for one in summary.models] == [300.0, None]
    assert summary.efficiency.joules_per_output_token is None
    assert "joules of the submodel helper are not known" in " ".join(summary.warnings)
    assert run.row("q1", settings=remote)["energy_high_joules"] is None


def test_without_joules_nobody_has_any_and_nothing_more_is_said(empty: Run, three: Any) -> None:
    helped(empty.plan().stage("run", 1, 11))
    summary = empty.results(settings=three).summary
    assert [one.energy_joules for one in summary.models] == [None, None, None]
    assert not any("submodel" in warning for warning in summary.warnings)


def test_one_server_under_two_names_tells_of_foreign_requests_under_one(run: Run, settings: Any) -> None:
    run.begin("q1").call("q1", 1, 11).finish("q1")
    for at in range(1, 12):
        run.scrape(at, running=1.0, own=1)
    same = HELPER.model_copy(update={"base_urls": MODEL.base_urls})
    assert run.results(settings=settings(upstreams=[MODEL, same])).summary.energy.foreign_reason is None
    apart = run.results(settings=settings(upstreams=[MODEL, HELPER])).summary.energy
    assert "the server of helper" in str(apart.foreign_reason)


@pytest.mark.parametrize(("deployment", "reason"), [("big", None), ("small", "the server of helper")])
def test_on_a_cluster_one_server_is_one_deployment(empty: Run, settings: Any, deployment: str, reason: str) -> None:
    run = on_a_cluster(empty, deployment=deployment)
    run.begin("q1").call("q1", 2, 6, server_url="http://10.0.0.1:8000/v1").finish("q1")
    run.scrape(3, running=1.0, own=1, server_url="http://10.0.0.1:8000/v1")
    energy = run.results(settings=pods(settings)).summary.energy
    assert (energy.foreign_reason is None) if reason is None else (reason in str(energy.foreign_reason))


def test_on_a_cluster_each_model_has_the_joules_of_its_own_gpu(empty: Run, settings: Any) -> None:
    run = on_a_cluster(empty, deployment="small")
    big, small = {"server_url": "http://10.0.0.1:8000/v1"}, HELPED | {"server_url": "http://10.0.0.2:8000/v1"}
    run.begin("q1").call("q1", 2, 4, **small).call("q1", 4, 8, **big).finish("q1")
    # Both at once: each on its own device, so neither shares with the other.
    run.begin("q2").call("q2", 2, 4, **big).finish("q2")
    summary = run.results(settings=pods(settings)).summary
    assert [one.energy_joules for one in summary.models] == [600.0, 200.0]
    assert {one.device: one.queries_joules for one in summary.energy.devices} == {"g0": 600.0, "g1": 200.0}
    assert [run.row(one, settings=pods(settings))["energy_joules"] for one in ("q1", "q2")] == [600.0, 200.0]
    assert summary.energy.conserved


def on_a_cluster(run: Run, *, deployment: str) -> Run:
    """Two GPUs: one for the model's pod, the other for the pod of the helper, made by that Deployment."""
    run.plan().stage("run", 1, 11)
    names = {"model": ("big", "g0", "10.0.0.1"), "helper": (deployment, "g1", "10.0.0.2")}
    servers = []
    for alias, (name, device, address) in names.items():
        pod = f"{name}-7d9f8c-{'bcdfg' if alias == 'model' else 'hjklm'}"
        listed = {"pods": [{"name": pod, "ip": address}], "namespace": "team", "deployment": name}
        servers.append({"alias": alias, "url": f"http://{name}/v1", "model": name, **listed})
        run.device(device, domain="GPU", scope="Board").ticks(device)
        owner = {"namespaces": ["team"], "pods": [pod], "containers": ["server"], "partitions": [""]}
        run.add(
            Kind.OWNERS, 0.1, exporter="exporter-1", device=device, time_ns=100_000_000, known=True, **owner
        )  # fmt: skip
    return run.add(Kind.TOPOLOGY, 0, json=json.dumps({"servers": servers, "exporters": []}))


def pods(settings: Any) -> Any:
    found = [one.model_copy(update={"base_urls": []}) for one in (MODEL, HELPER)]
    return settings(upstreams=found, domains=[Domain.GPU])


calls = st.lists(
    st.tuples(st.sampled_from(["model", "helper", "judge"]), st.floats(1, 10), st.floats(0.1, 3)), max_size=8
)


@given(made=calls)
def test_the_joules_of_all_models_add_up_to_questions_and_judge(
    make: Any, settings: Any, made: list[tuple[str, float, float]]
) -> None:
    from_role: dict[str, dict[str, Any]] = {"model": {}, "helper": HELPED, "judge": JUDGED}
    run = make().plan().device().ticks().stage("run", 1, 11).begin("q1")
    for alias, start, length in made:
        run.call("q1", start, start + length, **from_role[alias])
    summary = run.finish("q1").results(settings=settings(upstreams=[MODEL, HELPER, JUDGE])).summary
    energy = summary.energy
    assert energy.conserved
    assert None not in (energy.queries_joules, energy.judge_joules)
    told = sum(round(1000 * (one.energy_joules or 0)) for one in summary.models)
    assert told == round(1000 * (energy.queries_joules or 0)) + round(1000 * (energy.judge_joules or 0))


def test_a_submodel_has_prices_of_its_own_and_is_paid_for_on_top(run: Run, three: Any) -> None:
    million = TokenPrices(input_per_million=Decimal(1_000_000), output_per_million=Decimal(2_000_000))
    dear = TokenPrices(input_per_million=Decimal(10_000_000), output_per_million=Decimal(0))
    priced = Prices(tokens={"model": million, "helper": dear}, electricity_per_kwh=Decimal("3.6"))
    cost = helped(run).results(settings=three.model_copy(update={"pricing": priced})).summary.cost
    assert cost.basis.tokens["helper"] == TokensOfServer(prompt=10, cached_prompt=None, output=4)
    assert (cost.tokens.total, cost.submodel_tokens.total) == (Decimal(22), Decimal(100))
    assert cost.judge_tokens.problem == "tokenPrices.inputPerMillion of judge is not given"
    assert cost.paid_for == ["electricity", "submodel_tokens"]
