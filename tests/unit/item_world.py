"""A world for tests: action `i` obtains item `i`, episodes end after `horizon` steps."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from aiga.core.protocols import Transition


class Shelf(NamedTuple):
    obtained: Bool[Array, " items"]
    t: Int[Array, ""]


class ItemShelf(eqx.Module):
    items: tuple[str, ...] = eqx.field(static=True, default=("cup", "plate", "bowl"))
    horizon: int = eqx.field(static=True, default=1000)
    features: int = eqx.field(static=True, default=1)
    actions: int = eqx.field(static=True, default=4)
    """The last obtains nothing."""

    def reset(self, key, params):
        return Shelf(jnp.zeros(len(self.items), bool), jnp.zeros((), int)), jnp.ones(1)

    def step(self, key, state, action, params):
        after = Shelf(jax.nn.one_hot(action, len(self.items), dtype=bool), state.t + 1)
        return Transition(after, jnp.ones(1), jnp.zeros(()), jnp.zeros((), bool), after.t >= self.horizon)

    def obtained(self, state):
        return state.obtained
