"""Whether results can be written where the run wants them."""

import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from joulebench_api.conditions import Reason
from joulebench_api.contracts.assignment import Assignment
from joulebench_runner.errors import BadInputError, StoreError
from joulebench_runner.pod.places import Places
from joulebench_runner.pod.preflight.problems import Problem, field_of, problem_of
from joulebench_runner.pod.settings import run_folder, store_settings
from joulebench_runner.store import check_reachable, check_writable, open_store
from joulebench_runner.store.patience import AT_THE_START, Patience

_OBJECT_STORE = "spec.results.store.objectStore"


def check_store(
    assignment: Assignment, places: Places, *, environ: Mapping[str, str], patience: Patience = AT_THE_START
) -> Iterator[Problem]:
    """Write a small file there and remove it. `patience`: with an endpoint that takes no connection."""
    try:
        settings = store_settings(assignment, environ=environ)
        if settings is None:
            yield from _check_folder(places.results, assignment)
            return
        check_reachable(settings, patience=patience)
        check_writable(open_store(settings, environ=environ), run_dir=run_folder(assignment, places))
    except (BadInputError, StoreError) as error:
        secret = (field_of(error) or "").endswith("SecretRef")
        reason = Reason.SECRET_UNAVAILABLE if secret else Reason.STORE_NOT_WRITABLE
        yield problem_of(error, reason=reason, field=_OBJECT_STORE, run=assignment.run)


def _check_folder(folder: Path, assignment: Assignment) -> Iterator[Problem]:
    store = assignment.run.spec.results.store
    claim = None if store is None else store.claim
    probe = folder / f".joulebench-probe-{secrets.token_hex(4)}"
    try:
        with probe.open("xb") as file:
            file.write(b"joulebench can write here\n")
            file.flush()
            os.fsync(file.fileno())
        probe.unlink()
    except OSError as error:
        probe.unlink(missing_ok=True) if folder.is_dir() else None
        yield Problem(
            field="spec.results.store.claimTemplate" if claim is None else "spec.results.store.claim",
            value=None if claim is None else claim.name,
            reason=Reason.STORE_NOT_WRITABLE,
            message=f"cannot write into {folder}: {error.strerror or error}",
            remedy="Check that the claim is mounted for writing, and that it has room.",
        )
