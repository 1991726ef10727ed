"""Worlds that are small enough to compute by hand: recalling a cue, and walking a line."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp

from aiga.core.protocols import Transition
from aiga.learners.ppo import PPO, Training
from aiga.nn.policy import make_policy

ABOUT = {"papers": (), "pillar": "none", "needs": ()}


class Recall(eqx.Module):
    """A cue is shown once; `delay` steps later the action has to name it."""

    delay: int = 3

    def reset(self, key, params):
        del params
        cue = jax.random.bernoulli(key).astype(int)
        return (cue, jnp.zeros((), int)), self.observe(cue, jnp.zeros((), int))

    def step(self, key, state, action, params):
        del key, params
        cue, t = state
        over = t == self.delay
        reward = jnp.where(over & (action == cue), 1.0, 0.0)
        return Transition((cue, t + 1), self.observe(cue, t + 1), reward, over, jnp.array(False))

    def observe(self, cue, t):
        return jnp.array([jnp.where(t == 0, 2 * cue - 1, 0), t == self.delay], float)


class Line(eqx.Module):
    """Walk from `params` to zero; a step costs 1; the observation is the position; truncated after `limit` steps."""

    limit: int = 5

    def reset(self, key, params):
        del key
        return (params, jnp.zeros((), int)), params[None]

    def step(self, key, state, action, params):
        del key, params
        x, t = state
        x, t = x - action, t + 1
        return Transition((x, t), x[None], jnp.array(-1.0), x <= 0, t >= self.limit)


def make(memory: int = 4) -> Training:
    """Learn to recall.

    Args:
        memory: Units.
    """
    return Training(Recall(), None, PPO(), partial(make_policy, features=2, actions=2, memory=memory), 8, 16)
