"""What went wrong with a store, in words, with what to do about it. Pure."""

import re
from typing import Final

from joulebench_runner.errors import StoreError
from joulebench_runner.store.access import variables_in_words
from joulebench_runner.store.location import Location, Service

_REFUSED: Final = re.compile(
    r"ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT_MATCH|INVALID_CLIENT_TOKEN|UNRECOGNIZED_CLIENT"
    r"|HTTP status (401|403)|\b(401|403) |Unauthorized|Forbidden|PERMISSION_DENIED|UNAUTHENTICATED"
    r"|UserNotFound|AuthenticationFailed|AuthorizationFailure|[Nn]o credentials|CredentialUnavailable"
)
_MISSING: Final = re.compile(r"NO_SUCH_BUCKET|NoSuchBucket|ContainerNotFound|BucketNotFound|bucket does not exist")


def is_passing(error: OSError) -> bool:
    """Whether another try may go better: not where the store answers that it will not, or that there is no bucket."""
    if isinstance(error, PermissionError | FileNotFoundError | NotADirectoryError):
        return False
    return not (_REFUSED.search(str(error)) or _MISSING.search(str(error)))


def failure(location: Location, doing: str, error: OSError) -> StoreError:
    """The error to be told, such as `cannot write summary.json to s3://bench/run: ...`."""
    return StoreError(f"cannot {doing} {location.url}: {_first_line(error)}", remedy=_remedy(location, error))


def _first_line(error: OSError) -> str:
    return str(error).partition("\n")[0].strip()


def _remedy(location: Location, error: OSError) -> str:
    if location.service is Service.FILE:
        return "Check that the folder can be written and that its disk has room."
    if _MISSING.search(str(error)):
        return f"Create {location.root.partition('/')[0]!r} there, or correct the url; joulebench creates none."
    if _REFUSED.search(str(error)):
        return f"Check the credentials ({variables_in_words(location.service)}) and that they may list, read and write."
    return "Check the url, the endpoint and the network."
