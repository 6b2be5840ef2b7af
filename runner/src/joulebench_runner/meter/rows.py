"""From messages to journal rows. Pure."""

from typing import Any

import orjson

from joulebench_api.contracts.meter import Action, Begin, Finish, Plan


def plan_row(plan: Plan) -> dict[str, Any]:
    """Fields of a `plan` row."""
    return {"json": plan.model_dump_json(exclude={"query_ids"}), "query_ids": plan.query_ids}


def begin_row(begin: Begin) -> dict[str, Any]:
    """Fields of a `query_begin` row."""
    return begin.model_dump(exclude={"messages"}) | {"messages": orjson.dumps(begin.messages).decode()}


def action_row(action: Action) -> dict[str, Any]:
    """Fields of an `action` row."""
    return action.model_dump()


def finish_row(finish: Finish) -> dict[str, Any]:
    """Fields of a `query_finish` row."""
    return finish.model_dump()
