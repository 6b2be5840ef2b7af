"""Built-in defaults, names of secrets, and what imports cost."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_api.contracts.energy import Method
from joulebench_api.defaults import resolve
from joulebench_api.loading import Loaded
from joulebench_api.secrets import environment_name
from joulebench_api.v1alpha1.energy import EnergyPolicy
from joulebench_api.v1alpha1.references import ApiKeySecretRef, SecretKeyRef, TokenSecretRef


def test_what_a_run_leaves_open_is_filled_in(load_run: Callable[..., Loaded]) -> None:
    spec = resolve(load_run().run).spec

    assert spec.concurrency == 1
    assert (spec.energy.policy, spec.energy.attribution) == (EnergyPolicy.PREFERRED, Method.PHASE)
    assert (spec.energy.idle_baseline, spec.energy.min_coverage_percent) == ("30s", 99)
    assert spec.energy.domains is None
    assert spec.results.store is not None
    assert spec.results.store.claim_template is not None
    assert spec.results.store.claim_template.size == "10Gi"


def test_what_a_run_says_is_kept(load_run: Callable[..., Loaded]) -> None:
    run = load_run(
        "spec.concurrency=7",
        "spec.energy={policy: Disabled, attribution: Equal, idleBaseline: 0s, minCoveragePercent: 0, domains: [CPU]}",
        "spec.results.store.claim.name=mine",
    ).run

    assert resolve(run) == run


def test_a_load_run_gets_no_concurrency(load_run: Callable[..., Loaded]) -> None:
    run = load_run("spec.load.stages=[{name: a, rate: 1, requests: 5}]").run

    assert resolve(run).spec.concurrency is None


def test_filling_in_twice_changes_nothing(load_run: Callable[..., Loaded]) -> None:
    once = resolve(load_run().run)

    assert resolve(once) == once


@pytest.mark.parametrize(
    ("ref", "name"),
    [
        (ApiKeySecretRef(name="openai"), "OPENAI_API_KEY"),
        (TokenSecretRef(name="hf"), "HF_TOKEN"),
        (SecretKeyRef(name="my.team-x", key="key.v2"), "MY_TEAM_X_KEY_V2"),
        (SecretKeyRef(name="1st", key="a"), "_1ST_A"),
    ],
)
def test_a_secret_stands_for_a_variable(ref: SecretKeyRef, name: str) -> None:
    assert environment_name(ref) == name


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_every_secret_has_a_name_that_shells_take(name: str, key: str) -> None:
    variable = environment_name(SecretKeyRef(name=name, key=key))

    assert variable.isascii()
    assert variable.isidentifier()
    assert variable == variable.upper()


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("joulebench_api", "pydantic"),
        ("joulebench_api.contracts.identity", "pydantic"),
        ("joulebench_api.contracts.meter", "joulebench_api.v1alpha1"),
        ("joulebench_api.contracts.meter", "yaml"),
        ("joulebench_api.v1alpha1", "yaml"),
    ],
)
def test_importing_a_part_does_not_load_what_it_does_not_need(module: str, unwanted: str) -> None:
    script = f"import {module}, sys; sys.exit({unwanted!r} in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
