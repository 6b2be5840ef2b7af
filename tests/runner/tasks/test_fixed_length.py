"""fixed_length: prompts of an exact number of tokens, as the served tokenizer counts."""

from collections.abc import Mapping

import pytest
from pydantic import JsonValue

from joulebench_runner.config import TaskSettings
from joulebench_runner.errors import BadInputError, ServerError
from joulebench_runner.tasks.fixed_length import load
from joulebench_runner.tasks.records import Dataset, LoadRequest, Probe, ProbeServer

TEMPLATE_TOKENS = 9


class Tokenizer(ProbeServer):
    """A server whose long words have two tokens; `knows` are the fields that it accepts."""

    def __init__(self, *, knows: tuple[str, ...] = ("ignore_eos", "min_tokens"), usage: bool = True) -> None:
        self.knows, self.usage = knows, usage
        self.probes = 0

    def count(self, prompt: str) -> int:
        return TEMPLATE_TOKENS + sum(2 if len(word) > 7 else 1 for word in prompt.split())

    async def __call__(self, prompt: str, *, extra_body: Mapping[str, JsonValue]) -> Probe:
        self.probes += 1
        unknown = [name for name in extra_body if name not in self.knows]
        if unknown:
            return Probe(prompt_tokens=None, error=f"HTTP 400: unknown field {unknown[0]}")
        return Probe(prompt_tokens=self.count(prompt) if self.usage else None)


async def loaded(
    server: Tokenizer, *, input_tokens: int = 100, limit: int | None = 5, records: int | None = None
) -> Dataset:
    parameters: dict[str, JsonValue] = {"inputTokens": input_tokens, "outputTokens": 20, "records": records}
    settings = TaskSettings(name="fixed_length", limit=limit)
    return await load(LoadRequest(settings=settings, parameters=parameters, seed=1, warmup_queries=2, probe=server))


async def test_every_prompt_has_exactly_the_wanted_tokens() -> None:
    server = Tokenizer()
    dataset = await loaded(server)
    assert [server.count(record.prompt) for record in dataset.records] == [100] * 5
    assert len({record.record_id for record in dataset.records}) == 5


async def test_the_same_seed_gives_the_same_prompts() -> None:
    assert (await loaded(Tokenizer())).records == (await loaded(Tokenizer())).records


async def test_warm_up_prompts_are_other_prompts_of_about_the_same_length() -> None:
    server = Tokenizer()
    dataset = await loaded(server)
    assert not {record.prompt for record in dataset.records} & set(dataset.warmup_prompts)
    assert all(abs(server.count(prompt) - 100) < 15 for prompt in dataset.warmup_prompts)


@pytest.mark.parametrize(
    ("knows", "extra"),
    [
        (("ignore_eos", "min_tokens"), {"ignore_eos": True, "min_tokens": 20}),
        (("ignore_eos",), {"ignore_eos": True}),
        ((), {}),
    ],
)
async def test_only_fields_that_the_server_knows_are_sent(knows: tuple[str, ...], extra: dict[str, object]) -> None:
    dataset = await loaded(Tokenizer(knows=knows))
    assert dataset.extra_body == extra
    assert dataset.max_tokens == 20
    assert dataset.parameters["stops_early"] is (not extra)


async def test_the_parameter_records_sets_the_number_of_prompts() -> None:
    assert len((await loaded(Tokenizer(), limit=None, records=3)).records) == 3


async def test_a_server_without_usage_is_refused() -> None:
    with pytest.raises(ServerError, match="reports no usage"):
        await loaded(Tokenizer(usage=False))


async def test_a_length_below_the_template_says_the_shortest() -> None:
    with pytest.raises(BadInputError, match=r"the shortest prompt has 1[01] tokens"):
        await loaded(Tokenizer(), input_tokens=3)


async def test_a_tokenizer_that_never_hits_the_length_is_given_up_after_a_bounded_number_of_trials() -> None:
    class Even(Tokenizer):
        def count(self, prompt: str) -> int:
            return 2 * super().count(prompt)

    server = Even()
    with pytest.raises(BadInputError, match="no prompt of exactly that length"):
        await loaded(server, input_tokens=101)
    assert server.probes < 40
