"""How often something was visited: the one counter of places, cells, rooms, tiles and items.

"The first visit of a key within a scope" is a reward in Deep Curiosity Search (scope: a life), a bonus for new items
(an episode), a bonus for rare states (all of training), and the reason why Go-Explore returns somewhere (the archive).
The scope is the life of the value: begin it with `Visits.none`, and begin another to forget.  In a compiled step the
counts are a JAX array, on the host a numpy array.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int


class Visits(NamedTuple):
    """Visits per key; keys are the numbers from 0 to one below the number of counts."""

    counts: Int[Array | np.ndarray, " k"]

    @staticmethod
    def none(keys: int, np: Any = jnp) -> "Visits":
        """No visits; `np=numpy` for host arrays."""
        return Visits(np.zeros(keys, np.int32))

    def visit(self, keys: Int[Array | np.ndarray, "*n"]) -> tuple["Visits", Bool[Array | np.ndarray, "*n"]]:
        """The counts after one visit of every given key, and which of these visits were the first of their key.

        Of equal keys in a batch, the first is.  A key out of range is nothing: not counted, and never first.
        """
        if isinstance(self.counts, np.ndarray):
            counts, first = _visit_on_host(self.counts, np.asarray(keys))
        else:
            counts, first = _visit(self.counts, jnp.asarray(keys))
        return Visits(counts), first


def earliest(keys: Int[Array, " n"], counted: Bool[Array, " n"], k: int) -> Bool[Array, " n"]:
    """Which of a batch of keys below `k`, of those `counted`, are the first of their key."""
    n = len(keys)
    first = jnp.full(k, n).at[jnp.where(counted, keys, k)].min(jnp.arange(n), mode="drop")
    return counted & (first[keys] == jnp.arange(n))


def _visit(counts: Int[Array, " k"], keys: Int[Array, "*n"]) -> tuple[Int[Array, " k"], Bool[Array, "*n"]]:
    k = len(counts)
    known = (keys >= 0) & (keys < k)
    first = (earliest(keys, known, k) if keys.ndim else known) & (counts[jnp.where(known, keys, 0)] == 0)
    return counts.at[jnp.where(known, keys, k)].add(1, mode="drop"), first


def _visit_on_host(
    counts: Int[np.ndarray, " k"], keys: Int[np.ndarray, "*n"]
) -> tuple[Int[np.ndarray, " k"], Bool[np.ndarray, "*n"]]:
    batch = keys.reshape(-1)
    known = np.flatnonzero((batch >= 0) & (batch < len(counts)))
    after, place = counts.copy(), np.zeros(len(counts), int)
    np.add.at(after, batch[known], 1)
    place[batch[known[::-1]]] = known[::-1]  # of equal keys, what is written last stays
    first = np.zeros(len(batch), bool)
    first[known] = (place[batch[known]] == known) & (counts[batch[known]] == 0)
    return after, first.reshape(keys.shape)
