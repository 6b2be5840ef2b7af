"""The kinds of question that `everyday` asks. Each is a pure function of a random generator and a level (1 to 5).

All texts are our own and made up on the spot; every answer follows from the text by one plain rule.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

LEVELS: Final = (1, 2, 3, 4, 5)

_LARGEST: Final = {1: 5, 2: 10, 3: 40, 4: 150, 5: 999}
"""Largest number in sums, by level."""
_FACTS: Final = {1: 1, 2: 2, 3: 3, 4: 5, 5: 7}
"""How many facts a text states, by level."""
_CANDIDATES: Final = {1: 2, 2: 3, 3: 4, 4: 5, 5: 7}
"""Among how many things one is to be found, by level."""

_NAMES: Final = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Hugo", "Ida", "Jonas", "Kira", "Leo")
_THINGS: Final = ("bike", "car", "boat", "kite", "drum", "lamp", "coat", "bag", "tent", "clock", "camera", "guitar")
_COLOURS: Final = ("red", "blue", "green", "yellow", "black", "white", "orange", "purple")
_COUNTABLE: Final = ("apple", "pen", "coin", "shell", "stamp", "button", "marble", "card")
_ITEMS: Final = ("key", "book", "phone", "cup", "ball", "hat", "spoon", "map", "ring", "letter")
_PLACES: Final = ("kitchen", "garden", "garage", "bedroom", "cellar", "office", "hall", "attic")
_FOODS: Final = ("soup", "rice", "bread", "cheese", "salad", "pizza", "cake", "fish", "pasta", "honey")
_JOBS: Final = ("baker", "farmer", "teacher", "doctor", "pilot", "painter", "singer", "tailor", "plumber", "judge")
_TOWNS: Final = ("Albora", "Brinfeld", "Corvane", "Dunholt", "Elmsea", "Farrow", "Glenmoor", "Hartwick", "Ivelle")
"""Made up."""
_ANIMALS: Final = ("dog", "cat", "horse", "rabbit", "goat", "hamster", "parrot", "turtle")
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_CATEGORIES: Final[Mapping[str, tuple[str, ...]]] = {
    "fruit": ("apple", "pear", "plum", "banana", "cherry", "lemon"),
    "animals": _ANIMALS,
    "tools": ("hammer", "saw", "drill", "wrench", "shovel", "axe"),
    "colours": _COLOURS,
    "furniture": ("chair", "table", "bed", "desk", "sofa", "shelf"),
    "clothes": ("shirt", "sock", "coat", "scarf", "glove", "skirt"),
}


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question with its one right answer."""

    kind: str
    level: int
    text: str
    answer: str
    form: Literal["number", "word", "yes-no"]
    choices: tuple[str, ...] = ()
    """For words: what could be mistaken for the answer, the answer included."""


Template = Callable[[Random, int], Question]


def _number(kind: str, level: int, text: str, answer: int) -> Question:
    return Question(kind=kind, level=level, text=text, answer=str(answer), form="number")


def _word(kind: str, level: int, text: str, answer: str, choices: tuple[str, ...]) -> Question:
    return Question(kind=kind, level=level, text=text, answer=answer, form="word", choices=choices)


def _yes_no(kind: str, level: int, text: str, *, yes: bool) -> Question:
    return Question(
        kind=kind, level=level, text=text, answer="yes" if yes else "no", form="yes-no", choices=("yes", "no")
    )


def _some(random: Random, pool: tuple[str, ...], count: int) -> tuple[str, ...]:
    """`count` different entries of a pool, in random order."""
    return tuple(random.sample(pool, min(count, len(pool))))


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def add(random: Random, level: int) -> Question:
    """Somebody has some and gets more."""
    first, second = random.randint(1, _LARGEST[level]), random.randint(1, _LARGEST[level])
    name, other = _some(random, _NAMES, 2)
    thing = random.choice(_COUNTABLE)
    text = (
        f"{name} has {first} {_plural(thing, first)}. {other} gives {name} {second} more. "
        f"How many {thing}s does {name} have now?"
    )
    return _number("add", level, text, first + second)


def subtract(random: Random, level: int) -> Question:
    """Somebody has some and gives part of them away."""
    total = random.randint(3, _LARGEST[level] + 3)
    gone = random.randint(1, total - 1)
    name = random.choice(_NAMES)
    thing = random.choice(_COUNTABLE)
    text = f"{name} has {total} {thing}s and gives away {gone}. How many {thing}s does {name} have left?"
    return _number("subtract", level, text, total - gone)


def plain_sum(random: Random, level: int) -> Question:
    """A sum in figures, of two numbers, from level 4 of three."""
    terms = [random.randint(1, _LARGEST[level]) for _ in range(3 if level >= 4 else 2)]
    return _number("plain_sum", level, f"What is {' + '.join(map(str, terms))}?", sum(terms))


