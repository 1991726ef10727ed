"""Small things to do with words, numbers, lists, dates and truth values, of which tasks are composed.

What a step does is a function of a value and a number `k`; its docstring is how a task words it.  Programs that take
these functions along (`inspect.getsource`) need no more than `import datetime`.
"""

import datetime
import re
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple


def reverse(value: str, k: int) -> str:
    """write it backwards"""
    return value[::-1]


def shift(value: str, k: int) -> str:
    """replace each letter by the one {k} places further in the alphabet, with a after z"""
    return "".join(chr((ord(c) - 97 + k) % 26 + 97) for c in value)


def mirror(value: str, k: int) -> str:
    """exchange a and z, b and y, c and x, and so on through the alphabet"""
    return "".join(chr(219 - ord(c)) for c in value)


def arrange(value: str, k: int) -> str:
    """put its letters in alphabetical order"""
    return "".join(sorted(value))


def disemvowel(value: str, k: int) -> str:
    """leave out the letters a, e, i, o and u"""
    return "".join(c for c in value if c not in "aeiou")


def double(value: str, k: int) -> str:
    """write every letter twice"""
    return "".join(c + c for c in value)


def rotate(value: str, k: int) -> str:
    """move its first letter to the end, {k} times in all"""
    turn = k % max(len(value), 1)
    return value[turn:] + value[:turn]


def letters(value: str, k: int) -> int:
    """count its letters"""
    return len(value)


def vowels(value: str, k: int) -> int:
    """count how often a, e, i, o or u stands in it"""
    return sum(c in "aeiou" for c in value)


def add(value: int, k: int) -> int:
    """add {k}"""
    return value + k


def multiply(value: int, k: int) -> int:
    """multiply by {k}"""
    return value * k


def remainder(value: int, k: int) -> int:
    """divide by {k} and keep only the remainder"""
    return value % k


def digit_sum(value: int, k: int) -> int:
    """add up its digits"""
    return sum(int(c) for c in str(value))


def mirror_digits(value: int, k: int) -> int:
    """read its digits from right to left"""
    return int(str(value)[::-1])


def halve(value: int, k: int) -> int:
    """divide by two, rounding down"""
    return value // 2


def inches(value: int, k: int) -> int:
    """take it for feet and convert it to inches"""
    return value * 12


def minutes(value: int, k: int) -> int:
    """take it for hours and convert it to minutes"""
    return value * 60


def binary(value: int, k: int) -> int:
    """write it in binary"""
    return int(format(value, "b"))


def spell(value: int, k: int) -> str:
    """spell its last digit as an English word"""
    return ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"][value % 10]


def sort(value: list, k: int) -> list:
    """sort it from the smallest to the largest"""
    return sorted(value)


def backwards(value: list, k: int) -> list:
    """put it in the opposite order"""
    return value[::-1]


def odds(value: list, k: int) -> list:
    """strike out the even numbers"""
    return [x for x in value if x % 2]


def running(value: list, k: int) -> list:
    """replace each number by the sum of all up to it"""
    return [sum(value[: i + 1]) for i in range(len(value))]


def total(value: list, k: int) -> int:
    """add up all its numbers"""
    return sum(value)


def largest(value: list, k: int) -> int:
    """take its largest number, or 0 if there is none"""
    return max(value, default=0)


def later(value: str, k: int) -> str:
    """go forward by {k} days"""
    return str(datetime.date.fromisoformat(value) + datetime.timedelta(days=k))


def month_start(value: str, k: int) -> str:
    """go back to the first day of that month"""
    return value[:8] + "01"


def earlier(value: str, k: int) -> str:
    """go back by {k} weeks"""
    return str(datetime.date.fromisoformat(value) - datetime.timedelta(days=7 * k))


def weekday(value: str, k: int) -> str:
    """name the day of the week in small letters"""
    names = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    return names[datetime.date.fromisoformat(value).weekday()]


def flip(value: str, k: int) -> str:
    """negate every one of them"""
    return "".join("F" if c == "T" else "T" for c in value)


def flip_first(value: str, k: int) -> str:
    """negate the first {k} of them"""
    return "".join("F" if c == "T" else "T" for c in value[:k]) + value[k:]


def neighbours(value: str, k: int) -> str:
    """replace each but the last by T if it and the next are both T, else by F, and drop the last"""
    return "".join("T" if value[i : i + 2] == "TT" else "F" for i in range(len(value) - 1))


def truths(value: str, k: int) -> int:
    """count the T among them"""
    return value.count("T")


