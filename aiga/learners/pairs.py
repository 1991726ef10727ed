"""Pairs of a world and an agent, the population of an open-ended system; on the host, for their number changes."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PyTree, UInt

from aiga.core.protocols import Key
from aiga.core.trees import NOBODY, take
from aiga.learners.courses import Courses
from aiga.strategies.openai_es import ESState, centred_ranks

REMEMBERED = 5
"""Scores in a world, of whoever was its agent then."""

NONE = np.array([NOBODY])


class Pairs(NamedTuple):
    """A row each, the oldest first."""

    genome: PyTree
    """Of the world."""
    seed: UInt[Any, " n"]
    course: PyTree
    """What follows from genome and seed: the world's parameters."""
    vector: Float[Any, "n f"]
    """What a distance of genomes is measured by."""
    difficulty: Float[Any, " n"]
    world: Int[Any, "n 2"]
    """Identity of the world: when it was admitted, and an even number."""
    parent: Int[Any, "n 2"]
    """World that it is a mutant of."""
    cloud: ESState
    """Of the agent, whose identity has an odd number and is that of all steps of ES in one world."""
    giver: Int[Any, "n 2"]
    """Agent that it was at first, as it was or after a step of ES."""
    origin: Int[Any, "n 2"]
    """World that it was in then."""
    score: Float[Any, " n"]
    """The agent's, lately."""
    best: Float[Any, " n"]
    """The highest score of an agent in this world."""
    champion: Float[Any, "n d"]
    """That agent, as it was then."""
    recent: Float[Any, "n 5"]
    """The last after steps of ES in this world; NaN before there were so many."""
    fresh: Bool[Any, " n"]
    """When the world was admitted, it was too easy for no agent so far, retired or not; the first was not admitted."""
    solved: Int[Any, " n"]
    """The first iteration in which an agent solved it; -1: none so far."""
    retired: Int[Any, " n"]
    """The iteration in which the pair was; -1: it is active."""


def begun(courses: Courses, key: Key, cloud: ESState) -> Pairs:
    """The first pair, of one row."""
    made = _first(courses, key)
    return _row(made, np.array((0, 0)), np.array(NOBODY), jax.tree.map(lambda x: np.asarray(x)[None], cloud))


def mutant(courses: Courses, key: Key, parent: Pairs) -> Pairs:
    """A child world of one pair, with the parent's agent; it has no identity so far."""
    made = _mutant(courses, key, take(parent.genome, 0))
    return _row(made, np.array(NOBODY), parent.world[0], parent.cloud)


def rebuilt(courses: Courses, pair: Pairs, genome: PyTree) -> Pairs:
    """The pair with its world changed to one of this genome and the same seed."""
    made = _built(courses, genome, pair.seed[0])
    return _row(made, pair.world[0], pair.parent[0], pair.cloud)


def _row(made: tuple[Any, ...], world: np.ndarray, parent: np.ndarray, cloud: ESState) -> Pairs:
    genome, seed, course, vector, difficulty = jax.tree.map(lambda x: np.asarray(x)[None], made)
    nothing = np.full(1, -1)
    recent = np.full((1, REMEMBERED), np.nan, np.float32)
    cloud = jax.tree.map(np.asarray, cloud)
    return Pairs(
        genome, seed, course, vector, difficulty, world[None], parent[None], cloud, NONE, NONE,
        recent[:, 0], np.full(1, -np.inf, np.float32), cloud.mean, recent, np.zeros(1, bool), nothing, nothing,
    )  # fmt: skip


@eqx.filter_jit
def _first(courses: Courses, key: Key) -> tuple[Any, ...]:
    genome, ground = jax.random.split(key)
    return _built(courses, courses.first(genome), jax.random.bits(ground))


@eqx.filter_jit
def _mutant(courses: Courses, key: Key, genome: PyTree) -> tuple[Any, ...]:
    change, ground = jax.random.split(key)
    return _built(courses, courses.mutate(change, genome), jax.random.bits(ground))


@eqx.filter_jit
def _built(courses: Courses, genome: PyTree, seed: Any) -> tuple[Any, ...]:
    course = courses.course(jax.random.key(seed), genome)
    return genome, seed, course, courses.describe(genome), courses.difficulty(genome)


def joined(first: Pairs, second: Pairs) -> Pairs:
    """All rows of both."""
    return jax.tree.map(lambda a, b: np.concatenate([a, b]), first, second)


def stacked(clouds: list[ESState]) -> ESState:
    """One row each."""
    return jax.tree.map(lambda *x: np.stack([np.asarray(leaf) for leaf in x]), *clouds)


def repeated(courses: PyTree, times: int) -> PyTree:
    """One course, in so many rows."""
    return jax.tree.map(lambda x: np.repeat(x, times, axis=0), courses)


def settled(pairs: Pairs, row: int, cloud: ESState, score: Any, giver: Pairs) -> Pairs:
    """The pairs with an agent in a row that comes from elsewhere, and is new: the cloud has only begun."""

    def put(all_: np.ndarray, one: Any) -> np.ndarray:
        changed = all_.copy()
        changed[row] = one
        return changed

    return pairs._replace(
        cloud=jax.tree.map(put, pairs.cloud, cloud),
        giver=put(pairs.giver, giver.cloud.identity),
        origin=put(pairs.origin, giver.world),
        score=put(pairs.score, score),
    )


def scored(pairs: Pairs, score: Float[Any, " n"], iteration: int, goal: float) -> Pairs:
    """The pairs with their agents' scores; who reaches the goal has solved the world."""
    first, better = (pairs.solved < 0) & (score >= goal), score > pairs.best
    return pairs._replace(
        score=score,
        solved=np.where(first, iteration, pairs.solved),
        best=np.where(better, score, pairs.best),
        champion=np.where(better[:, None], pairs.cloud.mean, pairs.champion),
    )


def ranks(scores: Float[Any, "w a"]) -> Float[Any, "w a"]:
    """PATA-EC: how all agents rank in each world, from -1/2 to 1/2; equals share their mean rank."""
    return np.stack([np.asarray(centred_ranks(jnp.asarray(row))) for row in scores])


def distances(points: Float[Any, "n f"], others: Float[Any, "m f"], nearest: int) -> Float[Any, " n"]:
    """The mean distance of each point to the nearest others."""
    apart = np.linalg.norm(points[:, None].astype(float) - others[None], axis=-1)
    return np.sort(apart, axis=1)[:, :nearest].mean(axis=1)


def told(active: Pairs, retired: Pairs) -> dict[str, Any]:
    """How many worlds there are and were, and how well agents do in them."""
    everyone = joined(retired, active)
    solved = everyone.solved >= 0
    return {
        "poet/active": len(active.score),
        "poet/worlds": len(everyone.score),
        "poet/solved": solved.sum(),
        "poet/hardest_solved": everyone.difficulty[solved].max(initial=0.0),
        "poet/difficulty_solved": everyone.difficulty[solved].sum(),
        "poet/annecs": (solved & everyone.fresh).sum(),
        "poet/best": active.score.max(),
        "poet/mean": active.score.mean(),
    }