def cost(random: Random, level: int) -> Question:
    """Pieces times price."""
    pieces, price = random.randint(2, 2 + 2 * level), random.randint(2, 3 * level + 1)
    thing = random.choice(_COUNTABLE)
    text = f"One {thing} costs {price} euros. How many euros do {pieces} {thing}s cost?"
    return _number("cost", level, text, pieces * price)


def larger_number(random: Random, level: int) -> Question:
    """The largest of some numbers."""
    values = random.sample(range(1, _LARGEST[level] + 5), _CANDIDATES[level])
    listed = ", ".join(map(str, values))
    return _number("larger_number", level, f"Which of these numbers is the largest: {listed}?", max(values))


def next_in_sequence(random: Random, level: int) -> Question:
    """An arithmetic sequence goes on."""
    start, step = random.randint(1, 4 * level), random.randint(1, 2 * level)
    values = [start + step * index for index in range(5)]
    listed = ", ".join(map(str, values[:-1]))
    return _number("next_in_sequence", level, f"Which number comes next: {listed}, ...?", values[-1])


def count_items(random: Random, level: int) -> Question:
    """How long is the list?"""
    items = _some(random, _ITEMS, random.randint(2, 2 * level + 2))
    name = random.choice(_NAMES)
    text = f"{name} packs these items: {', '.join(items)}. How many items does {name} pack?"
    return _number("count_items", level, text, len(items))


def count_word(random: Random, level: int) -> Question:
    """How often does a word stand in a row of words?"""
    wanted, *others = _some(random, _COLOURS, 3)
    row = [random.choice((wanted, *others)) for _ in range(2 + 2 * level)]
    text = f'Row of colours: {", ".join([wanted, *row])}. How many times does the colour "{wanted}" occur in the row?'
    return _number("count_word", level, text, row.count(wanted) + 1)


def end_time(random: Random, level: int) -> Question:
    """A start, a length, and the hour at the end (on a clock of twelve hours)."""
    hours = random.randint(1, level + 1)
    start = random.randint(1, 11 if level >= 3 else 12 - hours)
    event = random.choice(("film", "match", "concert", "lesson", "meeting"))
    text = (
        f"A {event} starts at {start} o'clock and lasts {hours} {_plural('hour', hours)}. At what hour does it end? "
        "Use a clock with 12 hours."
    )
    return _number("end_time", level, text, (start + hours - 1) % 12 + 1)


def day_after(random: Random, level: int) -> Question:
    """The day of the week some days on."""
    start, days = random.randrange(7), random.randint(1, 2 * level - 1)
    text = f"Today is {_DAYS[start]}. Which day of the week is it in {days} {_plural('day', days)}?"
    return _word("day_after", level, text, _DAYS[(start + days) % 7], _DAYS)


def who_has(random: Random, level: int) -> Question:
    """Who owns the thing?"""
    names, things = _some(random, _NAMES, _FACTS[level]), _some(random, _THINGS, _FACTS[level])
    asked = random.randrange(len(names))
    facts = " ".join(f"{name} has a {thing}." for name, thing in zip(names, things, strict=True))
    return _word("who_has", level, f"{facts} Who has the {things[asked]}?", names[asked], _NAMES)


def which_colour(random: Random, level: int) -> Question:
    """What colour is somebody's thing?"""
    names, colours = _some(random, _NAMES, _FACTS[level]), _some(random, _COLOURS, _FACTS[level])
    thing, asked = random.choice(_THINGS), random.randrange(len(names))
    facts = " ".join(f"{name}'s {thing} is {colour}." for name, colour in zip(names, colours, strict=True))
    return _word("which_colour", level, f"{facts} What colour is {names[asked]}'s {thing}?", colours[asked], _COLOURS)


def where_is(random: Random, level: int) -> Question:
    """Where does the thing lie?"""
    items, places = _some(random, _ITEMS, _FACTS[level]), _some(random, _PLACES, _FACTS[level])
    asked = random.randrange(len(items))
    facts = " ".join(f"The {item} is in the {place}." for item, place in zip(items, places, strict=True))
    return _word("where_is", level, f"{facts} In which room or place is the {items[asked]}?", places[asked], _PLACES)


def how_old(random: Random, level: int) -> Question:
    """How old is somebody?"""
    names = _some(random, _NAMES, _FACTS[level])
    ages, asked = random.sample(range(5, 60), len(names)), random.randrange(len(names))
    facts = " ".join(f"{name} is {age} years old." for name, age in zip(names, ages, strict=True))
    return _number("how_old", level, f"{facts} How old is {names[asked]}?", ages[asked])


def what_eaten(random: Random, level: int) -> Question:
    """What does somebody eat?"""
    names, foods = _some(random, _NAMES, _FACTS[level]), _some(random, _FOODS, _FACTS[level])
    asked = random.randrange(len(names))
    facts = " ".join(f"{name} eats {food}." for name, food in zip(names, foods, strict=True))
    return _word("what_eaten", level, f"{facts} What does {names[asked]} eat?", foods[asked], _FOODS)