def shown(value: object) -> str:
    """How a value is written."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def plain(answer: str) -> str:
    """An answer without what does not matter: case, spaces, quotes and a stop at the end."""
    return "".join(c for c in answer.lower() if c not in " \t\n\"'`[]").rstrip(".")


class Step(NamedTuple):
    """A step, and what it does to what."""

    function: Callable[[Any, int], Any]
    takes: str
    gives: str
    hard: int
    """For a person with pencil and paper, from 1 to 4."""
    wide: bool = False
    """`k` has as many digits as the task is large, else one."""

    @property
    def wording(self) -> str:
        return self.function.__doc__ or ""


STEPS = {
    step.function.__name__: step
    for step in (
        *(Step(f, "word", "word", hard) for f, hard in ((reverse, 1), (shift, 4), (mirror, 4), (arrange, 2))),
        *(Step(f, "word", "word", hard) for f, hard in ((disemvowel, 1), (double, 1), (rotate, 3))),
        *(Step(f, "word", "number", 1) for f in (letters, vowels)),
        *(Step(f, "number", "number", hard, True) for f, hard in ((add, 1), (multiply, 3))),
        *(Step(f, "number", "number", hard) for f, hard in ((remainder, 3), (digit_sum, 1), (mirror_digits, 1))),
        *(Step(f, "number", "number", hard) for f, hard in ((halve, 2), (inches, 2), (minutes, 2), (binary, 4))),
        Step(spell, "number", "word", 1),
        *(Step(f, "list", "list", hard) for f, hard in ((sort, 1), (backwards, 1), (odds, 1), (running, 3))),
        *(Step(f, "list", "number", hard) for f, hard in ((total, 2), (largest, 1))),
        Step(later, "date", "date", 3, True),
        *(Step(f, "date", "date", hard) for f, hard in ((month_start, 1), (earlier, 4))),
        Step(weekday, "date", "word", 4),
        *(Step(f, "truths", "truths", hard) for f, hard in ((flip, 1), (flip_first, 2), (neighbours, 4))),
        Step(truths, "truths", "number", 1),
    )
}
KINDS = {
    "word": "the word",
    "number": "the number",
    "list": "the list",
    "date": "the date",
    "truths": "the truth values",
}
"""What a task may begin with, and how it says so."""
WIDEST = 3
"""Digits of `k` at most."""


def start(random: Random, kind: str, size: int) -> Any:
    """A random value of so many letters, digits, numbers or truth values; or a date in that century, from 2000 on."""
    if kind == "word":
        return "".join(random.choice("aeiou" if i % 2 else "bcdfghklmnprstvz") for i in range(size))
    if kind == "number":
        return random.randint(10 ** (size - 1), 10**size - 1)
    if kind == "list":
        return [random.randint(1, 99) for _ in range(size)]
    if kind == "truths":
        return "".join(random.choice("TF") for _ in range(size))
    return str(datetime.date(1900 + 100 * size, 1, 1) + datetime.timedelta(days=random.randrange(36_500)))


def number(random: Random, step: str, size: int) -> int:
    """A random `k` for a step."""
    digits = min(size, WIDEST) if STEPS[step].wide else 1
    return random.randint(max(2, 10 ** (digits - 1)), 10**digits - 1)


class Exercise(NamedTuple):
    """What the text of a task says: a value to begin with, and steps with their numbers."""

    kind: str
    value: Any
    steps: tuple[str, ...]
    numbers: tuple[int, ...]

    def solution(self) -> Any:
        value = self.value
        for step, k in zip(self.steps, self.numbers, strict=True):
            value = STEPS[step].function(value, k)
        return value


def read(instructions: str) -> Exercise | None:
    """The exercise that a text sets; None if it sets none that can be understood."""
    begin = re.search(r"Start with (the [a-z ]+) ([^\n]+)\.", instructions)
    kind = next((kind for kind, said in KINDS.items() if begin and begin[1] == said), None)
    found = [_step(line) for line in re.findall(r"^Step \d+: (.+)\.$", instructions, re.MULTILINE)]
    if begin is None or kind is None or not found or None in found:
        return None
    steps, numbers = zip(*(step for step in found if step), strict=True)
    return Exercise(kind, _value(kind, begin[2]), steps, numbers)


def size_of(exercise: Exercise) -> int:
    """What `size` the value to begin with was drawn with."""
    if exercise.kind == "date":
        return int(exercise.value[:2]) - 19
    return len(exercise.value) if exercise.kind == "list" else len(str(exercise.value))


def _step(line: str) -> tuple[str, int] | None:
    for name, pattern in PATTERNS.items():
        if match := pattern.fullmatch(line):
            return name, int(match[1]) if match.groups() else 0
    return None


def _value(kind: str, text: str) -> Any:
    if kind == "number":
        return int(text)
    return [int(x) for x in text.split(", ")] if kind == "list" else text


PATTERNS = {name: re.compile(re.escape(step.wording).replace(r"\{k\}", r"(\d+)")) for name, step in STEPS.items()}
"""How the wording of a step is recognised."""
