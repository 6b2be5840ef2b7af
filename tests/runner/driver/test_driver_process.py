"""The driver as a real process against a scripted meter.

A process costs seconds (inspect-ai is imported), so each test checks one course of a run in full.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from joulebench_api.contracts.identity import query_id
from joulebench_api.contracts.meter import DriverDone
from joulebench_runner.config import GenerationSettings, TaskSettings
from joulebench_runner.errors import ExitCode
from joulebench_runner.tasks.manifest import file_revision
from joulebench_runner.tasks.records import content_id
from joulebench_runner.tasks.selection import select

Answer = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]
Says = Callable[[str], Answer]


def prompt_of(body: dict[str, Any]) -> str:
    """The text of the first user message."""
    return str(next(message["content"] for message in body["messages"] if message["role"] == "user"))


def in_turn(*answers: Answer) -> Answer:
    """Answers that follow one another."""
    queue = list(answers)

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return await queue.pop(0)(request, body)

    return answer


def fails(status: int, message: str) -> Answer:
    """A server that refuses as OpenAI does."""

    async def answer(_request: web.Request, _body: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": {"message": message, "type": "x"}}, status=status)

    return answer


async def hangs(_request: web.Request, _body: dict[str, Any]) -> web.StreamResponse:
    """A server that never answers."""
    await asyncio.Event().wait()
    raise AssertionError


async def closes(request: web.Request, _body: dict[str, Any]) -> web.StreamResponse:
    """A server that closes the connection in the middle of its answer."""
    response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"choices": [')
    assert request.transport is not None
    request.transport.close()
    return response


async def sends_rubbish(_request: web.Request, _body: dict[str, Any]) -> web.StreamResponse:
    """A server whose answer is no JSON."""
    return web.Response(text="<html>Bad gateway</html>", content_type="application/json")


def outcome(folder: Path) -> DriverDone:
    """What the driver left in its outcome file."""
    return DriverDone.model_validate_json((folder / "outcome.json").read_bytes())


async def test_a_run_asks_every_question_of_every_epoch_under_its_own_id(driver: Any, meter: Any, says: Says) -> None:
    ended = await driver.run(
        TaskSettings(name="everyday", limit=3, params={"level": 1}),
        warmup_queries=2,
        baseline_seconds=0.01,
        epochs=2,
        seed=7,
        generation=GenerationSettings(
            system_prompt="Be brief.", top_p=0.5, stop=["###"], seed=9, max_tokens=5,
            chat_template_params={"enable_thinking": False}, extra_body={"top_k": 3},
        ),
    )  # fmt: skip

    assert ended.code == ExitCode.DONE, ended.log
    [plan] = meter.bodies("plan")
    task = plan["task"]
    assert (task["name"], task["records"], task["epochs"], task["scored"]) == ("everyday", 3, 2, True)
    assert task["parameters"] == {"level": [1], "seed": 7}
    stages = [(body["stage"], body["event"]) for body in meter.bodies("stage")]
    assert stages == [
        ("startup", "end"),
        *((stage, event) for stage in ("baseline", "warmup", "run") for event in ("start", "end")),
    ]

    begun = meter.bodies("begin")
    assert sorted(body["query_id"] for body in begun) == sorted(plan["query_ids"])
    for body in begun:
        assert body["query_id"] == query_id(
            task="everyday", dataset_revision=task["revision"], record_id=body["record_id"], epoch=body["epoch"]
        )
        assert body["messages"][0] == {"role": "system", "content": "Be brief."}

    warmup, asked = meter.paths()[:2], meter.paths()[2:]
    assert warmup == ["/m/model/v1/chat/completions"] * 2
    assert asked == [f"/m/model/q/{body['query_id']}.0/v1/chat/completions" for body in begun]
    prompts = [prompt_of(body) for body in meter.bodies("call")]
    assert not set(prompts[:2]) & set(prompts[2:])
    for body in meter.bodies("call"):
        sent = {key: value for key, value in body.items() if key not in {"messages", "model"}}
        assert sent == {
            "temperature": 0.0, "top_p": 0.5, "stop": ["###"], "seed": 9, "max_tokens": 5, "top_k": 3,
            "chat_template_kwargs": {"enable_thinking": False},
        }  # fmt: skip
        assert body["messages"][0] == {"role": "system", "content": "Be brief."}

    kinds = [event.kind for event in meter.events if event.kind in {"begin", "call", "finish"}][2:]
    assert kinds[0:2] == ["begin", "call"]
    assert sorted(body["query_id"] for body in meter.bodies("finish")) == sorted(plan["query_ids"])
    for body in meter.bodies("finish"):
        assert (body["response"], body["scorer"], body["error"]) == ("4", "everyday", None)
        assert body["correct"] in {True, False}
        assert body["score"] == float(body["correct"])
        assert body["explanation"].startswith("rule everyday/1, tier ")
    assert meter.bodies("driver-done") == [{"outcome": "completed", "message": None, "remedy": None}]
    assert len(list((driver.folder / "logs").glob("*.eval"))) == 1


async def test_a_failed_call_is_an_error_with_its_cause_and_never_a_wrong_answer(
    driver: Any, meter: Any, says: Says
) -> None:
    meter.answer = in_turn(
        fails(404, "no such model"),
        fails(400, "the input length exceeds the context"),
        fails(500, "out of\n memory"),
        hangs,
        closes,
        sends_rubbish,
        says(""),
        says("4"),
    )
    ended = await driver.run(TaskSettings(name="everyday", limit=8, params={"level": 1}), query_timeout_seconds=1.0)

    assert ended.code == ExitCode.DONE, ended.log
    finished = {body["query_id"]: body for body in meter.bodies("finish")}
    rows = [finished[body["query_id"]] for body in meter.bodies("begin")]
    errors = [row["error"] for row in rows]
    assert errors[:4] == [
        "HTTP 404: no such model",
        "HTTP 400: the input length exceeds the context",
        "HTTP 500: out of memory",
        "no answer within the query timeout of 1 s",
    ]
    assert "connection" in errors[4]
    assert errors[5]
    assert errors[6:] == [None, None]
    assert [row["correct"] for row in rows[:7]] == [None] * 7
    assert (rows[6]["response"], rows[6]["unscored_reason"]) == ("", "empty answer")
    assert rows[7]["correct"] in {True, False}
    assert len(meter.paths()) == 8, "nothing is retried here"


async def test_too_many_errors_end_the_asking(driver: Any, meter: Any) -> None:
    meter.answer = fails(500, "broken")
    ended = await driver.run(TaskSettings(name="everyday", limit=10), max_errors=0.25)

    assert ended.code == ExitCode.REQUIREMENT_NOT_MET, ended.log
    assert len(meter.bodies("finish")) == 3
    [done] = meter.bodies("driver-done")
    assert done["outcome"] == "error-limit"
    assert done["message"] == "3 of 10 questions failed; maxErrors is 25%"
    assert outcome(driver.folder).outcome == "error-limit"


async def test_what_an_earlier_attempt_finished_is_not_asked_again(driver: Any, meter: Any, tmp_path: Path) -> None:
    rows = [{"question": f"What is {number} + 1?", "answer": f"#### {number + 1}"} for number in range(5)]
    folder = tmp_path / "data" / "gsm8k"
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = TaskSettings(name="gsm8k", data_root=tmp_path / "data", limit=4)
    revision, ids = _gsm8k_ids(folder / "test.jsonl", rows)
    meter.finished = [ids[0], ids[1]]
    meter.attempts = {ids[2]: 3}

    ended = await driver.run(task)

    assert ended.code == ExitCode.DONE, ended.log
    [plan] = meter.bodies("plan")
    assert plan["task"]["revision"] == revision
    left = [name for name in plan["query_ids"] if name not in meter.finished]
    attempts = {body["query_id"]: body["attempt"] for body in meter.bodies("begin")}
    assert attempts == {name: 3 if name == ids[2] else 0 for name in left}
    assert set(meter.paths()) == {
        f"/m/model/q/{name}.{attempt}/v1/chat/completions" for name, attempt in attempts.items()
    }
    assert {body["query_id"]: body["attempt"] for body in meter.bodies("finish")} == attempts


def _gsm8k_ids(path: Path, rows: list[dict[str, str]]) -> tuple[str, list[str]]:
    revision = file_revision(path)
    selected = select([content_id(row["question"]) for row in rows], seed=42, limit=4)
    return revision, [
        query_id(task="gsm8k", dataset_revision=revision, record_id=record, epoch=1) for record in selected
    ]


async def test_an_inspect_task_keeps_its_setup_solver_scorer_and_judge(driver: Any, meter: Any, says: Says) -> None:
    meter.aliases = ["model", "judge"]

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if "/m/judge/" in request.path:
            return await says("C")(request, body)
        return await says(prompt_of(body).split()[1])(request, body)

    meter.answer = answer
    ended = await driver.run(
        TaskSettings(name="inspect:quiz/letters", params={"wanted": "all"}),
        concurrency=3,
        warmup_queries=1,
        generation_of_others={
            "judge": {"temperature": 0.0, "max_tokens": 9, "system_prompt": "Be strict.", "extra_body": {"a": 1}}
        },
    )

    assert ended.code == ExitCode.DONE, ended.log
    begun = {body["record_id"]: body for body in meter.bodies("begin")}
    finished = {body["query_id"]: body for body in meter.bodies("finish")}
    rows = {record: finished[body["query_id"]] for record, body in begun.items()}
    assert [body["query_id"] for body in meter.bodies("begin")] == meter.bodies("plan")[0]["query_ids"]
    assert begun["letter-p"]["subject"] == "letters"

    def fields(record: str) -> tuple[Any, ...]:
        return tuple(rows[record][name] for name in ("score", "correct", "unscored_reason", "error"))

    assert fields("letter-c") == (1.0, True, None, None)
    assert fields("letter-p") == (1.0, True, None, None)
    assert fields("half") == (0.5, False, None, None)
    assert fields("judge") == (1.0, True, None, None)
    assert fields("many")[:2] == (None, None)
    assert fields("many")[2].startswith("the scorer gave several values")
    assert fields("crash")[:3] == (None, None, None)
    assert fields("crash")[3].startswith("the scorer failed: ")
    assert "the scorer tripped" in fields("crash")[3]
    assert rows["crash"]["response"] == "crash"
    assert "the solver tripped" in fields("raise")[3]
    assert "scorer" not in fields("raise")[3]

    asked = [event for event in meter.events if event.kind == "call"][1:]
    assert all(event.body["temperature"] == 0.25 for event in asked if "/m/model/" in event.path)
    judged = f"/m/judge/q/{begun['judge']['query_id']}.0/v1/chat/completions"
    (verdict,) = [event for event in asked if "/m/judge/" in event.path]
    assert verdict.path == judged
    # What the run says of its judge goes before the scorer's own wishes, and those stay where it says nothing.
    sent = {name: verdict.body[name] for name in ("temperature", "max_tokens", "top_p", "a")}
    assert sent == {"temperature": 0.0, "max_tokens": 9, "top_p": 0.5, "a": 1}
    assert [one["content"] for one in verdict.body["messages"]] == ["Be strict.", "Is it right?"]
    two_turns = f"/m/model/q/{begun['letter-c']['query_id']}.0/v1/chat/completions"
    assert [prompt_of(event.body) for event in asked if event.path == two_turns] == ["Say C Think."] * 2


async def test_a_task_asks_its_submodels_by_their_roles(driver: Any, meter: Any, says: Says) -> None:
    meter.aliases = ["model", "helper", "idler", "judge"]

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return await says("hint" if "/m/helper/" in request.path else "C")(request, body)

    meter.answer = answer
    ended = await driver.run(
        TaskSettings(name="inspect:quiz/helped"),
        concurrency=2,
        warmup_queries=0,
        generation={"temperature": 0.75, "system_prompt": "Be nice."},
        generation_of_others={"helper": {"max_tokens": 20, "system_prompt": "Be brief."}},
    )

    assert ended.code == ExitCode.DONE, ended.log
    assert [body["correct"] for body in meter.bodies("finish")] == [True, True]
    ids = {body["record_id"]: body["query_id"] for body in meter.bodies("begin")}
    asked = [event for event in meter.events if event.kind == "call"]
    paths = Counter(event.path.removesuffix("/v1/chat/completions") for event in asked)
    # Each call bears the question that made it, also those that are made at once.
    assert paths == {
        **{f"/m/helper/q/{query}.0": 2 for query in ids.values()},
        **{f"/m/model/q/{query}.0": 1 for query in ids.values()},
        f"/m/judge/q/{ids['judge']}.0": 1,
    }
    hints = [event.body for event in asked if "/m/helper/" in event.path]
    # What the run says of its submodel goes before the caller's wishes; what it says of the model is for that alone.
    assert {(body["max_tokens"], body["top_p"], body.get("temperature")) for body in hints} == {(20, 0.5, None)}
    assert {body["messages"][0]["content"] for body in hints} == {"Be brief."}
    answers = [event.body for event in asked if "/m/model/" in event.path]
    assert {(body["temperature"], body["messages"][0]["content"]) for body in answers} == {(0.75, "Be nice.")}
    assert {body["messages"][-1]["content"] for body in answers} == {"hint hint"}


async def test_a_submodel_that_the_run_does_not_have_fails_the_question(driver: Any, meter: Any, says: Says) -> None:
    meter.answer = says("C")
    ended = await driver.run(TaskSettings(name="inspect:quiz/helped", limit=1), warmup_queries=0)

    assert ended.code == ExitCode.DONE, ended.log
    [finished] = meter.bodies("finish")
    assert "Model role 'helper' is required" in finished["error"]
    assert not [event for event in meter.events if event.kind == "call"]


async def test_fixed_length_asks_prompts_whose_length_the_server_confirmed(
    driver: Any, meter: Any, completion: Callable[..., web.Response]
) -> None:
    async def count(_request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if "min_tokens" in body:
            return web.json_response({"error": {"message": "unknown field min_tokens"}}, status=400)
        return completion("x y", prompt_tokens=5 + len(prompt_of(body).split()))

    meter.answer = count
    ended = await driver.run(
        TaskSettings(name="fixed_length", params={"inputTokens": 30, "outputTokens": 12}, limit=3), warmup_queries=1
    )

    assert ended.code == ExitCode.DONE, ended.log
    asked = [event for event in meter.events if event.kind == "call" and "/q/" in event.path]
    assert [5 + len(prompt_of(event.body).split()) for event in asked] == [30] * 3
    assert [(event.body["max_tokens"], event.body["ignore_eos"]) for event in asked] == [(12, True)] * 3
    assert [body["unscored_reason"] for body in meter.bodies("finish")] == ["this task is not scored"] * 3


async def test_sigterm_ends_the_run_and_leaves_open_questions_open(driver: Any, meter: Any, says: Says) -> None:
    meter.answer = in_turn(says("4"), hangs)
    await driver.start(driver.settings(TaskSettings(name="everyday", limit=5)))
    await meter.until(lambda: len(meter.paths()) == 2)
    driver.terminate()
    ended = await driver.end()

    assert ended.code == ExitCode.INTERRUPTED, ended.log
    first, second = meter.bodies("begin")
    assert [body["query_id"] for body in meter.bodies("finish")] == [first["query_id"]]
    assert second["query_id"] != first["query_id"]
    assert [body["outcome"] for body in meter.bodies("driver-done")] == ["interrupted"]
    assert meter.bodies("stage")[-1] == {"stage": "run", "event": "end"}


async def test_a_meter_that_takes_no_finish_ends_the_run(driver: Any, meter: Any) -> None:
    meter.refuses = "finish"
    ended = await driver.run(TaskSettings(name="everyday", limit=50))
    assert ended.code == ExitCode.FAILED, ended.log
    assert len(meter.paths()) < 50
    assert outcome(driver.folder).message == "finish refused"


async def test_the_end_of_standard_input_ends_the_driver(driver: Any, meter: Any) -> None:
    meter.answer = hangs
    process = await driver.start(
        driver.settings(TaskSettings(name="everyday", limit=1)), options=("--exit-with-stdin",)
    )
    await meter.until(lambda: len(meter.paths()) == 1)
    process.stdin.close()
    ended = await driver.end()
    assert ended.code == ExitCode.INFRASTRUCTURE
