"""Environments of gymnax as worlds of pure functions: CartPole, MinAtar's games, memory tasks and others.

The environments are those of Lange (2022), https://github.com/RobertTLange/gymnax (Apache-2.0, the optional extra
`gymnax`), version 1.0.1 or later: older ones count a time limit as the end of the world.
"""

from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from aiga.core.errors import UsageError, require
from aiga.core.protocols import Key, Transition


class Gymnax(eqx.Module):
    """An environment by its gymnax name, such as `CartPole-v1` or `Breakout-MinAtar`; `options` are its constructor's.

    It does not reset itself.  `truncated` is the time limit alone: a world that ends just then is terminated.
    """

    env: Any = eqx.field(static=True)

    def __init__(self, name: str, **options: Any) -> None:
        self.env = made(name, tuple(options.items()))

    @property
    def params(self) -> Any:
        """What gymnax calls the default parameters; `params.replace(...)` gives others."""
        return self.env.default_params

    @property
    def actions(self) -> int:
        """Number of discrete actions, or of real numbers per action."""
        return self.env.num_actions

    @property
    def shape(self) -> tuple[int, ...]:
        """The observation's."""
        return self.env.observation_space(self.params).shape

    def reset(self, key: Key, params: PyTree) -> tuple[PyTree, Array]:
        observation, state = self.env.reset_env(key, params)
        return jax.tree.map(strong, state), observation

    def step(self, key: Key, state: PyTree, action: PyTree, params: PyTree) -> Transition:
        observation, after, reward, terminated, _ = self.env.step_env(key, state, action, params)
        after = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), after, state)
        terminated = jnp.asarray(terminated, bool)
        truncated = self.env.is_truncated(after, params) & ~terminated
        return Transition(after, observation, jnp.asarray(reward, jnp.float32), terminated, truncated)


def strong(x: Any) -> Array:
    """An array whose type does not bend to its partners', unlike a Python number's."""
    return jnp.array(x, jnp.result_type(x))


@lru_cache
def made(name: str, options: tuple[tuple[str, Any], ...]) -> Any:
    """The environment: one object per name and options, so that what was compiled for it serves again."""
    gymnax = require("gymnax", "gymnax")
    if name not in gymnax.registered_envs:
        raise UsageError(f"gymnax has no environment `{name}`; it has {', '.join(gymnax.registered_envs)}.")
    return gymnax.make(name, **dict(options))[0]
