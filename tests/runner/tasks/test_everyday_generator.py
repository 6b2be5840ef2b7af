"""The generator of `everyday`: deterministic, endless, and every answer right by another way of working it out."""

import itertools
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from joulebench_runner.config import TaskSettings
from joulebench_runner.errors import BadInputError
from joulebench_runner.tasks.everyday import grade, load, questions, records
from joulebench_runner.tasks.everyday_questions import LEVELS, TEMPLATES, Question
from joulebench_runner.tasks.records import LoadRequest, seeded

SEEDS = st.integers(min_value=0, max_value=2**63 - 1)
LEVEL = st.sampled_from(LEVELS)
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
KINDS_OF_THINGS = {
    "fruit": {"apple", "pear", "plum", "banana", "cherry", "lemon"},
    "animals": {"dog", "cat", "horse", "rabbit", "goat", "hamster", "parrot", "turtle"},
    "tools": {"hammer", "saw", "drill", "wrench", "shovel", "axe"},
    "colours": {"red", "blue", "green", "yellow", "black", "white", "orange", "purple"},
    "furniture": {"chair", "table", "bed", "desk", "sofa", "shelf"},
    "clothes": {"shirt", "sock", "coat", "scarf", "glove", "skirt"},
}

FIRST_PROMPT = "A bike costs 7 euros. Grace has 2 euros. Can Grace pay for the bike? Answer with yes or no only."
FIRST_ID = "7103796e4cc1e7f1"


def figures(text: str) -> list[int]:
    return [int(found) for found in re.findall(r"\d+", text)]


def facts_of(text: str) -> tuple[str, str]:
    """The text before the question, and the question."""
    *facts, question = re.split(r"(?<=[.]) (?=[A-Z])", text)
    return " ".join(facts), question


def pairs(text: str, pattern: str) -> dict[str, str]:
    return {str(key): str(value) for key, value in re.findall(pattern, facts_of(text)[0])}


def asked_name(text: str, pattern: str) -> str:
    match = re.search(pattern, facts_of(text)[1])
    assert match is not None, text
    return str(match[1])


def listed(text: str, pattern: str) -> list[str]:
    match = re.search(pattern, text)
    assert match is not None, text
    return match[1].split(", ")


def who_has(text: str) -> str:
    owners = {str(thing): str(name) for name, thing in re.findall(r"(\w+) has a (\w+)\.", text)}
    return owners[asked_name(text, r"the (\w+)\?")]


def oldest(text: str) -> str:
    ages = pairs(text, r"(\w+) is (\d+) years")
    return str(max(ages, key=lambda name: int(ages[name])))


def day_after(text: str) -> str:
    match = re.match(r"Today is (\w+)\..* in (\d+) day", text)
    assert match is not None
    day = itertools.cycle(DAYS)
    while next(day) != match[1]:
        pass
    return list(itertools.islice(day, int(match[2])))[-1]


def end_time(text: str) -> str:
    start, hours, _clock = figures(text)
    for _ in range(hours):
        start = 1 if start == 12 else start + 1
    return str(start)


def odd_one_out(text: str) -> str:
    match = re.search(r"one name (\w+): ", text)
    assert match is not None
    [stranger] = [word for word in listed(text, r": (.*)\. Which") if word not in KINDS_OF_THINGS[match[1]]]
    return stranger


def next_in_sequence(text: str) -> str:
    first, second, *_, last = figures(text)
    return str(last + (second - first))


def last_in_line(text: str) -> str:
    line = listed(text, r"stand (.*)\. Who")
    return line[0] if "first" in text else line[-1]


def count_word(text: str) -> str:
    wanted = re.search(r'"(\w+)"', text)
    assert wanted is not None
    return str(sum(word == wanted[1] for word in listed(text, r"colours: (.*)\. How")))


def stated_fact(text: str) -> str:
    match = re.search(r"Does (\w+) have a (\w+)\?", text)
    assert match is not None
    return "yes" if f"{match[1]} has a {match[2]}." in text else "no"


