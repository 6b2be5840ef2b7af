"""One visit to one object: decide, make it so, say how it stands."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from joulebench_api.conditions import ConditionType, Reason
from joulebench_api.v1alpha1.status import ConditionStatus
from joulebench_operator import metrics
from joulebench_operator.cache import Cache
from joulebench_operator.decision import Child, Context, Controller, Decision, Wanted
from joulebench_operator.drift import is_as_applied
from joulebench_operator.errors import ApiRefusalError, ForeignObjectError, OperatorError
from joulebench_operator.events import transition
from joulebench_operator.inquiring import Inquirer
from joulebench_operator.kinds import MADE, MODEL_SERVER, Key
from joulebench_operator.kube import Kube
from joulebench_operator.objects import Object, controller_of, is_owned_by, key_of, owned
from joulebench_operator.settling import differs, settled

_LOG: Final = logging.getLogger(__name__)
_PROGRESS_SECONDS: Final = 5.0
"""At least so long between two writes of progress alone."""
_GARBAGE_SECONDS: Final = 2.0
"""When to look again while the garbage collector removes what a predecessor left."""
_HOPELESS: Final = frozenset({400, 403, 422})
"""The API server refuses what is asked for; it is told in the status, and tried again with the usual back-off."""
_NAMESPACE_ENDS: Final = "because it is being terminated"
"""The API server's words (403) for what is to be made in a namespace that is being deleted: the owner goes as well."""
_CHILD_KINDS: Final = (*MADE, MODEL_SERVER)


class _NotYetError(OperatorError):
    """A name is still taken by something that is being removed."""


@dataclass
class _Done:
    """What was last written for an object."""

    progress_seconds: float = float("-inf")
    applied: frozenset[tuple[Key, str, str]] = frozenset()
    """Children (key, intent, resource version) that are as they should be though they look different."""


