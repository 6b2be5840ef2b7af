"""The simulator's tokenizer: words of up to twelve letters, each with the space before it, and single other signs."""

import re
from typing import Final

_TOKEN: Final = re.compile(r"\s?\w{1,12}|\s?[^\w\s]|\s")


def split(text: str) -> list[str]:
    """The tokens of a text; joined they are the text again."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """How many tokens a text has."""
    return len(split(text))
