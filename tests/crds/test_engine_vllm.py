"""vLLM: a server's spec -> its command, checked against the options of a real release."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebench_api.engines import vllm
from joulebench_api.engines.command import EngineCommand, VersionSource
from joulebench_api.engines.registry import LOCAL, builder, local_builder
from joulebench_api.engines.vllm_options import doubts, vllm_options
from joulebench_api.errors import UnknownNameError, UnsupportedSpecError
from joulebench_api.v1alpha1.engine import Engine, owned_options
from joulebench_api.v1alpha1.model_server import ModelServerSpec


def _spec(**fields: Any) -> ModelServerSpec:
    return ModelServerSpec.model_validate({"engine": "vLLM", "model": "org/a", **fields})


def _command(**fields: Any) -> EngineCommand:
    return vllm.command(_spec(**fields), model_path="org/a", host="0.0.0.0", port=8000)


def test_the_whole_command_of_a_server() -> None:
    built = _command(
        revision="abc",
        parallelism={"tensor": 4, "pipeline": 2, "data": 3},
        maxModelLen=2048,
        engineArgs={"dtype": "bfloat16", "enable-prefix-caching": True, "async-scheduling": False},
        args=["--seed", "1"],
    )

    assert built == EngineCommand(
        argv=(
            *("vllm", "serve", "org/a", "--host", "0.0.0.0", "--port", "8000", "--served-model-name", "org/a"),
            *("--revision", "abc"),
            *("--tensor-parallel-size", "4", "--pipeline-parallel-size", "2", "--data-parallel-size", "3"),
            *("--max-model-len", "2048", "--dtype", "bfloat16", "--enable-prefix-caching", "--no-async-scheduling"),
            *("--seed", "1"),
        ),
        env={},
        port=8000,
        served_model_name="org/a",
        version=VersionSource(path="/version", field="version"),
    )
    assert builder("vLLM") is vllm.command


def test_a_plain_server_says_no_more_than_it_has_to() -> None:
    assert _command().argv[3:] == ("--host", "0.0.0.0", "--port", "8000", "--served-model-name", "org/a")


@pytest.mark.parametrize(
    ("fields", "revision"),
    [
        ({}, None),
        ({"revision": "a"}, "a"),
        ({"source": {"hub": {"revision": "b"}}}, "b"),
        ({"source": {"hub": {}}, "revision": "a"}, "a"),
        ({"source": {"claim": {"name": "c"}}, "revision": "a"}, None),
    ],
)
def test_only_what_comes_from_a_hub_has_a_revision(fields: dict[str, Any], revision: str | None) -> None:
    assert vllm.revision(_spec(**fields)) == revision
    assert ("--revision" in _command(**fields).argv) == (revision is not None)


def test_stores_are_streamed() -> None:
    source = {"objectStore": {"url": "s3://a/b"}}
    assert _command(source=source).argv[-2:] == ("--load-format", "runai_streamer")
    assert _command(source=source, engineArgs={"load-format": "tensorizer"}).argv[-2:] == (
        "--load-format", "tensorizer",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "argv"),
    [
        ({"cudagraph-capture-sizes": [1, 2]}, ("--cudagraph-capture-sizes", "1", "2")),
        ({"lora-modules": ["a=b", {"name": "c"}]}, ("--lora-modules", "a=b", '{"name":"c"}')),
        ({"allowed-origins": ["*"]}, ("--allowed-origins", '["*"]')),
        ({"middleware": ["a", "b"]}, ("--middleware", "a", "--middleware", "b")),
        ({"cudagraph-capture-sizes": []}, ()),
        ({"speculative-config": {"method": "ngram"}}, ("--speculative-config", '{"method":"ngram"}')),
        ({"dtype": None}, ()),
    ],
)
def test_lists_are_written_as_vllm_reads_them(options: dict[str, Any], argv: tuple[str, ...]) -> None:
    assert _command(engineArgs=options).argv[9:] == argv


def test_the_key_is_named_but_never_in_the_command() -> None:
    built = _command(apiKeySecretRef={"name": "mine"})
    assert built.key_variable == "VLLM_API_KEY"
    assert "mine" not in " ".join(built.argv)


def test_several_nodes_are_refused() -> None:
    with pytest.raises(UnsupportedSpecError, match=r"spec\.parallelism\.nodes: 2 nodes cannot be had yet") as caught:
        _command(parallelism={"tensor": 8, "nodes": 2})
    assert caught.value.remedy == "use the accelerators of one node"


def test_what_joulebench_writes_is_known_to_the_release() -> None:
    everything = _spec(
        revision="abc", parallelism={"tensor": 2, "pipeline": 2, "data": 2}, maxModelLen=1,
        source={"hub": {}},
    )  # fmt: skip
    streamed = _spec(source={"objectStore": {"url": "s3://a/b"}})
    for spec in (everything, streamed):
        built = vllm.command(spec, model_path="m", host="h", port=1)
        written = {part[2:] for part in built.argv if part.startswith("--")}
        assert written <= vllm_options().options
    assert owned_options(Engine.VLLM).keys() - vllm_options().options <= {"tp", "pp", "dp"}


OPTIONS = st.sampled_from(sorted(vllm_options().options - owned_options(Engine.VLLM).keys()))
VALUES = st.one_of(st.booleans(), st.integers(), st.just("x"), st.just([1]), st.just({"a": 1}))


@given(st.dictionaries(OPTIONS, VALUES, max_size=4))
def test_options_of_the_release_are_never_doubted(options: dict[str, Any]) -> None:
    assert doubts(_spec(engineArgs=options)) == ()


def test_the_doubts_name_the_nearest_option() -> None:
    assert doubts(_spec(engineArgs={"max-num-seq": 1}, args=["--enforce-eagre", "--seed=1", "-O3"])) == (
        "engineArgs.max-num-seq is not an option of vLLM 0.33.0; did you mean 'max-num-seqs'?",
        "args[0] --enforce-eagre is not an option of vLLM 0.33.0; did you mean 'enforce-eager'?",
    )


@pytest.mark.parametrize(
    "options",
    [
        {"max_num_seqs": 1},
        {"no-enable-prefix-caching": True},
        {"compilation-config.level": 3},
        {"kv-transfer-config.kv_connectors+": "x"},
        {"nonsense": None},
    ],
)
def test_other_ways_to_write_an_option_are_no_reason_for_doubt(options: dict[str, Any]) -> None:
    assert doubts(_spec(engineArgs=options)) == ()


def test_the_lists_of_the_release_agree() -> None:
    known = vllm_options()
    assert known.several | known.json <= known.options
    assert vllm.DEFAULT_IMAGE.endswith(f":v{known.version}")


def test_a_local_run_starts_only_what_comes_with_joulebench() -> None:
    for engine in LOCAL:
        assert local_builder(engine) is builder(engine)
    with pytest.raises(UnknownNameError, match=r"vLLM cannot be started by a local run; .*LlamaCpp and Simulator"):
        local_builder("vLLM")
