"""What the driver, and who supervises the run, tell the meter: JSON over a Unix socket of this user's."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from aiohttp import web
from pydantic import ValidationError

from joulebench_api.contracts.meter import (
    Action,
    Begin,
    Dismissal,
    DriverDone,
    Finalise,
    Finish,
    Message,
    MeterStatus,
    Notice,
    Plan,
    StageEvent,
)
from joulebench_runner.errors import BadInputError, JournalError, RunnerError
from joulebench_runner.journal.schema import Kind
from joulebench_runner.journal.writer import Journal
from joulebench_runner.meter.rows import action_row, begin_row, finish_row, plan_row
from joulebench_runner.meter.state import MeterState

M = TypeVar("M", bound=Message)
_BODY_LIMIT_BYTES = 256 * 1024 * 1024


class Run(Protocol):
    """Who is told of the run's turns."""

    def on_stage(self, event: StageEvent) -> None:
        """A stage begins or ends; it is journalled already."""

    def driver_done(self, done: DriverDone) -> None:
        """The driver ends by itself."""

    def finalise(self, finalise: Finalise) -> None:
        """Attribute, export, end."""

    async def attend(self) -> str:
        """A driver is there until this is cancelled. Returns, with the reason, when it is to end."""


class Control:
    """The routes of the control socket."""

    def __init__(
        self,
        *,
        journal: Journal,
        state: MeterState,
        run: Run,
        ready: Callable[[], Awaitable[None]],
        status: Callable[[], MeterStatus],
    ) -> None:
        """`ready` returns when the model servers are ready and raises RunnerError when they will not be."""
        self._journal = journal
        self._state = state
        self._run = run
        self._ready = ready
        self._status_of = status

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=_BODY_LIMIT_BYTES, middlewares=[_errors_as_json])
        app.add_routes([
            web.post("/v1/plan", self._plan),
            web.post("/v1/stage", self._stage),
            web.post("/v1/begin", self._begin),
            web.post("/v1/action", self._action),
            web.post("/v1/finish", self._finish),
            web.post("/v1/driver-done", self._driver_done),
            web.post("/v1/note", self._note),
            web.post("/v1/finalise", self._finalise),
            web.get("/v1/status", self._status),
            web.get("/v1/ready", self._get_ready),
            web.get("/v1/attend", self._attend),
        ])  # fmt: skip
        return app

    async def _plan(self, request: web.Request) -> web.Response:
        plan = await _message(request, Plan)
        self._state.check_plan(plan)
        self._journal.append(Kind.PLAN, **plan_row(plan))
        await self._journal.commit()
        return _reply(self._state.on_plan(plan))

    async def _stage(self, request: web.Request) -> web.Response:
        event = await _message(request, StageEvent)
        self._state.on_stage(event)
        self._journal.append(Kind.STAGE, stage=event.stage.value, event=event.event)
        self._run.on_stage(event)
        return _empty()

    async def _begin(self, request: web.Request) -> web.Response:
        begin = await _message(request, Begin)
        self._state.on_begin(begin)
        self._journal.append(Kind.QUERY_BEGIN, **begin_row(begin))
        return _empty()

    async def _action(self, request: web.Request) -> web.Response:
        action = await _message(request, Action)
        self._journal.append(Kind.ACTION, **action_row(action))
        return _empty()

    async def _finish(self, request: web.Request) -> web.Response:
        finish = await _message(request, Finish)
        # A driver that did not see our answer says it again; the first one stands.
        if not self._state.is_finished(finish.query_id):
            self._state.on_finish(finish)
            self._journal.append(Kind.QUERY_FINISH, **finish_row(finish))
        # Shielded: the row is written and counts, also when the driver dies while it waits.
        await asyncio.shield(self._journal.commit())
        return _empty()

    async def _driver_done(self, request: web.Request) -> web.Response:
        done = await _message(request, DriverDone)
        self._journal.append(Kind.NOTE, topic="driver", subject=done.outcome, message=done.message)
        await self._journal.commit()
        self._run.driver_done(done)
        return _empty()

    async def _note(self, request: web.Request) -> web.Response:
        notice = await _message(request, Notice)
        self._journal.append(Kind.NOTE, topic=notice.topic, subject=notice.subject, message=notice.message)
        return _empty()

    async def _finalise(self, request: web.Request) -> web.Response:
        finalise = await _message(request, Finalise)
        self._run.finalise(finalise)
        return _empty()

    async def _status(self, _request: web.Request) -> web.Response:
        return _reply(self._status_of())

    async def _get_ready(self, _request: web.Request) -> web.Response:
        await self._ready()
        return _empty()

    async def _attend(self, _request: web.Request) -> web.Response:
        return _reply(Dismissal(reason=await self._run.attend()))


async def _message(request: web.Request, model: type[M]) -> M:
    return model.model_validate_json(await request.read())


def _reply(message: Message) -> web.Response:
    return web.Response(text=message.model_dump_json(), content_type="application/json")


def _empty() -> web.Response:
    return web.json_response({})


@web.middleware
async def _errors_as_json(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except ValidationError as error:
        return _refused(request, error)
    except JournalError as error:
        return _error(507, error)
    except BadInputError as error:
        return _error(409, error)
    except RunnerError as error:
        return _error(503, error)
    return response


def _refused(request: web.Request, error: ValidationError) -> web.Response:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    message = f"{request.path}: {field or 'the message'}: {first['msg']}"
    remedy = "Driver and meter must be of the same joulebench release."
    return web.json_response({"message": message, "field": field, "remedy": remedy}, status=400)


def _error(status: int, error: RunnerError) -> web.Response:
    return web.json_response({"message": error.message, "remedy": error.remedy}, status=status)
