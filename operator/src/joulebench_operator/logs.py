"""Structured logs on stderr: one JSON object a line, or plain text for people."""

import json
import logging
from datetime import UTC, datetime
from typing import Final

_OWN_FIELDS: Final = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    # What kopf adds to its own records.
    "k8s_skip",
    "k8s_ref",
    "settings",
}


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in record.__dict__.items() if name not in _OWN_FIELDS}


class JsonFormatter(logging.Formatter):
    """Time, level, logger and message, then whatever was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """The same for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """One line of text, with the fields behind the message."""
        fields = " ".join(f"{name}={value}" for name, value in _fields(record).items())
        return f"{super().format(record)} {fields}".rstrip()


def configure(level: str, *, form: str) -> None:
    """Send all logs of this process to stderr. `form`: json or text."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # kopf tells every event and every request at these levels.
    for name in ("kopf.objects", "kopf._core", "kopf.activities", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
