"""The log of what was asked: one JSON object a line, with what it truly cost. Written as each request ends."""

import os
from pathlib import Path
from typing import Any

import orjson

from joulebench_api.contracts.identity import parse_request_id
from joulebench_simulator.errors import BadOptionError


class RequestLog:
    """Appends to a file; each line reaches the kernel before the client reads the end of its answer."""

    def __init__(self, path: Path | None) -> None:
        """Without a path nothing is written. Raises BadOptionError."""
        self._descriptor: int | None = None
        if path is None:
            return
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise BadOptionError(f"--log {path}: {error.strerror}", remedy="name a file that can be written") from error

    def write(self, *, request_id: str | None, **fields: Any) -> None:
        """Add a line; a request id that the meter made is taken apart, so that lines can be joined with its results."""
        if self._descriptor is None:
            return
        known = parse_request_id(request_id)
        identity = {
            "request_id": request_id,
            "query_id": known.query_id if known else None,
            "attempt": known.attempt if known else None,
            "call_id": known.call_id if known else None,
        }
        os.write(self._descriptor, orjson.dumps(identity | fields, option=orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
