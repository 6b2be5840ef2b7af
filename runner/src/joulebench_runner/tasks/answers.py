"""Reading answers out of free text: numbers, number words, single words. Pure; shared by the graders.

Reasoning between `<think>` and `</think>` is cut first: what a model considered is not what it answered.
"""

import re
from collections.abc import Iterable
from decimal import Decimal

# fmt: off
_UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
# fmt: on
_TENS = {
    word: 10 * tens
    for tens, word in enumerate(("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"), start=2)
}
_WORD_VALUES = {word: value for value, word in enumerate(_UNITS)} | _TENS

_NUMBER = re.compile(
    r"(?P<sign>(?<![\w.)])-)?[$€£]?(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?|\.\d+)(?P<clock>:00\b)?"
)
_NUMBER_WORD = re.compile(
    rf"\b(?:(?P<tens>{'|'.join(_TENS)})(?:[- ](?P<unit>{'|'.join(_UNITS[1:10])}))?|(?P<word>{'|'.join(_UNITS)}))\b"
)
_MARKUP = re.compile(r"\*\*|__|`|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)|\\(?:text|mathrm|textbf|mathbf)\b|\\[()\[\]]")
_STATEMENT = re.compile(r"\banswer(?:\s+is\b\s*:?|\s*[:=])\s*(?P<rest>[^\n]+)", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")


def without_reasoning(text: str) -> str | None:
    """The text after the reasoning; None if a reasoning block was never closed (the answer was cut off)."""
    before, opened, inside = text.partition("<think>")
    if not opened:
        return text.rpartition("</think>")[2]
    _, closed, after = inside.rpartition("</think>")
    return before + after if closed else None


def without_markup(text: str) -> str:
    """The text without Markdown emphasis and LaTeX wrappers; typographic minus and `{,}` made plain."""
    return _MARKUP.sub("", text.replace("{,}", ",").replace("\N{MINUS SIGN}", "-").replace("\\$", "$"))


def numbers(text: str) -> list[Decimal]:
    """All numbers written in digits, in order; `1,234`, `$5`, `40%`, `-3`, `7:00` are 1234, 5, 40, -3, 7."""
    return [Decimal((match["sign"] or "") + match["digits"].replace(",", "")) for match in _NUMBER.finditer(text)]


def number_words(text: str) -> list[Decimal]:
    """All numbers from zero to ninety-nine written as words, in order."""
    return [_word_value(match) for match in _NUMBER_WORD.finditer(text.lower())]


def _word_value(match: re.Match[str]) -> Decimal:
    if match["tens"]:
        return Decimal(_WORD_VALUES[match["tens"]] + _WORD_VALUES.get(match["unit"] or "zero", 0))
    return Decimal(_WORD_VALUES[match["word"]])


def any_numbers(text: str) -> list[Decimal]:
    """Numbers in digits; only where there are none, number words ("the one with ..." is no 1 beside a 7)."""
    return numbers(text) or number_words(text)


def show(number: Decimal) -> str:
    """A number without trailing zeros or exponent: `10`, not `1E+1` or `10.0`."""
    text = f"{number:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def last_statement(text: str) -> str | None:
    """What follows the last "answer is" or "answer:" on its line; None if nothing says so."""
    found = [match["rest"] for match in _STATEMENT.finditer(text)]
    return found[-1] if found else None


def last_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}` whose braces balance."""
    for start in reversed([match.end() for match in re.finditer(r"\\boxed\s*\{", text)]):
        depth = 1
        for position in range(start, len(text)):
            depth += {"{": 1, "}": -1}.get(text[position], 0)
            if depth == 0:
                return text[start:position]
    return None


def words(text: str) -> list[str]:
    """The words of a text, normalised."""
    return [normal_word(word) for word in _WORD.findall(text)]


def normal_word(word: str) -> str:
    """Lower case, without possessive."""
    return re.sub(r"['\u2019]s$|['\u2019]$", "", word.strip().lower())


def _singulars(word: str) -> tuple[str, ...]:
    """The word, and what it could be the plural of."""
    endings = (("ies", "y"), ("es", ""), ("s", ""))
    return (word, *(word.removesuffix(end) + instead for end, instead in endings if word.endswith(end)))


def mentioned(text: str, choices: Iterable[str]) -> list[str]:
    """Which of the (single-word) choices a text mentions, also in the plural, in order of first mention, each once."""
    wanted = {normal_word(choice): choice for choice in choices}
    forms = (next((form for form in _singulars(word) if form in wanted), None) for word in words(text))
    return list(dict.fromkeys(wanted[form] for form in forms if form is not None))
