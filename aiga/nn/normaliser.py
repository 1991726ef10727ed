"""Observations brought to about zero mean and unit deviation, by what has been seen so far."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

FLOOR = 1e-2
"""Of the variance: numbers that hardly change are not blown up."""


class Normaliser(NamedTuple):
    """Mean and summed squared deviation of the observations seen; Chan, Golub & LeVeque (1979) merge two of them.

    As in Salimans et al. (2017), https://arxiv.org/abs/1703.03864, section 2.1, but for the merging.  All is in single
    precision: of one batch, a deviation below about a thousandth of the mean is lost in rounding.
    """

    seen: Float[Array, ""]
    mean: Float[Array, "*o"]
    deviation: Float[Array, "*o"]

    @staticmethod
    def none(shape: tuple[int, ...]) -> "Normaliser":
        """Nothing seen: observations stay as they are."""
        return Normaliser(jnp.zeros(()), jnp.zeros(shape), jnp.zeros(shape))

    @property
    def numbers(self) -> Float[Array, " n"]:
        """All of it in a row."""
        return jnp.concatenate([self.seen[None], self.mean.ravel(), self.deviation.ravel()])

    def of_numbers(self, numbers: Float[Array, " n"]) -> "Normaliser":
        """The one of this shape with these `numbers`."""
        mean, deviation = jnp.asarray(numbers)[1:].reshape(2, *self.mean.shape)
        return Normaliser(jnp.asarray(numbers[0]), mean, deviation)

    def after(self, count: Float[Array, ""], total: Float[Array, "*o"], square: Float[Array, "*o"]) -> "Normaliser":
        """After `count` more observations of this sum and this sum of squares."""
        both = jnp.maximum(self.seen + count, 1)
        mean = total / jnp.maximum(count, 1)
        own = jnp.maximum(square - count * mean**2, 0)
        apart = (mean - self.mean) ** 2 * self.seen * count / both
        return Normaliser(
            self.seen + count,
            self.mean + (mean - self.mean) * count / both,
            self.deviation + own + apart,
        )

    def apply(self, x: Float[Array, "*b o"], clip: float = 5.0) -> Float[Array, "*b o"]:
        """The observation in deviations from the mean, no farther out than `clip`."""
        variance = jnp.where(self.seen > 1, self.deviation / jnp.maximum(self.seen, 1), 1.0)
        return jnp.clip((x - self.mean) / jnp.sqrt(jnp.maximum(variance, FLOOR)), -clip, clip)
