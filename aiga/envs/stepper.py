"""A stepper on a plane: two feet that grip the ground, or do not, and push the body.

Nothing moves the body but a foot that grips while it is drawn through.  A foot reaches only so far, so to get anywhere
it has to be lifted, brought back and set down again: a gait, as in worlds of legged robots, for a few multiplications
a step.  Where it ends is the behaviour.  The world's genome is the direction in which progress is a reward.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from aiga.core.protocols import Key, Transition

FEET = 2
STRIDE = 0.5
"""How far a foot moves in a step, at most; it reaches 1 from where it is attached, along either axis."""
DRAG = 0.25
"""What holds the body back, in units of a foot's full grip."""


class Stepping(NamedTuple):
    """A moment."""

    position: Float[Array, "2"]
    feet: Float[Array, "feet 2"]
    """Where the feet are, seen from the body."""
    time: Int[Array, ""]


class Stepper(eqx.Module):
    """Actions are numbers from -1 to 1: for each foot, its motion along both axes, and its grip.

    An observation is where the feet are, and the sine and cosine of a clock.
    """

    horizon: int = eqx.field(static=True, default=64)
    """Steps of an episode."""
    period: float = eqx.field(static=True, default=8.0)
    """Steps of a turn of the clock."""
    features: int = eqx.field(static=True, default=2 * FEET + 2, init=False)
    actions: int = eqx.field(static=True, default=3 * FEET, init=False)

    def reset(self, key: Key, params: Float[Array, "2"]) -> tuple[Stepping, Float[Array, " o"]]:
        del key, params
        state = Stepping(jnp.zeros(2), jnp.zeros((FEET, 2)), jnp.zeros((), int))
        return state, self.observe(state)

    def step(self, key: Key, state: Stepping, action: Float[Array, " a"], params: Float[Array, "2"]) -> Transition:
        del key
        action = jnp.clip(action, -1, 1).reshape(FEET, 3)
        feet = jnp.clip(state.feet + STRIDE * action[:, :2], -1, 1)
        grip = (1 + action[:, 2]) / 2
        moved = -(grip @ (feet - state.feet)) / (grip.sum() + DRAG)
        state = Stepping(state.position + moved, feet, state.time + 1)
        return Transition(state, self.observe(state), moved @ params, jnp.array(False), state.time >= self.horizon)

    def observe(self, state: Stepping) -> Float[Array, " o"]:
        phase = 2 * jnp.pi * state.time / self.period
        return jnp.concatenate([state.feet.ravel(), jnp.stack([jnp.sin(phase), jnp.cos(phase)])])
