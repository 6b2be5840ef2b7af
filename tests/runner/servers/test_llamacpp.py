"""The llama.cpp server's command line, up to the point where a model is loaded."""

import signal
from pathlib import Path

import pytest

from joulebench_runner.servers.llamacpp import OPTIONS, SWITCHES, check_gguf, main


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    assert check_gguf(tmp_path / "m.gguf") == f"there is no model file at {tmp_path / 'm.gguf'}"


def test_a_file_that_is_not_gguf_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"PK\x03\x04")
    assert "not a GGUF file (it begins with b'PK" in (check_gguf(tmp_path / "m.gguf") or "")


def test_a_gguf_file_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF\x03\x00")
    assert check_gguf(tmp_path / "m.gguf") is None


def test_the_server_does_not_start_on_a_bad_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", str(tmp_path / "none"), "--alias", "m", "--port", "1"]) == 2
    assert "there is no model file" in capsys.readouterr().err
    # Processes started later would inherit a blocked signal.
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_every_option_names_a_field_that_llama_cpp_has() -> None:
    xllamacpp = pytest.importorskip("xllamacpp", reason="the embedded model server is not installed")
    params = xllamacpp.CommonParams()
    for option in (*OPTIONS, *SWITCHES):
        target = params
        for part in option.field.split("."):
            assert hasattr(target, part), option.flag
            target = getattr(target, part)
