"""Made-up prompts of a given length, for warming up with what is never measured."""

from joulebench_runner.tasks.everyday import records

_LEVELS = (4, 5)


def synthetic_prompts(*, count: int, characters: int, seed: int) -> tuple[str, ...]:
    """`count` different prompts of about `characters` characters (at least one question each)."""
    supply = records(seed=~seed, levels=_LEVELS)
    prompts = []
    for _ in range(count):
        text = next(supply).prompt
        while len(text) < characters:
            text = f"{text} {next(supply).prompt}"
        prompts.append(text)
    return tuple(prompts)
