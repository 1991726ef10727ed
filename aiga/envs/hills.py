"""A two-legged walker on hills, stumps, pits and stairs: the world of POET.

What is observed, rewarded and ends an episode is as in BipedalWalkerHardcore (Klimov 2016, OpenAI Gym), whose modified
form Wang et al. (2019), https://arxiv.org/abs/1901.01753, used; the mechanics are those of `aiga.envs.walker`.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from aiga.core.protocols import Key, Transition
from aiga.envs.contacts import around
from aiga.envs.links import MASSES, SCALE, Body, origins, pivots
from aiga.envs.terrain import CELLS, GRASS, STEP, Terrain
from aiga.envs.walker import DT, JOINTS, SPEEDS, TORQUE, advanced, bent

RAYS = 1.5 * np.arange(10) / 10
"""Angles of the rangefinder's rays, from straight down to the front."""
SIGHT = 160 / SCALE
AHEAD = 26
"""Vertices of the ground that the rangefinder sees at most."""
PUSH = 5.0
"""The largest force at the hull in the first step, to either side: N."""
START, PLACE = (-0.005, 0.381, -0.505, 0.384, -0.5), (4.647, 5.731)
"""Angles of the links and place of the hull two steps after Box2D has begun to put the walker together."""


class HillsState(NamedTuple):
    """A moment of an episode."""

    centre: Float[Array, "2 *b"]
    """Of mass, of the whole walker: m."""
    angle: Float[Array, "5 *b"]
    """Of hull, thigh, shank, thigh, shank: radians, not relative to each other; zero is upright."""
    velocity: Float[Array, "2 *b"]
    spin: Float[Array, "5 *b"]
    touching: Bool[Array, "2 *b"]
    """Whether each shank touches the ground."""
    shaping: Float[Array, "*b"]
    """The reward is by how much this grows."""
    time: Int[Array, "*b"]


class Hills(eqx.Module):
    """Walk to the right as far as possible, upright and with little torque; about 300 points for the whole way.

    An action is four motor torques, each from -1 to 1; `params` is the ground.  An episode is over when the hull
    touches the ground (-100 points) or the walker is at either end of the course.  Any `vmap`, over candidates, over
    grounds, or over both, becomes one batch of the mechanics; candidates on one ground share it without copies.

    Where this differs from BipedalWalker is told on the walker's page: landings, the moment an episode begins with, and
    feet that are said to touch the ground when they do.
    """

    horizon: int = eqx.field(static=True, default=2000)
    features: int = eqx.field(static=True, default=24)
    actions: int = eqx.field(static=True, default=4)

    def reset(self, key: Key, params: Terrain) -> tuple[HillsState, Float[Array, " 24"]]:
        push = jax.random.uniform(key, (), minval=-PUSH, maxval=PUSH) * DT / MASSES.total
        state, observation = _batched(_begun, (push,), params)
        return state, observation

    def step(self, key: Key, state: HillsState, action: Float[Array, " 4"], params: Terrain) -> Transition:
        del key  # nothing is left to chance
        state, observation, reward, ended = _batched(_stepped, (state, action), params)
        return Transition(state, observation, reward, ended, state.time >= self.horizon)


def poses(state: HillsState) -> Float[Array, "*n 5 3"]:
    """Place and angle of each link's frame: for the hull its origin as drawn, for the others their middle.

    They are Box2D's `position` and `angle` of the bodies.
    """
    angle = jnp.moveaxis(state.angle, -1, 0)
    centre = jnp.moveaxis(state.centre, -1, 0)
    flat = Body(centre.reshape(2, -1), angle.reshape(5, -1), centre.reshape(2, -1), angle.reshape(5, -1))
    places = origins(pivots(flat))  # (2, 5, n)
    found = jnp.concatenate([places, flat.angle[None]])
    return jnp.moveaxis(found.reshape(3, 5, *centre.shape[1:]), (0, 1), (-1, -2))


def _begun(moving: tuple[Array], terrain: Terrain, which: Int[Array, " b"]) -> tuple[HillsState, Array]:
    """Walkers at rest on their starting pads."""
    [push] = moving
    angle = jnp.broadcast_to(jnp.array(START)[:, None], (5, push.size)).astype(push.dtype)
    zero = jnp.zeros_like(push)
    still = Body(jnp.stack([zero, zero]), angle, jnp.stack([push, zero]), jnp.zeros_like(angle))
    shift = jnp.array(PLACE)[:, None] - origins(pivots(still))[:, 0]
    body = still._replace(centre=shift)
    touching = jnp.ones((2, push.size), bool)
    state = HillsState(*body, touching, _shaping(body), jnp.zeros(push.shape, jnp.int32))
    return state, _observed(state, terrain, which)


