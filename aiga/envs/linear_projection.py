"""Linear projection: a benchmark whose descriptors are easy to compute and hard to spread.

Fontaine et al. (2020), "Covariance matrix adaptation for the rapid illumination of behavior space",
https://arxiv.org/abs/1912.02400, section 5; with the settings of Fontaine & Nikolaidis (2023), "Covariance matrix
adaptation MAP-Annealing", https://arxiv.org/abs/2205.10752.  A sum of many numbers is close to its mean, so random
genomes crowd into the centre of the descriptor space.
"""

import math
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from aiga.core.protocols import Evaluation, Key

LIMIT = 5.12
OPTIMUM = 0.4 * LIMIT
SINE = [(-1) ** k / math.factorial(2 * k + 1) for k in reversed(range(6))]
"""Exact to 6e-8 up to a right angle."""


class LinearProjection(eqx.Module):
    """Score real vectors by a classic function, and describe them by the sums of their two halves.

    Fitness is scaled so that the optimum (every number 2.048) has 100 and a vector of -5.12 has 0; vectors outside
    the box may score below 0.  The descriptor lies within `low` and `high`.
    """

    function: Literal["sphere", "rastrigin"] = eqx.field(static=True, default="sphere")
    dimensions: int = eqx.field(static=True, default=100)
    offset: float = eqx.field(static=True, default=0.0)
    """The fitness that counts as nothing in a QD score."""

    @property
    def start(self) -> Float[Array, " g"]:
        """The genome that search starts from."""
        return jnp.zeros(self.dimensions)

    @property
    def high(self) -> tuple[float, ...]:
        """The largest descriptor."""
        return (self.dimensions / 2 * LIMIT,) * 2

    @property
    def low(self) -> tuple[float, ...]:
        """The smallest descriptor."""
        return tuple(-x for x in self.high)

    def __call__(self, key: Key, genomes: Float[Array, "n g"]) -> Evaluation:
        del key
        worst = self.cost(jnp.full(self.dimensions, -LIMIT))
        fitness = 100 * (1 - self.cost(genomes) / worst)
        # The numbers outside the box count the less the farther out they are.
        clipped = jnp.where(jnp.abs(genomes) > LIMIT, LIMIT / genomes, genomes)
        half = self.dimensions // 2
        return Evaluation(fitness, jnp.stack([clipped[:, :half].sum(1), clipped[:, half:].sum(1)], axis=1))

    def cost(self, x: Float[Array, "*n g"]) -> Float[Array, "*n"]:
        """The function to be minimised; 0 at the optimum."""
        square = (x - OPTIMUM) ** 2
        if self.function == "sphere":
            return square.sum(-1)
        return (square + 10 * _ripple(x - OPTIMUM)).sum(-1)


def _ripple(x: Float[Array, "*n g"]) -> Float[Array, "*n g"]:
    """1 - cos(2 pi x), by the series of the sine: `jnp.cos` is most of what Rastrigin's function costs on a CPU."""
    angle = jnp.pi * (x - jnp.round(x))
    sine = angle * jnp.polyval(jnp.array(SINE), angle**2)
    return 2 * sine**2
