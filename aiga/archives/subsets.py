"""An archive for many tasks: a bin for every combination of them, with the best at that combination.

The archive of CMOEA: Huizinga & Clune (2018), https://arxiv.org/abs/1807.03392.  Every newcomer is offered to every
bin; a bin keeps the survivors of NSGA-II on the combined performance in its tasks and, if wanted, on diversity.

An individual is stored once, however many bins it is in: bins hold rows of one table.  The table has as many rows as
all bins have places, so there is always a free one.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation, Info, Key
from aiga.core.trees import NOBODY, identities, take

Survivors = Callable[[Float[Array, "n m"], int], Int[Array | np.ndarray, " count"]]
"""From everyone's objectives to the rows of so many who stay; NaN: failed, the last to stay."""
REJECTED, IMPROVED, NEW = 0, 1, 2
ALL = 12
"""Up to so many tasks, all their combinations may be bins: 4,095."""


def every_subset(tasks: int) -> Bool[np.ndarray, "bins tasks"]:
    """All combinations of tasks but the empty one; the first is all of them."""
    if not 1 <= tasks <= ALL:
        raise UsageError(f"{tasks} tasks have 2^{tasks} - 1 combinations: give 1 to {ALL}, or sample some.")
    numbers = np.arange(2**tasks - 1, 0, -1)
    return (numbers[:, None] >> np.arange(tasks) & 1).astype(bool)


def sampled_subsets(tasks: int, bins: int, seed: int = 0) -> Bool[np.ndarray, "bins tasks"]:
    """All tasks, each task alone, and random combinations in which every task has probability 1/2."""
    if bins <= tasks:
        raise UsageError(f"`bins` is {bins}: give more than the {tasks} tasks, each of which has a bin, as have all.")
    drawn = np.random.default_rng(seed).random((bins - 1 - tasks, tasks)) < 0.5
    drawn[~drawn.any(axis=1), 0] = True
    return np.concatenate([np.ones((1, tasks), bool), np.eye(tasks, dtype=bool), drawn])


def combined(
    scores: Float[Array, "*#n tasks"], subset: Bool[Array, "*#n tasks"], by: Literal["mean", "product"] = "mean"
) -> Float[Array, "..."]:
    """The performance in the tasks of a subset as one number."""
    if by == "product":
        return jnp.where(subset, scores, 1).prod(axis=-1)
    return jnp.where(subset, scores, 0).sum(axis=-1) / subset.sum(axis=-1)


class Placement(NamedTuple):
    """What became of `n` candidates that were offered to the archive."""

    status: Int[Array, " n"]
    """0 in no bin, 1 in some, 2 in some that still had room."""
    identity: Int[Array, "n 2"]
    bins: Int[Array, " n"]
    """How many bins took the candidate in."""


