"""Asking the questions: one evaluation by inspect-ai. Imports inspect-ai; everything slow is imported here at once."""

import contextlib
import importlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from inspect_ai import Task, eval_async, task_with
from inspect_ai.model import GenerateConfig, Model
from inspect_ai.solver import Solver, chain
from inspect_ai.util import display_type

from joulebench_api.contracts.identity import GRADER_ROLE, JUDGE_ALIAS, MODEL_ALIAS
from joulebench_runner.config import DriverSettings, GenerationSettings
from joulebench_runner.driver.generation import as_inspect
from joulebench_runner.driver.loaded import LoadedTask
from joulebench_runner.driver.provider import metered_model
from joulebench_runner.driver.samples import AskWhatIsLeft, begin_question, register_hooks
from joulebench_runner.driver.session import Session
from joulebench_runner.errors import RunnerError

LOGS: Final = "logs"

# inspect-ai imports it when an evaluation starts; here that is done while the model server still loads.
with contextlib.suppress(ImportError):
    importlib.import_module("acp")


async def evaluate(
    loaded: LoadedTask,
    *,
    session: Session,
    settings: DriverSettings,
    proxy_url: str,
    aliases: Iterable[str],
) -> None:
    """Ask all questions that are left. Errors of single questions are told to the session, not raised."""
    register_hooks(session)
    timeout_seconds = settings.query_timeout_seconds
    display_type()  # takes INSPECT_DISPLAY before eval_async sets its own default
    logs = await eval_async(
        _prepared(loaded, session),
        model=metered_model(proxy_url=proxy_url, alias=MODEL_ALIAS),
        model_roles=_roles(proxy_url, aliases, generation=settings.generation_of_others),
        epochs=settings.epochs,
        fail_on_error=False,
        retry_on_error=0,
        time_limit=None if timeout_seconds is None else math.ceil(timeout_seconds),
        max_samples=settings.concurrency,
        max_connections=settings.concurrency,
        max_retries=0,
        log_dir=str(_log_folder(settings.run_dir)),
        log_format="eval",
        log_realtime=False,
        score_display=False,
        acp_server=False,
        ctl_server=False,
        **as_inspect(loaded.options),
    )
    if session.fatal is None and not session.closing and logs[0].status != "success":
        message = logs[0].error.message if logs[0].error is not None else logs[0].status
        raise RunnerError(f"inspect-ai ended the evaluation of {loaded.name} early: {message}")


def _prepared(loaded: LoadedTask, session: Session) -> Task:
    task = loaded.build()
    return task_with(
        task,
        dataset=task.dataset.filter(lambda sample: session.book.has(str(sample.id))),
        setup=chain(begin_question(session, loaded.options), *_solvers(task.setup)),
        early_stopping=AskWhatIsLeft(session, task.early_stopping),
        # The run's own settings decide these.
        fail_on_error=None,
        epochs=None,
    )


def _solvers(setup: Solver | Sequence[Solver] | None) -> list[Solver]:
    if setup is None:
        return []
    return list(setup) if isinstance(setup, Sequence) else [setup]


def _roles(
    proxy_url: str, aliases: Iterable[str], *, generation: Mapping[str, GenerationSettings]
) -> dict[str, str | Model | list[str] | list[Model]]:
    """Every other model of the run under its alias; the judge also under the name that inspect-ai's scorers ask for.

    `generation`: how they are asked, by alias.
    """
    roles: dict[str, str | Model | list[str] | list[Model]] = {
        alias: metered_model(proxy_url=proxy_url, alias=alias, config=_config(generation.get(alias)))
        for alias in aliases
        if alias != MODEL_ALIAS
    }
    return roles | ({GRADER_ROLE: roles[JUDGE_ALIAS]} if JUDGE_ALIAS in roles else {})


def _config(options: GenerationSettings | None) -> GenerateConfig | None:
    return None if options is None else GenerateConfig(**as_inspect(options))


def _log_folder(run_dir: Path) -> Path:
    return run_dir / LOGS
