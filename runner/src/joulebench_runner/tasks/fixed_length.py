"""`fixed_length`: synthetic prompts of an exact number of tokens, for measuring and not for scoring.

The served model's own tokenizer decides: its server is asked how many tokens a prompt has (`usage.prompt_tokens`, chat
template included), and words are added or taken away until the count is right.
"""

from dataclasses import dataclass
from random import Random
from typing import Final

from pydantic import JsonValue

from joulebench_runner.errors import BadInputError, RunnerError, ServerError
from joulebench_runner.tasks.records import Dataset, LoadRequest, ProbeServer, Record, content_id, seeded

DEFAULT_LIMIT: Final = 16
MAX_PROBES: Final = 24
"""Trial calls for one prompt."""

# Short and common, so that almost every tokenizer has one token for each (with the space before it).
# fmt: off
_WORDS: Final = (
    "time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world",
    "school", "state", "family", "student", "group", "country", "problem", "hand", "part", "place", "case",
    "week", "company", "system", "program", "question", "work", "government", "number", "night", "point", "home",
    "water", "room", "mother", "area", "money", "story", "fact", "month", "lot", "right", "study",
    "book", "eye", "job", "word", "business", "issue", "side", "kind", "head", "house", "service",
    "friend",
)
# fmt: on


@dataclass(frozen=True, kw_only=True)
class _Shape:
    input_tokens: int
    output_tokens: int


async def load(request: LoadRequest) -> Dataset:
    """Make and calibrate the prompts."""
    shape = _Shape(
        input_tokens=_integer(request.parameters["inputTokens"]),
        output_tokens=_integer(request.parameters["outputTokens"]),
    )
    probe = request.probe
    if probe is None:
        raise RunnerError("fixed_length needs the served model to count tokens; none was given")
    count = _integer(request.parameters["records"] or request.settings.limit or DEFAULT_LIMIT)
    full_length = await full_length_options(probe, shape.output_tokens)
    calibrator = Calibrator(probe=probe, input_tokens=shape.input_tokens)
    records = [await _record(calibrator, seed=request.seed, index=index) for index in range(count)]
    # Nearly right in length is enough for warming up.
    warmup = [calibrator.first_guess(seeded(request.seed, "warmup", index)) for index in range(request.warmup_queries)]
    return Dataset(
        revision=f"fixed_length/1 input={shape.input_tokens} output={shape.output_tokens}",
        records=tuple(records),
        parameters={
            "inputTokens": shape.input_tokens,
            "outputTokens": shape.output_tokens,
            "seed": request.seed,
            "stops_early": not full_length,
        },
        warmup_prompts=tuple(warmup),
        extra_body=full_length,
        max_tokens=shape.output_tokens,
    )


def _integer(value: JsonValue) -> int:
    if not isinstance(value, int):
        raise BadInputError(f"task.params: {value!r} is not a whole number")
    return value


async def _record(calibrator: "Calibrator", *, seed: int, index: int) -> Record:
    text = await calibrator.prompt(seeded(seed, index))
    return Record(record_id=content_id(text), prompt=text)


async def full_length_options(probe: ProbeServer, output_tokens: int) -> dict[str, JsonValue]:
    """The fields by which this server can be told not to stop early; empty if it knows none of them."""
    for options in ({"ignore_eos": True, "min_tokens": output_tokens}, {"ignore_eos": True}):
        trial: dict[str, JsonValue] = {**options, **({"min_tokens": 1} if "min_tokens" in options else {})}
        if (await probe("Hello", extra_body=trial)).error is None:
            return dict(options)
    return {}


class Calibrator:
    """Finds prompts of exactly `input_tokens` tokens; remembers how many words were right the last time."""

    def __init__(self, *, probe: ProbeServer, input_tokens: int) -> None:
        self._probe = probe
        self._input_tokens = input_tokens
        self._words = max(1, input_tokens)

    def first_guess(self, random: Random) -> str:
        """A prompt with the number of words that was right the last time."""
        return " ".join(random.choices(_WORDS, k=self._words))

    async def prompt(self, random: Random) -> str:
        """A prompt with exactly the wanted number of tokens."""
        words = random.choices(_WORDS, k=self._words)
        shortest: int | None = None
        for _ in range(MAX_PROBES):
            text = " ".join(words)
            tokens = await self._count(text)
            if tokens == self._input_tokens:
                self._words = len(words)
                return text
            if len(words) == 1 and tokens > self._input_tokens:
                shortest = tokens
                break
            words = _resized(words, self._input_tokens - tokens, random)
        raise self._impossible(shortest)

    def _impossible(self, shortest: int | None) -> BadInputError:
        if shortest is not None:
            return BadInputError(
                f"task.params.inputTokens is {self._input_tokens}, but the shortest prompt has {shortest} tokens "
                "with the model's chat template",
                remedy=f"Give at least {shortest}.",
            )
        return BadInputError(
            f"task.params.inputTokens is {self._input_tokens}: no prompt of exactly that length was found in "
            f"{MAX_PROBES} trials with the served tokenizer",
            remedy="Try a length that differs by a few tokens.",
        )

    async def _count(self, text: str) -> int:
        answer = await self._probe(text, extra_body={})
        if answer.error is not None:
            raise ServerError(f"fixed_length: the server refused a trial call: {answer.error}")
        if answer.prompt_tokens is None:
            raise ServerError(
                "fixed_length: the server reports no usage, so prompts of an exact length cannot be made",
                remedy="Use a server that reports usage.prompt_tokens, or another task.",
            )
        return answer.prompt_tokens


def _resized(words: list[str], difference: int, random: Random) -> list[str]:
    """As many words more or fewer as tokens are missing; the last word is changed too, so that trials differ."""
    size = max(1, len(words) + difference)
    kept = words[: min(size, len(words)) - 1]
    return [*kept, *random.choices(_WORDS, k=size - len(kept))]
