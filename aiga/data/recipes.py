"""A grammar of task families: recipes of steps, and the programs that set and score their tasks.

A recipe is a kind of value, how large it is, and up to `DEEPEST` different steps, each of which takes what the last
gave.  There are millions.  `program` writes a recipe as the program of a family, in the protocol of
`aiga.agents.families`.
"""

import inspect
import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from aiga.data.steps import KINDS, STEPS, number, plain, shown, start

DEEPEST, LARGEST = 8, 20


class Recipe(NamedTuple):
    """A family of tasks."""

    kind: str
    size: int
    steps: tuple[str, ...]

    @property
    def difficulty(self) -> int:
        """For people, from 1 (very easy) to 5 (very difficult)."""
        hardest = max(STEPS[step].hard for step in self.steps)
        return min(5, max(1, hardest + (self.size >= 8) - (self.size <= 3) + (len(self.steps) >= 3)))


def valid(recipe: Recipe) -> bool:
    """Whether every step takes what the one before it gave, none occurs twice, and nothing is too large or too long."""
    kinds = [recipe.kind, *(STEPS[step].gives for step in recipe.steps)]
    fits = all(STEPS[step].takes == kind for step, kind in zip(recipe.steps, kinds, strict=False))
    distinct = len(set(recipe.steps)) == len(recipe.steps)
    return fits and distinct and 1 <= len(recipe.steps) <= DEEPEST and 1 <= recipe.size <= LARGEST


def uniform(random: Random) -> Recipe:
    """A recipe whose kind, size, number of steps up to `DEEPEST` / 2, and steps are all equally likely.

    With longer ones, of which most fail for many reasons at once, fewer outcomes say anything.
    """
    return _walk(random, random.choice(list(KINDS)), random.randint(1, LARGEST), random.randint(1, DEEPEST // 2))


def typical(random: Random) -> Recipe:
    """A recipe such as comes to mind first: few steps, small values, and words and numbers before all else."""
    kind = random.choices(list(KINDS), weights=(5, 4, 3, 2, 1))[0]
    depth = 1 + min(DEEPEST - 1, int(random.expovariate(1.0)))
    return _walk(random, kind, min(LARGEST, 2 + int(random.expovariate(0.5))), depth)


def varied(random: Random, parent: Recipe) -> Recipe:
    """A child: one step appended, inserted, replaced or left out, or the values larger or smaller."""
    changes: Sequence[Callable[[Random, Recipe], Recipe]] = (_append, _insert, _replace, _leave_out, _resize, _resize)
    for _ in range(50):
        child = random.choice(changes)(random, parent)
        if child != parent and valid(child):
            return child
    return typical(random)


def description(recipe: Recipe) -> str:
    """What the tasks of a family ask, in a line."""
    wording = "; ".join(STEPS[step].wording.replace("{k}", "k") for step in recipe.steps)
    return f"Given {GIVEN[recipe.kind].format(recipe.size)}: {wording}."


GIVEN = {
    "word": "a word of {} letters",
    "number": "a number of {} digits",
    "list": "a list of {} numbers",
    "date": "a date {} centuries after 1900",
    "truths": "{} truth values",
}


def content(recipe: Recipe) -> frozenset[tuple[str | int, ...]]:
    """What is particular about a recipe: its steps with how large, its pairs of steps, how many from what."""
    sized = {(step, recipe.size * 5 // LARGEST) for step in recipe.steps}
    pairs = set(zip(recipe.steps, recipe.steps[1:], strict=False))
    return frozenset({*sized, *pairs, (recipe.kind, len(recipe.steps))})


def name(recipe: Recipe) -> str:
    """A name that is a recipe's own."""
    return f"{recipe.kind}{recipe.size}_{'_'.join(recipe.steps)}"


def program(recipe: Recipe, random: Random, tasks: int = 4) -> str:
    """The program of the family, with so many random tasks."""
    drawn = {
        str(i + 1): {
            "value": start(random, recipe.kind, recipe.size),
            "numbers": [number(random, step, recipe.size) for step in recipe.steps],
        }
        for i in range(tasks)
    }
    functions = [STEPS[step].function for step in recipe.steps]
    return PROGRAM.format(
        description=description(recipe),
        recipe=json.dumps(recipe._asdict()),
        tasks="{\n" + "".join(f"    {json.dumps(key)}: {json.dumps(task)},\n" for key, task in drawn.items()) + "}",
        functions="\n\n\n".join(inspect.getsource(f).strip() for f in [*functions, shown, plain]),
        steps=", ".join(recipe.steps),
        start=KINDS[recipe.kind],
    )


def recipe_of(program: str) -> Recipe | None:
    """The recipe that a program was written from; None for a program of another author."""
    found = re.search(r"^RECIPE = (.+)$", program, re.MULTILINE)
    if found is None:
        return None
    fields = json.loads(found[1])
    return Recipe(fields["kind"], fields["size"], tuple(fields["steps"]))


def _walk(random: Random, kind: str, size: int, depth: int) -> Recipe:
    steps: list[str] = []
    now = kind
    while len(steps) < depth:
        fitting = [name for name, step in STEPS.items() if step.takes == now and name not in steps]
        if not fitting:
            break
        steps.append(random.choice(fitting))
        now = STEPS[steps[-1]].gives
    return Recipe(kind, size, tuple(steps))


def _append(random: Random, parent: Recipe) -> Recipe:
    return parent._replace(steps=(*parent.steps, random.choice(list(STEPS))))


def _insert(random: Random, parent: Recipe) -> Recipe:
    at = random.randrange(len(parent.steps))
    return parent._replace(steps=(*parent.steps[:at], random.choice(list(STEPS)), *parent.steps[at:]))


def _replace(random: Random, parent: Recipe) -> Recipe:
    at, step = random.randrange(len(parent.steps)), random.choice(list(STEPS))
    kind = STEPS[step].takes if len(parent.steps) == 1 else parent.kind
    return Recipe(kind, parent.size, (*parent.steps[:at], step, *parent.steps[at + 1 :]))


def _leave_out(random: Random, parent: Recipe) -> Recipe:
    at = random.randrange(len(parent.steps))
    return parent._replace(steps=parent.steps[:at] + parent.steps[at + 1 :])


def _resize(random: Random, parent: Recipe) -> Recipe:
    return parent._replace(size=parent.size + random.choice((-2, -1, 1, 2, 3)))


PROGRAM = '''\
"""{description}"""

import datetime

RECIPE = {recipe}
TASKS = {tasks}


{functions}


STEPS = ({steps},)


def get_tasks():
    return TASKS


def get_instructions(task):
    lines = ["Start with {start} " + shown(task["value"]) + "."]
    for i, (step, k) in enumerate(zip(STEPS, task["numbers"])):
        lines.append("Step " + str(i + 1) + ": " + step.__doc__.format(k=k) + ".")
    return "\\n".join([*lines, "Say what results, and nothing else."])


def score(task, submission):
    value = task["value"]
    for step, k in zip(STEPS, task["numbers"]):
        value = step(value, k)
    return 1.0 if plain(submission) == plain(shown(value)) else 0.0
'''
"""A family's program, self-contained."""
