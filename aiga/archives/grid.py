"""An archive of elites: the best candidate for every cell of the descriptor space.

Mouret & Clune (2015), https://arxiv.org/abs/1504.04909.  Which cell a descriptor belongs to is a part: `GridCells`,
`BinCells` between given edges, or `VoronoiCells` for CVT-MAP-Elites.  All operations are pure, have fixed shapes, and
run inside `jax.lax.scan`.
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from aiga.archives.bins import BinCells
from aiga.archives.visits import earliest
from aiga.archives.voronoi import VoronoiCells
from aiga.core.errors import UsageError
from aiga.core.protocols import Evaluation, Info, Key
from aiga.core.trees import NOBODY, identities, take

REJECTED, IMPROVED, NEW = 0, 1, 2


class GridCells(eqx.Module):
    """A division of the box from `low` to `high` into `shape` equal cells; what lies outside counts to the border."""

    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not len(self.low) == len(self.high) == len(self.shape):
            given = f"`low`, `high` and `shape` have {len(self.low)}, {len(self.high)} and {len(self.shape)} numbers"
            raise UsageError(f"{given}; give one of each per descriptor dimension.")
        if any(a >= b for a, b in zip(self.low, self.high, strict=True)) or min(self.shape, default=1) < 1:
            given = f"`low` {self.low}, `high` {self.high}, `shape` {self.shape}"
            raise UsageError(
                f"{given} is not a grid; every `high` must exceed its `low`, and cell counts are positive."
            )

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def dimensions(self) -> int:
        return len(self.shape)

    def index(self, descriptor: Float[Array, "n d"]) -> Int[Array, " n"]:
        """The cell of each descriptor; `count`: none, because it is NaN."""
        low, high, shape = jnp.array(self.low), jnp.array(self.high), jnp.array(self.shape)
        # Clipped before the cast: a float beyond the integers has no defined cast.
        place = jnp.clip((descriptor - low) / (high - low) * shape, 0, shape - 1).astype(jnp.int32)
        strides = [math.prod(self.shape[i + 1 :]) for i in range(len(self.shape))]
        cell = (place * jnp.array(strides, jnp.int32)).sum(axis=1, dtype=jnp.int32)
        return jnp.where(jnp.isnan(descriptor).any(axis=1), self.count, cell)


class Placement(NamedTuple):
    """What became of `n` candidates that were offered to an archive."""

    status: Int[Array, " n"]
    """0 rejected, 1 improved its cell, 2 new in an empty cell.  At most one candidate per cell is not rejected."""
    improvement: Float[Array, " n"]
    """Fitness less what the cell asked for before the batch: its threshold, or the fitness of its elite, or, of an
    empty cell without a threshold, the archive's `offset`.  -inf: fitness or descriptor is NaN."""
    accepted: Bool[Array, " n"]
    """Better than what the cell asked for before the batch, though another of the batch may have been kept."""
    identity: Int[Array, "n 2"]
    cell: Int[Array, " n"]
    """The archive's cell count: none, because fitness or descriptor is NaN."""
    replaced: Int[Array, "n 2"]
    """The elite that an improvement removed; (-1, -1): nobody."""

    def births(self, parents: Int[Array, "n p 2"], fitness: Float[Array, " n"]) -> dict[str, Array]:
        """The fields of a `Born` event for these candidates, but for the operator."""
        fields = {"id": self.identity, "kept": self.status, "cell": self.cell, "replaced": self.replaced}
        return {**fields, "parents": parents, "fitness": fitness}


