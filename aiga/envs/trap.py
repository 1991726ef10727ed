"""A point that is to go far, and a trap in its way: the deceptive humanoid of two cores.

The task of Conti et al. (2018), https://arxiv.org/abs/1712.06560, and Colas et al. (2020),
https://arxiv.org/abs/2003.01825: three walls, open behind, catch who only walks forward.  The world is ours.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from aiga.core.protocols import Key, Transition

Walls = tuple[tuple[float, float, float, float], ...]
"""x1, y1, x2, y2 of each."""
TRAP: Walls = ((5.0, -5.0, 5.0, 5.0), (-1.0, 5.0, 5.0, 5.0), (-1.0, -5.0, 5.0, -5.0))


class TrapState(NamedTuple):
    """A moment of an episode."""

    position: Float[Array, "2"]
    time: Int[Array, ""]


class Trap(eqx.Module):
    """Move along x as far as possible; a step that would cross a wall is not made.

    An action is a direction: each of its two numbers, from -1 to 1, moves the point by as much times `speed`.  Observed
    are the place and the time.  The reward is the way made along x: the return is where the point ends.
    """

    horizon: int = eqx.field(static=True, default=60)
    speed: float = eqx.field(static=True, default=0.5)
    walls: Walls = eqx.field(static=True, default=TRAP)
    features: int = eqx.field(static=True, default=4)
    actions: int = eqx.field(static=True, default=2)

    def reset(self, key: Key, params: None = None) -> tuple[TrapState, Float[Array, " 4"]]:
        del key, params  # every episode begins alike
        state = TrapState(jnp.zeros(2), jnp.zeros((), jnp.int32))
        return state, self.observe(state)

    def step(self, key: Key, state: TrapState, action: Float[Array, " 2"], params: None = None) -> Transition:
        del key, params
        target = state.position + self.speed * jnp.clip(action, -1, 1)
        position = jnp.where(crosses(state.position, target, self.walls), state.position, target)
        now = TrapState(position, state.time + 1)
        ended = now.time >= self.horizon
        return Transition(now, self.observe(now), position[0] - state.position[0], jnp.zeros((), bool), ended)

    def observe(self, state: TrapState) -> Float[Array, " 4"]:
        """The place, in tens, the share of the time that has passed, and a one."""
        time = state.time / self.horizon
        return jnp.concatenate([state.position / 10, jnp.stack([time, jnp.ones_like(time)])])


def crosses(start: Float[Array, "2"], end: Float[Array, "2"], walls: Walls) -> Bool[Array, ""]:
    """Whether a straight step crosses a wall, or ends on one."""
    if not walls:
        return jnp.zeros((), bool)
    a, b = jnp.array(walls)[:, :2], jnp.array(walls)[:, 2:]
    apart = (_side(a, b, start) * _side(a, b, end) <= 0) & (_side(start, end, a) * _side(start, end, b) <= 0)
    return apart.any() & (start != end).any()


def _side(a: Float[Array, "*w 2"], b: Float[Array, "*w 2"], point: Float[Array, "*v 2"]) -> Float[Array, " w"]:
    x, y = jnp.moveaxis(b - a, -1, 0)
    dx, dy = jnp.moveaxis(point - a, -1, 0)
    return x * dy - y * dx
