"""Whether a hard course can be learnt directly: the controls of POET, which are given as many steps as it took.

After the controls of Wang et al. (2019), https://arxiv.org/abs/1901.01753: evolution strategies on the course itself,
and on a line of courses from the first one to it (direct-path curriculum).  Here the line is cut into equal shares of
the genome, and a course is left when the agent reaches the score from which on POET's worlds have children.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int

from aiga.core.protocols import Key
from aiga.core.trees import take
from aiga.learners.courses import Courses
from aiga.learners.pairs import Pairs, rebuilt, scored
from aiga.learners.walkers import Walkers
from aiga.strategies.openai_es import OpenAIES

STAGES = 8
"""Courses of the curriculum; the last is the target."""
GENERATIONS = 10
"""Of the control in a step of the run."""


class Trial(NamedTuple):
    """Rows: one, or none before the trial has begun."""

    first: Pairs
    """The pair that POET began with."""
    target: Pairs
    """The hardest course that POET has solved, with the agent that it has for it."""
    learner: Pairs
    """The first agent, as it has become by now, on its present course."""
    stage: Int[Any, ""]
    steps: Int[Any, ""]

    @classmethod
    def none(cls, first: Pairs) -> "Trial":
        zero = np.zeros((), np.int64)
        return cls(first, take(first, slice(0)), take(first, slice(0)), zero, zero)


def begun(trial: Trial, everyone: Pairs, courses: Courses, control: str) -> Trial:
    """The trial of the hardest course that is solved, or, if none is, of the hardest."""
    chosen = np.lexsort((everyone.difficulty, everyone.solved >= 0))[-1:]
    target = take(everyone, chosen)
    stage = np.full((), 1 if control == "curriculum" else STAGES, np.int64)
    learner = target._replace(cloud=trial.first.cloud)
    return _at(trial._replace(target=target, learner=learner), stage, courses)


async def practised(
    key: Key, trial: Trial, courses: Courses, strategy: OpenAIES, walkers: Walkers, goal: float, episodes: int
) -> Trial:
    """Some generations later; the learner's champion is its best on the present course."""
    for turn in jax.random.split(key, GENERATIONS):
        advance, judge = jax.random.split(turn)
        cloud = await walkers.advance(advance, strategy, trial.learner.cloud, trial.learner.course)
        score = await walkers.judge(judge, cloud.mean, trial.learner.course, episodes)
        trial = trial._replace(learner=scored(trial.learner._replace(cloud=cloud), score, 0, goal))
        if trial.stage < STAGES and score[0] >= goal:
            trial = _at(trial, trial.stage + 1, courses)
    return trial._replace(steps=trial.steps + walkers.steps)


def _at(trial: Trial, stage: Int[Any, ""], courses: Courses) -> Trial:
    """The learner on the course of a stage."""
    share = stage / STAGES
    genome = jax.tree.map(
        lambda a, b: np.asarray(a + share * (b - a), b.dtype) if stage < STAGES else b,
        take(trial.first.genome, 0),
        take(trial.target.genome, 0),
    )
    learner = rebuilt(courses, trial.target._replace(cloud=trial.learner.cloud), genome)
    return trial._replace(learner=learner, stage=stage)
