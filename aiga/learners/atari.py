"""How Atari games are learnt from demonstrations: from the console's memory, or as in the papers from pictures."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from aiga.core.protocols import Key, Pool
from aiga.envs.atari import PlayableAtari
from aiga.envs.playable import seated
from aiga.envs.restorable import World
from aiga.learners.backward import Backward, Rule
from aiga.learners.ppo import PPO
from aiga.nn.mlp import MLP, mlp, nature_cnn, tanh
from aiga.nn.policy import Policy, make_policy


def school(
    game: str, observation: Literal["ram", "pixels"], sticky: float, life_loss_ends: bool, pool: Pool
) -> Backward:
    """The backward algorithm for a game with sticky actions; nothing is demonstrated yet.

    The settings for pictures follow the authors', but for 32 worlds instead of 256.
    """
    world, calm = (World(PlayableAtari, (game, observation, chance, life_loss_ends)) for chance in (sticky, 0.0))
    if observation == "ram":
        ppo = PPO(
            learning_rate=1e-3, trace=0.98, clip=0.2, epochs=4, minibatches=8, entropy=1e-4, imitation_weight=0.5
        )  # fmt: skip
        return Backward(
            world, calm, ppo, lambda key: memory_policy(key, seated(calm, 1)[0].actions), pool, Rule(goal=0.75)
        )
    ppo = PPO(learning_rate=1e-4, discount=0.999, epochs=4, entropy=1e-5)
    rule = Rule(spread=160, shift=1, overtime=5.6)
    return Backward(world, calm, ppo, lambda key: picture_policy(key, seated(calm, 1)[0].actions), pool, rule, 32, 128)


def memory_policy(key: Key, actions: int, features: int = 64, hidden: int = 64) -> Policy:
    """A policy of the 128 bytes of the console's memory."""
    encoder, heads = jax.random.split(key)
    seeing = Bits(mlp(encoder, (1024, features), last=tanh))
    return make_policy(heads, features, actions, encoder=seeing, hidden=(hidden,))


def picture_policy(key: Key, actions: int, memory: int = 512) -> Policy:
    """A policy of four pictures of 84 x 84, with `memory` units that remember."""
    encoder, heads = jax.random.split(key)
    return make_policy(heads, 512, actions, encoder=nature_cnn(encoder), hidden=(), memory=memory)


class Bits(eqx.Module):
    """A perceptron of the bits of bytes, as games keep flags and counters in them."""

    network: MLP

    def __call__(self, memory: UInt8[Array, " b"]) -> Float[Array, " f"]:
        bits = (memory[:, None] >> jnp.arange(8, dtype=jnp.uint8)) & 1
        return self.network(bits.ravel().astype(float))
