"""The status of a run beside its conditions."""

import json
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from joulebench_api.contracts.termination import TerminationMessage
from joulebench_api.v1alpha1.status import (
    Configuration,
    Resolved,
    ResolvedEnergy,
    ResolvedModel,
    ResolvedRunner,
    ResolvedSubmodel,
    ResolvedTask,
    StoredFile,
)
from joulebench_operator.objects import Object
from joulebench_operator.runs import attempts, progress, recorded, stages
from joulebench_operator.runs.assignment import domains
from joulebench_operator.runs.configured import configuration_hash
from joulebench_operator.runs.headline import headline
from joulebench_operator.runs.last_words import fitting_part
from joulebench_operator.runs.recorded import time_text
from joulebench_operator.runs.servers import Server
from joulebench_operator.runs.situation import Situation

_Model = TypeVar("_Model", bound=BaseModel)

MAX_BYTES: Final = 16 * 1024
CONDITIONS_BYTES: Final = 9 * 1024
"""What is kept free for conditions, with their times."""


def status(seen: Situation, words: TerminationMessage | None) -> Object:
    """All that follows from one look, and what was known before and still counts."""
    before = seen.attempt.recorded.status
    now = seen.context.now
    parts = {
        "startTime": attempts.start_time(seen.attempt, now=now),
        "completionTime": None if seen.ended is None else time_text(now),
        "attempts": attempts.listed(seen.attempt, _attempt(seen), now=now),
        "progress": _progress(seen, words),
        "stages": stages.stages(seen.attempt.recorded, None if seen.ended else seen.stage, now=now),
        "resolved": _resolved(seen, words),
        "summary": before.get("summary") if words is None or words.summary is None else plain(words.summary),
        "results": before.get("results") if words is None or words.results is None else _results(seen, words.results),
    }
    return bounded({name: value for name, value in parts.items() if value})


def plain(value: BaseModel) -> Object:
    """A part of the status as JSON."""
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


def bounded(found: Object) -> Object:
    """The status without what there is no room for: first the oldest attempts, then what was resolved."""
    while _size(found) > MAX_BYTES - CONDITIONS_BYTES and len(found.get("attempts", ())) > 1:
        found = {**found, "attempts": found["attempts"][1:]}
    if _size(found) > MAX_BYTES - CONDITIONS_BYTES:
        found = {name: value for name, value in found.items() if name != "resolved"}
    return found


def _size(found: Object) -> int:
    return len(json.dumps(found).encode())


def _attempt(seen: Situation) -> Object:
    return attempts.entry(
        seen.attempt,
        reason=headline(seen).reason,
        now=seen.context.now,
        is_over=seen.ended is not None,
        results_url=seen.storage.url,
    )


def _progress(seen: Situation, words: TerminationMessage | None) -> Object | None:
    before = seen.attempt.recorded.part("progress")
    if words is not None and words.summary is not None and words.summary.counts is not None:
        total = before.get("total")
        return plain(progress.at_end(words.summary.counts, total if isinstance(total, int) else None))
    if seen.runner.status is not None and seen.runner.is_heard_of:
        return plain(progress.progress(seen.runner.status))
    return dict(before) or None


def _results(seen: Situation, told: StoredFile) -> Object:
    """Results on a claim are told by the claim's name: the runner knows only its own folder."""
    url = seen.storage.url if seen.storage.claim is not None else told.url
    return plain(_fitting(StoredFile, url=url, sha256=told.sha256, bytes=told.bytes))


def _resolved(seen: Situation, words: TerminationMessage | None) -> Object:
    model, *others = seen.servers
    by_role = {role: [server for server in others if server.party.role == role] for role in ("submodel", "judge")}
    resolved = Resolved(
        task=_task(seen, words),
        server=_model(model),
        submodels=tuple(_submodel(server) for server in by_role["submodel"]) or None,
        judge=next(map(_model, by_role["judge"]), None),
        runner=_runner(seen, words),
        energy=_energy(seen, words),
        configuration=Configuration(sha256=configuration_hash(seen.context.configuration)),
    )
    return plain(resolved)


def _task(seen: Situation, words: TerminationMessage | None) -> ResolvedTask | None:
    told = (None if words is None else words.task) or seen.verdict.task
    if told is None:
        return fitting_part(ResolvedTask, (seen.attempt.recorded.part("resolved")).get("task"))
    return _fitting(ResolvedTask, name=told.name, revision=told.revision, records=told.records, sha256=told.sha256)


def _model(server: Server) -> ResolvedModel:
    return _fitting(ResolvedModel, **_facts(server))


def _submodel(server: Server) -> ResolvedSubmodel:
    return _fitting(ResolvedSubmodel, name=server.party.alias, **_facts(server))


def _facts(server: Server) -> Mapping[str, Any]:
    external, plan = server.party.source.external, server.plan
    if external is not None:
        return {"model": external.model, "url": external.url}
    if plan is None:
        return {}
    known = recorded.of(server.item or {}).part("resolved")
    return {
        "model": plan.command.served_model_name,
        "url": plan.url,
        "engine": plan.engine.value,
        "engine_version": known.get("engineVersion"),
        "model_revision": known.get("modelRevision"),
        "image_digest": known.get("imageDigest"),
        "accelerator_product": known.get("acceleratorProduct"),
        "replicas": plan.spec.replicas,
    }


def _runner(seen: Situation, words: TerminationMessage | None) -> ResolvedRunner:
    version = (seen.attempt.recorded.part("resolved").get("runner") or {}).get("version")
    if words is not None and words.runner_version is not None:
        version = words.runner_version
    return _fitting(ResolvedRunner, image=seen.run.image, version=version)


def _energy(seen: Situation, words: TerminationMessage | None) -> ResolvedEnergy:
    before = (seen.attempt.recorded.part("resolved").get("energy") or {}).get("sensor")
    attribution = seen.run.spec.energy.attribution
    measured = tuple(str(domain) for domain in domains(seen.run, seen.servers))
    return _fitting(
        ResolvedEnergy,
        domains=measured,
        attribution=None if attribution is None else attribution.value,
        sensor=before if words is None or words.sensor is None else words.sensor,
    )


def _fitting(model: type[_Model], /, **values: Any) -> _Model:
    """A part of the values that are known and fit their fields; what does not fit is left out, not cut."""
    part = fitting_part(model, {name: value for name, value in values.items() if value is not None})
    return model() if part is None else part
