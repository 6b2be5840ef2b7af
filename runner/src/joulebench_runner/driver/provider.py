"""The model as inspect-ai sees it: its OpenAI-compatible provider, pointed at the meter, one query id a question.

Nothing is retried here: the meter retries, so that each try is a call of its own with its own joules.
"""

from typing import Any, Final

import httpx2
from inspect_ai.model import ChatMessage, GenerateConfig, Model, ModelAPI, ModelOutput, get_model, modelapi
from inspect_ai.model._model_call import ModelCall
from inspect_ai.model._openai import OpenAIResponseError
from inspect_ai.model._providers.openai_compatible import OpenAICompatibleAPI
from inspect_ai.tool import ToolChoice, ToolInfo
from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError, DefaultAsyncHttpxClient

from joulebench_api.contracts.identity import call_path
from joulebench_runner.driver.session import CURRENT
from joulebench_runner.errors import RunnerError

PROVIDER: Final = "joulebench"


class ModelCallError(RunnerError):
    """A call to a model failed; the message is a short, readable cause."""


class MeteredAPI(OpenAICompatibleAPI):
    """One alias of the meter."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008  # the signature that inspect-ai calls
        **model_args: Any,
    ) -> None:
        """`config` goes before what callers ask for. `model_args`: the meter's `proxy_url`, the model's `alias`."""
        self._chosen = config
        proxy_url, alias = model_args.pop("proxy_url"), model_args.pop("alias")
        super().__init__(
            model_name=model_name,
            base_url=base_url or f"{proxy_url}{call_path(alias=alias)}",
            api_key=api_key or "the-meter-holds-the-key",
            config=config,
            service=PROVIDER,
            http_client=_http_client(alias),
            max_retries=0,
            **model_args,
        )

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002  # inspect-ai's name
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput | tuple[ModelOutput | Exception, ModelCall]:
        """One call; raises ModelCallError if it fails in any way."""
        try:
            return await super().generate(input, tools, tool_choice, config.merge(self._chosen))
        except (APIError, OpenAIResponseError) as error:
            raise ModelCallError(readable_cause(error)) from error

    def handle_bad_request(self, ex: APIStatusError) -> ModelOutput | Exception:
        """A refused call (such as a prompt that is too long) is an error, never an answer."""
        raise ModelCallError(readable_cause(ex)) from ex

    def handle_stream_error(self, ex: APIError | OpenAIResponseError) -> ModelOutput | None:
        """Likewise for errors in the middle of a stream."""
        raise ModelCallError(readable_cause(ex)) from ex

    def should_retry(self, ex: BaseException) -> bool:  # noqa: ARG002  # inspect-ai's signature
        """Never."""
        return False


@modelapi(name=PROVIDER)
def _metered() -> type[ModelAPI]:
    return MeteredAPI


def metered_model(*, proxy_url: str, alias: str, config: GenerateConfig | None = None) -> Model:
    """The model behind an alias of the meter. The meter puts in the name that the server knows it by.

    `config`: how it is asked, whatever the caller of the model says.
    """
    chosen = config or GenerateConfig()
    return get_model(f"{PROVIDER}/{alias}", memoize=False, config=chosen, proxy_url=proxy_url, alias=alias)


def _http_client(alias: str) -> DefaultAsyncHttpxClient:
    """A client without time limits (the question has one) and without proxies of the environment."""
    plain = call_path(alias=alias)

    async def carry_query_id(request: httpx2.Request) -> None:
        query = CURRENT.get()
        if query is not None:
            billed = call_path(alias=alias, query_id=query.query_id, attempt=query.attempt)
            request.url = request.url.copy_with(path=request.url.path.replace(plain, billed, 1))

    return DefaultAsyncHttpxClient(timeout=None, trust_env=False, event_hooks={"request": [carry_query_id]})


def readable_cause(error: Exception) -> str:
    """Why a call failed, in one line: HTTP status and the server's message, timeout, or connection."""
    if isinstance(error, APIStatusError):
        return f"HTTP {error.status_code}: {_server_message(error)}"
    if isinstance(error, APITimeoutError):
        return "the call timed out"
    if isinstance(error, APIConnectionError):
        return f"the connection broke: {error.__cause__ or error}"
    return str(error)[:500]


def _server_message(error: APIStatusError) -> str:
    body: Any = error.body
    if isinstance(body, dict):
        body = body.get("error", body)
    message = body.get("message") if isinstance(body, dict) else body
    return " ".join(str(message or error.message).split())[:500]
