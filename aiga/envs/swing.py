"""A pendulum that hangs below a weak motor: a world without a reward, to design one for.

The pendulum is gymnax's `Pendulum-v1`, which begins nearly at rest below its pivot here.  The motor cannot lift it: it
must swing up.  The true measure of a policy is how many steps meet the objective.  As a reward, that tells a learner
little, for hardly any first policy ever meets it.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from aiga.core.protocols import Key, Transition
from aiga.envs.gymnax import Gymnax

HORIZON, TICK = 200, 0.05
"""Steps of an episode, and the seconds of one."""
SLOW = 1.0
"""Radians a second below which the pendulum rests."""
OBSERVABLES: Mapping[str, str] = {
    "angle": "from -pi to pi in radians; 0: upright, positive: fallen to the left",
    "height": "of the end, the cosine of the angle: 1 upright, 0 level, -1 hanging",
    "side": "of the end, the sine of the angle: 1 level to the left, -1 level to the right",
    "speed": "of the angle, from -8 to 8 radians a second",
    "torque": "of the motor in the step, in newton metres, from minus its most to its most",
    "time": "since the episode began, in seconds, from 0 to 10",
}
"""What is known of a step after it was taken."""

Observed = Mapping[str, Float[Array, "*n"]]


class Objective(NamedTuple):
    """What is wanted of the pendulum."""

    text: str
    met: Callable[[Observed], Array]
    """Whether a step meets it."""


def _stands(seen: Observed) -> Array:
    return (seen["height"] > 0.9) & (jnp.abs(seen["speed"]) < SLOW)


def _leans(seen: Observed) -> Array:
    return (seen["angle"] > 0.2) & (seen["angle"] < 0.4) & (jnp.abs(seen["speed"]) < SLOW)


OBJECTIVES: Mapping[str, Objective] = {
    "stand": Objective("stand upright: height above 0.9 and speed between -1 and 1", _stands),
    "lean": Objective("lean to the left: angle between 0.2 and 0.4 and speed between -1 and 1", _leans),
}


class Wanted(NamedTuple):
    """A task."""

    objective: str
    """A name of `OBJECTIVES`."""
    torque: float
    """The most that the motor gives, in newton metres.  A weight of 1 kg and a rod of 1 m in gravity of 10 m/s2 need 5
    to be held level."""


class Learned(NamedTuple):
    """What policies do that were trained with a reward."""

    shares: tuple[float, ...] = ()
    """Of each policy, how much of the time meets the objective."""
    means: Mapping[str, float] = {}
    """Of the magnitudes of what is observed."""
    trouble: str = ""
    """Why nothing was learned, in a sentence; empty: training came to its end."""


class Swing(eqx.Module):
    """The world.  An action, from -1 to 1, is a share of the most torque; `params` are gymnax's."""

    world: Gymnax
    features: int = eqx.field(static=True, default=3)
    actions: int = eqx.field(static=True, default=1)

    def __init__(self) -> None:
        self.world = Gymnax("Pendulum-v1")

    def params(self, torque: float) -> Any:
        """Those of a motor; one type whatever the number, so that nothing is compiled twice."""
        return jax.tree.map(jnp.asarray, self.world.params.replace(max_torque=jnp.float32(torque)))

    def reset(self, key: Key, params: Any) -> tuple[Any, Float[Array, " 3"]]:
        """Hanging, but for a third of a radian, and nearly at rest."""
        state, _ = self.world.reset(key, params)
        state = state.replace(theta=jnp.pi + 0.1 * state.theta, theta_dot=0.1 * state.theta_dot)
        return state, observe(state)

    def step(self, key: Key, state: Any, action: Float[Array, " 1"], params: Any) -> Transition:
        """The reward is 0: it is given from outside, by what is `seen`."""
        after = self.world.step(key, state, params.max_torque * jnp.clip(action, -1, 1), params)
        return after._replace(observation=observe(after.state), reward=jnp.zeros(()))


def observe(state: Any) -> Float[Array, " 3"]:
    """What a policy sees: where the end is, and the speed."""
    return jnp.stack([jnp.cos(state.theta), jnp.sin(state.theta), state.theta_dot / 8])


def seen(after: Transition) -> Observed:
    """What is observable of a step."""
    state = after.state
    return {
        "angle": (state.theta + jnp.pi) % (2 * jnp.pi) - jnp.pi,
        "height": jnp.cos(state.theta),
        "side": jnp.sin(state.theta),
        "speed": state.theta_dot,
        "torque": state.last_u,
        "time": TICK * state.time.astype(float),
    }
