"""Whether the keys of the servers are there, and whether those that others run answer."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from joulebench_api.conditions import Reason
from joulebench_api.contracts.assignment import AssignedServer, Assignment
from joulebench_api.parties import parties
from joulebench_api.v1alpha1 import BenchmarkRunSpec, ServerSource
from joulebench_api.v1alpha1.references import HEADERS_KEY
from joulebench_runner.errors import BadInputError
from joulebench_runner.meter.client import AiohttpClient, CallError, ErrorKind, Request, TimedClient
from joulebench_runner.meter.credentials import Credentials, from_environment, own_headers
from joulebench_runner.meter.model_list import listed, nearest_first
from joulebench_runner.pod.preflight.problems import Problem

PAUSES_SECONDS: Final = (1.0, 3.0)
"""Before each further look at a server that does not answer."""
ATTEMPT_SECONDS: Final = 10.0
_WORDS: Final = 300
_NO_LIST: Final = frozenset({404, 405, 501})
"""Answers of servers that serve models and do not list them."""


def source_of(alias: str, spec: BenchmarkRunSpec) -> tuple[str, ServerSource | None]:
    """The field that says where a server is, and what it says."""
    found = next((party for party in parties(spec) if party.alias == alias), None)
    return ("spec", None) if found is None else (found.field, found.source)


def check_keys(assignment: Assignment, *, environ: Mapping[str, str]) -> Iterator[Problem]:
    """Servers whose key is not there, or empty, and those whose headers cannot be used."""
    for server in assignment.servers:
        if server.key_variable is not None and not environ.get(server.key_variable):
            yield _missing_key(server, assignment)
        if server.headers_variable is not None:
            yield from _unusable_headers(server, assignment, environ.get(server.headers_variable, ""))


def _credentials(server: AssignedServer, environ: Mapping[str, str]) -> Credentials | None:
    """What its calls bear; None if that is not there, or cannot be used."""
    try:
        return from_environment(
            server.alias,
            key_variable=server.key_variable,
            headers_variable=server.headers_variable,
            environ=environ,
        )
    except BadInputError:
        return None


def _unusable_headers(server: AssignedServer, assignment: Assignment, text: str) -> Iterator[Problem]:
    path, source = source_of(server.alias, assignment.run.spec)
    reference = None if source is None or source.external is None else source.external.headers_secret_ref
    try:
        own_headers(text)
    except BadInputError as error:
        yield Problem(
            field=f"{path}.external.headersSecretRef",
            value=None if reference is None else reference.name,
            reason=Reason.SECRET_UNAVAILABLE,
            message=f"the Secret's key {HEADERS_KEY!r}: {error.message}",
            remedy=error.remedy,
        )


def _missing_key(server: AssignedServer, assignment: Assignment) -> Problem:
    path, source = source_of(server.alias, assignment.run.spec)
    reference = None if source is None or source.external is None else source.external.api_key_secret_ref
    which = f"the key of the server {server.alias!r}"
    if reference is not None:
        which = f"the Secret {reference.name!r} has nothing in its key {reference.key!r}: {which}"
    return Problem(
        field=f"{path}.external.apiKeySecretRef" if server.url is not None else path,
        value=None if reference is None else reference.name,
        reason=Reason.SECRET_UNAVAILABLE,
        message=f"{which} is missing or empty",
        remedy="put the key into the Secret, in the run's namespace",
    )


async def check_endpoints(
    assignment: Assignment,
    *,
    environ: Mapping[str, str],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    attempt_seconds: float = ATTEMPT_SECONDS,
) -> list[Problem]:
    """What is wrong with the servers that others run; those without their key or their headers are not asked."""
    client = AiohttpClient()
    try:
        looks = [
            _Endpoint(server, assignment, client=client, bears=bears, sleep=sleep, seconds=attempt_seconds).check()
            for server in assignment.servers
            if server.url is not None and (bears := _credentials(server, environ)) is not None
        ]
        return [problem for problem in await asyncio.gather(*looks) if problem is not None]
    finally:
        await client.close()


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes

    @property
    def passing(self) -> bool:
        return self.status == 429 or (self.status >= 500 and self.status not in _NO_LIST)

    @property
    def words(self) -> str:
        text = self.body[:_WORDS].decode(errors="replace").strip()
        return f"HTTP {self.status}" + (f": {text}" if text else "")


class _Endpoint:
    def __init__(
        self,
        server: AssignedServer,
        assignment: Assignment,
        *,
        client: TimedClient,
        bears: Credentials,
        sleep: Callable[[float], Awaitable[None]],
        seconds: float,
    ) -> None:
        self._server = server
        self._path = f"{source_of(server.alias, assignment.run.spec)[0]}.external"
        self._client = client
        self._bears = bears
        self._sleep = sleep
        self._seconds = seconds
        self._url = f"{(server.url or '').rstrip('/')}/models"

    async def check(self) -> Problem | None:
        found = await self._look()
        for pause in PAUSES_SECONDS:
            if not isinstance(found, CallError) and not (isinstance(found, _Answer) and found.passing):
                break
            await self._sleep(pause)
            found = await self._look()
        return self._judged(found)

    async def _look(self) -> _Answer | CallError:
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._client.send(Request(url=self._url, method="GET", headers=self._bears.headers))
                try:
                    body = b"".join([data async for _, data in response.reads()])
                finally:
                    response.close()
        except CallError as error:
            return error
        except TimeoutError:
            return CallError(f"GET {self._url} did not answer within {self._seconds:g} s", kind=ErrorKind.TIMEOUT)
        return _Answer(response.status, self._bears.hidden(body))

    def _judged(self, found: _Answer | CallError) -> Problem | None:
        if isinstance(found, CallError):
            return self._problem(
                "url", found.message, "Check the address and network policies.", passing=found.kind is ErrorKind.TIMEOUT
            )
        if found.status == 200:
            return self._judged_list(listed(found.body))
        if found.status in _NO_LIST:
            return None
        words = f"GET {self._url} answered {found.words}"
        if found.status in {401, 403}:
            remedy = "Check the key." if self._bears.headers else "Name the Secret that holds the server's key."
            return self._problem("apiKeySecretRef", words, remedy)
        return self._problem("url", words, "Check the address and its /v1.", passing=found.passing)

    def _judged_list(self, names: Sequence[str]) -> Problem | None:
        model = self._server.model
        if not names or model in names:
            return None
        what = f"{self._server.url} does not serve {model!r}; it lists {nearest_first(model, names)}"
        return self._problem("model", what, "Names are compared letter by letter; use one that the server lists.")

    def _problem(self, field: str, message: str, remedy: str, *, passing: bool = False) -> Problem:
        values = {"url": self._server.url, "model": self._server.model}
        return Problem(
            field=f"{self._path}.{field}",
            value=values.get(field),
            reason=Reason.ENDPOINT_UNREACHABLE,
            message=message,
            remedy=remedy,
            passing=passing,
        )
