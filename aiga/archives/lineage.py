"""An archive that keeps everyone: a family tree, for systems whose stepping stones are never thrown away."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from aiga.core.protocols import Evaluation, Info, Key
from aiga.core.trees import NOBODY, grow, identities, take

SEARCH_STEPS = 31
"""Halvings that find a row among as many as an int32 can number."""


class Lineage(eqx.Module):
    """Every candidate whose fitness is not NaN, in order of birth: the first `size` rows of every field.

    The capacity is fixed while a program is compiled; `with_room` doubles it between steps.
    """

    genomes: PyTree
    fitness: Float[Array, " rows"]
    descriptor: Float[Array, "rows d"]
    identity: Int[Array, "rows 2"]
    parents: Int[Array, "rows p 2"]
    children: Int[Array, " rows"]
    """How many rows name this one as a parent."""
    depth: Int[Array, " rows"]
    """Generations from the first: 0 without a parent, else one more than the deepest parent."""
    size: Int[Array, ""]
    births: Int[Array, ""]
    """How many batches have been offered; the birth step of the next."""

    @classmethod
    def empty(cls, example: PyTree, dimensions: int = 0, *, parents: int = 1, capacity: int = 64) -> "Lineage":
        """An archive without rows.

        Args:
            example: A genome, any pytree of arrays; what an empty archive gives when sampled.
            dimensions: Numbers in a descriptor.
            parents: Parents remembered per row.
            capacity: Rows at the start.
        """
        return cls(
            genomes=jax.tree.map(lambda x: jnp.broadcast_to(x, (capacity, *jnp.shape(x))), example),
            fitness=jnp.zeros(capacity),
            descriptor=jnp.zeros((capacity, dimensions)),
            identity=jnp.zeros((capacity, 2), jnp.int32),
            parents=jnp.zeros((capacity, parents, 2), jnp.int32),
            children=jnp.zeros(capacity, jnp.int32),
            depth=jnp.zeros(capacity, jnp.int32),
            size=jnp.array(0, jnp.int32),
            births=jnp.array(0, jnp.int32),
        )

    @property
    def capacity(self) -> int:
        """Rows that there is room for."""
        return self.fitness.shape[0]

    @property
    def occupied(self) -> Bool[Array, " rows"]:
        """Which rows are in use."""
        return jnp.arange(self.capacity) < self.size

    def with_room(self, n: int) -> "Lineage":
        """This archive with room for `n` more rows: the same, or one of twice the capacity or more (not in jit)."""
        capacity = max(self.capacity, 1)
        while capacity < int(self.size) + n:
            capacity *= 2
        if capacity == self.capacity:
            return self
        rows = (self.genomes, self.fitness, self.descriptor, self.identity, self.parents, self.children, self.depth)
        return Lineage(*grow(rows, capacity), size=self.size, births=self.births)

    @eqx.filter_jit
    def add(
        self, genomes: PyTree, evaluation: Evaluation, parents: Int[Array, "n p 2"] | None = None
    ) -> tuple["Lineage", Int[Array, " n"]]:
        """The archive after `n` births, and a status each: 2 kept, 0 rejected because its fitness is NaN.

        Raises, at run time, if there is no room: ask for it with `with_room`.
        """
        kept = ~jnp.isnan(evaluation.fitness)
        row = jnp.where(kept, self.size + jnp.cumsum(kept) - 1, self.capacity)
        size = self.size + kept.sum(dtype=jnp.int32)
        size = eqx.error_if(size, size > self.capacity, "the lineage is full: call `with_room` before the step")
        n = kept.shape[0]
        if parents is None:
            parents = jnp.full((n, *self.parents.shape[1:]), NOBODY[0], jnp.int32)
        known = self.rows(parents)
        generation = jnp.where(known < self.capacity, self.depth[known] + 1, 0).max(axis=1, initial=0)
        counted = jnp.where(kept[:, None], known, self.capacity)

        def put(store: Array, values: Array) -> Array:
            return store.at[row].set(values, mode="drop")  # the rows of the rejected are out of range

        archive = Lineage(
            genomes=jax.tree.map(put, self.genomes, genomes),
            fitness=put(self.fitness, evaluation.fitness),
            descriptor=put(self.descriptor, evaluation.descriptor),
            identity=put(self.identity, jnp.asarray(identities(self.births, n))),
            parents=put(self.parents, parents),
            children=self.children.at[counted].add(1, mode="drop"),
            depth=put(self.depth, generation),
            size=size,
            births=self.births + 1,
        )
        return archive, jnp.where(kept, 2, 0)

    @eqx.filter_jit
    def rows(self, identity: Int[Array, "*n 2"]) -> Int[Array, "*n"]:
        """Where the given individuals are; `capacity`: not here."""

        def halve(_: Int[Array, ""], bounds: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bounds
            middle = (low + high) // 2
            found = self.identity[middle]
            earlier = (found[..., 0] < identity[..., 0]) | (
                (found[..., 0] == identity[..., 0]) & (found[..., 1] < identity[..., 1])
            )
            right = earlier & (low < high)
            return jnp.where(right, middle + 1, low), jnp.where(right, high, jnp.minimum(middle, high))

        start = jnp.zeros(identity.shape[:-1], jnp.int32)
        row, _ = jax.lax.fori_loop(0, SEARCH_STEPS, halve, (start, jnp.full_like(start, self.size)))
        here = (row < self.size) & (self.identity[row] == identity).all(axis=-1)
        return jnp.where(here, row, self.capacity)

    def ancestors(self, row: int) -> list[int]:
        """The rows of everyone a row descends from, nearest first (not in jit)."""
        found, generation = [], [row]
        while generation:
            parents = np.unique(self.rows(self.parents[jnp.array(generation)]))
            generation = [int(r) for r in parents if r < self.capacity and r not in found]
            found += generation
        return found

    def choose(self, key: Key, n: int) -> Int[Array, " n"]:
        """`n` rows, uniform and with replacement; row 0 if there is none."""
        return jax.random.randint(key, (n,), 0, jnp.maximum(self.size, 1))

    def sample(self, key: Key, n: int) -> PyTree:
        """The genomes of `n` rows, uniform and with replacement; the example if there is none."""
        return take(self.genomes, self.choose(key, n))

    def metrics(self) -> Info:
        """Size, best fitness (NaN if empty), and the deepest generation."""
        best = jnp.where(self.occupied, self.fitness, -jnp.inf).max()
        return {
            "archive/size": self.size,
            "archive/best": jnp.where(self.size > 0, best, jnp.nan),
            "archive/depth": jnp.where(self.occupied, self.depth, 0).max(),
        }
