"""How answers are read and graded, as tables."""

import pytest
from pydantic import JsonValue

from joulebench_runner.tasks import everyday, gsm8k
from joulebench_runner.tasks.gsm8k import final_answer

NUMBER: dict[str, JsonValue] = {"form": "number", "choices": []}
YES_NO: dict[str, JsonValue] = {"form": "yes-no", "choices": ["yes", "no"]}
NAME: dict[str, JsonValue] = {"form": "word", "choices": ["Anna", "Ben", "Clara"]}
DAY: dict[str, JsonValue] = {"form": "word", "choices": ["Monday", "Tuesday", "Wednesday"]}
TOOL: dict[str, JsonValue] = {"form": "word", "choices": ["axe", "cherry", "box", "key"]}


@pytest.mark.parametrize(
    ("response", "reference", "metadata", "verdict", "tier"),
    [
        ("8", "8", NUMBER, "right", "last-number"),
        (" 8 \n", "8", NUMBER, "right", "last-number"),
        ("**8**", "8", NUMBER, "right", "last-number"),
        ("`8`", "8", NUMBER, "right", "last-number"),
        ("8.", "8", NUMBER, "right", "last-number"),
        ("8.0", "8", NUMBER, "right", "last-number"),
        ("1,234", "1234", NUMBER, "right", "last-number"),
        ("She has 3 + 5 = 8 apples.", "8", NUMBER, "right", "last-number"),
        ("The answer is 8, which is 3 more than 5.", "8", NUMBER, "wrong", "statement"),
        ("The answer is 8.\nCheck: 5 + 3", "8", NUMBER, "right", "statement"),
        ("Answer: eight", "8", NUMBER, "right", "statement"),
        ("Eight", "8", NUMBER, "right", "last-number"),
        ("twelve apples", "12", NUMBER, "right", "last-number"),
        ("twenty-one", "21", NUMBER, "right", "last-number"),
        ("twenty", "20", NUMBER, "right", "last-number"),
        ("The one that comes next is 10", "10", NUMBER, "right", "last-number"),
        ("-8", "8", NUMBER, "wrong", "last-number"),
        ("8:00", "8", NUMBER, "right", "last-number"),
        ("It ends at 8:00 PM.", "8", NUMBER, "right", "last-number"),
        ("It ends at 8:15 PM.", "8", NUMBER, "wrong", "last-number"),
        ("80", "8", NUMBER, "wrong", "last-number"),
        ("I do not know.", "8", NUMBER, "wrong", "none"),
        ("", "8", NUMBER, "unscored", "none"),
        (" \n ", "8", NUMBER, "unscored", "none"),
        ("<think>is it 9?</think>8", "8", NUMBER, "right", "last-number"),
        ("<think>it is 8", "8", NUMBER, "wrong", "truncated"),
        ("yes", "yes", YES_NO, "right", "first-yes-no"),
        ("Yes.", "yes", YES_NO, "right", "first-yes-no"),
        ("**No**, because there is no goat.", "no", YES_NO, "right", "first-yes-no"),
        ("No, but yes to the other.", "yes", YES_NO, "wrong", "first-yes-no"),
        ("Nobody knows", "no", YES_NO, "wrong", "none"),
        ("Anna", "Anna", NAME, "right", "only-mention"),
        ("anna.", "Anna", NAME, "right", "only-mention"),
        ("ANNA!", "Anna", NAME, "right", "only-mention"),
        ("It is Anna's.", "Anna", NAME, "right", "only-mention"),
        ("Ben has the bike.", "Anna", NAME, "wrong", "only-mention"),
        ("Anna or Ben", "Anna", NAME, "wrong", "ambiguous"),
        ("Anna has a car, so the answer is Ben.", "Ben", NAME, "right", "statement"),
        ("The answer is: *Clara*", "Clara", NAME, "right", "statement"),
        ("Annabel", "Anna", NAME, "wrong", "none"),
        ("Tuesdays", "Tuesday", DAY, "right", "only-mention"),
        ("axes", "axe", TOOL, "right", "only-mention"),
        ("boxes", "box", TOOL, "right", "only-mention"),
        ("The word is \"cherries\".", "cherry", TOOL, "right", "only-mention"),
        ("_key_", "key", TOOL, "right", "only-mention"),
    ],
)  # fmt: skip
def test_everyday(response: str, reference: str, metadata: dict[str, JsonValue], verdict: str, tier: str) -> None:
    found = everyday.grade(response, reference, metadata)
    assert (found.verdict, found.tier) == (verdict, tier)


@pytest.mark.parametrize(
    ("response", "reference", "verdict", "tier"),
    [
        ("3 + 4 = 7\n#### 7", "7", "right", "hashes"),
        ("#### 1,234", "1234", "right", "hashes"),
        ("#### $18", "18", "right", "hashes"),
        ("#### -5", "-5", "right", "hashes"),
        ("#### \N{MINUS SIGN}5", "-5", "right", "hashes"),
        ("#### 7 (that is 3 + 4)", "7", "right", "hashes"),
        ("#### 5\nWait.\n#### 7", "7", "right", "hashes"),
        ("####7", "7", "right", "hashes"),
        ("#### **7**", "7", "right", "hashes"),
        ("#### none\nSo 7", "7", "right", "hashes"),
        (r"So \boxed{7}.", "7", "right", "boxed"),
        (r"\boxed{\text{7}} of 9", "7", "right", "boxed"),
        (r"$\boxed{10{,}000}$", "10000", "right", "boxed"),
        (r"first \boxed{5}, no, \boxed{7}", "7", "right", "boxed"),
        ("The answer is 7.", "7", "right", "statement"),
        ("The final answer is: $7.00", "7", "right", "statement"),
        ("**Answer:** 7 dollars", "7", "right", "statement"),
        ("She pays $7 in all.", "7", "right", "last-number"),
        ("It is 40%.", "40", "right", "last-number"),
        ("That makes 2.50", "2.5", "right", "last-number"),
        ("from 3-7", "7", "right", "last-number"),
        ("7 eggs, 2 left", "7", "wrong", "last-number"),
        ("I give up.", "7", "wrong", "none"),
        ("", "7", "unscored", "none"),
        ("<think>7</think>", "7", "unscored", "none"),
        ("<think>#### 7", "7", "wrong", "truncated"),
        ("maybe 9</think>#### 7", "7", "right", "hashes"),
    ],
)
def test_gsm8k(response: str, reference: str, verdict: str, tier: str) -> None:
    found = gsm8k.grade(response, reference, {})
    assert (found.verdict, found.tier) == (verdict, tier)


def test_the_explanation_names_rule_tier_and_what_was_read() -> None:
    assert gsm8k.grade("#### 7", "7", {}).explanation == "rule gsm8k/1, tier hashes, read '7'"


@pytest.mark.parametrize(("worked", "answer"), [("a\n#### 18", "18"), ("#### 2,125", "2125"), ("#### -3.50", "-3.5")])
def test_the_reference_is_the_number_after_the_hashes(worked: str, answer: str) -> None:
    assert final_answer(worked) == answer
