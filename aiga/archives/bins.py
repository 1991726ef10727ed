"""Cells between given edges, for descriptors that lie anywhere but evenly: the bins of QDAIF, and quantiles.

Bradley et al. (2023), https://arxiv.org/abs/2310.13032: the probabilities that a language model gives lie near 0 and 1,
so equal bins would leave nearly all of an archive empty.
"""

from collections.abc import Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from aiga.core.errors import UsageError


class BinCells(eqx.Module):
    """A division of a box by edges, as many in each dimension; a cell has its lower edges and not its upper ones.

    What lies outside counts to the border.  Edges are arrays: others of the same number need no compilation.
    """

    edges: Float[Array, "d edges"]

    @classmethod
    def between(cls, edges: Sequence[Sequence[float]] | np.ndarray) -> "BinCells":
        """The cells between the edges of each dimension, which rise."""
        given = np.asarray(edges, np.float32)
        if given.ndim != 2 or given.shape[1] < 2 or not (np.diff(given, axis=1) > 0).all():
            raise UsageError(f"{given.tolist()} are no bins; give two or more rising edges for each dimension.")
        return cls(jnp.asarray(given))

    @classmethod
    def quantiles(cls, sample: Float[np.ndarray, "n d"], count: int, low: float, high: float) -> "BinCells":
        """`count` bins from `low` to `high` in each dimension that hold equal shares of a sample.

        Where so many values are equal that some bins would be empty, the widest bins are halved instead.
        """
        return cls.between([_quantiles(column, count, low, high) for column in sample.T])

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.edges.shape[1] - 1,) * self.dimensions

    @property
    def count(self) -> int:
        return (self.edges.shape[1] - 1) ** self.dimensions

    @property
    def dimensions(self) -> int:
        return self.edges.shape[0]

    def index(self, descriptor: Float[Array, "n d"]) -> Int[Array, " n"]:
        """The cell of each descriptor; `count`: none, because it is NaN."""
        inner = self.edges[:, 1:-1]
        place = jax.vmap(partial(jnp.searchsorted, side="right"), in_axes=(0, 1), out_axes=1)(inner, descriptor)
        strides = jnp.array([self.shape[0] ** i for i in reversed(range(self.dimensions))], jnp.int32)
        cell = (place * strides).sum(axis=1, dtype=jnp.int32)
        return jnp.where(jnp.isnan(descriptor).any(axis=1), self.count, cell)

    def even(self, descriptor: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """Descriptors moved so that all bins have the same width and the box is that from 0 to 1."""
        levels = np.linspace(0, 1, self.edges.shape[1])
        columns = [np.interp(x, e, levels) for x, e in zip(descriptor.T, np.asarray(self.edges), strict=True)]
        return np.stack(columns, axis=1).astype(np.float32)


def bins_of(cells: object) -> BinCells:
    """Cells that must be of this kind."""
    assert isinstance(cells, BinCells)
    return cells


def _quantiles(values: np.ndarray, count: int, low: float, high: float) -> list[float]:
    inner = np.quantile(values.astype(np.float32), np.arange(1, count) / count)
    edges = [low, *np.unique(inner[(inner > low) & (inner < high)].astype(np.float32)).tolist(), high]
    while len(edges) <= count:
        widest = int(np.argmax(np.diff(edges)))
        edges.insert(widest + 1, (edges[widest] + edges[widest + 1]) / 2)
    return edges