CHECKS: dict[str, Callable[[str], str]] = {
    "add": lambda text: str(sum(figures(text))),
    "subtract": lambda text: str(figures(text)[0] - figures(text)[1]),
    "plain_sum": lambda text: str(sum(figures(text))),
    "cost": lambda text: str(_cost(text)),
    "larger_number": lambda text: str(max(figures(text))),
    "next_in_sequence": next_in_sequence,
    "count_items": lambda text: str(len(listed(text, r"items: (.*)\. How"))),
    "count_word": count_word,
    "end_time": end_time,
    "day_after": day_after,
    "who_has": who_has,
    "which_colour": lambda text: pairs(text, r"(\w+)'s \w+ is (\w+)\.")[asked_name(text, r"is (\w+)'s")],
    "where_is": lambda text: pairs(text, r"The (\w+) is in the (\w+)\.")[asked_name(text, r"the (\w+)\?")],
    "how_old": lambda text: pairs(text, r"(\w+) is (\d+) years")[asked_name(text, r"is (\w+)\?")],
    "what_eaten": lambda text: pairs(text, r"(\w+) eats (\w+)\.")[asked_name(text, r"does (\w+) eat")],
    "price_of": lambda text: pairs(text, r"The (\w+) costs (\d+) euros\.")[asked_name(text, r"the (\w+) cost")],
    "what_job": lambda text: pairs(text, r"(\w+) works as a (\w+)\.")[asked_name(text, r"is (\w+)'s")],
    "travels_to": lambda text: pairs(text, r"(\w+) travels to (\w+)\.")[asked_name(text, r"does (\w+) travel")],
    "door_code": lambda text: pairs(text, r"The code of the (\w+) door is (\d+)\.")[
        asked_name(text, r"the (\w+) door")
    ],
    "oldest": oldest,
    "stated_fact": stated_fact,
    "enough_money": lambda text: "yes" if figures(text)[1] >= figures(text)[0] else "no",
    "odd_one_out": odd_one_out,
    "last_in_line": last_in_line,
}


def _cost(text: str) -> int:
    price = re.search(r"costs (\d+) euros", text)
    pieces = re.search(r"do (\d+) ", text)
    assert price is not None
    assert pieces is not None
    return int(price[1]) * int(pieces[1])


def test_there_are_at_least_twelve_kinds_and_each_is_checked_here() -> None:
    assert len(TEMPLATES) >= 12
    assert {template.__name__ for template in TEMPLATES} == set(CHECKS)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.__name__)
@given(seed=SEEDS, level=LEVEL)
def test_every_answer_is_right_by_an_independent_check(
    template: Callable[..., Question], seed: int, level: int
) -> None:
    question = template(seeded(seed), level)
    assert question.kind == template.__name__
    assert question.answer == CHECKS[question.kind](question.text)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.__name__)
@given(seed=SEEDS, level=LEVEL)
def test_the_right_answer_is_graded_right_and_is_among_the_choices(
    template: Callable[..., Question], seed: int, level: int
) -> None:
    question = template(seeded(seed), level)
    metadata: dict[str, JsonValue] = {"form": question.form, "choices": list(question.choices)}
    assert grade(f"{question.answer}.", question.answer, metadata).verdict == "right"
    assert question.form == "number" or question.answer in question.choices


@given(seed=SEEDS)
def test_the_same_seed_gives_the_same_questions(seed: int) -> None:
    first, second = (list(itertools.islice(records(seed=seed, levels=(1, 2)), 30)) for _ in range(2))
    assert first == second


def test_another_seed_gives_other_questions() -> None:
    one, other = (set(itertools.islice(questions(seed=seed, levels=(3,)), 40)) for seed in (1, 2))
    assert one != other


def test_record_ids_are_unique_among_a_thousand() -> None:
    ids = [record.record_id for record in itertools.islice(records(seed=42, levels=(1, 2, 3)), 1000)]
    assert len(set(ids)) == 1000


def test_record_ids_stay_the_same_between_releases() -> None:
    first = next(records(seed=42, levels=(1,)))
    assert (first.prompt, first.record_id) == (FIRST_PROMPT, FIRST_ID)


def test_a_round_holds_every_kind_once() -> None:
    kinds = [question.kind for question in itertools.islice(questions(seed=7, levels=(1, 2)), len(TEMPLATES))]
    assert sorted(kinds) == sorted(CHECKS)


def request(**changes: object) -> LoadRequest:
    fields: dict[str, object] = {"settings": TaskSettings(name="everyday"), "parameters": {"level": [1, 2]}, "seed": 42}
    return LoadRequest(**(fields | changes))  # type: ignore[arg-type]  # a builder


async def test_forty_questions_are_asked_when_no_limit_is_given() -> None:
    assert len((await load(request())).records) == 40


async def test_a_lower_limit_asks_the_first_questions_of_a_higher_one() -> None:
    few, many = [
        (await load(request(settings=TaskSettings(name="everyday", limit=limit)))).records for limit in (5, 50)
    ]
    assert many[:5] == few


async def test_warm_up_prompts_are_no_measured_prompts() -> None:
    dataset = await load(request(settings=TaskSettings(name="everyday", limit=500), warmup_queries=50))
    assert len(dataset.warmup_prompts) == 50
    assert not {record.prompt for record in dataset.records} & set(dataset.warmup_prompts)


async def test_revision_names_generator_version_and_levels() -> None:
    dataset = await load(request())
    assert dataset.revision == "everyday/1 levels=1,2"
    assert dataset.parameters == {"level": [1, 2], "seed": 42}


@pytest.mark.parametrize("level", [0, 6, [], [1, 9], True, "2"])
async def test_a_level_that_does_not_exist_is_refused(level: object) -> None:
    with pytest.raises(BadInputError, match=r"task\.params\.level"):
        await load(request(parameters={"level": level}))
