"""Writes the Python stubs of every `*.proto`; `--check` only says which of them are out of date."""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]  # has no stubs

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Protos:
    """The `*.proto` of one folder."""

    source: Path
    """Where imports begin."""
    folder: Path
    """Within the source."""
    names: Sequence[str]


ALL = (
    Protos(
        ROOT / "exporter-daemonset" / "src", Path("joulebench_exporter/proto"), ("energy.proto", "podresources.proto")
    ),
    Protos(ROOT, Path("tests/cluster/fakegpu"), ("deviceplugin.proto",)),
)


def generate(check: bool) -> list[str]:
    """Make the stubs anew; return the paths (from the repository's root) that differ from what was there.

    With `check` nothing is written.
    """
    return [path for protos in ALL for path in _generate(protos, check=check)]


def _generate(protos: Protos, *, check: bool) -> list[str]:
    with tempfile.TemporaryDirectory() as scratch:
        _compile(protos, Path(scratch))
        made = {path.name: path.read_bytes() for path in (Path(scratch) / protos.folder).iterdir()}
    target = protos.source / protos.folder
    changed = sorted(name for name, content in made.items() if _content(target / name) != content)
    if not check:
        for name in changed:
            (target / name).write_bytes(made[name])
    return [str((target / name).relative_to(ROOT)) for name in changed]


def _compile(protos: Protos, out: Path) -> None:
    # The include root is the source folder, so the stubs import each other by their absolute names.
    arguments = [
        "protoc",
        f"--proto_path={protos.source}",
        *(f"--plugin={name}={_plugin(name)}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")),
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet,only_async:{out}",
        *(str(protos.source / protos.folder / name) for name in protos.names),
    ]
    code = protoc.main(arguments)
    if code != 0:
        raise SystemExit(f"protoc failed with exit status {code}; its message is above")


def _plugin(name: str) -> Path:
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise SystemExit(f"{path} is missing; `make setup` installs it (package mypy-protobuf)")
    return path


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def main() -> int:
    """Run from the command line."""
    check = "--check" in sys.argv[1:]
    changed = generate(check)
    for path in changed:
        print(f"{'out of date' if check else 'wrote'}: {path}")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
