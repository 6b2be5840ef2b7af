"""Campaigns and the operator's configuration: types made from a run's and a server's, holding only what was written."""

from typing import Any

import pytest
from pydantic import ValidationError
from tests.crds.rules_table import CAMPAIGN, changed

from joulebench_api.configuration import CONFIGURABLE, Defaults, OperatorConfiguration, Preset
from joulebench_api.v1alpha1.base import ApiModel
from joulebench_api.v1alpha1.benchmark_run import BenchmarkRunSpec
from joulebench_api.v1alpha1.campaign import BenchmarkCampaign, layer, written
from joulebench_api.v1alpha1.derived import complete_of, overlay_of
from joulebench_api.v1alpha1.model_server import ModelServerSpec
from joulebench_api.v1alpha1.rules import exactly_one_of, only_with


class _Inner(ApiModel):
    rules = (exactly_one_of("left", "right"), only_with("right", "extra"))

    left: int | None = None
    right: int | None = None
    extra: int | None = None


class _Outer(ApiModel):
    """A type to make others from."""

    name: str
    inner: _Inner
    listed: tuple[_Inner, ...] = ()
    size: int = 3


def _read(model: type[ApiModel], data: dict[str, Any]) -> dict[str, Any]:
    return written(model.model_validate(data))


def test_an_overlay_holds_what_was_written_and_no_more() -> None:
    overlay = overlay_of(_Outer)

    assert _read(overlay, {}) == {}
    assert _read(overlay, {"size": 3}) == {"size": 3}
    assert _read(overlay, {"name": None}) == {}


def test_an_overlay_keeps_unions_as_at_most_one_and_leaves_other_rules_to_the_merged_result() -> None:
    overlay = overlay_of(_Outer)

    assert _read(overlay, {"inner": {}}) == {"inner": {}}
    assert _read(overlay, {"inner": {"right": 1}}) == {"inner": {"right": 1}}
    with pytest.raises(ValidationError, match="at most one of left and right"):
        overlay.model_validate({"inner": {"left": 1, "right": 2}})


def test_entries_of_an_overlay_s_lists_are_complete_because_lists_are_replaced() -> None:
    with pytest.raises(ValidationError, match="exactly one of left and right is needed"):
        overlay_of(_Outer).model_validate({"listed": [{}]})


def test_a_complete_copy_keeps_what_is_required_and_all_rules_but_no_default() -> None:
    complete = complete_of(_Outer)

    assert _read(complete, {"name": "a", "inner": {"left": 1}}) == {"name": "a", "inner": {"left": 1}}
    with pytest.raises(ValidationError, match="only with extra"):
        complete.model_validate({"name": "a", "inner": {"right": 1}})
    with pytest.raises(ValidationError, match="name"):
        complete.model_validate({"inner": {"left": 1}})


def test_a_member_that_is_left_out_leaves_the_rest_of_the_union() -> None:
    complete = complete_of(_Outer, without={_Inner: {"left"}})

    with pytest.raises(ValidationError, match="exactly one of right is needed"):
        complete.model_validate({"name": "a", "inner": {}})
    with pytest.raises(ValidationError, match="unknown field"):
        complete.model_validate({"name": "a", "inner": {"left": 1}})


def test_a_type_that_is_made_from_another_says_so() -> None:
    assert overlay_of(_Outer).derived_from is _Outer
    assert overlay_of(_Outer).__doc__ == _Outer.__doc__
    assert _Outer.derived_from is None


def test_the_layer_of_an_entry_leaves_out_its_own_fields() -> None:
    campaign = BenchmarkCampaign.model_validate(
        changed(
            CAMPAIGN,
            {
                "spec.defaults": {"taskLimit": 5, "cost": {"electricityPerKWh": "0.270"}},
                "spec.models.0.generation": {"temperature": 0},
                "spec.models.0.variants": [{"name": "v", "engineArgs": {"a": None}}],
                "spec.benchmarks.0.epochs": 1,
            },
        )
    )

    assert campaign.spec.defaults is not None
    assert layer(campaign.spec.defaults) == {"cost": {"electricityPerKWh": "0.27"}}
    assert layer(campaign.spec.models[0]) == {"generation": {"temperature": "0"}}
    # What is written as it is by default is written all the same.
    assert layer(campaign.spec.benchmarks[0]) == {"epochs": 1}
    assert written(campaign.spec.models[0].server) == CAMPAIGN["spec"]["models"][0]["server"]
    # In an open object null means something: it removes an option of a lower layer.
    assert written(campaign.spec.models[0].variants[0]) == {"name": "v", "engineArgs": {"a": None}}


# --- The operator's configuration --------------------------------------------------------------------------------

CONFIGURATION: dict[str, Any] = {
    "apiVersion": "config.joulebench.dev/v1alpha1",
    "kind": "OperatorConfiguration",
    "accelerators": {"h100-sxm": {"resourceName": "nvidia.com/gpu", "podTemplate": {"spec": {"hostNetwork": True}}}},
    "engines": {"vLLM": {"image": "registry.example/vllm:1"}},
    "defaults": {"cost": {"currency": "EUR"}, "modelServer": {"imagePullSecrets": [{"name": "pull"}]}},
    "namespaces": {"team-a": {"results": {"store": {"objectStore": {"url": "s3://team-a/x"}}}}},
    "presets": {"small": {"engine": "vLLM", "model": "org/small", "maxModelLen": 4096}},
    "policy": {"images": ["registry.example/*"], "serviceAccounts": ["runner"], "externalEndpoints": "Deny"},
    "prices": {"acceleratorPerHour": {"H100": 3}, "tokens": {"big": {"inputPerMillion": "0.25"}}},
}


def test_a_configuration_reads_back_as_it_was_written() -> None:
    told = _read(OperatorConfiguration, CONFIGURATION)

    assert told == changed(CONFIGURATION, {"prices.acceleratorPerHour.H100": "3"})


def test_nothing_in_a_configuration_is_needed() -> None:
    configuration = OperatorConfiguration.model_validate({})

    assert configuration.defaults == Defaults()
    assert configuration.policy.images is None
    assert configuration.policy.service_accounts == ()


def test_only_what_has_no_schema_default_can_be_configured() -> None:
    for name in CONFIGURABLE:
        field = BenchmarkRunSpec.model_fields[name]
        # Blocks of options are there without saying anything.
        assert field.default is None or field.default_factory is not None, name
    with pytest.raises(ValidationError, match="unknown field"):
        Defaults.model_validate({"epochs": 2})
    with pytest.raises(ValidationError, match="unknown field"):
        Defaults.model_validate({"results": {"artifacts": "None"}})


@pytest.mark.parametrize(
    "changes",
    [
        {"engines": {"vllm": {"image": "a"}}},
        {"policy.externalEndpoints": "Never"},
        {"presets.small.engine": None},
        {"presets.small.preset": "other"},
        {"accelerators.h100-sxm.placement": {"nodeSelctor": {}}},
        {"prices.tokens.big.inputPerMillion": -1},
        {"apiVersion": "config.joulebench.dev/v2"},
        {"defaults.results": {"store": {"claim": {"name": "a"}, "objectStore": {"url": "s3://a/b"}}}},
    ],
)
def test_a_wrong_configuration_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OperatorConfiguration.model_validate(changed(CONFIGURATION, changes))


def test_a_preset_can_say_what_a_server_can() -> None:
    left_out = {"preset", "replicas", "activation", "idle_timeout"}

    assert set(Preset.model_fields) == set(ModelServerSpec.model_fields) - left_out
