"""Writes the Python stubs of the exporter's `*.proto`; `--check` only says which of them are out of date."""

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]  # has no stubs

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "exporter-daemonset" / "src"
FOLDER = Path("joulebench_exporter") / "proto"
PROTOS = ("energy.proto", "podresources.proto")


def generate(check: bool) -> list[str]:
    """Make the stubs anew; return the paths (from the repository's root) that differ from what was there.

    With `check` nothing is written.
    """
    with tempfile.TemporaryDirectory() as scratch:
        _compile(Path(scratch))
        made = {path.name: path.read_bytes() for path in (Path(scratch) / FOLDER).iterdir()}
    target = SOURCE / FOLDER
    changed = sorted(name for name, content in made.items() if _content(target / name) != content)
    if not check:
        for name in changed:
            (target / name).write_bytes(made[name])
    return [str((target / name).relative_to(ROOT)) for name in changed]


def _compile(out: Path) -> None:
    # The include root is the source folder, so the stubs import each other by their absolute names.
    arguments = [
        "protoc",
        f"--proto_path={SOURCE}",
        *(f"--plugin={name}={_plugin(name)}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")),
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet,only_async:{out}",
        *(str(SOURCE / FOLDER / name) for name in PROTOS),
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
