"""Where a run's results are, by its status. Pure."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from joulebench_operator.commands.errors import BadRequestError, CommandError
from joulebench_operator.objects import Object

CLAIM_SCHEME: Final = "pvc"


@dataclass(frozen=True)
class ClaimFolder:
    """A folder on a persistent volume claim."""

    namespace: str
    claim: str
    folder: str


def results_url(run: Object, *, attempt: int | None = None) -> str:
    """The address of an attempt's results; without a number those of the last one that has some.

    Raises BadRequestError for an attempt that is not told, CommandError while there is none at all.
    """
    status = run.get("status") or {}
    attempts = {entry["number"]: entry.get("resultsURL") for entry in status.get("attempts") or ()}
    url = (status.get("results") or {}).get("url") or next(
        (one for _, one in sorted(attempts.items())[::-1] if one), None
    )
    if attempt is not None:
        if not attempts.get(attempt):
            known = ", ".join(str(number) for number, found in sorted(attempts.items()) if found) or "none"
            raise BadRequestError(
                f"--attempt: the status has no results of attempt {attempt}", remedy=f"it has: {known}"
            )
        url = attempts[attempt]
    if not url:
        name = run["metadata"]["name"]
        raise CommandError(
            f"{name} has no results yet",
            remedy=f"`joulebench status {name}` says where it stands; wait until it has begun",
        )
    return str(url)


def is_claim(url: str) -> bool:
    """Whether it is on a claim, and not in an object store."""
    return urlsplit(url).scheme == CLAIM_SCHEME


def claim_folder(url: str) -> ClaimFolder:
    """`pvc://NAMESPACE/CLAIM/FOLDER`. Raises CommandError for another form."""
    parts = urlsplit(url)
    claim, _, folder = unquote(parts.path).strip("/").partition("/")
    if parts.scheme != CLAIM_SCHEME or not parts.netloc or not claim or ".." in folder.split("/"):
        raise CommandError(
            f"status.results.url: {url!r} is no pvc://NAMESPACE/CLAIM/FOLDER",
            remedy="use a joulebench of the operator's release",
        )
    return ClaimFolder(parts.netloc, claim, folder)
