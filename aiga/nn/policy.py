"""A policy and its value function: an encoder, perhaps a memory, an actor and a critic."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from aiga.core.protocols import Key
from aiga.nn.distributions import Categorical, Distribution, Gaussian
from aiga.nn.mlp import MLP, mlp, tanh


class Output(NamedTuple):
    """What a policy makes of an observation."""

    distribution: Distribution
    value: Float[Array, "*b"]
    """Expected discounted return, in units of reward."""
    carry: PyTree
    """The memory afterwards; `()` without one."""


class Discrete(eqx.Module):
    """From features to one of `k` actions."""

    network: MLP

    def __call__(self, features: Array) -> Categorical:
        return Categorical(self.network(features))


class Continuous(eqx.Module):
    """From features to real actions, whose deviations do not depend on the features."""

    network: MLP
    log_std: Float[Array, " a"]

    def __call__(self, features: Array) -> Gaussian:
        return Gaussian(self.network(features), self.log_std)


class Scale(NamedTuple):
    """In which units the critic answers; a learner that normalises values sets it."""

    mean: Float[Array, ""]
    deviation: Float[Array, ""]


class Policy(eqx.Module):
    """What acts: `policy(observation, carry)` for one observation, `unroll` for rollouts of many."""

    encoder: Callable[[PyTree], Array]
    core: eqx.nn.GRUCell | None
    actor: Callable[[Array], Distribution]
    critic: Callable[[Array], Array]
    scale: Scale

    def initial(self) -> PyTree:
        """The memory at the beginning of an episode."""
        return jnp.zeros(self.core.hidden_size) if self.core else ()

    def __call__(self, observation: PyTree, carry: PyTree = ()) -> Output:
        features = self.encoder(observation)
        if self.core:
            features = carry = self.core(features, carry)
        return self.heads(features, carry)

    def unroll(self, observations: PyTree, starts: Bool[Array, "t b"], carry: PyTree) -> Output:
        """The outputs over `t` steps of `b` worlds; where an episode starts, the memory is emptied first.

        The encoder sees all observations at once; only the memory takes one step after the other.
        """

        def remember(carry: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
            features, start = step
            carry = jax.vmap(self.core)(features, emptied(carry, start))  # pyright: ignore[reportArgumentType]
            return carry, carry  # there is a core

        features = jax.vmap(jax.vmap(self.encoder))(observations)
        if self.core:
            carry, features = jax.lax.scan(remember, carry, (features, starts))
        return jax.vmap(jax.vmap(lambda f: self.heads(f, ())))(features)._replace(carry=carry)

    def heads(self, features: Array, carry: PyTree) -> Output:
        """Actions and value from the features."""
        mean, deviation = jax.lax.stop_gradient(self.scale)
        value = jnp.ravel(self.critic(features))[0]
        return Output(self.actor(features), value * deviation + mean, carry)


def emptied(carry: PyTree, start: Bool[Array, " b"]) -> PyTree:
    """The memories of `b` worlds, emptied where an episode starts; an empty memory is zero."""
    return jax.tree.map(lambda x: jnp.where(start.reshape(-1, *[1] * (x.ndim - 1)), 0, x), carry)


class Row(eqx.Module):
    """An encoder without weights: all numbers of an observation in a row."""

    def __call__(self, observation: PyTree) -> Float[Array, " f"]:
        return jnp.concatenate([jnp.ravel(leaf).astype(float) for leaf in jax.tree.leaves(observation)])


def make_policy(
    key: Key,
    features: int,
    actions: int,
    *,
    encoder: Callable[[PyTree], Array] | None = None,
    hidden: Sequence[int] = (64, 64),
    memory: int = 0,
    continuous: bool = False,
    activation: Callable[[Array], Array] = tanh,
) -> Policy:
    """A policy whose actor and critic are perceptrons of their own.

    Args:
        key: Where the weights come from.
        features: How many numbers `encoder` gives.
        actions: Number of actions, or of real numbers per action.
        encoder: A module from an observation to features; None: all its numbers.
        hidden: Layers of the actor and of the critic, `()`: each is linear.
        memory: Units of a recurrent layer between encoder and heads; 0: none.
        continuous: Actions are real numbers.
        activation: Between the layers.
    """
    core, actor, critic = jax.random.split(key, 3)
    width = memory or features
    action = mlp(actor, (width, *hidden, actions), activation, last_gain=0.01)
    return Policy(
        encoder or Row(),
        eqx.nn.GRUCell(features, memory, key=core) if memory else None,
        Continuous(action, jnp.zeros(actions)) if continuous else Discrete(action),
        mlp(critic, (width, *hidden, 1), activation, last_gain=1.0),
        Scale(jnp.zeros(()), jnp.ones(())),
    )
