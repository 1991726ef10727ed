"""A table of normal numbers that every candidate's noise is a slice of.

Salimans et al. (2017), https://arxiv.org/abs/1703.03864, section 2.1.  The place of a slice and a sign say what was
added to a genome: eight bytes instead of the genome, from which it can be rebuilt to the bit.  On a CPU, reading is
also several times faster than drawing.
"""

from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from aiga.core.errors import UsageError
from aiga.core.protocols import Key

PIECE = 2**20
"""Numbers drawn at once when the table is made."""
UNROLL = 8
"""Slices added in one turn of the loop: each turn passes once over the sum."""


class NoiseTable(eqx.Module):
    """Standard normal numbers.

    Slices overlap, and with a genome not much shorter than the table two of them may even be nearly the same: the table
    should be tens of times longer than a genome.  The paper's has 2.5e8 numbers.
    """

    values: Float[Array, " size"]

    @classmethod
    def make(cls, size: int = 2**23, seed: int = 123) -> "NoiseTable":
        """The table of `size` numbers of this seed; the same on every machine, and built once in a process."""
        if size < 1:
            raise UsageError(f"a noise table of {size} numbers was asked for; give a size above zero.")
        return cls(jnp.asarray(_values(size, seed)))

    def draw(self, key: Key, n: int, d: int) -> Int[Array, " n"]:
        """Where `n` slices of `d` numbers begin."""
        if d > self.values.size:
            raise UsageError(f"a genome has {d:,} numbers, the noise table {self.values.size:,}; make a longer table.")
        return jax.random.randint(key, (n,), 0, self.values.size - d + 1)

    def row(self, index: Int[Array, ""], d: int) -> Float[Array, " d"]:
        """The slice of `d` numbers that begins at `index`."""
        return jax.lax.dynamic_slice(self.values, (index,), (d,))

    def rows(self, index: Int[Array, " n"], d: int) -> Float[Array, "n d"]:
        """The slices that begin at each `index`."""
        return jax.vmap(lambda place: self.row(place, d))(index)

    def weighted(self, index: Int[Array, " n"], weights: Float[Array, " n"], d: int) -> Float[Array, " d"]:
        """The weighted sum of the slices, which never stand in memory together."""
        spare = -index.size % UNROLL
        places = jnp.pad(index, (0, spare)).reshape(-1, UNROLL)
        shares = jnp.pad(weights, (0, spare)).reshape(-1, UNROLL)

        def add(total: Array, turn: tuple[Array, Array]) -> tuple[Array, None]:
            for place, share in zip(*turn, strict=True):
                total = total + share * self.row(place, d)
            return total, None

        return jax.lax.scan(add, jnp.zeros(d), (places, shares))[0]


@lru_cache(maxsize=2)
def _values(size: int, seed: int) -> np.ndarray:
    # numpy promises the stream of `RandomState` for ever, those of its newer generators not.
    stream, values = np.random.RandomState(seed), np.empty(size, np.float32)
    for start in range(0, size, PIECE):  # its numbers have twice the size of ours: not all at once
        values[start : start + PIECE] = stream.standard_normal(min(PIECE, size - start))
    return values
