"""Generation options: what the task wants, overridden by what the run wants, in the forms that others take. Pure."""

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from joulebench_runner.config import GenerationSettings


def merged(run: GenerationSettings, *, task: Mapping[str, JsonValue]) -> GenerationSettings:
    """The run's options; where it says nothing, the task's. `extra_body` is merged key by key, the run's go before."""
    said = run.model_dump(exclude_none=True)
    both = {**task, **said}
    extra = {**_mapping(task.get("extra_body")), **(run.extra_body or {})}
    return GenerationSettings.model_validate(both | ({"extra_body": extra} if extra else {}))


def _mapping(value: JsonValue) -> dict[str, JsonValue]:
    return dict(value) if isinstance(value, dict) else {}


def extra_fields(options: GenerationSettings) -> dict[str, JsonValue]:
    """Fields of the request beside the standard ones."""
    template = {"chat_template_kwargs": options.chat_template_params} if options.chat_template_params else {}
    return {**template, **(options.extra_body or {})}


def as_inspect(options: GenerationSettings) -> dict[str, Any]:
    """Keyword arguments for inspect-ai (its GenerateConfig); options that say nothing are left out."""
    arguments = {
        "temperature": options.temperature,
        "top_p": options.top_p,
        "max_tokens": options.max_tokens,
        "stop_seqs": options.stop,
        "seed": options.seed,
        "reasoning_effort": options.reasoning_effort,
        "logprobs": True if options.top_logprobs is not None else None,
        "top_logprobs": options.top_logprobs,
        "system_message": options.system_prompt,
        "extra_body": extra_fields(options) or None,
    }
    return {name: value for name, value in arguments.items() if value is not None}


def as_request(options: GenerationSettings) -> dict[str, JsonValue]:
    """Fields of an OpenAI-shaped chat completion request, without messages and model."""
    fields: dict[str, JsonValue] = {
        "temperature": options.temperature,
        "top_p": options.top_p,
        "max_tokens": options.max_tokens,
        "stop": list(options.stop) if options.stop is not None else None,
        "seed": options.seed,
        "reasoning_effort": options.reasoning_effort,
    }
    return {name: value for name, value in fields.items() if value is not None} | extra_fields(options)


def messages_for(prompt: str, options: GenerationSettings) -> list[dict[str, JsonValue]]:
    """A single-turn conversation."""
    return [*system_messages(options), {"role": "user", "content": prompt}]


def system_messages(options: GenerationSettings) -> list[dict[str, JsonValue]]:
    """The system message of the run, if it has one."""
    return [{"role": "system", "content": options.system_prompt}] if options.system_prompt is not None else []
