"""Subjects with planted strengths and failures: programs that read a task and answer it, and what is true of them.

A subject can do every step of `aiga.data.steps`, but: a step fails where the task begins with a larger value than its
limit; some steps fail right after some other; and from some kinds of value it cannot go beyond so many steps.  Where
nothing of this holds it is right, and else wrong, but for slips.  It sees the text of a task, nothing else.
"""

from collections.abc import Iterable, Mapping
from random import Random
from typing import Literal, NamedTuple

from aiga.data.recipes import DEEPEST, LARGEST, Recipe
from aiga.data.steps import KINDS, STEPS, read, shown, size_of

LARGE, DEEP, HARD = 15, 4, 3
"""From which size, how many steps and which hardness on to succeed is a strength."""
NEAR = 2
"""How close to a limit a family must be to tell where it is."""


class Evidence(NamedTuple):
    """What the outcome of a family says for certain of something planted."""

    of: str
    side: Literal["within", "beyond"]
    """Of a limit: where it still works, or no longer does; else always `within`."""


class Profile(NamedTuple):
    """What a subject cannot do."""

    limits: Mapping[str, int]
    """The largest size at which a step works."""
    pairs: frozenset[tuple[str, str]]
    """Steps of which the second fails right after the first."""
    depths: Mapping[str, int]
    """The most steps that work, by kind of the first value."""
    slips: float = 0.03
    """How often an answer is the other way round."""

    @property
    def planted(self) -> Mapping[str, int]:
        """Everything there is to find, with how many sides it has: limits two, pairs and strengths one."""
        limits = [_limit(step) for step in self.limits] + [_depth(kind) for kind in self.depths]
        steps = [_large(step) for step in STEPS if STEPS[step].hard >= HARD and step not in self.limits]
        kinds = [_deep(kind) for kind in KINDS if kind not in self.depths]
        return dict.fromkeys(limits, 2) | dict.fromkeys([*map(_pair, self.pairs), *steps, *kinds], 1)

    def causes(self, recipe: Recipe) -> frozenset[str]:
        """Everything planted that makes tasks of this family fail."""
        limits = {_limit(step) for step in recipe.steps if recipe.size > self.limits.get(step, LARGEST)}
        adjacent = set(zip(recipe.steps, recipe.steps[1:], strict=False)) & self.pairs
        depths = {_depth(recipe.kind)} if len(recipe.steps) > self.depths.get(recipe.kind, DEEPEST) else set()
        return frozenset(limits | set(map(_pair, adjacent)) | depths)

    def evidence(self, recipe: Recipe, success: bool) -> frozenset[Evidence]:
        """What an outcome says.

        A failure says something if it can have one cause only, and that is a pair, or a limit not far away.  A
        success says that limits not far away lie beyond, and that a strength is one.
        """
        causes, depth = self.causes(recipe), len(recipe.steps)
        near = {_limit(step): recipe.size - self.limits[step] for step in recipe.steps if step in self.limits}
        near |= {_depth(recipe.kind): depth - self.depths[recipe.kind]} if recipe.kind in self.depths else {}
        if not success:
            told = causes if len(causes) == 1 else ()
            return frozenset(
                Evidence(cause, "beyond" if cause in near else "within") for cause in told if near.get(cause, 0) <= NEAR
            )
        if causes:
            return frozenset()  # a slip
        limits = {what for what, beyond in near.items() if beyond > -NEAR}
        large = {_large(step) for step in recipe.steps if recipe.size >= LARGE}
        deep = {_deep(recipe.kind)} if depth >= DEEP else set()
        return frozenset(Evidence(what, "within") for what in limits | ((large | deep) & self.planted.keys()))

    def answer(self, random: Random, instructions: str) -> str:
        """What the subject replies to a task."""
        exercise = read(instructions)
        if exercise is None:
            return "Answer: I do not understand."
        recipe = Recipe(exercise.kind, size_of(exercise), exercise.steps)
        right = (not self.causes(recipe)) != (random.random() < self.slips)
        solution = shown(exercise.solution())
        return f"Answer: {solution if right else _mistaken(random, solution)}"


class Found(NamedTuple):
    """How much of what was planted a list of families and outcomes shows."""

    what: frozenset[str]
    """What was found: of a limit, both sides."""
    recall: float
    """Share of what was planted."""
    precision: float
    """Share of the families that say something certain."""

    @property
    def f1(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def found(profile: Profile, outcomes: Iterable[tuple[Recipe, bool]]) -> Found:
    """What families and outcomes show; a family that occurs twice says nothing the second time."""
    says, seen = [], set()
    for recipe, success in outcomes:
        says.append(frozenset() if recipe in seen else profile.evidence(recipe, success))
        seen.add(recipe)
    sides = [evidence.of for evidence in frozenset().union(*says)]
    what = frozenset(name for name, needed in profile.planted.items() if sides.count(name) == needed)
    return Found(what, len(what) / len(profile.planted), sum(map(bool, says)) / max(len(says), 1))


def drawn(random: Random) -> Profile:
    """A random subject: limits for half of the steps, twelve pairs, and two kinds that it cannot go far from."""
    limited = random.sample(sorted(STEPS), len(STEPS) // 2)
    fitting = [(a, b) for a in STEPS for b in STEPS if a != b and STEPS[a].gives == STEPS[b].takes]
    kinds = random.sample(sorted(KINDS), 2)
    return Profile(
        limits={step: random.randint(1, LARGEST * 2 // 3) for step in limited},
        pairs=frozenset(random.sample(fitting, 12)),
        depths={kind: random.randint(2, DEEP - 1) for kind in kinds},
    )


def _limit(step: str) -> str:
    return f"limit of {step}"


def _depth(kind: str) -> str:
    return f"limit of steps from a {kind}"


def _pair(pair: tuple[str, str]) -> str:
    return f"{pair[1]} after {pair[0]} fails"


def _large(step: str) -> str:
    return f"{step} of large values works"


def _deep(kind: str) -> str:
    return f"many steps from a {kind} work"


def _mistaken(random: Random, solution: str) -> str:
    """Another answer of the same look."""
    if not solution:
        return "nothing"
    at, exchanged = random.randrange(len(solution)), {"T": "F", "F": "T"}
    other = exchanged.get(solution[at]) or ("7" if solution[at] != "7" else "3")
    return solution[:at] + other + solution[at + 1 :]


CLERK = Profile(
    limits={"multiply": 4, "letters": 8, "vowels": 6, "arrange": 9, "running": 7, "mirror": 3, "binary": 3, "sort": 12},
    pairs=frozenset({("reverse", "rotate"), ("sort", "backwards"), ("digit_sum", "binary"), ("add", "halve")}),
    depths={"word": 3, "date": 2},
)
"""Good with figures, bad with letters, but for one cipher, `shift`, that it never fails at."""
SCRIBE = Profile(
    limits={"add": 5, "multiply": 1, "remainder": 2, "running": 3, "total": 4, "inches": 6, "minutes": 6, "spell": 2},
    pairs=frozenset({("shift", "mirror"), ("double", "letters"), ("flip", "truths"), ("odds", "largest")}),
    depths={"number": 2, "truths": 3},
)
"""Good with letters, both ciphers among them, bad with figures."""
PROFILES = {"clerk": CLERK, "scribe": SCRIBE}
