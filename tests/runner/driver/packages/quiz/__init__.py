"""A small inspect-ai package, as somebody else might have written it."""

import asyncio

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageUser, GenerateConfig, get_model
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer
from inspect_ai.solver import Generate, Solver, TaskState, chain_of_thought, generate, solver

QUESTIONS = (
    Sample(id="letter-c", input="Say C", target="C"),
    Sample(id="letter-p", input=[ChatMessageUser(content="Say P")], target="P", metadata={"category": "letters"}),
    Sample(id="half", input="Say half", target="half"),
    Sample(id="crash", input="Say crash", target="crash"),
    Sample(id="judge", input="Say judge", target="judge"),
    Sample(id="many", input="Say many", target="many"),
    Sample(id="raise", input="Say raise", target="raise"),
)


@scorer(metrics=[accuracy()])
def strict() -> Scorer:
    """Scores by what the sample is for."""

    async def score(state: TaskState, target: Target) -> Score | None:
        match target.text:
            case "crash":
                raise ValueError("the scorer tripped")
            case "half":
                return Score(value=0.5, explanation="half right")
            case "many":
                return Score(value={"a": 1, "b": 0})
            case "judge":
                verdict = await get_model(role="grader").generate(
                    "Is it right?", config=GenerateConfig(top_p=0.5, max_tokens=512)
                )
                return Score(value=verdict.completion)
            case _:
                return Score(value="C" if state.output.completion == target.text else "I")

    return score


@solver
def two_turns() -> Solver:
    """Asks, then asks again."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        if state.target.text == "raise":
            raise RuntimeError("the solver tripped")
        state = await generate(state)
        state.messages.append(ChatMessageUser(content="Sure?"))
        return await generate(state)

    return solve


@task
def letters(wanted: str = "C") -> Task:
    """A task with a setup, two turns and a scorer of its own."""
    samples = [sample for sample in QUESTIONS if wanted in {"all", sample.target}]
    return Task(
        dataset=MemoryDataset(samples),
        setup=chain_of_thought("{prompt} Think."),
        solver=two_turns(),
        scorer=strict(),
        config=GenerateConfig(temperature=0.25),
        epochs=3,
    )


@solver
def with_a_hint() -> Solver:
    """Asks a submodel for a hint, one question in two ways at once."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        helper = get_model(role="helper", required=True)
        wishes = GenerateConfig(max_tokens=512, top_p=0.5)
        hints = await asyncio.gather(helper.generate("Hint?", config=wishes), helper.generate("More?", config=wishes))
        state.messages.append(ChatMessageUser(content=" ".join(hint.completion for hint in hints)))
        return await generate(state)

    return solve


@task
def helped() -> Task:
    """A task that asks a submodel before it asks the model, and a judge afterwards."""
    samples = [sample for sample in QUESTIONS if sample.target in {"judge", "C"}]
    return Task(dataset=MemoryDataset(samples), solver=with_a_hint(), scorer=strict())


@task
def without_ids() -> Task:
    """A task whose samples have no ids, and that is not scored."""
    return Task(dataset=[Sample(input="one"), Sample(input="two")], solver=generate())


@task
def guarded() -> Task:
    """A task whose authors ask that it be kept out of training data."""
    samples = [Sample(id="open", input="one"), Sample(id="guarded", input="two", metadata={"canary_string": "guid 7"})]
    return Task(dataset=samples, solver=generate())


@task
def empty_cache() -> Task:
    """A task whose data set is not there."""
    raise FileNotFoundError("no such data set in the cache")
