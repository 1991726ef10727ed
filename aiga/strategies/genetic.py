"""A genetic algorithm with truncation selection.

Such et al. (2017), "Deep neuroevolution: genetic algorithms are a competitive alternative for training deep neural
networks for reinforcement learning", https://arxiv.org/abs/1712.06567, Algorithm 1:

    generation 1: random genomes
    each later child:  parent <- one of the best T of the last generation, at random, the elite among them
                       child  <- parent + sigma * noise;  no crossover
    elite <- the best so far
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from aiga.core.errors import UsageError
from aiga.core.protocols import Candidates, Evaluation, Info, Key
from aiga.core.trees import NOBODY, Layout, identities, take
from aiga.strategies.noise import NoiseTable

Vary = Callable[[Key, PyTree], tuple[PyTree, Int[Array, " n"]]]
"""From the genomes of the parents to those of as many children, and the place of each one's noise in the table."""


class Parents(NamedTuple):
    """Who may have children, the elite first: the state of `Genetic`."""

    genomes: PyTree
    fitness: Float[Array, " t"]
    """NaN: nobody is in this row; such rows come last."""
    identity: Int[Array, "t 2"]
    generation: Int[Array, ""]
    """Generations so far; the birth step of the next."""


class Mutation(eqx.Module):
    """Normal noise on all numbers of a genome."""

    table: NoiseTable
    layout: Layout
    sigma: float | Array

    def __call__(self, key: Key, parents: PyTree) -> tuple[PyTree, Int[Array, " n"]]:
        start = self.layout.flat(parents)
        index = self.table.draw(key, *start.shape)
        return self.layout.tree(start + self.sigma * self.table.rows(index, self.layout.size)), index


class Genetic(eqx.Module):
    """Truncation selection over any genome that can be built and varied.

    A child whose fitness is NaN is no parent; while nobody has any other fitness, all genomes are random.  The elite
    stays until a child is better than it, and of equal children the first counts as better.
    """

    vary: Vary
    build: Callable[[Key], PyTree]
    """A random genome."""
    population: int = eqx.field(static=True)
    """Children of a generation."""
    parents: int = eqx.field(static=True)
    """The T of truncation; 0: all children of all generations are random."""

    def __check_init__(self) -> None:
        if not 0 <= self.parents <= self.population or self.population == 0:
            given = f"{self.parents} parents in a population of {self.population}"
            raise UsageError(f"{given}: give a population of at least 1, and no more parents than that.")

    def init(self, key: Key) -> Parents:
        rows = max(self.parents, 1)
        genomes = jax.tree.map(lambda x: jnp.zeros((rows, *x.shape), x.dtype), jax.eval_shape(self.build, key))
        nobody = jnp.full((rows, 2), NOBODY[0], jnp.int32)
        return Parents(genomes, jnp.full(rows, jnp.nan, float), nobody, jnp.zeros((), jnp.int32))

    def ask(self, key: Key, state: Parents) -> Candidates:
        """A generation; the noise of random genomes is at -1."""
        choose, vary, build = jax.random.split(key, 3)
        n, size = self.population, (~jnp.isnan(state.fitness)).sum()
        row = jax.random.randint(choose, (n,), 0, jnp.maximum(size, 1))

        def fresh() -> tuple[PyTree, Array, Array]:
            genomes = jax.vmap(self.build)(jax.random.split(build, n))
            return genomes, jnp.full((n, 2), NOBODY[0], jnp.int32), jnp.full(n, -1, jnp.int32)

        def varied() -> tuple[PyTree, Array, Array]:
            genomes, place = self.vary(vary, take(state.genomes, row))
            return genomes, state.identity[row], place

        genomes, parents, place = jax.lax.cond((size == 0) | (self.parents == 0), fresh, varied)
        return Candidates(genomes, parents[:, None], place, jnp.ones(n, jnp.int32))

    def tell(self, key: Key, state: Parents, candidates: Candidates, evaluation: Evaluation) -> tuple[Parents, Info]:
        """The next parents; the best child becomes the elite if it is better than the last one was."""
        del key
        fitness, last = evaluation.fitness, state.fitness[0]
        best = jnp.argsort(-fitness, stable=True)[0]  # NaN comes last
        better = (fitness[best] > last) | (jnp.isnan(last) & ~jnp.isnan(fitness[best]))
        elite = jnp.where(better, best, -1)
        return self.succeed(state, candidates, fitness, elite, jnp.where(better, fitness[best], last))

    def succeed(
        self, state: Parents, candidates: Candidates, fitness: Float[Array, " n"], elite: Array, merit: Array
    ) -> tuple[Parents, Info]:
        """The next parents where the elite is child number `elite`, or with -1 the last one, and has fitness `merit`.

        For an elite that was chosen by more than one episode.  An elite that is replaced is no parent any more; with
        NaN as `merit` there is none, and the best child takes its place.
        """
        last = jnp.where((elite < 0) & ~jnp.isnan(merit), jnp.inf, jnp.nan)
        first = jnp.arange(self.population) == elite
        order = jnp.concatenate(
            [last[None], jnp.where(first, jnp.inf, jnp.minimum(fitness, jnp.finfo(fitness.dtype).max))]
        )
        rank = jnp.argsort(-order, stable=True)[: state.fitness.size]
        born = identities(state.generation, self.population)

        def chosen(old: Array, new: Array) -> Array:
            return jnp.concatenate([old[:1], new])[rank]

        known = jnp.where(jnp.isnan(order[rank]), jnp.nan, chosen(state.fitness, fitness))
        parents = Parents(
            jax.tree.map(chosen, state.genomes, candidates.genomes),
            known.at[0].set(jnp.where(jnp.isnan(merit), known[0], merit)),
            chosen(state.identity, jnp.asarray(born)),
            state.generation + 1,
        )
        return parents, {"ga/fitness": jnp.nanmean(fitness), "ga/elite": merit}

    def genome(self, state: Parents) -> PyTree:
        """The elite."""
        return take(state.genomes, 0)

    def births(self, candidates: Candidates, evaluation: Evaluation, after: Parents) -> dict[str, PyTree]:
        """The fields of a `Born` event for the generation that led to `after`: who became a parent is kept."""
        born = jnp.asarray(identities(after.generation - 1, self.population))
        row = jnp.where(~jnp.isnan(after.fitness), after.identity[:, 1], -1)
        row = jnp.where(after.identity[:, 0] == after.generation - 1, row, -1)
        kept = (jnp.arange(self.population)[:, None] == row).any(axis=1)
        return {
            "id": born,
            "parents": candidates.parents,
            "kept": jnp.where(kept, 2, 0),
            "fitness": evaluation.fitness,
            "noise": candidates.noise,
            "sign": candidates.sign,
        }
