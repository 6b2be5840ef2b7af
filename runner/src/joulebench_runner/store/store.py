"""One folder in a store: put, get, list. Errors are StoreErrors; what may pass is tried again for a while."""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from joulebench_runner.store.failures import failure, is_passing
from joulebench_runner.store.location import Location, Service
from joulebench_runner.store.patience import ONE_TRY, Patience

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_Value = TypeVar("_Value")

_CHUNK_BYTES: Final = 8 * 1024 * 1024


class Store:
    """A run's folder in a store. Names are paths below it, with `/`. Its calls block; use it from a thread."""

    def __init__(self, file_system: "FileSystem", location: Location, *, patience: Patience = ONE_TRY) -> None:
        self._file_system = file_system
        self.location = location
        self.patience = patience

    @property
    def url(self) -> str:
        """Its address, without any credentials."""
        return self.location.url

    def with_patience(self, patience: Patience) -> "Store":
        """The same store, tried for longer or shorter."""
        return Store(self._file_system, self.location, patience=patience)

    def below(self, name: Path) -> "Store":
        """A folder in this one."""
        place = name.as_posix()
        location = replace(self.location, url=f"{self.url}/{place}", root=f"{self.location.root}/{place}")
        return Store(self._file_system, self.location if place == "." else location, patience=self.patience)

    def put(self, source: Path, name: str) -> None:
        """Copy a file into the store; what had its name there is replaced, and may be so again with the same.

        Whoever reads sees all of it or none, except on Azure, which shows an empty file until the whole is there.
        """
        self._try(f"write {name} to", lambda: self._write(source, self._path(name)))

    def get(self, name: str, target: Path) -> None:
        """Copy a file from the store; `target` is there in full or not at all."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._try(f"read {name} from", lambda: self._fetch(self._path(name), target))

    def list(self) -> dict[str, int]:
        """Size in bytes of each file, by name; empty if there is nothing yet."""
        return self._try("list", self._list)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return self.size(name) is not None

    def size(self, name: str) -> int | None:
        """Size of a file in bytes; None if there is none."""
        return self._try(f"look for {name} in", lambda: self._size(self._path(name)))

    def holds(self, source: Path, name: str) -> bool:
        """Whether the store's file is the same, byte for byte, as this local one."""
        if self.size(name) != source.stat().st_size:
            return False
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        return self._try(f"read {name} from", lambda: self._digest(self._path(name))) == digest

    def delete(self, name: str) -> None:
        """Remove a file; nothing happens if there is none."""
        self._try(f"delete {name} from", lambda: self._delete(self._path(name)))

    def _path(self, name: str) -> str:
        return f"{self.location.root}/{name}"

    def _try(self, doing: str, work: Callable[[], _Value]) -> _Value:
        try:
            return self.patience.call(work, is_passing=is_passing)
        except OSError as error:
            raise failure(self.location, doing, error) from error

    def _write(self, source: Path, path: str) -> None:
        with source.open("rb") as file:
            if self.location.service is Service.FILE:
                _replace(Path(path), file)
                return
            # What is written becomes visible when the stream is closed.
            with self._file_system.open_output_stream(path) as out:
                shutil.copyfileobj(file, out, _CHUNK_BYTES)

    def _fetch(self, path: str, target: Path) -> None:
        with self._file_system.open_input_stream(path) as source:
            _replace(target, source)

    def _digest(self, path: str) -> bytes:
        digest = hashlib.sha256()
        with self._file_system.open_input_stream(path) as source:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
        return digest.digest()

    def _list(self) -> dict[str, int]:
        from pyarrow.fs import FileSelector, FileType  # noqa: PLC0415 - costs 0.1 s

        root = self.location.root
        found = self._file_system.get_file_info(FileSelector(root, allow_not_found=True, recursive=True))
        return {
            info.path.removeprefix(root).lstrip("/"): int(info.size or 0)
            for info in found
            if info.type is FileType.File
        }

    def _size(self, path: str) -> int | None:
        from pyarrow.fs import FileType  # noqa: PLC0415 - costs 0.1 s

        (info,) = self._file_system.get_file_info([path])
        return int(info.size or 0) if info.type is FileType.File else None

    def _delete(self, path: str) -> None:
        if self._size(path) is not None:
            self._file_system.delete_file(path)


def _replace(target: Path, source: Any) -> None:
    """Write beside the file, flush to disk, then take its place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.part")
    try:
        with draft.open("wb") as out:
            shutil.copyfileobj(source, out, _CHUNK_BYTES)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
