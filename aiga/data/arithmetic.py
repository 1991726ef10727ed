"""Word problems in arithmetic, made anew for every seed, so that no model has read them.

A story is a chain of changes to a number of things; its difficulty is the number of changes.
"""

import random

from aiga.data.puzzles import Task

LEVELS = 4
PEOPLE = ("Amara", "Bruno", "Chen", "Dilara", "Emil", "Farid", "Greta", "Hana", "Ivo", "Jun", "Kofi", "Lena")
THINGS = ("apples", "stamps", "marbles", "tickets", "pencils", "shells", "coins", "seeds", "cards", "beads")


def problem(rng: random.Random, level: int) -> Task:
    """A story of `level` + 1 changes, what is left at its end, and results of usual mistakes."""
    who, other = rng.sample(PEOPLE, 2)
    things = rng.choice(THINGS)
    number = start = rng.randint(6, 40)
    lines, numbers = [f"{who} has {start} {things}."], [start]
    for _ in range(level + 1):
        line, number = change(rng, number, who, other, things)
        lines.append(line)
        numbers.append(number)
    question = " ".join([*lines, f"How many {things} does {who} have now? Answer with a number."])
    mistakes = [numbers[-2], number + rng.choice([-10, 10]), number + rng.choice([-1, 1]), number * 2, start + number]
    wrong = tuple(str(x) for x in dict.fromkeys(mistakes) if x != number and x >= 0)
    return Task("", question, (str(number),), "number", level, wrong)


def change(rng: random.Random, number: int, who: str, other: str, things: str) -> tuple[str, int]:
    """A sentence, and what it makes of a number."""
    kinds = ["buy", "bags", "third"] if number < 8 else ["buy", "give", "bags", "share", "half"]
    kind, n = rng.choice(kinds), rng.randint(2, 9)
    if kind == "half" and number % 2:
        kind = "give"
    if kind == "give":
        n = min(n, number - 1)
        return f"{who} gives {n} of them to {other}.", number - n
    if kind == "bags":
        size = rng.randint(2, 6)
        return f"Then {who} opens {n} bags with {size} {things} each.", number + n * size
    if kind == "share":
        people = rng.randint(2, 4)
        return (
            f"{who} shares all of them equally among {people} friends, keeps what is left over, and finds {n} more "
            f"{things}.",
            number % people + n,
        )
    if kind == "half":
        return "Half of them get lost.", number // 2
    if kind == "third":
        return f"{other} gives {who} as many as {who} has already, twice over.", number * 3
    return f"{who} buys {n} more {things}.", number + n
