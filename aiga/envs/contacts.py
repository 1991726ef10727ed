"""Where the links of a walker touch the ground, or soon may."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from aiga.envs.links import CORNERS, REAL, Pivots, origins, rotated
from aiga.envs.terrain import STEP, Terrain

SKIN = 0.02
"""The gap at which surfaces touch: Box2D gives each of two shapes a skin of 0.01."""
PLACES = ((0, 0), (1, 0), (2, 0), (2, 1), (3, 0), (4, 0), (4, 1))
"""The contacts that count: of hull and thighs the nearest, of shanks the two nearest."""
WINDOW = 12
"""Vertices of the ground that a link is compared with."""
TINY = 1e-10
TIE = 1e-6
"""Metres by which a candidate is put after the one before it that is as near."""
FAR = 100.0
"""A gap that is none."""
DEEPEST = 0.3
"""Inside the ground by more than this, a corner is not pushed out on that side."""


class Contacts(NamedTuple):
    """Where links touch the ground or soon may; `c` in all."""

    gap: Float[Array, "c b"]
    """Between the skins; below zero: how far one is in the other."""
    point: Float[Array, "2 c b"]
    normal: Float[Array, "2 c b"]
    """Away from the ground."""


def touching(at: Pivots, terrain: Terrain, which: Int[Array, " b"]) -> Contacts:
    """The contacts of all links."""
    points = origins(at)[:, :, None] + rotated(CORNERS, at.cos[:, None], at.sin[:, None])  # (2, 5, k, b)
    ground = jnp.stack(
        [around(terrain, which, points[0, link].min(axis=0) - SKIN, WINDOW) for link in range(5)], axis=1
    )
    corners, vertices = _corners(points, ground), _vertices(points, ground)
    found = Contacts(*(jnp.concatenate(pair, axis=-2) for pair in zip(corners, vertices, strict=True)))
    nearest = _nearest(found)
    return nearest._replace(gap=nearest.gap - SKIN)


def around(terrain: Terrain, which: Int[Array, " b"], left: Float[Array, " b"], n: int) -> Float[Array, "2 n b"]:
    """The `n` vertices of the ground from the last one that is left of `left`."""
    cell = jnp.clip(jnp.floor(left / STEP).astype(jnp.int32), 0, terrain.first.shape[-1] - 1)
    begin = jnp.minimum(terrain.first[which, cell], terrain.x.shape[-1] - n)
    places = begin + jnp.arange(n)[:, None]
    return jnp.stack([terrain.x[which, places], terrain.y[which, places]])


def _corners(points: Float[Array, "2 l k b"], ground: Float[Array, "2 l n b"]) -> Contacts:
    """Every corner of a link with the side of the ground nearest to it; with two, if it is as near to both."""
    edge = (ground[:, :, 1:] - ground[:, :, :-1])[:, :, None]
    square = edge[0] ** 2 + edge[1] ** 2
    size = jnp.where(square > TINY, jax.lax.rsqrt(jnp.maximum(square, TINY)), 0.0)
    off = points[:, :, :, None] - ground[:, :, None, :-1]  # (2, l, k, n - 1, b)
    height = (edge[0] * off[1] - edge[1] * off[0]) * size
    along = (edge[0] * off[0] + edge[1] * off[1]) * size**2
    beside = (size > 0) & (along >= 0) & (along <= 1) & (height > -DEEPEST)
    distance = jnp.where(beside, jnp.abs(height), FAR)
    least = distance.min(axis=-2, keepdims=True)
    chosen = jnp.where(distance == least, beside, False)
    count = jnp.maximum(chosen.sum(axis=-2), 1)
    gap = jnp.where(chosen, height, 0.0).sum(axis=-2) / count
    x, y = (jnp.where(chosen, part * size, 0.0).sum(axis=-2) for part in (-edge[1], edge[0]))
    norm = jax.lax.rsqrt(jnp.maximum(x**2 + y**2, TINY))
    real = chosen.any(axis=-2) & REAL[:, :, None]
    return Contacts(jnp.where(real, gap, FAR), points, jnp.stack([x, y]) * norm)


def _vertices(points: Float[Array, "2 l k b"], ground: Float[Array, "2 l n b"]) -> Contacts:
    """Every bump of the ground with the side of the link that it is farthest out of, or least far in."""
    side = jnp.roll(points, -1, axis=2) - points
    square = side[0] ** 2 + side[1] ** 2
    out = jnp.stack([side[1], -side[0]]) * jax.lax.rsqrt(jnp.maximum(square, TINY))
    off = ground[:, :, None] - points[:, :, :, None]  # (2, l, k, n, b)
    height = off[0] * out[0][:, :, None] + off[1] * out[1][:, :, None]
    height = jnp.where(square[:, :, None] > TINY, height, -FAR)
    most = height.max(axis=1)
    chosen = height == most[:, None]
    x, y = (jnp.where(chosen, -part[:, :, None], 0.0).sum(axis=1) for part in out)
    norm = jax.lax.rsqrt(jnp.maximum(x**2 + y**2, TINY))
    edge = ground[:, :, 1:] - ground[:, :, :-1]
    bump = edge[0, :, :-1] * edge[1, :, 1:] - edge[1, :, :-1] * edge[0, :, 1:] < -TINY
    bump = jnp.pad(bump, ((0, 0), (1, 1), (0, 0))) & (most > -DEEPEST)
    return Contacts(jnp.where(bump, most, FAR), ground, jnp.stack([x, y]) * norm)


def _nearest(found: Contacts) -> Contacts:
    """The contacts that count, of each link's candidates on the last axis but one."""
    key = found.gap + TIE * np.arange(found.gap.shape[1])[:, None]
    first = key == key.min(axis=1, keepdims=True)
    other = jnp.where(first, FAR, key)
    chosen = first, other == other.min(axis=1, keepdims=True)
    one = jnp.stack([chosen[place][link] for link, place in PLACES])  # (c, k, b)
    links = [link for link, _ in PLACES]
    gap, point, normal = (jnp.where(one, x[..., links, :, :], 0.0).sum(axis=-2) for x in found)
    near = gap < FAR / 2  # of several that are none, the sum
    return Contacts(jnp.where(near, gap, FAR), point, jnp.where(near, normal, jnp.array([0.0, 1.0])[:, None, None]))
