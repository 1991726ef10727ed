"""Cells around points spread evenly over the descriptor space: the cells of CVT-MAP-Elites.

Vassiliades, Chatzilygeroudis & Mouret (2018), "Using centroidal Voronoi tessellations to scale up the
multidimensional archive of phenotypic elites algorithm", https://arxiv.org/abs/1610.05729, Algorithm 2.
"""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.spatial import KDTree

CHUNK = 16_384
SLACK = 1e-4
"""Buckets are searched as if larger by this share of their side: descriptors are rounded to single precision."""


class VoronoiCells(eqx.Module):
    """The cell of a descriptor is its nearest centroid; what lies outside the box counts to its nearest point inside.

    The box is divided into buckets, each with a list of all centroids that are nearest to some point of it, so a
    search looks at a handful of centroids, however many there are, and is exact.
    """

    centroids: Float[Array, "cells d"]
    low: Float[Array, " d"]
    high: Float[Array, " d"]
    candidates: Int[Array, "buckets k"]
    """Centroids in ascending order; the last is repeated to fill a row."""
    buckets: int = eqx.field(static=True)
    """Buckets per dimension."""

    @classmethod
    def around(cls, centroids: np.ndarray, low: Sequence[float], high: Sequence[float]) -> "VoronoiCells":
        """The cells around the given centroids, of which all lie in the box from `low` to `high`."""
        points = np.asarray(centroids, np.float32)
        buckets = max(1, int((2 * len(points)) ** (1 / points.shape[1])))
        corners = np.array(low, float), np.array(high, float)
        return cls(
            centroids=jnp.asarray(points),
            low=jnp.asarray(corners[0], jnp.float32),
            high=jnp.asarray(corners[1], jnp.float32),
            candidates=jnp.asarray(_candidates(points.astype(float), *corners, buckets)),
            buckets=buckets,
        )

    @classmethod
    def spread(cls, low: Sequence[float], high: Sequence[float], count: int, seed: int = 0) -> "VoronoiCells":
        """`count` cells of about equal size: k-means of points drawn uniformly from the box.

        Lloyd's algorithm, 20 rounds over 10 points per centroid, nearest centroids by k-d tree.
        """
        random = np.random.default_rng(seed)
        points = random.uniform(low, high, (max(10 * count, 10_000), len(low)))
        centroids = points[:count].copy()
        for _ in range(20):
            nearest = KDTree(centroids).query(points)[1]
            members = np.bincount(nearest, minlength=count)
            sums = np.stack([np.bincount(nearest, axis, minlength=count) for axis in points.T], axis=1)
            centroids = np.where(members[:, None] > 0, sums / np.maximum(members, 1)[:, None], centroids)
        return cls.around(centroids, low, high)

    @property
    def count(self) -> int:
        return self.centroids.shape[0]

    @property
    def dimensions(self) -> int:
        return self.centroids.shape[1]

    def index(self, descriptor: Float[Array, "n d"]) -> Int[Array, " n"]:
        """The cell of each descriptor; `count`: none, because it is NaN."""
        inside = jnp.clip(descriptor, self.low, self.high)
        place = (inside - self.low) / (self.high - self.low) * self.buckets
        place = jnp.clip(place, 0, self.buckets - 1).astype(jnp.int32)
        strides = jnp.array([self.buckets**i for i in reversed(range(self.dimensions))], jnp.int32)
        near = self.candidates[(place * strides).sum(axis=1)]
        distance = ((self.centroids[near] - inside[:, None]) ** 2).sum(axis=-1)
        nearest = jnp.take_along_axis(near, distance.argmin(axis=1, keepdims=True), axis=1)[:, 0]
        return jnp.where(jnp.isnan(descriptor).any(axis=1), self.count, nearest)


def _candidates(centroids: np.ndarray, low: np.ndarray, high: np.ndarray, buckets: int) -> np.ndarray:
    """For every bucket, the centroids that are nearest to one of its points, and maybe a few more.

    No point of a bucket is farther from its nearest centroid than the bucket's farthest corner is from any given one;
    so a centroid whose distance to the bucket exceeds the least such bound is nearest to none of its points.
    """
    side = (high - low) / buckets
    half = side / 2 * (1 + SLACK)
    total = buckets ** len(side)
    tree, lists = KDTree(centroids), []
    for start in range(0, total, CHUNK):
        flat = np.arange(start, min(start + CHUNK, total))
        centres = low + side * (0.5 + np.stack(np.unravel_index(flat, [buckets] * len(side)), axis=1))
        lists.append(_nearby(tree, centres, half))
    width = max(rows.shape[1] for rows in lists)
    return np.concatenate([np.pad(rows, ((0, 0), (0, width - rows.shape[1])), mode="edge") for rows in lists])


def _nearby(tree: KDTree, centres: np.ndarray, half: np.ndarray) -> np.ndarray:
    """The centroids in reach of each of the boxes `centres` +- `half`, ascending, the last repeated."""
    count, k = tree.n, min(tree.n, 16)
    diagonal = float(np.linalg.norm(half))
    while True:
        distance, near = (found.reshape(-1, k) for found in tree.query(centres, k=k))
        # The triangle inequality: what is farther from the centre than this cannot be nearest to a point of the box.
        if k == count or (distance[:, -1] > distance[:, 0] + 2 * diagonal).all():
            break
        k = min(2 * k, count)
    offset = np.abs(np.asarray(tree.data)[near] - centres[:, None])
    closest = np.linalg.norm(np.maximum(offset - half, 0), axis=-1)
    farthest = np.linalg.norm(offset + half, axis=-1).min(axis=1, keepdims=True)
    listed = np.sort(np.where(closest <= farthest, near, count), axis=1)
    last = np.where(listed < count, listed, -1).max(axis=1, keepdims=True)
    width = int((listed < count).sum(axis=1).max())
    return np.where(listed < count, listed, last)[:, :width].astype(np.int32)
