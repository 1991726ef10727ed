"""An archive of behaviours: how unlike everything seen before is a candidate?

Lehman & Stanley (2011), "Abandoning objectives: evolution through the search for novelty alone",
https://doi.org/10.1162/EVCO_a_00025.  Novelty is the mean distance to the `k` nearest behaviours of the archive.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from aiga.archives.lineage import Lineage
from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation, Info, Key

BLOCK = 256
"""Behaviours compared with the archive at once."""


class Novelty(eqx.Module):
    """Those who were admitted, in order of birth, as a `Lineage` that knows how unlike all of them a behaviour is.

    Without further options everyone is, but those whose fitness is NaN or whose descriptor is not finite.
    The capacity is fixed while a program is compiled; `with_room` doubles it between steps.
    """

    lineage: Lineage
    k: int = eqx.field(static=True)
    squared: bool = eqx.field(static=True)
    threshold: float = eqx.field(static=True)
    probability: float = eqx.field(static=True)
    seed: int = eqx.field(static=True)

    @classmethod
    def empty(
        cls,
        example: PyTree,
        dimensions: int,
        *,
        k: int = 10,
        capacity: int = 1024,
        squared: bool = False,
        threshold: float = -math.inf,
        probability: float = 1.0,
        parents: int = 1,
        seed: int = 0,
    ) -> "Novelty":
        """An archive without rows.

        Args:
            example: A genome, any pytree of arrays; what an empty archive gives when sampled.  `None` keeps no genomes.
            dimensions: Numbers in a descriptor.
            k: How many neighbours novelty is measured by.
            capacity: Rows at the start.
            squared: Take the mean of the squared distances.
            threshold: Admit only who is more novel than this when its batch is offered.
            probability: Admit each with this probability.
            parents: Parents remembered per row.
            seed: Decides, with the number of batches so far, whom the probability admits.
        """
        if k < 1 or capacity < 0 or not 0 <= probability <= 1:
            given = f"`k` {k}, `capacity` {capacity}, `probability` {probability}"
            raise UsageError(f"{given}: give at least one neighbour, no negative room, and a probability of 0 to 1.")
        return cls(
            lineage=Lineage.empty(example, dimensions, parents=parents, capacity=capacity),
            k=k,
            squared=squared,
            threshold=threshold,
            probability=probability,
            seed=seed,
        )

    @property
    def capacity(self) -> int:
        """Rows that there is room for."""
        return self.lineage.capacity

    @property
    def size(self) -> Int[Array, ""]:
        """Rows in use."""
        return self.lineage.size

    @property
    def births(self) -> Int[Array, ""]:
        """How many batches have been offered; the birth step of the next."""
        return self.lineage.births

    @property
    def descriptor(self) -> Float[Array, "rows d"]:
        """The behaviours, and after the first `size` rows anything."""
        return self.lineage.descriptor

    @property
    def identity(self) -> Int[Array, "rows 2"]:
        """Who showed them."""
        return self.lineage.identity

    @property
    def parents(self) -> Int[Array, "rows p 2"]:
        """Of whom they were born."""
        return self.lineage.parents

    @property
    def occupied(self) -> Bool[Array, " rows"]:
        """Which rows are in use."""
        return self.lineage.occupied

    def with_room(self, n: int) -> "Novelty":
        """This archive with room for `n` more rows: the same, or one of twice the capacity or more (not in jit)."""
        lineage = self.lineage.with_room(n)
        return self if lineage is self.lineage else replace(self, lineage=lineage)

    @eqx.filter_jit
    def novelty(self, descriptor: Float[Array, "n d"], *, with_batch: bool = False) -> Float[Array, " n"]:
        """Mean distance to the `k` nearest rows, or to as many as there are.

        Infinite if there is none; NaN for a descriptor that is not finite.  `with_batch` counts the others of the
        batch as neighbours too, as novelty search does with its population, but nobody as its own; this takes memory
        for all pairs of the batch.
        """
        finite = jnp.isfinite(descriptor).all(axis=1)
        asked = jnp.where(finite[:, None], descriptor, 0)
        near = nearest(asked, jnp.where(self.occupied[:, None], self.descriptor, jnp.inf), self.k)
        if with_batch:
            apart = jnp.square(asked[:, None] - asked).sum(axis=2)
            neighbour = finite & ~jnp.eye(len(finite), dtype=bool)
            near = jnp.concatenate([near, jnp.where(neighbour, apart, jnp.inf)], axis=1)
            near = jnp.sort(near, axis=1)[:, : self.k]
        found = jnp.isfinite(near)
        distance = jnp.where(found, near if self.squared else jnp.sqrt(near), 0).sum(axis=1)
        mean = jnp.where(found.any(axis=1), distance / jnp.maximum(found.sum(axis=1), 1), jnp.inf)
        return jnp.where(finite, mean, jnp.nan)

    @eqx.filter_jit
    def add(
        self, genomes: PyTree, evaluation: Evaluation, parents: Int[Array, "n p 2"] | None = None
    ) -> tuple["Novelty", Int[Array, " n"]]:
        """The archive after `n` births, and a status each: 2 kept, 0 rejected.

        Raises, at run time, if there is no room: ask for it with `with_room`.
        """
        fitness = jnp.where(self._admits(evaluation), evaluation.fitness, jnp.nan)
        lineage, status = self.lineage.add(genomes, evaluation._replace(fitness=fitness), parents)
        return replace(self, lineage=lineage), status

    def choose(self, key: Key, n: int) -> Int[Array, " n"]:
        """`n` rows, uniform and with replacement; row 0 if there is none."""
        return self.lineage.choose(key, n)

    def sample(self, key: Key, n: int) -> PyTree:
        """The genomes of `n` rows, uniform and with replacement; the example if there is none."""
        return self.lineage.sample(key, n)

    def metrics(self) -> Info:
        """Size, best fitness (NaN if empty), and the deepest generation."""
        return self.lineage.metrics()

    def _admits(self, evaluation: Evaluation) -> Bool[Array, " n"]:
        kept = ~jnp.isnan(evaluation.fitness) & jnp.isfinite(evaluation.descriptor).all(axis=1)
        if self.threshold > -math.inf:
            kept &= self.novelty(evaluation.descriptor) > self.threshold
        if self.probability < 1:
            chance = jax.random.fold_in(jax.random.key(self.seed), self.births)
            kept &= jax.random.uniform(chance, kept.shape) < self.probability
        return kept


class Columns(NamedTuple):
    """Points dealt out to columns, so that the nearest `k` of all are sought in the `k` nearest columns alone."""

    rows: Float[Array, "r d c"]
    """What is missing in the last row is infinitely far away."""

    @classmethod
    def of(cls, points: Float[Array, "m d"], k: int) -> "Columns":
        """About sqrt(k m) columns: the fewest distances to sort."""
        m, d = points.shape
        count = min(m, max(k, math.ceil(math.sqrt(k * m))))
        rows = -(-m // count)
        padded = jnp.pad(points, ((0, rows * count - m), (0, 0)), constant_values=jnp.inf)
        return cls(padded.reshape(rows, count, d).transpose(0, 2, 1))


def nearest(asked: Float[Array, "n d"], points: Float[Array, "m d"], k: int) -> Float[Array, "n j"]:
    """The squared distances to the `k` nearest points, nearest first; to all `m` if they are fewer.

    Exact: of the columns that the points are dealt out to, `k` columns hold the `k` nearest points, and they are
    those whose own nearest points are nearest.  Distances are sums of squared differences: nothing cancels.
    """
    n, k = asked.shape[0], min(k, points.shape[0])
    if n == 0 or k == 0:
        return jnp.zeros((n, k))
    columns, block = Columns.of(points, k), min(n, BLOCK)
    blocks = jnp.pad(asked, ((0, -n % block), (0, 0))).reshape(-1, block, asked.shape[1])
    return jax.lax.map(lambda a: _nearest(a, columns.rows, k), blocks).reshape(-1, k)[:n]


def _nearest(asked: Float[Array, "b d"], rows: Float[Array, "r d c"], k: int) -> Float[Array, "b k"]:
    def lower(low: Array, row: Array) -> tuple[Array, None]:
        return jnp.minimum(low, _apart(asked, row)), None

    d = asked.shape[1]
    # A body of about 16 terms becomes one vectorised loop on a CPU: 4 times the speed of longer or shorter ones.
    unroll = -(-16 // max(d, 1))
    low, _ = jax.lax.scan(lower, jnp.full((len(asked), rows.shape[2]), jnp.inf), rows, unroll=unroll)
    _, column = jax.lax.top_k(-low, k)
    found = sum(jnp.square(rows[:, i][:, column] - asked[:, i, None]) for i in range(d))
    candidates = jnp.moveaxis(jnp.broadcast_to(found, (len(rows), *column.shape)), 0, 1).reshape(len(asked), -1)
    return -jax.lax.top_k(-candidates, k)[0]


def _apart(asked: Float[Array, "b d"], row: Float[Array, "d c"]) -> Float[Array, "b c"]:
    zero = jnp.zeros((asked.shape[0], row.shape[1]))
    return sum((jnp.square(row[i] - asked[:, i, None]) for i in range(asked.shape[1])), zero)