class Reconciler:
    """Looks at objects.

    Args:
        context: makes the context of a visit.
        clock: seconds, for the pace of progress.
        identity: of this process, for events.
    """

    def __init__(
        self,
        controllers: Iterable[Controller],
        *,
        cache: Cache,
        kube: Kube,
        inquirer: Inquirer,
        context: Callable[[], Context],
        clock: Callable[[], float],
        identity: str,
    ) -> None:
        self._controllers: Mapping[str, Controller] = {one.kind.name: one for one in controllers}
        self._cache = cache
        self._kube = kube
        self._inquirer = inquirer
        self._context = context
        self._clock = clock
        self._identity = identity
        self._done: dict[Key, _Done] = {}

    async def visit(self, key: Key) -> float | None:
        """Look at an object; when to look again in seconds, though nothing happens.

        Raises:
            ApiRefusalError: the API server could not do it now.
            aiohttp.ClientError: it could not be reached.
        """
        item = self._cache.get(key)
        if item is None or item["metadata"].get("deletionTimestamp"):
            self._done.pop(key, None)
            self._inquirer.want(key, ())
            return None
        context = self._context()
        decision = self._controllers[key.kind].decide(item, context)
        try:
            await self._make(item, decision.children)
            problem: OperatorError | None = None
        except _NotYetError:
            return _GARBAGE_SECONDS
        except ForeignObjectError as error:
            problem, decision = error, _refused(decision, Reason.NAME_TAKEN, error)
        except ApiRefusalError as error:
            if error.status not in _HOPELESS:
                raise
            if _NAMESPACE_ENDS in error.message:
                return None
            problem, decision = error, _refused(decision, Reason.REFUSED, error)
        self._inquirer.want(key, decision.inquiries)
        wait = await self._tell(item, decision, now=context.now)
        if problem is not None:
            raise problem
        waits = [seconds for seconds in (wait, decision.again_after_seconds) if seconds is not None]
        return min(waits, default=None)

    async def _make(self, owner: Object, children: Iterable[Child]) -> None:
        """Delete what is not wanted before anything new is made: its accelerators may be needed."""
        wanted = {key_of(child.body): child for child in children}
        for kind in _CHILD_KINDS:
            for found in self._cache.owned(kind, owner):
                if key_of(found) not in wanted and not found["metadata"].get("deletionTimestamp"):
                    await self._delete(found)
        for key, child in wanted.items():
            await self._make_one(owner, key, child)

    async def _delete(self, item: Object) -> None:
        await self._kube.delete(item)
        _count(item, "delete")
        gone = {**item, "metadata": {**item["metadata"], "deletionTimestamp": "now"}}
        # Until the watch tells, it counts as being deleted; the same resource version lets the watch's word win.
        self._cache.put(gone)

    async def _make_one(self, owner: Object, key: Key, child: Child) -> None:
        found = self._cache.get(key)
        if found is None and child.once:
            self._cache.put(await self._create(owner, owned(child.body, owner)))
            return
        found = found or await self._kube.get(key)
        if found is not None:
            _check_owner(found, owner)
            if child.once:
                return
        intended = owned(child.body, owner)
        if found is not None and self._stands(key_of(owner), intended, found):
            return
        made = await self._kube.apply(intended)
        _count(intended, "apply")
        self._remember(key_of(owner), intended, made)
        self._cache.put(made)

    async def _create(self, owner: Object, intended: Object) -> Object:
        """Create it without a look first: it is hardly ever there already, and then the API server says so."""
        made = await self._kube.create(intended)
        if made is not None:
            _count(intended, "apply")
            return made
        found = await self._kube.get(key_of(intended))
        if found is None:
            raise _NotYetError(f"{key_of(intended)}: was removed meanwhile", remedy="look again")
        _check_owner(found, owner)
        return found

    def _stands(self, owner: Key, intended: Object, found: Object) -> bool:
        if is_as_applied(intended, found):
            return True
        return _mark(intended, found) in self._done.get(owner, _Done()).applied

    def _remember(self, owner: Key, intended: Object, made: Object) -> None:
        if not is_as_applied(intended, made):
            done = self._done.setdefault(owner, _Done())
            others = {one for one in done.applied if one[0] != key_of(made)}
            done.applied = frozenset({*others, _mark(intended, made)})

    async def _tell(self, item: Object, decision: Decision, *, now: datetime) -> float | None:
        """Write the status if it differs; how long a mere progress has to wait in seconds."""
        before = item.get("status") or {}
        status = settled(item, decision, now=now)
        if not differs(status, before):
            return None
        key = key_of(item)
        done = self._done.setdefault(key, _Done())
        if not differs(status, before, apart_from=decision.progress):
            wait = done.progress_seconds + _PROGRESS_SECONDS - self._clock()
            if wait > 0:
                return wait
        done.progress_seconds = self._clock()
        try:
            self._cache.put(await self._kube.apply_status(item, status))
        except ApiRefusalError as error:
            # It was deleted, or replaced by another of its name, while we looked at it.
            if error.status in (404, 409):
                return None
            raise
        _count(item, "status")
        await self._announce(item, before, status, now=now)
        return None

    async def _announce(
        self, item: Object, before: Mapping[str, Any], after: Mapping[str, Any], *, now: datetime
    ) -> None:
        event = transition(item, before, after, now=now, by=self._identity)
        if event is None:
            return
        try:
            await self._kube.emit(event)
        except ApiRefusalError as error:
            # Events are a courtesy: the condition says the same.
            _LOG.warning("event not written", extra={"object": str(key_of(item)), "error": str(error)})


def _check_owner(found: Object, owner: Object) -> None:
    if is_owned_by(found, owner):
        if found["metadata"].get("deletionTimestamp"):
            raise _NotYetError(f"{key_of(found)} is being deleted", remedy="look again")
        return
    other = controller_of(found)
    if other is not None and (other["kind"], other["name"]) == (owner["kind"], owner["metadata"]["name"]):
        raise _NotYetError(f"{key_of(found)} belongs to a predecessor", remedy="look again")
    whose = "nobody" if other is None else f"{other['kind']}/{other['name']}"
    key = key_of(found)
    raise ForeignObjectError(
        f"{key.kind} {key.name} exists and belongs to {whose}",
        remedy=f"Remove it, or give this {owner['kind']} another name.",
    )


def _mark(intended: Object, found: Object) -> tuple[Key, str, str]:
    metadata = found["metadata"]
    generation = metadata.get("generation")
    version = metadata["resourceVersion"] if generation is None else str(generation)
    return key_of(found), intended["metadata"]["annotations"]["joulebench.dev/intent"], version


def _refused(decision: Decision, reason: Reason, error: OperatorError) -> Decision:
    """The decision could not be carried out: Ready says why, all else stands as decided."""
    gone = {ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED}
    others = tuple(one for one in decision.conditions if one.type not in gone)
    told = (
        Wanted(ConditionType.READY, ConditionStatus.FALSE, reason, str(error)),
        Wanted(ConditionType.STALLED, ConditionStatus.TRUE, reason, str(error)),
    )
    return replace(decision, conditions=(*told, *others))


def _count(item: Mapping[str, Any], verb: str) -> None:
    metrics.WRITES.labels(kind=item["kind"], verb=verb).inc()
