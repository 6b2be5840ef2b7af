"""Which model file it was."""

import hashlib
from pathlib import Path

from joulebench_runner.results.model_files import describe_file


def test_a_file_is_told_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    assert describe_file(tmp_path / "m.gguf") == {
        "name": "m.gguf",
        "bytes": 4,
        "sha256": hashlib.sha256(b"GGUF").hexdigest(),
    }
