"""Advantage actor-critic through whole lives: what changes a network within a life is learned from reward.

As in Miconi et al. (2019), https://arxiv.org/abs/2002.10585, after Mnih et al. (2016), https://arxiv.org/abs/1602.01783:

    live in many worlds at once; connections change as their rules say
    returns   <- discounted rewards to the end of the life
    advantage <- each world's return less the value that its own network expected
    loss      <- - log probability of the action * advantage + value error + price of certainty, at every step
    its gradient goes through all steps of the life

The code released with the paper takes the value of the first world of the batch as the baseline of all of them.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from aiga.core.protocols import Info, Key
from aiga.learners.meta_gradient import Unroll
from aiga.nn.plastic import Per, PlasticCell, Remembered, Rule, plastic_cell


class Agent(eqx.Module):
    """A recurrent layer, and linear outputs: odds of actions, and the return that is expected."""

    cell: PlasticCell
    actor: eqx.nn.Linear
    critic: eqx.nn.Linear

    def initial(self) -> Remembered:
        """The memory at the beginning of a life."""
        return self.cell.initial()

    def __call__(
        self, x: Float[Array, " i"], memory: Remembered
    ) -> tuple[Float[Array, " a"], Float[Array, ""], Remembered]:
        """Log-probabilities of the actions, the value, and the memory afterwards."""
        memory = self.cell(x, memory)
        return jax.nn.log_softmax(self.actor(memory.hidden)), self.critic(memory.hidden)[0], memory


class Lives(NamedTuple):
    """What happened in `b` lives of `t` steps."""

    log_prob: Float[Array, "t b"]
    """Of the action that was taken."""
    value: Float[Array, "t b"]
    """The return that was expected before it."""
    certainty: Float[Array, "t b"]
    """Sum of the squared probabilities of all actions."""
    reward: Float[Array, "t b"]


class Lifetime(eqx.Module):
    """Live, and learn how to learn within a life: the networks and the loss."""

    env: Any
    """With `features`, `actions` and `length`; all lives are equally long."""
    batch: int = eqx.field(static=True, default=30)
    """Lives at once."""
    discount: float = eqx.field(static=True, default=0.9)
    value_weight: float = eqx.field(static=True, default=0.1)
    certainty_weight: float = eqx.field(static=True, default=0.1)
    scale: float = eqx.field(static=True, default=0.01)
    """Standard deviation of the first recurrent weights, and of the weights of the traces."""
    rate: float = eqx.field(static=True, default=0.01)
    """Of the traces, to begin with, where no signal is the rate."""
    unroll: Unroll = Unroll()
    source: str = eqx.field(static=True, default="simulated")

    def build(self, key: Key, units: int, rule: Rule, alpha: Per) -> Agent:
        """An agent of `units` recurrent units."""
        cell, actor, critic = jax.random.split(key, 3)
        made = plastic_cell(cell, self.env.features, units, rule, alpha=alpha, fan="neuron", scale=self.scale)
        eta = jnp.full_like(made.recurrent.eta, self.rate)
        return Agent(
            eqx.tree_at(lambda cell: cell.recurrent.eta, made, eta),
            eqx.nn.Linear(units, self.env.actions, key=actor),
            eqx.nn.Linear(units, 1, key=critic),
        )

    def begin(self, network: Agent) -> tuple[()]:
        """What is carried from one update to the next: nothing."""
        del network
        return ()

    def loss(self, key: Key, network: Agent, memory: tuple[()]) -> tuple[Float[Array, ""], tuple[tuple[()], Info]]:
        """Of lives just lived, and how they went."""
        lives = self.live(key, network)
        total = actor_critic(lives, self.discount, self.value_weight, self.certainty_weight)
        late = lives.reward[lives.reward.shape[0] // 2 :]
        info = {
            "life/reward": lives.reward.sum(axis=0).mean(),
            "life/late": late.sum(axis=0).mean(),
            "life/certainty": lives.certainty.mean(),
        }
        return total, (memory, info)

    def examine(self, key: Key, network: Agent) -> Info:
        """Nothing more: every life is new."""
        del key, network
        return {}

    def live(self, key: Key, network: Agent) -> Lives:
        """A batch of lives, which can be differentiated."""
        fresh, go = jax.random.split(key)
        state, seen = jax.vmap(self.env.reset, (0, None))(jax.random.split(fresh, self.batch), ())
        memory = jax.tree.map(lambda x: jnp.broadcast_to(x, (self.batch, *x.shape)), network.initial())

        def step(now: tuple[Any, Array, Remembered], key: Key) -> tuple[Any, Lives]:
            state, seen, memory = now
            act, move = jax.random.split(key)
            log, value, memory = jax.vmap(network)(seen, memory)
            action = jax.random.categorical(act, log)
            after = jax.vmap(self.env.step, (0, 0, 0, None))(jax.random.split(move, self.batch), state, action, ())
            chosen = jnp.take_along_axis(log, action[:, None], axis=1)[:, 0]
            certainty = jnp.exp(2 * log).sum(axis=1)
            return (after.state, after.observation, memory), Lives(chosen, value, certainty, after.reward)

        return self.unroll(step, (state, seen, memory), jax.random.split(go, self.env.length))[1]


def actor_critic(lives: Lives, discount: float, value_weight: float, certainty_weight: float) -> Float[Array, ""]:
    """The loss of Mnih et al. (2016), mean over steps and lives; certainty is priced where they reward entropy."""
    gain = returns(lives.reward, discount) - lives.value  # of every life its own value
    policy = -lives.log_prob * jax.lax.stop_gradient(gain)
    return (policy + value_weight * gain**2 + certainty_weight * lives.certainty).mean()


def returns(reward: Float[Array, "t b"], discount: float) -> Float[Array, "t b"]:
    """The discounted rewards from every step to the end of the life."""

    def back(later: Array, now: Array) -> tuple[Array, Array]:
        return (total := now + discount * later), total

    return jax.lax.scan(back, jnp.zeros_like(reward[0]), reward, reverse=True)[1]
