"""Walkers on many courses: episodes of policies, and steps of evolution strategies, on a course of its own each."""

import asyncio
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree, UInt32

from aiga.core.errors import UsageError
from aiga.core.protocols import Candidates, Env, Evaluation, Key, Pool, Transition
from aiga.core.trees import Layout, take
from aiga.envs.hills import HillsState
from aiga.learners.episodes import play, trace
from aiga.nn.mlp import MLP, mlp, tanh
from aiga.strategies.noise import NoiseTable
from aiga.strategies.openai_es import ESState, OpenAIES

TRAINED = Path(__file__).parent / "walker.npz"
"""A walker that was trained on flat ground."""
WORTH = 64
"""Episodes of a batch from which on a second program, for what fills a quarter of it, saves time."""
AT_ONCE = 2**14
"""Candidates of proposals that are in memory together."""


class Walk(NamedTuple):
    """What an episode is; small, and sent to workers."""

    env: Env
    sizes: tuple[int, ...]
    """Layers of the policy, inputs and outputs included."""
    horizon: int


class Walkers(NamedTuple):
    """Scores policies, which are vectors, each on a course of its own, and improves them by evolution strategies.

    All episodes of a call are one sequence, cut into batches, of which the last may be a quarter as large: two compiled
    programs, however many policies and courses there are. The batches are divided among the workers of the pool.
    On a CPU, an episode is the same to the last bit in both.
    """

    walk: Walk
    batch: int
    """Episodes that are simulated together."""
    pool: Pool
    lengths: list[Int[Any, " n"]]
    """Of all episodes so far."""

    @property
    def episodes(self) -> int:
        return sum(lengths.size for lengths in self.lengths)

    @property
    def steps(self) -> int:
        return int(sum(lengths.sum() for lengths in self.lengths))

    async def score(self, key: Key, policies: Float[Any, "n d"], courses: PyTree) -> Float[Any, " n"]:
        """The return of an episode of each policy on the course beside it; the same whatever the number of workers."""
        return (await self.walked(int(jax.random.bits(key)), policies, courses)).returned

    async def walked(self, seed: int, policies: Float[Any, "n d"], courses: PyTree) -> "Batch":
        """How an episode of each policy went."""
        turns = []
        quarter = self.batch // 4 if self.batch >= WORTH else 0
        for first in range(0, len(policies), self.batch):
            size = quarter if len(policies) - first <= quarter else self.batch
            rows = np.minimum(np.arange(first, first + size), len(policies) - 1)
            own = take(jax.tree.map(np.asarray, courses), rows)
            turns.append(self.pool.submit(episodes, self.walk, (seed, first), np.asarray(policies)[rows], own))
        if not turns:
            return Batch(np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros((0, 2), np.float32))
        done = [_present(one) for one in await asyncio.gather(*turns)]
        walked = Batch(*(np.concatenate(x)[: len(policies)] for x in zip(*done, strict=True)))
        self.lengths.append(walked.length)
        return walked

    async def judge(self, key: Key, policies: Float[Any, "n d"], courses: PyTree, times: int) -> Float[Any, " n"]:
        """The mean return of some episodes each; of one that failed, the lowest number."""
        each = partial(np.repeat, repeats=times, axis=0)
        returned = await self.score(key, each(np.asarray(policies)), jax.tree.map(each, courses))
        return np.nan_to_num(returned.reshape(-1, times).mean(axis=1), nan=-np.inf)

    async def advance(self, key: Key, strategy: OpenAIES, clouds: ESState, courses: PyTree) -> ESState:
        """A generation of each cloud on the course beside it; genomes of `strategy` are vectors."""
        return (await self.advanced(key, strategy, clouds, courses))[0]

    async def advanced(
        self, key: Key, strategy: OpenAIES, clouds: ESState, courses: PyTree
    ) -> tuple[ESState, list[dict[str, Any]]]:
        """As `advance`, and the fields of a `Cloud` event for each cloud, whose key is what `once_more` needs."""
        draw, score = jax.random.split(key)
        rows = [take(clouds, i) for i in range(len(clouds.mean))]
        asked = [jax.device_get(_ask(strategy, jax.random.fold_in(draw, i), row)) for i, row in enumerate(rows)]
        each = partial(np.repeat, repeats=2 * strategy.pairs, axis=0)
        policies = np.concatenate([candidates.genomes for candidates in asked])
        seed = int(jax.random.bits(score))
        walked = await self.walked(seed, policies, jax.tree.map(each, courses))
        shares = jax.tree.map(lambda x: x.reshape(len(rows), -1, *x.shape[1:]), walked)
        places = 2 * strategy.pairs * np.arange(len(rows))
        keys = np.stack([np.full(len(rows), seed), places], axis=1).astype(np.uint32)
        turns = zip(rows, asked, shares.returned, shares.place, keys, strict=True)
        told = jax.device_get([_tell(strategy, *turn) for turn in turns])
        return jax.tree.map(lambda *x: np.stack(x), *(state for state, _ in told)), [cloud for _, cloud in told]

    async def evaluate_candidates(
        self,
        key: Key,
        strategy: OpenAIES,
        guests: ESState,
        courses: PyTree,
        times: int,
        bar: Float[Any, " n"] | None = None,
    ) -> "Offers":
        """EVALUATE_CANDIDATES of POET: guests as they are and after a step of ES, each on the course beside it.

        Nobody commits to that step.  With a bar, as in Enhanced POET, only a guest that scores above it makes a step,
        and only those that have made one are offered.
        """
        direct, improve, again = jax.random.split(key, 3)
        score = await self.judge(direct, guests.mean, courses, times)
        asked = np.arange(len(score)) if bar is None else np.flatnonzero(score > bar)
        if not asked.size:
            return Offers(guests.mean[asked], score[asked], asked)
        theirs = take(courses, asked)
        blocks = np.array_split(np.arange(len(asked)), -(-len(asked) * 2 * strategy.pairs // AT_ONCE))
        turns = []
        for block in blocks:
            turn = jax.random.fold_in(improve, block[0])
            turns.append(await self.advance(turn, strategy, take(guests, asked[block]), take(theirs, block)))
        stepped = np.concatenate([turn.mean for turn in turns])
        after = await self.judge(again, stepped, theirs, times)
        if bar is not None:
            return Offers(stepped, after, asked)
        both = np.concatenate([guests.mean, stepped]), np.concatenate([score, after])
        return Offers(*both, np.concatenate([asked, asked]))


class Offers(NamedTuple):
    """Candidates for a place."""

    mean: Float[Any, "m d"]
    score: Float[Any, " m"]
    guest: Int[Any, " m"]
    """Whom each is, or comes from."""


@eqx.filter_jit
def _ask(strategy: OpenAIES, key: Key, cloud: ESState) -> Candidates:
    return strategy.ask(key, cloud)


@eqx.filter_jit
def _tell(
    strategy: OpenAIES,
    cloud: ESState,
    candidates: Candidates,
    returned: Float[Any, " n"],
    place: Float[Any, "n 2"],
    words: UInt32[Any, "2"],
) -> tuple[ESState, dict[str, Array]]:
    evaluation = Evaluation(returned, place)
    fields = strategy.cloud(jax.random.wrap_key_data(words), cloud, candidates, evaluation)
    return strategy.tell(jax.random.key(0), cloud, candidates, evaluation)[0], fields


class Batch(NamedTuple):
    """How `n` episodes went."""

    returned: Float[Any, " n"]
    length: Int[Any, " n"]
    place: Float[Any, "n 2"]
    """How far the walker's middle is in the end, and how high it was on average: m; NaN: the world has no hills."""


def episodes(walk: Walk, seed: tuple[int, int], policies: np.ndarray, courses: PyTree) -> Batch:
    """A batch of episodes; runs in a worker."""
    key = jax.random.fold_in(jax.random.key(seed[0]), seed[1])
    return Batch(*jax.device_get(_walked(walk, layout(walk.sizes), key, policies, courses)))


def once_more(
    walk: Walk,
    strategy: OpenAIES,
    mean: Float[Any, " d"],
    words: UInt32[Any, "2"],
    noise: Int[Any, " n"],
    row: int,
    course: PyTree,
    batch: int,
) -> tuple[Batch, PyTree]:
    """A candidate of `Walkers.advanced` again: its episode, and the world's states, at first and after every step.

    The episode is in a whole batch, by the program that most were by, so that it is the same to the last bit; the
    states are those of another program, whose rounding may differ.

    Args:
        walk: The kind of episode.
        strategy: With the cloud's `sigma`.
        mean: Of the cloud.
        words: The seed of the episodes, and the place of the cloud's first among them.
        noise: Of all candidates of the cloud.
        row: Of the candidate.
        course: On which it walks.
        batch: Of the `Walkers`.
    """
    key, place = jax.random.key(0), int(words[1]) + row
    _, genomes, at = strategy.again(key, mean, jnp.asarray(noise, jnp.int32), jnp.asarray(row))
    policy = np.asarray(genomes)[int(at)]
    seed = int(words[0]), place - place % batch
    policies = np.tile(policy, (batch, 1))
    courses = jax.tree.map(lambda x: np.broadcast_to(np.asarray(x), (batch, *np.shape(x))).copy(), course)
    lived = take(episodes(walk, seed, policies, courses), place % batch)
    key = jax.random.fold_in(jax.random.key(seed[0]), seed[1])
    return lived, _seen(walk, layout(walk.sizes), key, policies, courses, jnp.asarray(place % batch))


@eqx.filter_jit
def _seen(
    walk: Walk, layout: Layout, key: Key, policies: Float[Any, "n d"], courses: PyTree, row: Int[Array, ""]
) -> PyTree:
    def look(state: PyTree) -> PyTree:
        return take(state, row)

    genomes = layout.tree(policies)
    return trace(key, walk.env, courses, _act, genomes, walk.horizon, params_axis=0, watch=_height, look=look)[1]


@eqx.filter_jit
def _walked(walk: Walk, layout: Layout, key: Key, policies: Float[Any, "n d"], courses: PyTree) -> tuple:
    played = play(key, walk.env, courses, _act, layout.tree(policies), walk.horizon, params_axis=0, watch=_height)
    if not isinstance(played.state, HillsState):
        return played.returned, played.length, jnp.full((len(policies), 2), jnp.nan)
    height = played.watched / jnp.maximum(played.length, 1)
    return played.returned, played.length, jnp.stack([played.state.centre[:, 0], height], axis=1)


def _height(after: Transition) -> Float[Array, ""]:
    """Of the walker's middle."""
    return after.state.centre[1] if isinstance(after.state, HillsState) else jnp.zeros(())


@eqx.filter_jit
def _recorded(walk: Walk, layout: Layout, key: Key, policy: Float[Any, " d"], course: PyTree) -> tuple:
    network = layout.tree(policy)
    reset, move = jax.random.split(key)

    def turn(now: tuple[PyTree, Array], key: Key) -> tuple[tuple[PyTree, Array], tuple]:
        after = walk.env.step(key, now[0], network(now[1]), course)
        return (after.state, after.observation), (after.state, after.reward, after.terminated | after.truncated)

    return jax.lax.scan(turn, walk.env.reset(reset, course), jax.random.split(move, walk.horizon))[1]


def recorded(walk: Walk, key: Key, policy: Float[Any, " d"], course: PyTree) -> tuple[PyTree, int, float]:
    """An episode: states after every step, of which those past its end mean nothing; its length, and its return."""
    states, reward, ended = _recorded(walk, layout(walk.sizes), key, policy, course)
    length = int(np.append(np.flatnonzero(ended), walk.horizon - 1)[0]) + 1
    return states, length, float(reward[:length].sum())


def _act(key: Key, policy: MLP, observation: Array, memory: PyTree) -> tuple[Array, PyTree]:
    del key  # what a policy does, it always does
    return policy(observation), memory


@lru_cache
def layout(sizes: tuple[int, ...]) -> Layout:
    """How a policy of these layers, with hyperbolic tangents everywhere, lies in a vector."""
    shapes = eqx.filter_eval_shape(lambda key: mlp(key, sizes, last=tanh), jax.random.key(0))
    return Layout.of(jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes))


class Beginner(eqx.Module):
    """Builds the first policy: small normal numbers, or what is known."""

    size: int
    known: Float[Array, " d"] | None = None
    deviation: float = 0.1

    def __call__(self, key: Key) -> Float[Array, " d"]:
        return self.deviation * jax.random.normal(key, (self.size,)) if self.known is None else self.known


def beginner(size: int, start: str) -> Beginner:
    """From scratch, or trained to walk on flat ground."""
    if start == "scratch":
        return Beginner(size)
    with np.load(TRAINED) as file:
        known = file["mean"]
    if known.size != size:
        raise UsageError(
            f"the trained walker has {known.size:,} weights, not {size:,}: give `hidden` 40, or `start` scratch."
        )
    return Beginner(size, jnp.asarray(known))


def strategy_of(
    size: int,
    start: str,
    pairs: int,
    sigma: tuple[float, float, float],
    learning_rate: tuple[float, float, float],
    l2: float,
    table: int,
) -> OpenAIES:
    """POET's evolution strategy, whose genomes are vectors; its noise and its steps decay.

    Args:
        size: Numbers of a genome.
        start: `scratch` or `trained`.
        pairs: Mirrored pairs of candidates.
        sigma: Deviation of the noise: at first, what each step multiplies it with, and the least.
        learning_rate: Likewise.
        l2: How strongly weights are pulled to zero.
        table: Numbers of the noise table.
    """
    for name, values in (("sigma", sigma), ("learning_rate", learning_rate)):
        if len(values) != 3 or not (values[0] > 0 and 0 < values[1] <= 1 and 0 <= values[2] <= values[0]):
            raise UsageError(f"`{name}` is {values}: give a number above 0, a factor of at most 1, and the least.")
    if not l2 >= 0:
        raise UsageError(f"`l2` is {l2}: give 0 or more.")
    if table < size:
        raise UsageError(f"`table` is {table:,}, but an agent has {size:,} weights: give tens of times as many.")
    return OpenAIES(
        NoiseTable.make(table),
        Layout.of(jnp.zeros(size)),
        beginner(size, start),
        pairs,
        sigma[0],
        optax.exponential_decay(learning_rate[0], 1, learning_rate[1], end_value=learning_rate[2]),
        l2,
        divide=True,
        sigma_decay=sigma[1],
        sigma_floor=sigma[2],
    )


def _present(answer: Any) -> Any:
    if not isinstance(answer, Batch):
        raise RuntimeError(f"the run cannot go on without these episodes ({answer}); resume it.")
    return answer
