"""Distributions over actions.  Every leaf may have leading batch axes, and then so has every result."""

from typing import Protocol, TypeVar, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from aiga.core.protocols import Key

LOG_TWO_PI = 1.8378770664093453
D = TypeVar("D")


@runtime_checkable
class Distribution(Protocol):
    """What a policy draws actions from."""

    def sample(self, key: Key) -> Array: ...

    def mode(self) -> Array: ...

    def log_prob(self, action: Array) -> Float[Array, "*b"]: ...

    def entropy(self) -> Float[Array, "*b"]: ...

    def kl(self: D, other: D) -> Float[Array, "*b"]:
        """The divergence of `other`, a distribution of the same kind, from this: KL(self || other), in nats."""
        ...


class Categorical(eqx.Module):
    """One of `k` actions."""

    logits: Float[Array, "*b k"]

    def sample(self, key: Key) -> Int[Array, "*b"]:
        return jax.random.categorical(key, self.logits)

    def mode(self) -> Int[Array, "*b"]:
        return jnp.argmax(self.logits, axis=-1)

    def log_prob(self, action: Int[Array, "*b"]) -> Float[Array, "*b"]:
        logs = jax.nn.log_softmax(self.logits)
        chosen = jax.nn.one_hot(action, logs.shape[-1], dtype=bool)  # on a CPU faster than a gather and its gradient
        return jnp.where(chosen, logs, 0).sum(axis=-1)

    def entropy(self) -> Float[Array, "*b"]:
        logs = jax.nn.log_softmax(self.logits)
        return -(jnp.exp(logs) * logs).sum(axis=-1)

    def kl(self, other: "Categorical") -> Float[Array, "*b"]:
        logs = jax.nn.log_softmax(self.logits)
        return (jnp.exp(logs) * (logs - jax.nn.log_softmax(other.logits))).sum(axis=-1)


class Gaussian(eqx.Module):
    """Real actions, each with its own mean and deviation."""

    mean: Float[Array, "*b a"]
    log_std: Float[Array, "*b a"]

    def sample(self, key: Key) -> Float[Array, "*b a"]:
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape)

    def mode(self) -> Float[Array, "*b a"]:
        return self.mean

    def log_prob(self, action: Float[Array, "*b a"]) -> Float[Array, "*b"]:
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return -(0.5 * z**2 + self.log_std + 0.5 * LOG_TWO_PI).sum(axis=-1)

    def entropy(self) -> Float[Array, "*b"]:
        return (self.log_std + 0.5 * (1 + LOG_TWO_PI)).sum(axis=-1)

    def kl(self, other: "Gaussian") -> Float[Array, "*b"]:
        ratio = jnp.exp(2 * (self.log_std - other.log_std))
        shift = ((self.mean - other.mean) * jnp.exp(-other.log_std)) ** 2
        return (0.5 * (ratio + shift - 1) + other.log_std - self.log_std).sum(axis=-1)
