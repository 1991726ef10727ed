"""OpenAI's evolution strategy: follow the gradient of what a cloud of genomes around the mean is worth.

Salimans et al. (2017), https://arxiv.org/abs/1703.03864, Algorithm 2, with mirrored pairs and centred ranks:

    repeat:
        e_i     <- N(0, I) for every pair i
        F_i+-   <- fitness of mean +- sigma e_i
        u       <- ranks of all fitnesses, from -1/2 to 1/2
        mean    <- Adam(mean, (1/n) sum_i (u_i+ - u_i-) e_i - l2 mean)

The estimate, a mean over the n pairs, is twice sigma times the gradient of the mean utility, or twice the gradient
with `divide`.  So is that of POET's code; the authors' own, a mean over the 2 n candidates, is half of it.  Adam makes
such factors irrelevant, but for their relation to `l2`.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from aiga.core.errors import UsageError
from aiga.core.protocols import Candidates, Evaluation, Info, Key
from aiga.core.trees import NOBODY, Layout, identities
from aiga.strategies.noise import NoiseTable

IN_CACHE = 2**19
"""Numbers of the genomes that are best evaluated at once: they and their noise fit in a core's cache."""


class ESState(NamedTuple):
    """Where the cloud is."""

    mean: Float[Array, " d"]
    optimiser: PyTree
    identity: Int[Array, "2"]
    """Of the mean; (-1, -1): given, not born here."""
    generation: Int[Array, ""]
    """Generations so far; the birth step of the next."""


def centred_ranks(x: Float[Array, " n"]) -> Float[Array, " n"]:
    """Ranks from -1/2 (smallest) to 1/2; equals share their mean rank, and NaN stays NaN and counts for nothing."""
    known = ~jnp.isnan(x)
    ordered = jnp.sort(x)  # NaN last
    below = jnp.searchsorted(ordered, x, side="left")
    through = jnp.searchsorted(ordered, x, side="right")
    ranks = (below + through - 1) / 2 / jnp.maximum(known.sum() - 1, 1) - 0.5
    return jnp.where(known, jnp.where(known.sum() > 1, ranks, 0.0), jnp.nan)


def by_fitness(evaluation: Evaluation) -> Float[Array, " n"]:
    """The usual utility: the centred rank of the fitness."""
    return centred_ranks(evaluation.fitness)


