"""A four-legged crawler that can be damaged: the ant of two cores.

Kinematics alone: feet that touch the floor do not slip more than they must, and what they do to the body follows.
Legs, joints, damage and behaviour are those of the ant of Colas et al. (2020), https://arxiv.org/abs/2003.01825; the
world is ours.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from aiga.core.errors import UsageError
from aiga.core.protocols import Key, Transition

LEGS = 4
JOINTS = 2 * LEGS
HIPS = ((1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0))
"""Front left, back left, back right, front right; the body looks along x."""
ANGLES = (0.25 * jnp.pi, 0.75 * jnp.pi, -0.75 * jnp.pi, -0.25 * jnp.pi)
"""Where the legs point at rest."""


class CrawlerState(NamedTuple):
    """A moment of an episode."""

    position: Float[Array, "2"]
    heading: Float[Array, ""]
    swing: Float[Array, " 4"]
    """How far each leg is turned about its hip, as a share of the reach."""
    lift: Float[Array, " 4"]
    """How high each foot is, from -1 to 1: above zero it is in the air."""
    time: Int[Array, ""]


class Crawler(eqx.Module):
    """Crawl along x as far as possible.

    An action is how fast to move the eight joints, four swings and four lifts, each from -1 to 1.  `params` are their
    strengths: 1 sound, 0.01 damaged.  Observed are a clock of the given period and the joints.  The reward is the way
    made along x.
    """

    horizon: int = eqx.field(static=True, default=80)
    period: float = eqx.field(static=True, default=16.0)
    """Steps of the clock's round."""
    pace: float = eqx.field(static=True, default=0.4)
    """How far a joint gets in a step, of its range from -1 to 1."""
    reach: float = eqx.field(static=True, default=0.7)
    """Radians of a whole swing to one side."""
    belly: float = eqx.field(static=True, default=0.3)
    """Friction of the body, in feet."""
    features: int = eqx.field(static=True, default=2 + JOINTS)
    actions: int = eqx.field(static=True, default=JOINTS)

    @property
    def params(self) -> Float[Array, " 8"]:
        """The sound body."""
        return jnp.ones(JOINTS)

    def damaged(self, *joints: int, strength: float = 0.01) -> Float[Array, " 8"]:
        """The body of which these joints have lost their strength: swings are 0 to 3, lifts 4 to 7."""
        wrong = [joint for joint in joints if not 0 <= joint < JOINTS]
        if wrong:
            raise UsageError(f"there is no joint {wrong[0]}: give numbers from 0 to {JOINTS - 1}.")
        return self.params.at[jnp.array(joints, int)].set(strength)

    def reset(self, key: Key, params: Float[Array, " 8"]) -> tuple[CrawlerState, Float[Array, " 10"]]:
        del key, params  # every episode begins alike
        zero = jnp.zeros(())
        state = CrawlerState(jnp.zeros(2), zero, jnp.zeros(LEGS), jnp.full(LEGS, -0.2), jnp.zeros((), jnp.int32))
        return state, self.observe(state)

    def step(self, key: Key, state: CrawlerState, action: Float[Array, " 8"], params: Float[Array, " 8"]) -> Transition:
        del key
        speed = self.pace * jnp.clip(action, -1, 1) * params
        swing, lift = (
            jnp.clip(now + change, -1, 1) for now, change in ((state.swing, speed[:LEGS]), (state.lift, speed[LEGS:]))
        )
        before, after = self.feet(state.swing), self.feet(swing)
        shift, turn = moved(before, after - before, (lift < 0).astype(float), self.belly)
        cos, sin = jnp.cos(state.heading), jnp.sin(state.heading)
        position = state.position + jnp.stack([cos * shift[0] - sin * shift[1], sin * shift[0] + cos * shift[1]])
        now = CrawlerState(position, state.heading + turn, swing, lift, state.time + 1)
        ended = now.time >= self.horizon
        return Transition(now, self.observe(now), position[0] - state.position[0], jnp.zeros((), bool), ended)

    def observe(self, state: CrawlerState) -> Float[Array, " 10"]:
        """The clock's hand and the joints."""
        angle = 2 * jnp.pi * state.time / self.period
        return jnp.concatenate([jnp.stack([jnp.sin(angle), jnp.cos(angle)]), state.swing, state.lift])

    def touching(self, state: CrawlerState) -> Float[Array, " 4"]:
        """Which feet touch the floor, 1 or 0."""
        return (state.lift < 0).astype(float)

    def feet(self, swing: Float[Array, " 4"]) -> Float[Array, "4 2"]:
        """Where they are, seen from the body."""
        angle = jnp.array(ANGLES) + self.reach * swing
        return jnp.array(HIPS) + jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)


def moved(
    feet: Float[Array, "l 2"], pushed: Float[Array, "l 2"], touching: Float[Array, " l"], belly: float
) -> tuple[Float[Array, "2"], Float[Array, ""]]:
    """How a body shifts and turns when feet that touch the floor are pushed: the motion of least slip.

    The least sum of squares of how far the touching feet, and the belly as `belly` feet at its middle, slip.
    """
    weight = touching.sum() + belly
    centre = (touching @ feet) / weight
    push = (touching @ pushed) / weight
    arm = feet - centre
    around = (touching * (arm[:, 0] * pushed[:, 1] - arm[:, 1] * pushed[:, 0])).sum()
    # The belly stands at the origin: its arm is minus the centre, and it is pushed nowhere.
    turn = -around / ((touching * (arm**2).sum(axis=1)).sum() + belly * (centre**2).sum() + belly)
    return -push + turn * jnp.stack([centre[1], -centre[0]]), turn
