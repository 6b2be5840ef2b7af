"""inspect-ai's scorers over its logs, offline: a scorer that asks a model is refused. Imports inspect-ai."""

import asyncio
import contextlib
import importlib
import importlib.util
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspect_ai.hooks import BeforeModelGenerate, Hooks, hooks
from inspect_ai.log import EvalLog, EvalSample
from inspect_ai.model import get_model
from inspect_ai.scorer import Score, Scorer
from inspect_ai.util import registry_info

from joulebench_api.names import did_you_mean
from joulebench_runner.driver.outcome import numeric
from joulebench_runner.errors import BadInputError
from joulebench_runner.rescoring.logs import read_logs, samples
from joulebench_runner.results.verdicts import SCORER_FAILED, Answer, NewVerdict

NO_MODEL = "none/none"
"""inspect-ai's name for a model that answers nothing."""


class _AsksAModel(BaseException):
    """Raised where a scorer is about to ask a model. Not an Exception, so that no scorer and no retry swallows it."""


@dataclass
class _Guard:
    """Notes and stops every question to a model, whichever and however it was made, while answers are scored."""

    scoring: bool = False
    asked: str | None = None


_guard = _Guard()


@hooks(name="joulebench_rescore", description="Stops scorers that would ask a model.")
class _NoQuestions(Hooks):
    async def on_before_model_generate(self, data: BeforeModelGenerate) -> None:
        if not _guard.scoring:
            return
        _guard.asked = data.model_name
        raise _AsksAModel(data.model_name)


def inspect_verdicts(
    run: Path, answers: Iterable[Answer], *, package: str | None, scorer: str | None
) -> tuple[str, dict[int, NewVerdict]]:
    """The scorer's name and the verdicts by the row of the answer.

    `package` is the task's, whose scorers are to be known; `scorer` another scorer than the log names. BadInputError
    where there is no such scorer, where it asks a model, or where a log lacks the answers.
    """
    logs = read_logs(run)
    _import_scorers(package)
    scorers = _scorers(logs[-1], scorer)
    found = dict(_matched(logs, answers))
    # inspect-ai prints what hooks there are, and standard output is for results.
    with contextlib.redirect_stdout(io.StringIO()):
        return registry_info(scorers[0]).name, asyncio.run(_score_all(found, scorers))


def _import_scorers(package: str | None) -> None:
    """Scorers are known once their modules are imported; packages list theirs in `_registry`."""
    found = None if package is None else importlib.util.find_spec(package)
    if found is None:
        return
    importlib.import_module(found.name)
    # A task may also be a single file, which has no modules below it.
    if found.submodule_search_locations is not None and importlib.util.find_spec(f"{found.name}._registry") is not None:
        importlib.import_module(f"{found.name}._registry")


def _scorers(log: EvalLog, name: str | None) -> list[Scorer]:
    from inspect_ai._eval.score import resolve_scorers  # noqa: PLC0415 - what `inspect score` itself uses

    try:
        found = list(resolve_scorers(log, name))
    # Whatever a scorer's factory raises means that it cannot be made here.
    except Exception as error:
        raise _unknown(name or ", ".join(_names(log)), error) from error
    if not found:
        raise BadInputError("the run's task has no scorer", remedy="Name one with --scorer.")
    return found


def _names(log: EvalLog) -> list[str]:
    return [scorer.name for scorer in log.eval.scorers or []]


def _unknown(name: str, error: Exception) -> BadInputError:
    from inspect_ai._util.registry import registry_find, registry_unqualified_name  # noqa: PLC0415 - see above

    every = {registry_unqualified_name(one) for one in registry_find(lambda info: info.type == "scorer")}
    known = sorted(one for one in every if not one.startswith("_"))
    hint = did_you_mean(name, known)
    return BadInputError(
        f"--scorer {name}: it cannot be made here: {str(error).partition(chr(10))[0]}",
        remedy=f"{hint or 'Name another.'} There are {', '.join(known)}.",
    )


def _matched(logs: list[EvalLog], answers: Iterable[Answer]) -> Iterator[tuple[int, tuple[EvalLog, EvalSample]]]:
    """Each answer's sample: the one of its record and epoch that gave this very response."""
    by_answer: dict[tuple[str, int, str], tuple[EvalLog, EvalSample]] = {
        (str(sample.id), sample.epoch, sample.output.completion): (log, sample) for log, sample in samples(logs)
    }
    for answer in answers:
        key = (answer.record_id, answer.epoch, answer.response)
        if key not in by_answer:
            raise BadInputError(
                f"the logs lack the answer to record {answer.record_id!r}, epoch {answer.epoch}",
                remedy="Copy the whole folder of the run; logs/ must be that of its journal.",
            )
        yield answer.row, by_answer[key]


async def _score_all(found: Mapping[int, tuple[EvalLog, EvalSample]], scorers: list[Scorer]) -> dict[int, NewVerdict]:
    _guard.scoring, _guard.asked = True, None
    try:
        return {row: await _score_one(log, sample, scorers) for row, (log, sample) in found.items()}
    finally:
        _guard.scoring = False


async def _score_one(log: EvalLog, sample: EvalSample, scorers: list[Scorer]) -> NewVerdict:
    try:
        return _as_new(await _scores(log, sample, scorers))
    except BaseException as error:
        if _guard.asked is not None:
            name = registry_info(scorers[0]).name
            raise BadInputError(
                f"--scorer {name}: it asks a model ({_guard.asked}), and nothing is asked again",
                remedy="Choose a scorer that needs none, or run the benchmark anew.",
            ) from error
        if not isinstance(error, Exception):
            raise

        # As in the run itself: an answer that its scorer fails on is an error of its own.
        return NewVerdict(error=f"{SCORER_FAILED}{error}")


async def _scores(log: EvalLog, sample: EvalSample, scorers: list[Scorer]) -> Mapping[str, Score]:
    from inspect_ai._eval.score import score_async  # noqa: PLC0415 - `inspect_ai.score` starts a loop of its own

    # Without the roles: making them again would need the run's servers.
    spec = log.eval.model_copy(update={"model_roles": None})
    one = log.model_copy(update={"samples": [sample.model_copy()], "eval": spec, "results": None})
    options: dict[str, Any] = {
        "model": get_model(NO_MODEL, memoize=False),
        "action": "overwrite",
        "display": "none",
        "copy": False,
    }
    scored = await score_async(one, scorers, **options)
    return (scored.samples or [sample])[0].scores or {}


def _as_new(scores: Mapping[str, Score]) -> NewVerdict:
    if not scores:
        return NewVerdict(unscored_reason="the scorer gave no score")
    score = next(iter(scores.values()))
    value, reason = numeric(score.value)
    if value is None:
        told = str(score.reason or score.explanation or reason)
        return NewVerdict(unscored_reason=told, explanation=score.explanation)
    return NewVerdict(score=value, correct=value >= 1.0, explanation=score.explanation)