class OpenAIES(eqx.Module):
    """The hyperparameters, and the strategy that they define.

    What a candidate is worth is a part: `shape`, from the evaluation to utilities, makes of this strategy one that
    seeks novelty, or evolvability.  A pair of which a utility is NaN does not move the mean.
    """

    table: NoiseTable
    layout: Layout
    build: Callable[[Key], PyTree]
    """From a key to the genome to begin with."""
    pairs: int = eqx.field(static=True, default=128)
    sigma: float | Float[Array, ""] = 0.02
    learning_rate: optax.ScalarOrSchedule = 0.01
    l2: float = 0.005
    divide: bool = eqx.field(static=True, default=False)
    """Divide the estimate by `sigma`, as POET does and ME-ES does not."""
    optimiser: Literal["adam", "sgd"] = eqx.field(static=True, default="adam")
    shape: Callable[[Evaluation], Float[Array, " n"]] = by_fitness
    sigma_decay: float = eqx.field(static=True, default=1.0)
    """What each step of Adam multiplies `sigma` with, until it is `sigma_floor`; begins anew with the optimiser."""
    sigma_floor: float = eqx.field(static=True, default=0.0)

    def __check_init__(self) -> None:
        if self.pairs < 1:
            raise UsageError(f"an evolution strategy of {self.pairs} pairs has nothing to compare; give at least 1.")
        if isinstance(self.sigma, float | int) and not self.sigma > 0:
            raise UsageError(f"`sigma` is {self.sigma}; give a standard deviation above zero.")
        if not (0 < self.sigma_decay <= 1 and self.sigma_floor >= 0):
            given = f"`sigma_decay` is {self.sigma_decay} and `sigma_floor` {self.sigma_floor}"
            raise UsageError(f"{given}: give a factor above 0 and of at most 1, and 0 or more.")
        if self.sigma_decay != 1 and self.optimiser != "adam":
            raise UsageError(f"`sigma_decay` is {self.sigma_decay}, but only Adam counts its steps: give 1, or `adam`.")

    def init(self, key: Key) -> ESState:
        return self.begin(self.layout.flat(self.build(key)))

    def begin(self, mean: Float[Array, " d"], identity: Any = NOBODY, generation: Any = 0) -> ESState:
        """A cloud around `mean`, with an optimiser that remembers nothing."""
        return ESState(
            mean, self._rule().init(mean), jnp.asarray(identity, jnp.int32), jnp.asarray(generation, jnp.int32)
        )

    def ask(self, key: Key, state: ESState) -> Candidates:
        """All `+`, then all `-`; with the place of their noise and its sign."""
        drawn = self.draw(key, state)
        return drawn._replace(genomes=self.offspring(state, _places(drawn)[: self.pairs]))

    def tell(self, key: Key, state: ESState, candidates: Candidates, evaluation: Evaluation) -> tuple[ESState, Info]:
        """The cloud moved; of the candidates, only the noise is looked at."""
        del key
        direction, told = self.estimate(_places(candidates), self.shape(evaluation), self.deviation(state))
        change, optimiser = self._rule().update(self.l2 * state.mean - direction, state.optimiser, state.mean)
        mean = jnp.asarray(optax.apply_updates(state.mean, change))
        mean, optimiser = jax.tree.map(
            lambda new, old: jnp.where(told, new, old), (mean, optimiser), (state.mean, state.optimiser)
        )
        identity = jnp.stack([state.generation, jnp.full_like(state.generation, 2 * self.pairs)])
        info = {
            "es/fitness": jnp.nanmean(evaluation.fitness),
            "es/best": jnp.nanmax(evaluation.fitness),
            "es/step_norm": jnp.linalg.norm(mean - state.mean),
        }
        return ESState(mean, optimiser, identity, state.generation + 1), info

    def generation(
        self, key: Key, state: ESState, evaluate: Callable[[Key, PyTree], Evaluation], block: int | None = None
    ) -> tuple[ESState, Candidates, Evaluation, Info]:
        """Ask, evaluate and tell with at most `block` pairs of genomes in memory; the candidates come without genomes.

        Args:
            key: Of the noise, and of the evaluation.
            state: Where the cloud is.
            evaluate: Scores a batch of genomes.
            block: A divisor of `pairs`; None: the largest whose genomes fit in a core's cache, which is also fastest.
        """
        block = self.block() if block is None else block
        if block < 1 or self.pairs % block:
            raise UsageError(f"`block` is {block} of {self.pairs} pairs; give a divisor of the number of pairs.")
        ask, scores, tell = jax.random.split(key, 3)
        drawn = self.draw(ask, state)
        places = _places(drawn)[: self.pairs].reshape(-1, block)  # as `again` has them

        def score(turn: tuple[Key, Array]) -> Evaluation:
            return evaluate(turn[0], self.offspring(state, turn[1]))

        turns = jax.lax.map(score, (jax.random.split(scores, len(places)), places))
        evaluation = jax.tree.map(_signs_first, turns)
        state, info = self.tell(tell, state, drawn, evaluation)
        return state, drawn, evaluation, info

    @eqx.filter_jit  # a compiled product and sum are rounded once, and so it was
    def again(
        self, key: Key, mean: Float[Array, " d"], noise: Int[Array, " n"], row: Int[Array, ""], block: int | None = None
    ) -> tuple[Key, PyTree, Int[Array, ""]]:
        """The batch in which `generation` evaluated an individual: its key, its genomes, and the row in it.

        Args:
            key: Of the generation.
            mean: Of its cloud.
            noise: Of all its individuals.
            row: Of the individual, among all.
            block: As given to `generation`.
        """
        block = self.block() if block is None else block
        negative, pair = jnp.divmod(row, self.pairs)
        turn, place = jnp.divmod(pair, block)
        scores = jax.random.split(key, 3)[1]
        genomes = self.offspring(self.begin(mean), noise[: self.pairs].reshape(-1, block)[turn])
        return jax.random.split(scores, self.pairs // block)[turn], genomes, negative * block + place

    def block(self) -> int:
        """The largest divisor of `pairs` whose genomes fit in a core's cache."""
        limit = max(1, IN_CACHE // self.layout.size)
        return max(b for b in range(1, self.pairs + 1) if self.pairs % b == 0 and b <= limit)

    def draw(self, key: Key, state: ESState) -> Candidates:
        """The candidates of a generation without their genomes."""
        index = self.table.draw(key, self.pairs, self.layout.size)
        parents = jnp.broadcast_to(state.identity, (2 * self.pairs, 1, 2))
        sign = jnp.repeat(jnp.array([1, -1], jnp.int32), self.pairs)
        return Candidates((), parents, jnp.concatenate([index, index]), sign)

    def offspring(self, state: ESState, index: Int[Array, " b"]) -> PyTree:
        """The genomes of some pairs: all `+`, then all `-`."""
        noise = self.table.rows(index, self.layout.size)
        signs = self.deviation(state) * jnp.array([1.0, -1.0])
        # One broadcast, not two halves put together, which the compiler would not fuse with the evaluation.
        genomes = state.mean + signs[:, None, None] * noise
        return self.layout.tree(genomes.reshape(2 * index.size, self.layout.size))

    def deviation(self, state: ESState) -> float | Float[Array, ""]:
        """Of the noise in the next generation."""
        if self.sigma_decay == 1:
            return self.sigma
        return jnp.maximum(self.sigma * self.sigma_decay ** state.optimiser[0].count, self.sigma_floor)

    def estimate(
        self, noise: Int[Array, " n"], utility: Float[Array, " n"], sigma: float | Float[Array, ""]
    ) -> tuple[Float[Array, " d"], Array]:
        """The direction of ascent, from noise of deviation `sigma`, and whether any pair said something."""
        difference = utility[: self.pairs] - utility[self.pairs :]
        known = ~jnp.isnan(difference)
        weights = jnp.where(known, difference, 0) / jnp.maximum(known.sum(), 1)
        direction = self.table.weighted(noise[: self.pairs], weights, self.layout.size)
        return direction / sigma if self.divide else direction, known.any()

    def genome(self, state: ESState) -> PyTree:
        """The mean."""
        return self.layout.tree(state.mean)

    def births(self, state: ESState, candidates: Candidates, evaluation: Evaluation) -> dict[str, Array]:
        """The fields of a `Born` event for a generation from `state`: its candidates and, last, the new mean.

        The mean's fitness is given as the mean fitness of the cloud.
        """
        n = 2 * self.pairs
        fitness = jnp.append(evaluation.fitness, jnp.nanmean(evaluation.fitness))
        return {
            "id": jnp.asarray(identities(state.generation, n + 1)),
            "parents": jnp.broadcast_to(state.identity, (n + 1, 1, 2)),
            "kept": jnp.where(jnp.isnan(fitness), 0, 2),
            "fitness": fitness,
            "noise": jnp.append(_places(candidates), -1),
            "sign": jnp.append(jnp.repeat(jnp.array([1, -1]), self.pairs), 0),
        }

    def cloud(self, key: Key, state: ESState, candidates: Candidates, evaluation: Evaluation) -> dict[str, Array]:
        """The fields of a `Cloud` event for the generation from `state` that `key` drew."""
        fields = {
            "parent": state.identity,
            "generation": state.generation,
            "behaviour": evaluation.descriptor,
            "fitness": evaluation.fitness,
            "noise": _places(candidates),
            "sign": jnp.repeat(jnp.array([1, -1], jnp.int8), self.pairs),
            "key": jax.random.key_data(key),
            "sigma": jnp.asarray(self.deviation(state)),
            "genome": state.mean,
        }
        return {name: value[None] for name, value in fields.items()}

    def _rule(self) -> optax.GradientTransformation:
        return optax.adam(self.learning_rate) if self.optimiser == "adam" else optax.sgd(self.learning_rate)


def _places(candidates: Candidates) -> Int[Array, " n"]:
    if candidates.noise is None:
        raise ValueError("these candidates carry no noise; tell what `ask`, `draw` or `generation` gave.")
    return candidates.noise


def _signs_first(turns: Array) -> Array:
    """From blocks of pairs, each with all its `+` before all its `-`, to the same order over all pairs."""
    blocks, both = turns.shape[:2]
    halves = turns.reshape(blocks, 2, both // 2, *turns.shape[2:])
    return halves.swapaxes(0, 1).reshape(blocks * both, *turns.shape[2:])