class Subsets(eqx.Module):
    """The best at every combination of tasks.

    Scores come as `evaluation.aux`, one column per task; without, the fitness is the score of the only task.  A
    candidate with a NaN as fitness, score or descriptor never enters.  Of equals, the youngest stay: a bin may drift.

    Scores are combined by their mean or, if they are never negative, by their product.
    """

    genomes: PyTree
    fitness: Float[Array, " rows"]
    descriptor: Float[Array, "rows d"]
    scores: Float[Array, "rows tasks"]
    identity: Int[Array, "rows 2"]
    parents: Int[Array, "rows p 2"]
    subsets: Bool[Array, "bins tasks"]
    members: Int[Array, "bins places"]
    """Rows, in rising order; the number of rows: nobody."""
    births: Int[Array, ""]
    """How many batches have been offered; the birth step of the next."""
    by: Literal["mean", "product"] = eqx.field(static=True)
    survivors: Survivors | None = eqx.field(static=True)

    @classmethod
    def empty(
        cls,
        example: PyTree,
        subsets: Bool[Array | np.ndarray, "bins tasks"],
        bin_size: int = 10,
        dimensions: int = 0,
        *,
        parents: int = 1,
        by: Literal["mean", "product"] = "mean",
        survivors: Survivors | None = None,
    ) -> "Subsets":
        """An archive without individuals.

        Args:
            example: A genome, any pytree of arrays; what an empty archive gives when sampled.
            subsets: The tasks of every bin: `every_subset` or `sampled_subsets`.
            bin_size: Places of a bin.
            dimensions: Numbers in a descriptor.
            parents: Parents remembered per individual.
            by: How scores are combined.
            survivors: Who stays in a bin, as `aiga.selection.nsga2.survivors`.  Objectives are the combined
                performance and the squared distance of the descriptor from the mean of all who compete for the bin,
                which is, but for a constant, the mean squared distance from them.  None: the best performances stay.
        """
        bins, tasks = subsets.shape
        if not bins or bin_size < 1 or not np.asarray(subsets).any(axis=1).all():
            raise UsageError(f"{bins} bins of {bin_size} places: give one of each at least, and no bin without a task.")
        rows = bins * bin_size
        return cls(
            genomes=jax.tree.map(lambda x: jnp.broadcast_to(x, (rows, *jnp.shape(x))), example),
            fitness=jnp.zeros(rows),
            descriptor=jnp.zeros((rows, dimensions)),
            scores=jnp.zeros((rows, tasks)),
            identity=jnp.full((rows, 2), NOBODY[0], jnp.int32),
            parents=jnp.full((rows, parents, 2), NOBODY[0], jnp.int32),
            subsets=jnp.asarray(subsets),
            members=jnp.full((bins, bin_size), rows, jnp.int32),
            births=jnp.array(0, jnp.int32),
            by=by,
            survivors=survivors,
        )

    @property
    def occupied(self) -> Bool[Array, " rows"]:
        """Which rows are in a bin."""
        return self._used(self.members)

    @property
    def size(self) -> Int[Array, ""]:
        """How many different individuals there are."""
        return self.occupied.sum(dtype=jnp.int32)

    def add(
        self, genomes: PyTree, evaluation: Evaluation, parents: Int[Array, "n p 2"] | None = None
    ) -> tuple["Subsets", Int[Array, " n"]]:
        """The archive after the offer of `n` candidates, and a status each: 0 rejected, 1 improved, 2 new."""
        archive, placement = self.place(genomes, evaluation, parents)
        return archive, placement.status

    @eqx.filter_jit
    def place(
        self, genomes: PyTree, evaluation: Evaluation, parents: Int[Array, "n p 2"] | None = None
    ) -> tuple["Subsets", Placement]:
        """As `add`, with how many bins took each candidate in."""
        n, rows = evaluation.fitness.shape[0], len(self.fitness)
        identity = jnp.asarray(identities(self.births, n))
        if parents is None:
            parents = jnp.full((n, *self.parents.shape[1:]), NOBODY[0], jnp.int32)
        scores = evaluation.fitness[:, None] if evaluation.aux is None else evaluation.aux
        failed = jnp.isnan(scores).any(axis=1) | jnp.isnan(evaluation.fitness)
        failed |= ~jnp.isfinite(evaluation.descriptor).all(axis=1)  # an infinite one would make all distances infinite
        pool = self._survivors(scores, evaluation.descriptor, failed)
        taken = jnp.zeros(n, jnp.int32).at[pool].add(1, mode="drop")  # others are numbered from n
        row = self._rows(pool, taken > 0)
        members = jnp.concatenate([row, jnp.arange(rows + 1)])[pool].astype(jnp.int32)
        roomy = (self.members == rows).any(axis=1, keepdims=True)
        fresh = jnp.zeros(n, bool).at[jnp.where(roomy, pool, n)].set(True, mode="drop")
        status = jnp.where(fresh, NEW, jnp.where(taken > 0, IMPROVED, REJECTED)).astype(jnp.int32)

        def put(store: Array, values: Array) -> Array:
            return store.at[row].set(values, mode="drop")  # the rows of the rejected are out of range

        archive = Subsets(
            genomes=jax.tree.map(put, self.genomes, genomes),
            fitness=put(self.fitness, evaluation.fitness),
            descriptor=put(self.descriptor, evaluation.descriptor),
            scores=put(self.scores, scores),
            identity=put(self.identity, identity),
            parents=put(self.parents, parents),
            subsets=self.subsets,
            members=jnp.sort(members, axis=1),
            births=self.births + 1,
            by=self.by,
            survivors=self.survivors,
        )
        return archive, Placement(status, identity, taken)

    def redrawn(self, key: Key, probability: float, kept: int) -> "Subsets":
        """Every bin but the first `kept` has a new random combination of tasks, with the given probability each.

        The members stay, and compete for the new combination when the next candidates come.
        """
        which, draw = jax.random.split(key)
        bins, tasks = self.subsets.shape
        drawn = jax.random.bernoulli(draw, 0.5, (bins, tasks))
        drawn = drawn.at[:, 0].set(drawn[:, 0] | ~drawn.any(axis=1))
        changed = jax.random.bernoulli(which, probability, (bins,)) & (jnp.arange(bins) >= kept)
        return eqx.tree_at(lambda a: a.subsets, self, jnp.where(changed[:, None], drawn, self.subsets))

    def choose(self, key: Key, n: int) -> Int[Array, " n"]:
        """The rows of `n` individuals: a random bin, then a random member; row 0 if there is none."""
        bins, places = jax.random.split(key)
        members = self.members[jax.random.randint(bins, (n,), 0, len(self.members))]
        count = (members < len(self.fitness)).sum(axis=1)
        place = jax.random.randint(places, (n,), 0, jnp.maximum(count, 1))
        row = jnp.take_along_axis(members, place[:, None], axis=1)[:, 0]
        return jnp.where(count > 0, row, 0)

    def sample(self, key: Key, n: int) -> PyTree:
        """The genomes of `n` individuals, chosen as by `choose`; the example if there is none."""
        return take(self.genomes, self.choose(key, n))

    def metrics(self) -> Info:
        """Different individuals, and the best fitness (NaN if empty)."""
        best = jnp.where(self.occupied, self.fitness, -jnp.inf).max()
        return {"archive/size": self.size, "archive/best": jnp.where(self.size > 0, best, jnp.nan)}

    def _survivors(
        self, scores: Float[Array, "n tasks"], descriptor: Float[Array, "n d"], failed: Bool[Array, " n"]
    ) -> Int[Array, "bins places"]:
        """Who is in each bin: the numbers 0 to n - 1 are candidates, n + i is row i, n + rows is nobody."""
        n, (bins, places) = len(scores), self.members.shape
        subset, alone = self.subsets[:, None], len(self.fitness)
        candidates = combined(scores[None], subset, self.by) if n else jnp.zeros((bins, 0))
        candidates = jnp.where(failed, jnp.nan, candidates)
        held = combined(self.scores.at[self.members].get(mode="fill", fill_value=jnp.nan), subset, self.by)
        held = jnp.where(self.members < alone, held, jnp.nan)
        performance = jnp.concatenate([candidates, held], axis=1)
        numbers = jnp.concatenate([jnp.broadcast_to(jnp.arange(n), (bins, n)), n + self.members], axis=1)
        if (survivors := self.survivors) is None:
            order = jax.lax.top_k(jnp.where(jnp.isnan(performance), -jnp.inf, performance), places)[1]
        else:
            objectives = jnp.stack([performance, self._diversity(performance, descriptor)], axis=-1)
            order = jnp.asarray(jax.vmap(lambda of_bin: survivors(of_bin, places))(objectives))
        chosen = jnp.take_along_axis(numbers, order, axis=1)
        sound = ~jnp.isnan(jnp.take_along_axis(performance, order, axis=1))
        return jnp.where(sound, chosen, n + alone)

    def _diversity(
        self, performance: Float[Array, "bins c"], descriptor: Float[Array, "n d"]
    ) -> Float[Array, "bins c"]:
        """How far everyone who competes for a bin, candidates first, is from their mean."""
        sound, n = ~jnp.isnan(performance), len(descriptor)
        held = self.descriptor.at[self.members].get(mode="fill", fill_value=0)
        newcomers = jnp.where(jnp.isfinite(descriptor), descriptor, 0)
        total = sound[:, :n].astype(descriptor.dtype) @ newcomers + jnp.where(sound[:, n:, None], held, 0).sum(axis=1)
        mean = (total / jnp.maximum(sound.sum(axis=1), 1)[:, None])[:, None]
        distances = [((those - mean) ** 2).sum(axis=-1) for those in (newcomers[None], held)]
        return jnp.concatenate(distances, axis=1)

    def _rows(self, pool: Int[Array, "bins places"], kept: Bool[Array, " n"]) -> Int[Array, " n"]:
        """A free row for every candidate that was kept; the number of rows for the others."""
        rows = len(self.fitness)
        used = self._used(pool - len(kept))
        free = jnp.argsort(used, stable=True)
        return jnp.where(kept, free.at[jnp.cumsum(kept) - 1].get(mode="clip"), rows)

    def _used(self, members: Int[Array, "bins places"]) -> Bool[Array, " rows"]:
        rows = len(self.fitness)
        inside = jnp.where(members < 0, rows, members)
        return jnp.zeros(rows, bool).at[inside].set(True, mode="drop")
