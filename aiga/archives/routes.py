"""An archive of routes: for every cell the best way there, as the cells on it.

What policy-based return follows (Ecoffet et al. 2021, https://arxiv.org/abs/2004.12919): no state of the world is kept,
only which cell comes after which.  A better route has a higher score, or as high a score and fewer cells.  All
operations are pure, have fixed shapes, and run inside `jax.lax.scan`.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from aiga.archives.visits import Visits, earliest
from aiga.core.protocols import Info, Key
from aiga.core.trees import NOBODY, identities

REJECTED, IMPROVED, NEW = 0, 1, 2


class Walk(NamedTuple):
    """The cells that lead to where one stands, without the loops that were made."""

    cells: Int[Array, "*n l"]
    actions: Int[Array, "*n l"]
    """By which action each cell was entered; the first is not."""
    length: Int[Array, "*n"]
    """Cells on the way, this one included; above `l`: the last are not recorded."""

    @staticmethod
    def begin(cell: Int[Array, ""], capacity: int) -> "Walk":
        """A walk that has not left its first cell."""
        zeros = jnp.zeros(capacity, jnp.int32)
        return Walk(zeros.at[0].set(cell), zeros, jnp.ones((), jnp.int32))

    def enter(self, cell: Int[Array, ""], action: Int[Array, ""]) -> "Walk":
        """After a step to `cell`; where the walk has been there before, all since then is forgotten."""
        places = jnp.arange(len(self.cells))
        met = (self.cells == cell) & (places < self.length)
        place = jnp.where(met.any(), jnp.argmax(met), self.length)
        kept = jnp.where(met.any(), self.actions[place], action)
        write = places == place  # nowhere, if the walk is longer than the record
        return Walk(jnp.where(write, cell, self.cells), jnp.where(write, kept, self.actions), place + 1)


class Found(NamedTuple):
    """Candidates for the archive: `n` moments."""

    cell: Int[Array, " n"]
    score: Float[Array, " n"]
    walk: Walk


class Added(NamedTuple):
    """What became of `n` candidates."""

    status: Int[Array, " n"]
    """0 rejected, 1 improved its cell, 2 new.  At most one candidate per cell is not rejected."""
    identity: Int[Array, "n 2"]
    replaced: Int[Array, "n 2"]
    """The elite that an improvement removed; (-1, -1): nobody."""


class Routes(eqx.Module):
    """One route per cell, in rows in the order of discovery; cells that find no room are not kept."""

    rows: Int[Array, " cells"]
    """Where each cell is kept; the capacity: nowhere."""
    cell: Int[Array, " n"]
    score: Float[Array, " n"]
    walk: Walk
    spent: Visits
    """Actions taken in each of the cells."""
    identity: Int[Array, "n 2"]
    size: Int[Array, ""]
    births: Int[Array, ""]

    @classmethod
    def empty(cls, cells: int, capacity: int, longest: int) -> "Routes":
        """Without routes: of `cells` possible ones up to `capacity`, whose routes have at most `longest` cells."""
        rows, zero = jnp.zeros(capacity, jnp.int32), jnp.zeros((), jnp.int32)
        table = jnp.zeros((capacity, longest), jnp.int32)
        nobody = jnp.broadcast_to(jnp.array(NOBODY, jnp.int32), (capacity, 2))
        missing = jnp.full(cells, capacity, jnp.int32)
        return cls(missing, rows, jnp.zeros(capacity), Walk(table, table, rows), Visits.none(cells), nobody, zero, zero)

    @property
    def capacity(self) -> int:
        return self.cell.shape[0]

    def knows(self, cell: Int[Array, "*n"]) -> Bool[Array, "*n"]:
        """Whether there is a route to the cell."""
        return self.rows[cell] < self.capacity

    def add(self, found: Found) -> tuple["Routes", Added]:
        """The archive after the offer of `n` candidates."""
        n = found.cell.shape[0]
        row = self.rows[found.cell]
        known = row < self.capacity
        won = self._first_best(found, self._better(found, row, known))
        fresh = self.size + jnp.cumsum(won & ~known) - 1
        won &= known | (fresh < self.capacity)
        target = jnp.where(won, jnp.where(known, row, fresh), self.capacity)  # losers: out of range, dropped

        def put(store: Array, values: Array) -> Array:
            return store.at[target].set(values, mode="drop")

        identity = jnp.asarray(identities(self.births, n))
        archive = Routes(
            rows=self.rows.at[jnp.where(won, found.cell, self.rows.size)].set(target, mode="drop"),
            cell=put(self.cell, found.cell),
            score=put(self.score, found.score),
            walk=jax.tree.map(put, self.walk, found.walk),
            spent=self.spent,
            identity=put(self.identity, identity),
            size=self.size + (won & ~known).sum(dtype=jnp.int32),
            births=self.births + 1,
        )
        status = jnp.where(won, jnp.where(known, IMPROVED, NEW), REJECTED)
        nobody = jnp.broadcast_to(jnp.array(NOBODY, jnp.int32), (n, 2))
        return archive, Added(status, identity, jnp.where((won & known)[:, None], self.identity[row], nobody))

    def spend(self, cell: Int[Array, " n"]) -> "Routes":
        """After an action in each of the cells."""
        return eqx.tree_at(lambda r: r.spent, self, self.spent.visit(cell)[0])

    def choose(self, key: Key) -> Int[Array, ""]:
        """A row, with weight 1 / (1 + actions taken in the cell / 2), as in the authors' settings."""
        there = jnp.arange(self.capacity) < self.size
        total = jnp.cumsum(jnp.where(there, 1 / (1 + 0.5 * self.spent.counts[self.cell]), 0))
        row = jnp.searchsorted(total, jax.random.uniform(key) * total[-1], side="right")
        return jnp.minimum(row, self.size - 1)  # rounding may lead beyond the last

    def metrics(self) -> Info:
        """Cells, and the highest score."""
        there = jnp.arange(self.capacity) < self.size
        return {"archive/cells": self.size, "score/best": jnp.where(there, self.score, -jnp.inf).max()}

    def _better(self, found: Found, row: Int[Array, " n"], known: Bool[Array, " n"]) -> Bool[Array, " n"]:
        """Which candidates are recorded whole and beat what is kept."""
        higher, equal = found.score > self.score[row], found.score == self.score[row]
        beats = ~known | higher | (equal & (found.walk.length < self.walk.length[row]))
        return beats & (found.walk.length <= self.walk.cells.shape[1])

    def _first_best(self, found: Found, eligible: Bool[Array, " n"]) -> Bool[Array, " n"]:
        """Which candidate is the first of the best of its cell."""
        left = eligible
        for value in (found.score, -found.walk.length):
            where = jnp.where(left, found.cell, self.rows.size)
            best = jnp.full(self.rows.size, -jnp.inf).at[where].max(value, mode="drop")
            left &= value == best[found.cell]
        return earliest(found.cell, left, self.rows.size)
