"""A model of interestingness: which tasks are boring to somebody who can do another.

Zhang et al. (2023), https://arxiv.org/abs/2306.01711, in the order of their code:

    for each task that succeeds, the one that succeeds most often first:
        if it is not classified yet, it is interesting, and
            every task not classified yet that the model calls boring given it becomes boring
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int8

from aiga.core.errors import UsageError
from aiga.fm.messages import FM, Message, ModelFailed

TASK = "omni/boring"
"""What the calls are counted by."""
UNKNOWN, NEW, BORING = -1, 0, 1
"""What is known of a pair of tasks."""
OPEN = -1
"""Of a task that is not classified."""


class Answers(NamedTuple):
    """What was said of some tasks, given another."""

    said: Int8[np.ndarray, " o"]
    """`UNKNOWN`, `NEW` or `BORING`."""
    failures: tuple[str, ...] = ()
    """Why calls failed; of their tasks nothing is known."""


Ask = Callable[[int, str, Sequence[str]], Awaitable[Answers]]
"""From a seed, a task that can be done, and others: which of these are boring given it."""


class Classes(NamedTuple):
    """What a walk found out about `m` tasks."""

    by: Int[np.ndarray, " m"]
    """The task that made it boring; itself: it is interesting; `OPEN`: it is not classified."""
    known: Int8[np.ndarray, "m m"]
    """Row: given; column: asked about."""
    questions: int
    failures: tuple[str, ...]


async def walk(
    ask: Ask,
    seed: int,
    texts: Sequence[str],
    parts: Int[np.ndarray, "m 2"],
    success: Float[np.ndarray, " m"],
    known: Int8[np.ndarray, "m m"],
) -> Classes:
    """Classify tasks; what is known is not asked again.

    Args:
        ask: The model, or what stands in its place.
        seed: Decides the order of tasks that succeed equally often.
        texts: The tasks.
        parts: The two tasks of which a task is made, or twice itself; a task whose parts are all classified is boring.
        success: How often each succeeds; tasks that never do make no other boring.
        known: Answers of earlier walks.
    """
    known, by, failures, questions = known.copy(), np.full(len(texts), OPEN), (), 0
    ties = np.random.default_rng(seed).permutation(len(texts))
    whole = parts[:, 0] == np.arange(len(texts))
    for task in map(int, np.lexsort((ties, -success))):
        if success[task] <= 0 or by[task] != OPEN:
            continue
        by[task] = task
        asked = np.flatnonzero((by == OPEN) & whole & (known[task] == UNKNOWN))
        if asked.size:
            known[task, asked], failed = await ask(seed, texts[task], [texts[other] for other in asked.tolist()])
            failures, questions = failures + failed, questions + 1
        by[(by == OPEN) & (known[task] == BORING)] = task
        by[(by == OPEN) & (by[parts] != OPEN).all(axis=1)] = task
    return Classes(by, known, questions, failures)


@dataclass(frozen=True)
class Boring:
    """The answer to a question."""

    boring: list[int]
    """The numbers of tasks in the list."""


@dataclass(frozen=True)
class ByModel:
    """Asks a foundation model, a list of tasks at a time, all lists at once."""

    fm: FM
    world: str
    """Where the agent lives, in a few words."""
    batch: int = 60
    """Tasks of a list."""

    async def __call__(self, seed: int, given: str, others: Sequence[str]) -> Answers:
        lists = [others[i : i + self.batch] for i in range(0, len(others), self.batch)]
        answers = await asyncio.gather(*(self._ask(seed, given, tasks) for tasks in lists))
        said = np.concatenate([answer.said for answer in answers])
        return Answers(said, tuple(failure for answer in answers for failure in answer.failures))

    async def _ask(self, seed: int, given: str, tasks: Sequence[str]) -> Answers:
        said = np.full(len(tasks), NEW, np.int8)
        messages = [Message("system", SYSTEM.format(world=self.world)), Message("user", question(given, tasks))]
        try:
            reply = await self.fm.generate(
                messages, seed=seed, task=TASK, facts=(given, tuple(tasks)), schema=Boring, temperature=0.0
            )
            rows = np.array(reply.parsed.boring, int) - 1
            if rows.size and (rows.min() < 0 or rows.max() >= len(tasks)):
                raise ModelFailed("invalid", f"the list has {len(tasks)} tasks, the reply says {reply.parsed.boring}")
        except ModelFailed as failure:
            said[:] = UNKNOWN
            return Answers(said, (f"{failure.kind}: given `{given}`: {failure}",))
        said[rows] = BORING
        return Answers(said)


SYSTEM = (
    "You plan the training of an agent that learns by trial and error in {world}. Time is short, so it should practise "
    "what would teach it something new, and leave out what would be the same again."
)


def question(given: str, tasks: Sequence[str]) -> str:
    """What the model is asked."""
    listed = "\n".join(f"{i}. {task}" for i, task in enumerate(tasks, start=1))
    return (
        f"The agent can already do this: {given}\n\nOther tasks:\n{listed}\n\n"
        "Which of them are boring for this agent? A task is boring if whoever can do the one above needs nothing new "
        "for it: the same more often, the same in other words, or a small variation. A task is not boring if it "
        "needs another skill, even if it is easy. Answer with the numbers of the boring tasks; the list may be empty."
    )


@dataclass(frozen=True)
class ByAnswers:
    """Looks answers up."""

    answers: Mapping[str, frozenset[str]]
    """The tasks that are boring given each; of a task that is missing, nothing is known."""

    async def __call__(self, seed: int, given: str, others: Sequence[str]) -> Answers:
        del seed
        if given not in self.answers:
            return Answers(np.full(len(others), UNKNOWN, np.int8))
        return Answers(np.array([BORING if other in self.answers[given] else NEW for other in others], np.int8))


def load(path: Path, texts: Sequence[str]) -> ByAnswers:
    """Answers from a JSON file: an object from each task to the list of those that are boring given it."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        answers = {str(given): frozenset(map(str, boring)) for given, boring in read.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UsageError(
            f"{path} holds no answers ({error}): give a JSON file like "
            '{"collect wood": ["collect wood 2 times"]}, from each task to those that are boring given it.'
        ) from error
    if not answers.keys() & set(texts):
        raise UsageError(f"{path} knows none of this world's {len(texts)} tasks, such as `{texts[0]}`: give another.")
    return ByAnswers(answers)


