"""Bad input is refused early, with the field and the way out, and leaves nothing behind."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EMBEDDED = {"template": {"spec": {"preset": "smollm2-135m-instruct"}}}
EXTERNAL = {"external": {"url": "http://127.0.0.1:9/v1", "model": "none"}}


@pytest.mark.parametrize(
    ("server", "spec", "words"),
    [
        (EXTERNAL, {"task": {"name": "evryday"}}, ["evryday", "everyday"]),
        (EXTERNAL, {"task": {"nmae": "everyday"}}, ["spec.task.nmae", "name"]),
        ({"template": {"spec": {"engine": "LlamaCcp", "model": "m.gguf"}}}, {}, ["LlamaCcp", "LlamaCpp"]),
        ({"template": {"spec": {"engine": "vLLM", "model": "m"}}}, {}, ["vLLM", "external"]),
        ({"template": {"spec": {"engine": "LlamaCpp", "model": "/no/such.gguf"}}}, {}, ["/no/such.gguf"]),
        ({"template": {"spec": {"preset": "smollm"}}}, {}, ["smollm", "smollm2-135m-instruct"]),
        (EXTERNAL, {"agent": {"name": "react"}}, ["spec.agent", "not available"]),
        (EXTERNAL, {"energy": {"attribution": "Window"}}, ["spec.energy.attribution", "Phase"]),
        ({"external": {**EXTERNAL["external"], "apiKeySecretRef": {"name": "nobody"}}}, {}, ["NOBODY_API_KEY"]),
        ({"external": {**EXTERNAL["external"], "headersSecretRef": {"name": "nobody"}}}, {}, ["NOBODY_HEADERS"]),
    ],
)
def test_a_wrong_field_is_named_with_the_way_out(
    server: dict[str, Any],
    spec: dict[str, Any],
    words: list[str],
    benchmark: Callable[..., Path],
    joulebench: Callable[..., Any],
) -> None:
    run = joulebench(benchmark(server, **spec))
    assert run.exit_code == 2
    for word in words:
        assert word in run.err
    assert not run.folder.exists()
    assert "Traceback" not in run.err


def test_a_model_that_is_not_gguf_is_told_by_its_first_bytes(
    tmp_path: Path, benchmark: Callable[..., Path], joulebench: Callable[..., Any]
) -> None:
    (tmp_path / "m.gguf").write_bytes(b"PK\x03\x04")
    run = joulebench(benchmark({"template": {"spec": {"engine": "LlamaCpp", "model": str(tmp_path / "m.gguf")}}}))
    assert run.exit_code == 2
    assert "not a GGUF file" in run.err


def test_a_data_set_that_is_not_there_offline_says_how_to_fetch_it(
    tmp_path: Path, benchmark: Callable[..., Path], joulebench: Callable[..., Any], serve: Callable[..., Any]
) -> None:
    server = serve(None)
    run = joulebench(
        benchmark({"external": {"url": server.url, "model": "scripted"}}, task={"name": "gsm8k", "limit": 2}),
        "--data",
        tmp_path / "empty",
    )
    assert run.exit_code == 2
    assert "gsm8k" in run.err
    assert "test.jsonl" in run.err
    assert not run.folder.exists()


def test_no_question_left_after_filtering_is_refused(
    benchmark: Callable[..., Path], joulebench: Callable[..., Any], serve: Callable[..., Any]
) -> None:
    server = serve(None)
    run = joulebench(
        benchmark(
            {"external": {"url": server.url, "model": "scripted"}},
            task={"name": "everyday", "recordIds": ["no-such-record"]},
        )
    )
    assert run.exit_code == 2
    assert "no-such-record" in run.err


def test_a_port_in_use_is_named(
    benchmark: Callable[..., Path], joulebench: Callable[..., Any], serve: Callable[..., Any]
) -> None:
    server = serve(None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = joulebench(benchmark({"external": {"url": server.url, "model": "scripted"}}), "--meter-port", str(port))
    assert run.exit_code == 2
    assert f"port {port}" in run.err
    assert "--meter-port" in run.err
    assert not run.folder.exists()


def test_every_problem_of_a_file_is_told_at_once(tmp_path: Path, joulebench: Callable[..., Any]) -> None:
    file = tmp_path / "bench.yaml"
    file.write_text(
        json.dumps(
            {
                "apiVersion": "joulebench.dev/v1alpha1",
                "kind": "BenchmarkRun",
                "metadata": {"name": "Bad_Name"},
                "spec": {"server": EXTERNAL, "task": {"name": "everyday", "limit": 0}, "epoch": 2},
            }
        )
    )
    run = joulebench(file)
    assert run.exit_code == 2
    for word in ("metadata.name", "spec.task.limit", "spec.epoch", "epochs"):
        assert word in run.err


def test_a_file_that_is_not_there_is_named(tmp_path: Path, joulebench: Callable[..., Any]) -> None:
    run = joulebench(tmp_path / "none.yaml")
    assert run.exit_code == 2
    assert "none.yaml" in run.err


def test_a_second_run_in_one_folder_is_refused(
    benchmark: Callable[..., Path], joulebench: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "out" / "journal").mkdir(parents=True)
    run = joulebench(benchmark(EXTERNAL))
    assert run.exit_code == 2
    assert "already holds a run" in run.err
    assert (tmp_path / "out" / "journal").is_dir()
