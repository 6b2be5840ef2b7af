"""Nearest names and joined lists, for messages that say what was probably meant."""

import difflib
from collections.abc import Iterable, Sequence


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that looks most like `name`, upper and lower case aside; None when nothing looks like it."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str | None:
    """`did you mean 'name'?`, or None when nothing looks like it."""
    found = nearest(name, candidates)
    return None if found is None else f"did you mean '{found}'?"


def joined(names: Sequence[str], *, word: str = "and") -> str:
    """`a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {word} {names[-1]}"


def camel(name: str) -> str:
    """`max_model_len` -> `maxModelLen`."""
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)
