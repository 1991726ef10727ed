"""Questions with one right answer: what they are, how they are scored, and how they are split.

The score is computed here, from a program's raw answer: a program that ran in a sandbox cannot touch it.
"""

import json
import random
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from aiga.core.errors import UsageError

READ = 6_000
"""Characters at the end of an answer that are searched: the time it takes grows with their square."""

Kind = Literal["number", "grid", "choice", "span"]
T = TypeVar("T")


class Task(NamedTuple):
    """A question, and what only we know of it."""

    name: str
    question: str
    """All that is shown."""
    answers: tuple[str, ...]
    """The right ones; a number, a grid as JSON, a letter, or a text."""
    kind: Kind
    difficulty: int = 1
    """From 1 on."""
    wrong: tuple[str, ...] = ()
    """Wrong answers that are easily given."""


class Sizes(NamedTuple):
    """How many tasks each split has."""

    search: int
    select: int
    report: int


class Sealed(Generic[T]):
    """The tasks of a report, or their names: to be opened once a choice is fixed, and never for two choices.

    The best of many on the report's own tasks is not what it seems, hence this seal.
    """

    def __init__(self, tasks: Sequence[T]) -> None:
        self._tasks, self._choice = tuple(tasks), None

    def open(self, choice: str) -> tuple[T, ...]:
        """The tasks, for what was chosen (its code, or the id of it) without having seen them."""
        if self._choice not in (None, choice):
            raise UsageError(
                "the report split was opened for another choice already: choose on `select`, then open it once."
            )
        self._choice = choice
        return self._tasks


class Splits(NamedTuple):
    """Tasks to search with, to choose with, and to report with."""

    search: tuple[Task, ...]
    select: tuple[Task, ...]
    report: Sealed[Task]


def split(tasks: Sequence[Task], sizes: Sizes, seed: int, source: str = "the source") -> Splits:
    """Three splits without a question in common, in an order that the seed gives."""
    different = list({task.question: task for task in tasks}.values())
    if sum(sizes) > len(different):
        raise UsageError(
            f"{source} has {len(different)} different questions, and the splits ask for {sum(sizes)}: give smaller "
            "splits, or more questions."
        )
    random.Random(seed).shuffle(different)
    first, second = sizes.search, sizes.search + sizes.select
    return Splits(tuple(different[:first]), tuple(different[first:second]), Sealed(different[second : sum(sizes)]))


def fresh(make: Callable[[random.Random, int], Task], sizes: Sizes, seed: int, levels: int) -> Splits:
    """Splits of new tasks, all levels alike in each, without a question in common."""
    rng, seen, parts = random.Random(f"puzzles {seed}"), set(), []
    for size in sizes:
        part = []
        while len(part) < size:
            task = make(rng, 1 + len(part) % levels)
            if task.question not in seen:
                seen.add(task.question)
                part.append(task._replace(name=f"{task.kind}-{len(seen)}"))
        parts.append(tuple(part))
    return Splits(parts[0], parts[1], Sealed(parts[2]))


def shown(task: Task) -> dict[str, str]:
    """What an agent is given."""
    return {"question": task.question}


def score(task: Task, answer: Any) -> float:
    """From 0 to 1: the F1 of the words for a span, else right or wrong; what cannot be read is wrong."""
    scorers = {"number": _number, "grid": _grid, "choice": _choice, "span": _span}
    return max(scorers[task.kind](right, answer) for right in task.answers)


def _number(right: str, answer: Any) -> float:
    """The last number of the answer counts."""
    if isinstance(answer, bool) or not isinstance(answer, int | float | str):
        return 0.0
    numbers = re.findall(r"-?\d[\d,]*(?:\.\d+)?", str(answer)[-READ:])
    return float(bool(numbers) and abs(float(numbers[-1].replace(",", "")) - float(right.replace(",", ""))) < 1e-6)


def _grid(right: str, answer: Any) -> float:
    """The grid itself, or a text whose last list of lists it is."""
    if isinstance(answer, str):
        grids = re.findall(r"\[\s*\[[\d\s,\[\]]*\]\s*\]", answer[-READ:])
        try:
            answer = json.loads(grids[-1]) if grids else None
        except ValueError:
            return 0.0
    return float(answer == json.loads(right))


def _choice(right: str, answer: Any) -> float:
    """The first letter that stands alone in the answer's last line; `B`, `(B)` and `B. Paris` are the same."""
    lines = str(answer).strip().splitlines() if isinstance(answer, str) else []
    letters = re.findall(r"\b([A-Z])\b", lines[-1]) if lines else []
    return float(letters[:1] == [right])


def _span(right: str, answer: Any) -> float:
    """Rajpurkar et al. (2016), https://arxiv.org/abs/1606.05250: F1 over words, without articles and punctuation."""
    if not isinstance(answer, int | float | str):
        return 0.0
    expected, given = _words(right), _words(str(answer))
    common = sum((Counter(expected) & Counter(given)).values())
    return 2 * common / (len(expected) + len(given)) if common else 0.0


def _words(text: str) -> list[str]:
    plain = text.lower().translate(str.maketrans("", "", string.punctuation))
    return [word for word in plain.split() if word not in ("a", "an", "the")]