def price_of(random: Random, level: int) -> Question:
    """What is the price of the thing?"""
    things = _some(random, _THINGS, _FACTS[level])
    prices, asked = random.sample(range(2, 100), len(things)), random.randrange(len(things))
    facts = " ".join(f"The {thing} costs {price} euros." for thing, price in zip(things, prices, strict=True))
    return _number("price_of", level, f"{facts} How many euros does the {things[asked]} cost?", prices[asked])


def what_job(random: Random, level: int) -> Question:
    """What does somebody work as?"""
    names, jobs = _some(random, _NAMES, _FACTS[level]), _some(random, _JOBS, _FACTS[level])
    asked = random.randrange(len(names))
    facts = " ".join(f"{name} works as a {job}." for name, job in zip(names, jobs, strict=True))
    return _word("what_job", level, f"{facts} What is {names[asked]}'s job?", jobs[asked], _JOBS)


def travels_to(random: Random, level: int) -> Question:
    """Which town does somebody travel to?"""
    names, towns = _some(random, _NAMES, _FACTS[level]), _some(random, _TOWNS, _FACTS[level])
    asked = random.randrange(len(names))
    facts = " ".join(f"{name} travels to {town}." for name, town in zip(names, towns, strict=True))
    return _word("travels_to", level, f"{facts} To which town does {names[asked]} travel?", towns[asked], _TOWNS)


def door_code(random: Random, level: int) -> Question:
    """Which code opens the door?"""
    places = _some(random, _PLACES, _FACTS[level])
    codes, asked = random.sample(range(100, 1000), len(places)), random.randrange(len(places))
    facts = " ".join(f"The code of the {place} door is {code}." for place, code in zip(places, codes, strict=True))
    return _number("door_code", level, f"{facts} What is the code of the {places[asked]} door?", codes[asked])


def oldest(random: Random, level: int) -> Question:
    """Who is the oldest?"""
    names = _some(random, _NAMES, _CANDIDATES[level])
    ages = random.sample(range(5, 60), len(names))
    facts = " ".join(f"{name} is {age} years old." for name, age in zip(names, ages, strict=True))
    word = "older" if len(names) == 2 else "the oldest"
    return _word("oldest", level, f"{facts} Who is {word}?", names[ages.index(max(ages))], _NAMES)


def stated_fact(random: Random, level: int) -> Question:
    """Is what is asked what was said?"""
    names, animals = _some(random, _NAMES, _FACTS[level]), _some(random, _ANIMALS, _FACTS[level] + 1)
    asked, yes = random.randrange(len(names)), random.random() < 0.5
    claimed = animals[asked] if yes else animals[asked + 1]
    facts = " ".join(f"{name} has a {animal}." for name, animal in zip(names, animals[:-1], strict=True))
    return _yes_no("stated_fact", level, f"{facts} Does {names[asked]} have a {claimed}?", yes=yes)


def enough_money(random: Random, level: int) -> Question:
    """Can something be paid?"""
    price, money = random.sample(range(2, _LARGEST[level] + 3), 2)
    name, thing = random.choice(_NAMES), random.choice(_THINGS)
    text = f"A {thing} costs {price} euros. {name} has {money} euros. Can {name} pay for the {thing}?"
    return _yes_no("enough_money", level, text, yes=money >= price)


def odd_one_out(random: Random, level: int) -> Question:
    """Which word is of another kind?"""
    kind, other = _some(random, tuple(_CATEGORIES), 2)
    stranger = random.choice(_CATEGORIES[other])
    listed = list(_some(random, _CATEGORIES[kind], min(level + 1, 5)))
    listed.insert(random.randint(0, len(listed)), stranger)
    text = f"All of these words but one name {kind}: {', '.join(listed)}. Which word does not belong?"
    return _word("odd_one_out", level, text, stranger, tuple(listed))


def last_in_line(random: Random, level: int) -> Question:
    """Who stands first or last?"""
    names = _some(random, _NAMES, _CANDIDATES[level] + 1)
    end = random.choice(("first", "last"))
    text = f"In a line, from front to back, stand {', '.join(names)}. Who is the {end} in the line?"
    return _word("last_in_line", level, text, names[0 if end == "first" else -1], _NAMES)


TEMPLATES: Final[tuple[Template, ...]] = (
    who_has,
    add,
    how_old,
    what_eaten,
    price_of,
    what_job,
    which_colour,
    travels_to,
    count_items,
    stated_fact,
    plain_sum,
    where_is,
    door_code,
    subtract,
    oldest,
    larger_number,
    day_after,
    cost,
    odd_one_out,
    end_time,
    enough_money,
    next_in_sequence,
    last_in_line,
    count_word,
)
