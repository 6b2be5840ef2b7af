"""What every call to a server bears, whoever makes it: its key, and headers of one's own.

They come from variables of the environment, and nothing that is said about them tells a value.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from joulebench_runner.errors import BadInputError

# RFC 9110, section 5.6.2 (token) and 5.5 (field values, without control characters).
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]+")
_OF_THE_CONNECTION: Final = frozenset({
    "accept-encoding", "connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding",
    "upgrade",
})  # fmt: skip
_AS_HERE: Final = "Write one header a line, as in `X-Team: search`."
_SHORTEST_SECRET: Final = 8
"""Shorter values (a team's number) may stand anywhere in an answer by chance."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """For the calls of one server."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """The key's among them, unless they have an `Authorization` of their own."""
    key: str | None = None

    def hidden(self, body: bytes) -> bytes:
        """What a server said, without what is secret."""
        words = (word for value in self.headers.values() for word in value.split() if len(word) >= _SHORTEST_SECRET)
        for secret in filter(None, (self.key, *words)):
            body = body.replace(secret.encode(), b"[key]")
        return body


NO_CREDENTIALS: Final = Credentials()


def credentials(key: str | None, headers: str | None) -> Credentials:
    """Of a key, and of headers as `Name: value` with one in each line.

    Raises BadInputError, which says which line is wrong.
    """
    own = {} if headers is None else own_headers(headers)
    has_its_own = any(name.lower() == "authorization" for name in own)
    of_key = {"Authorization": f"Bearer {key}"} if key and not has_its_own else {}
    return Credentials({**of_key, **own}, key or None)


def from_environment(
    alias: str, *, key_variable: str | None, headers_variable: str | None, environ: Mapping[str, str]
) -> Credentials:
    """Of the server of an alias. Raises BadInputError for a variable that is empty or cannot be used."""
    key = _value(f"the key of model server {alias!r}", key_variable, environ)
    headers = _value(f"the headers of model server {alias!r}", headers_variable, environ)
    try:
        return credentials(key, headers)
    except BadInputError as error:
        raise BadInputError(f"{headers_variable}: {error.message}", remedy=error.remedy) from error


def _value(what: str, variable: str | None, environ: Mapping[str, str]) -> str | None:
    if variable is None:
        return None
    value = environ.get(variable)
    if not value:
        raise BadInputError(
            f"{what} is missing: {variable} is not set", remedy=f"Set the environment variable {variable}."
        )
    return value


def own_headers(text: str) -> dict[str, str]:
    """The headers of a text with one `Name: value` a line. Raises BadInputError if a line is none, or none is there."""
    found = dict(_parsed(text))
    if not found:
        raise BadInputError("there is no header in it", remedy=_AS_HERE)
    return found


def _parsed(text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise BadInputError(f"line {number} is no header", remedy=_AS_HERE)
        if name.lower() in _OF_THE_CONNECTION:
            raise BadInputError(
                f"line {number}: {name} belongs to the connection, and is not for a caller to choose",
                remedy="Leave it out.",
            )
        yield name, value