def save(path: Path, texts: Sequence[str], known: Int8[np.ndarray, "m m"]) -> None:
    """Write answers as `load` reads them; of a task that was asked about, what nobody said is not boring."""
    answers = {
        texts[row]: [texts[other] for other in np.flatnonzero(known[row] == BORING).tolist()]
        for row in np.flatnonzero((known != UNKNOWN).any(axis=1)).tolist()
    }
    path.write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class SameWords:
    """The control without a model: a task is boring if it says the same, but for numbers, synonyms and small words."""

    synonyms: Mapping[str, str]
    """From a verb to the one that it stands for."""
    small: frozenset[str] = frozenset({"times"})
    """Words that make no difference."""
    mistakes: float = 0.0
    """Share of the answers, each pair for itself, that are turned round."""

    def __call__(self, rng: Random, facts: tuple[str, tuple[str, ...]]) -> Boring:
        given, tasks = facts
        meaning = self.meaning(given)
        wrong = [rng.random() < self.mistakes for _ in tasks]
        return Boring([i for i, task in enumerate(tasks, start=1) if (self.meaning(task) == meaning) != wrong[i - 1]])

    def meaning(self, task: str) -> tuple[str, ...]:
        """What a task asks for."""
        return tuple(
            self.synonyms.get(word, word) for word in task.split() if not word.isdigit() and word not in self.small
        )