class Grid(eqx.Module):
    """One elite per cell; row `i` of every field belongs to cell `i`.

    A candidate becomes an elite if it is strictly better than its cell's occupant, or the cell is empty; of a batch,
    the best of its cell, the first in case of a tie.  Candidates whose fitness or descriptor is NaN, and those of
    fitness -inf, never do.  Thresholds are the memory of CMA-MAE: they lie below the fitness of the elites, rise
    slowly, and say which candidates are accepted; an elite is the best ever, but never below `threshold_min`.
    """

    cells: GridCells | BinCells | VoronoiCells
    genomes: PyTree
    """The genomes of empty cells are the example that the archive was made with."""
    fitness: Float[Array, " cells"]
    """-inf: the cell is empty."""
    descriptor: Float[Array, "cells d"]
    identity: Int[Array, "cells 2"]
    parents: Int[Array, "cells p 2"]
    threshold: Float[Array, " cells"] | None
    """CMA-MAE: what an accepted candidate exceeds; None: the fitness of the occupant."""
    discovered: Int[Array, " cells"]
    """The first `size` numbers are the occupied cells, in order of discovery."""
    size: Int[Array, ""]
    births: Int[Array, ""]
    """How many batches have been offered; the birth step of the next."""
    learning_rate: float = eqx.field(static=True)
    offset: float = eqx.field(static=True)

    @classmethod
    def empty(
        cls,
        example: PyTree,
        cells: GridCells | BinCells | VoronoiCells,
        *,
        parents: int = 2,
        offset: float = 0.0,
        learning_rate: float = 1.0,
        threshold_min: float = -math.inf,
    ) -> "Grid":
        """An archive without elites.

        Args:
            example: A genome, any pytree of arrays; what an empty archive gives when sampled.
            cells: The division of the descriptor space.
            parents: Parents remembered per elite.
            offset: The fitness that counts as nothing in the QD score.
            learning_rate: How far accepted candidates pull their cell's threshold towards their mean fitness.
            threshold_min: Thresholds at the start; -inf: no thresholds, plain MAP-Elites.
        """
        plain = threshold_min == -math.inf
        if plain and learning_rate != 1:
            given = f"`learning_rate` {learning_rate} with `threshold_min` -inf"
            raise UsageError(f"{given} leaves thresholds at -inf for ever; give a finite `threshold_min`.")
        rows = cells.count
        return cls(
            cells=cells,
            genomes=jax.tree.map(lambda x: jnp.broadcast_to(x, (rows, *jnp.shape(x))), example),
            fitness=jnp.full(rows, -jnp.inf, jnp.float32),
            descriptor=jnp.zeros((rows, cells.dimensions)),
            identity=_nobodies(rows),
            parents=_nobodies(rows, parents),
            threshold=None if plain else jnp.full(rows, threshold_min, jnp.float32),
            discovered=jnp.zeros(rows, jnp.int32),
            size=jnp.array(0, jnp.int32),
            births=jnp.array(0, jnp.int32),
            learning_rate=learning_rate,
            offset=offset,
        )

    @property
    def occupied(self) -> Bool[Array, " cells"]:
        """Which cells have an elite."""
        return self.fitness > -jnp.inf

    def add(
        self, genomes: PyTree, evaluation: Evaluation, parents: Int[Array, "n p 2"] | None = None
    ) -> tuple["Grid", Int[Array, " n"]]:
        """The archive after the offer of `n` candidates, and a status each: 0 rejected, 1 improved, 2 new."""
        archive, placement = self.place(genomes, evaluation, parents)
        return archive, placement.status

    def place(
        self, genomes: PyTree, evaluation: Evaluation, parents: Int[Array, "n p 2"] | None = None
    ) -> tuple["Grid", Placement]:
        """As `add`, with all that is to be known about what happened."""
        n, nowhere = evaluation.fitness.shape[0], self.cells.count
        identity = jnp.asarray(identities(self.births, n))
        cell = jnp.where(jnp.isnan(evaluation.fitness), nowhere, self.cells.index(evaluation.descriptor))
        filled, bar = self.occupied[cell], (self.fitness if self.threshold is None else self.threshold)[cell]
        accepted = (cell < nowhere) & (evaluation.fitness > bar)
        better = accepted if self.threshold is None else accepted & (evaluation.fitness > self.fitness[cell])
        row = jnp.where(_first_best(cell, evaluation.fitness, better, nowhere), cell, nowhere)
        won = row < nowhere
        status = jnp.where(won, jnp.where(filled, IMPROVED, NEW), REJECTED).astype(jnp.int32)
        replaced = jnp.where((won & filled)[:, None], self.identity[cell], _nobodies(n))
        if parents is None:
            parents = _nobodies(n, self.parents.shape[1])
        discovery = jnp.where(status == NEW, self.size + jnp.cumsum(status == NEW) - 1, nowhere)

        def put(store: Array, values: Array) -> Array:
            return store.at[row].set(values, mode="drop")  # losers' rows are out of range

        archive = Grid(
            cells=self.cells,
            genomes=jax.tree.map(put, self.genomes, genomes),
            fitness=put(self.fitness, evaluation.fitness),
            descriptor=put(self.descriptor, evaluation.descriptor),
            identity=put(self.identity, identity),
            parents=put(self.parents, parents),
            threshold=self._annealed(cell, evaluation.fitness, accepted),
            discovered=self.discovered.at[discovery].set(cell, mode="drop"),
            size=self.size + (status == NEW).sum(dtype=jnp.int32),
            births=self.births + 1,
            learning_rate=self.learning_rate,
            offset=self.offset,
        )
        improvement = evaluation.fitness - jnp.where(bar == -jnp.inf, self.offset, bar)
        improvement = jnp.where(cell < nowhere, improvement, -jnp.inf)
        return archive, Placement(status, improvement, accepted, identity, cell, replaced)

    def sorted_into(
        self, cells: GridCells | BinCells | VoronoiCells, descriptor: Float[Array, "rows d"] | None = None
    ) -> "Grid":
        """The elites, with their identities, in other cells, as many as these; the best of a cell stays.

        With a `descriptor` for every row of this archive, by that instead of their own.
        """
        assert cells.count == self.cells.count
        assert self.threshold is None
        empty = Grid.empty(take(self.genomes, 0), cells, parents=self.parents.shape[1], offset=self.offset)
        places = self.descriptor if descriptor is None else descriptor
        moved, placement = empty.place(self.genomes, Evaluation(self.fitness, places), self.parents)
        to = jnp.where(placement.status > REJECTED, placement.cell, cells.count)
        identity = empty.identity.at[to].set(self.identity, mode="drop")
        return eqx.tree_at(lambda grid: (grid.identity, grid.births), moved, (identity, self.births))

    def choose(self, key: Key, n: int) -> Int[Array, " n"]:
        """The rows of `n` elites, uniform (to one part in 2^32 / size) and with replacement; row 0 if there is none."""
        draw = jax.random.bits(key, (n,), jnp.uint32) % jnp.maximum(self.size, 1).astype(jnp.uint32)
        return self.discovered[draw.astype(jnp.int32)]

    def sample(self, key: Key, n: int) -> PyTree:
        """The genomes of `n` elites, uniform and with replacement; the example if there is no elite."""
        return take(self.genomes, self.choose(key, n))

    def metrics(self) -> Info:
        """Size, coverage (share of cells), QD score (sum of fitness less `offset`), best fitness (NaN if empty)."""
        score = jnp.where(self.occupied, self.fitness - self.offset, 0).sum()
        return {
            "archive/size": self.size,
            "archive/coverage": self.size / self.cells.count,
            "archive/qd_score": score,
            "archive/best": jnp.where(self.size > 0, self.fitness.max(), jnp.nan),
        }

    def _annealed(
        self, cell: Int[Array, " n"], fitness: Float[Array, " n"], accepted: Bool[Array, " n"]
    ) -> Float[Array, " cells"] | None:
        """The thresholds after a batch: Fontaine & Nikolaidis (2023), https://arxiv.org/abs/2205.10752, appendix.

        t <- (1 - a)^k t + (1 - (1 - a)^k) (mean fitness of the k accepted candidates of the cell).
        """
        if self.threshold is None:
            return None
        where = jnp.where(accepted, cell, self.cells.count)
        count = jnp.zeros_like(self.threshold).at[where].add(1, mode="drop")
        total = jnp.zeros_like(self.threshold).at[where].add(fitness, mode="drop")
        kept = (1 - self.learning_rate) ** count
        mean = total / jnp.maximum(count, 1)
        return jnp.where(count > 0, kept * self.threshold + (1 - kept) * mean, self.threshold)


def _nobodies(*shape: int) -> Int[Array, "*shape 2"]:
    return jnp.broadcast_to(jnp.array(NOBODY, jnp.int32), (*shape, 2))


def _first_best(
    cell: Int[Array, " n"], fitness: Float[Array, " n"], accepted: Bool[Array, " n"], cells: int
) -> Bool[Array, " n"]:
    """Which candidate is, of those accepted in its cell, the first of the best: one per cell."""
    best = jnp.full(cells, -jnp.inf).at[jnp.where(accepted, cell, cells)].max(fitness, mode="drop")
    return earliest(cell, accepted & (fitness == best[cell]), cells)