def _stepped(
    moving: tuple[HillsState, Array], terrain: Terrain, which: Int[Array, " b"]
) -> tuple[HillsState, Array, Array, Array]:
    state, action = moving
    body, touches = advanced(Body(*state[:4]), action, terrain, which)
    shaping = _shaping(body)
    after = HillsState(*body, jnp.stack([touches[2], touches[4]]), shaping, state.time + 1)
    effort = 0.00035 * TORQUE * jnp.clip(jnp.abs(action), 0, 1).sum(axis=0)
    x = origins(pivots(body))[0, 0]
    fallen = touches[0] | (x < 0)
    reward = jnp.where(fallen, -100.0, shaping - state.shaping - effort)
    return after, _observed(after, terrain, which), reward, fallen | (x > (CELLS - GRASS) * STEP)


def _shaping(body: Body) -> Array:
    return 130 * origins(pivots(body))[0, 0] / SCALE - 5 * jnp.abs(body.angle[0])


def _observed(state: HillsState, terrain: Terrain, which: Int[Array, " b"]) -> Float[Array, "24 b"]:
    """The hull, the joints and feet, and how far the ground is along each ray, as a share of the sight."""
    body = Body(*state[:4])
    at = pivots(body)
    origin = origins(at)[:, 0]
    # The hull's centre moves against the arms of the links.
    vx = body.velocity[0] + (at.arms[1] * body.spin).sum(axis=0)
    vy = body.velocity[1] - (at.arms[0] * body.spin).sum(axis=0)
    seen = [body.angle[0], 2 * DT * body.spin[0], 0.3 * 20 * DT * vx, 0.3 * 40 / 3 * DT * vy]
    bends = bent(body.angle)
    for k, (parent, child) in enumerate(JOINTS):
        seen += [bends[k] + k % 2, (body.spin[child] - body.spin[parent]) / SPEEDS[k]]
        seen += [state.touching[k // 2].astype(vx.dtype)] if k % 2 else []
    return jnp.concatenate([jnp.stack(seen), _ranges(origin, around(terrain, which, origin[0], AHEAD))])


def _ranges(origin: Float[Array, "2 b"], ground: Float[Array, "2 n b"]) -> Float[Array, "10 b"]:
    ray = SIGHT * jnp.array([np.sin(RAYS), -np.cos(RAYS)])[:, :, None, None]
    start, edge = (ground[:, :-1] - origin[:, None])[:, None], (ground[:, 1:] - ground[:, :-1])[:, None]
    across = ray[0] * edge[1] - ray[1] * edge[0]
    across = jnp.where(across == 0, 1e-9, across)
    along = (start[0] * edge[1] - start[1] * edge[0]) / across
    place = (start[0] * ray[1] - start[1] * ray[0]) / across
    hit = (along >= 0) & (place >= 0) & (place <= 1)
    return jnp.where(hit, jnp.minimum(along, 1.0), 1.0).min(axis=1)


def _batched(function, moving: PyTree, terrain: Terrain) -> PyTree:
    """`function` of one walker, whose batches are made at the end of the arrays, however `vmap`s are nested."""
    moving = jax.tree.map(lambda x: jnp.asarray(x)[..., None], moving)
    grounds = jax.tree.map(lambda x: x[None], terrain)
    found = _trailing(function)(moving, grounds, jnp.zeros(1, jnp.int32))
    return jax.tree.map(lambda x: x[..., 0], found)


def _trailing(function):
    """`function(moving, terrain, which)` with a rule for `vmap`: the new axis becomes part of the last one."""
    batched = jax.custom_batching.custom_vmap(function)

    @batched.def_vmap
    def rule(size: int, mapped: PyTree, moving: PyTree, terrain: Terrain, which: Array) -> tuple[PyTree, PyTree]:
        def folded(x: Array, is_mapped: bool) -> Array:
            x = jnp.moveaxis(x, 0, -2) if is_mapped else jnp.repeat(x[..., None, :], size, axis=-2)
            return x.reshape(*x.shape[:-2], -1)

        grounds = terrain.x.shape[-2]
        moving = jax.tree.map(folded, moving, mapped[0])
        which = folded(which, mapped[2])
        if any(jax.tree.leaves(mapped[1])):
            terrain = Terrain(
                *(x if m else jnp.repeat(x[None], size, 0) for x, m in zip(terrain, mapped[1], strict=True))
            )
            terrain = jax.tree.map(lambda x: x.reshape(-1, x.shape[-1]), terrain)
            which = which + grounds * jnp.repeat(jnp.arange(size), which.size // size)
        found = batched(moving, terrain, which)
        found = jax.tree.map(lambda x: jnp.moveaxis(x.reshape(*x.shape[:-1], size, -1), -2, 0), found)
        return found, jax.tree.map(lambda _: True, found)

    return batched
