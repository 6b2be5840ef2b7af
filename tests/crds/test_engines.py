"""Engines: a server's spec -> the command that serves it."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_api.engines import simulator
from joulebench_api.engines.arguments import render
from joulebench_api.engines.command import EngineCommand, VersionSource
from joulebench_api.engines.llamacpp import command
from joulebench_api.engines.presets import PRESETS, find_preset
from joulebench_api.engines.registry import BUILDERS, builder, engine_of
from joulebench_api.errors import UnknownNameError, UnsupportedSpecError
from joulebench_api.v1alpha1.engine import Engine
from joulebench_api.v1alpha1.model_server import ModelServerSpec


def _spec(**fields: Any) -> ModelServerSpec:
    model = {} if "preset" in fields else {"engine": "LlamaCpp", "model": "org/a"}
    return ModelServerSpec.model_validate(model | fields)


def _command(**fields: Any) -> EngineCommand:
    return command(_spec(**fields), model_path="/m/a.gguf", host="127.0.0.1", port=8000)


def _option(built: EngineCommand, name: str) -> str:
    return built.argv[built.argv.index(name) + 1]


def test_the_whole_command_of_a_plain_server() -> None:
    built = _command(maxModelLen=2048)

    assert built == EngineCommand(
        argv=(
            *("llama-server", "--model", "/m/a.gguf", "--alias", "org/a", "--host", "127.0.0.1", "--port", "8000"),
            *("--ctx-size", "8192", "--parallel", "4", "--metrics", "--no-webui"),
        ),
        env={},
        port=8000,
        served_model_name="org/a",
        version=VersionSource(path="/props", field="build_info"),
    )


def test_another_program_may_stand_in_front() -> None:
    built = command(_spec(), model_path="m", host="h", port=1, program=("python", "-m", "server"))

    assert built.argv[:4] == ("python", "-m", "server", "--model")


@given(st.integers(1, 10**6), st.integers(1, 64))
def test_each_slot_gets_the_context_that_was_asked_for(length: int, slots: int) -> None:
    built = _command(maxModelLen=length, engineArgs={"parallel": slots})

    assert int(_option(built, "--ctx-size")) == length * slots
    assert _option(built, "--parallel") == str(slots)
    assert built.argv.count("--parallel") == 1


def test_without_a_length_one_slot_has_the_model_s_own_context() -> None:
    built = _command()

    assert (_option(built, "--ctx-size"), _option(built, "--parallel")) == ("0", "1")


def test_options_environment_and_raw_arguments_arrive_in_this_order() -> None:
    built = _command(
        engineArgs={"threads": 2, "flash-attn": True, "warmup": False},
        args=["--seed", "1"],
        env=[{"name": "A", "value": "b"}],
    )

    assert built.argv[-6:] == ("--threads", "2", "--flash-attn", "--no-warmup", "--seed", "1")
    assert built.env == {"A": "b"}


@pytest.mark.parametrize(
    ("options", "argv"),
    [
        ({"k": True}, ("--k",)),
        ({"k": False}, ("--no-k",)),
        ({"k": None}, ()),
        ({"k": 3}, ("--k", "3")),
        ({"k": 0.92}, ("--k", "0.92")),
        ({"k": "a b"}, ("--k", "a b")),
        ({"k": []}, ()),
        ({"k": ["a", 2, True]}, ("--k", "a", "--k", "2", "--k", "true")),
        ({"k": {"a": [1, "ü"]}}, ("--k", '{"a":[1,"ü"]}')),
        ({"b": 1, "a": 2}, ("--b", "1", "--a", "2")),
    ],
)
def test_options_become_arguments(options: dict[str, Any], argv: tuple[str, ...]) -> None:
    assert render(options) == argv


def test_the_key_is_named_but_never_in_the_command() -> None:
    built = _command(apiKeySecretRef={"name": "mine"})

    assert built.key_variable == "LLAMA_API_KEY"
    assert "mine" not in " ".join(built.argv)
    assert _command().key_variable is None


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"engineArgs": {"parallel": 0}}, "engineArgs.parallel: 0 is not a number of slots"),
        ({"engineArgs": {"parallel": True}}, "engineArgs.parallel: true is not a number of slots"),
        ({"parallelism": {"tensor": 2}}, "parallelism.tensor: 2 cannot be had with the engine LlamaCpp"),
        ({"env": [{"name": "A", "valueFrom": {}}]}, r"env\[0\].valueFrom: A can be looked up only on a cluster"),
    ],
)
def test_what_llama_cpp_cannot_do_is_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(UnsupportedSpecError, match=text) as caught:
        _command(**fields)

    assert caught.value.remedy


def test_a_preset_names_model_and_length() -> None:
    built = _command(preset="smollm2-135m-instruct")

    assert built.served_model_name == "SmolLM2-135M-Instruct"
    assert _option(built, "--ctx-size") == str(4 * 2048)


def test_fields_of_the_server_win_over_the_preset() -> None:
    built = _command(preset="smollm2-135m-instruct", servedModelName="small", maxModelLen=100)

    assert (built.served_model_name, _option(built, "--ctx-size")) == ("small", "400")


def test_the_engine_of_a_preset_is_known() -> None:
    assert engine_of(_spec(preset="smollm2-135m-instruct")) is Engine.LLAMA_CPP
    assert engine_of(_spec(engine="vLLM")) is Engine.VLLM
    with pytest.raises(UnsupportedSpecError, match="vLLM is not the engine of the preset"):
        engine_of(_spec(preset="smollm2-135m-instruct", engine="vLLM"))


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="'smollm-135m' is not a preset") as caught:
        find_preset("smollm-135m")

    assert caught.value.remedy == "did you mean 'smollm2-135m-instruct'?"


def test_a_preset_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        find_preset("smollm2-135m-instruct").file = "x"  # type: ignore[misc]  # that is what is tested
    assert list(PRESETS) == ["smollm2-135m-instruct"]


def _simulator(**fields: Any) -> ModelServerSpec:
    return ModelServerSpec.model_validate({"engine": "Simulator", "model": "sim"} | fields)


def test_the_simulators_flags_are_its_engine_args() -> None:
    spec = _simulator(
        maxModelLen=512, engineArgs={"seed": 7, "speed": "unlimited", "fault": ["hang", "close"], "prefix-cache": True}
    )
    built = simulator.command(spec, model_path="", host="127.0.0.1", port=8000)
    assert built.argv == (
        *("joulebench-simulator", "--served-model-name", "sim", "--host", "127.0.0.1", "--port", "8000"),
        *("--max-model-len", "512", "--seed", "7", "--speed", "unlimited", "--fault", "hang", "--fault", "close"),
        "--prefix-cache",
    )
    assert (built.health_path, built.metrics_path, built.key_variable) == ("/health", "/metrics", None)
    assert built.version == VersionSource(path="/version", field="version")
    assert builder("Simulator") is simulator.command


def test_tensor_parallelism_is_the_number_of_simulated_devices() -> None:
    assert simulator.device_count(_simulator(parallelism={"tensor": 4})) == 4
    with pytest.raises(UnsupportedSpecError, match=r"parallelism\.pipeline: 2 cannot be had with the engine Simulator"):
        simulator.command(_simulator(parallelism={"pipeline": 2}), model_path="", host="h", port=1)


def test_only_engines_with_a_builder_can_be_started() -> None:
    assert builder("LlamaCpp") is builder(Engine.LLAMA_CPP) is command
    for engine in set(Engine) - set(BUILDERS):
        with pytest.raises(UnknownNameError, match=f"{engine} cannot be started by joulebench yet; .*LlamaCpp"):
            builder(engine)


def test_an_unknown_engine_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="'LamaCpp' is not an engine") as caught:
        builder("LamaCpp")

    assert caught.value.remedy == "did you mean 'LlamaCpp'?"
