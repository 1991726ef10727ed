"""CMA-ES: a Gaussian that follows the better half of its samples, and learns their shape.

Hansen (2016), "The CMA evolution strategy: a tutorial", https://arxiv.org/abs/1604.00772:

    repeat:
        x_i   ~ m + sigma N(0, C)
        m     <- weighted mean of the best of x
        sigma <- longer if steps in a row point the same way, shorter if they cancel
        C     <- some of C, some of the path of the mean, some of the spread of the best

All that it learns of the samples is their order, which `tell` is given: rank by fitness, novelty or what you like.
Everything is pure and of fixed shape, and runs under `vmap`, many at a time.

The root of C is its Cholesky factor, as in Krause, Arbones & Igel (2016), "CMA-ES with optimal covariance update and
storage complexity", and not the symmetric root, of which the tutorial computes the eigenvectors now and then: samples
are distributed the same, the path of sigma is turned, and at 100 numbers a factor costs a fifteenth of CPU time.
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from aiga.core.errors import UsageError
from aiga.core.protocols import Key

CONDITION = 1e7
"""The largest condition of C that single precision can tell from infinity; the tutorial has 1e14."""
SMALLEST = 1e-11
"""A standard deviation that is nothing."""


class Distribution(NamedTuple):
    """What a CMA-ES knows."""

    mean: Float[Array, " d"]
    sigma: Float[Array, ""]
    covariance: Float[Array, "d d"]
    factor: Float[Array, "d d"]
    """Its Cholesky factor, lower triangular."""
    step_path: Float[Array, " d"]
    """The tutorial's p_sigma."""
    shape_path: Float[Array, " d"]
    """The tutorial's p_c."""
    generation: Int[Array, ""]


class Rates(NamedTuple):
    """Weights and learning rates for some number of parents: the defaults of the tutorial's first version."""

    weights: Float[Array, " n"]
    """Of the ranks, best first: of the parents positive, falling, of sum 1; of the rest zero."""
    effective: Float[Array, ""]
    """The tutorial's mu_eff."""
    step: Float[Array, ""]
    """c_sigma"""
    damping: Float[Array, ""]
    """d_sigma"""
    path: Float[Array, ""]
    """c_c"""
    rank_one: Float[Array, ""]
    """c_1"""
    rank_many: Float[Array, ""]
    """c_mu"""


class CMAES(eqx.Module):
    """CMA-ES over vectors of `dimensions` numbers, `population` at a time, from a standard deviation `sigma`.

    Differences from the tutorial: the root of C, as above; the worse half has no (negative) weights; sigma grows by at
    most the factor e in a generation; what ends a search is what single precision can tell.
    """

    dimensions: int = eqx.field(static=True)
    population: int = eqx.field(static=True)
    sigma: float = 0.5

    def __check_init__(self) -> None:
        if self.dimensions < 1 or self.population < 2:
            given = f"{self.dimensions} dimensions and a population of {self.population}"
            raise UsageError(f"CMA-ES of {given} has nothing to rank; give at least 1 and 2.")
        if not self.sigma > 0:
            raise UsageError(f"`sigma` is {self.sigma}; give a standard deviation above zero.")

    def begin(self, mean: Float[Array, " d"]) -> Distribution:
        """A ball around `mean`."""
        d = self.dimensions
        zero, unit = jnp.zeros(d), jnp.eye(d)
        sigma = jnp.asarray(self.sigma, jnp.float32)
        return Distribution(mean.astype(jnp.float32), sigma, unit, unit, zero, zero, jnp.array(0, jnp.int32))

    def ask(self, key: Key, state: Distribution) -> Float[Array, "n d"]:
        """Samples."""
        noise = jax.random.normal(key, (self.population, self.dimensions))
        return state.mean + state.sigma * noise @ state.factor.T

    def tell(
        self, state: Distribution, samples: Float[Array, "n d"], order: Int[Array, " n"], parents: Int[Array, ""]
    ) -> Distribution:
        """The distribution after a look at its samples; unchanged if there are no parents.

        Args:
            state: The distribution.
            samples: What was asked of it.
            order: Their indices, best first.
            parents: How many of the best it moves to: by default half of them, of those that did not fail.
        """
        rates, d = self.rates(parents), self.dimensions
        steps = (samples[order] - state.mean) / state.sigma
        step = rates.weights @ steps
        whitened = jax.scipy.linalg.solve_triangular(state.factor, step, lower=True)
        step_path = _follow(state.step_path, whitened, rates.step, rates.effective)
        expected = math.sqrt(d) * (1 - 1 / (4 * d) + 1 / (21 * d**2))  # the length of a standard normal vector
        length = jnp.linalg.norm(step_path)
        young = jnp.sqrt(1 - (1 - rates.step) ** (2 * (state.generation + 1)))
        steady = length / young < (1.4 + 2 / (d + 1)) * expected  # else sigma is far too small: C should not grow
        still = (1 - rates.path) * state.shape_path
        shape_path = jnp.where(steady, _follow(state.shape_path, step, rates.path, rates.effective), still)
        lost = jnp.where(steady, 0, rates.rank_one * rates.path * (2 - rates.path))
        covariance = (
            (1 - rates.rank_one - rates.rank_many + lost) * state.covariance
            + rates.rank_one * jnp.outer(shape_path, shape_path)
            + rates.rank_many * (steps.T * rates.weights) @ steps
        )
        told = Distribution(
            mean=state.mean + state.sigma * step,
            sigma=state.sigma * jnp.exp(jnp.minimum(1, rates.step / rates.damping * (length / expected - 1))),
            covariance=covariance,
            factor=jnp.linalg.cholesky(covariance),  # NaN if it is singular
            step_path=step_path,
            shape_path=shape_path,
            generation=state.generation + 1,
        )
        return jax.tree.map(lambda new, old: jnp.where(parents > 0, new, old), told, state)

    def converged(self, state: Distribution) -> Bool[Array, ""]:
        """Whether to begin again: C is singular, or a step changes nothing (appendix B.3, in single precision)."""
        root = jnp.diag(state.factor)  # the square of the ratio of two of them is at most the condition of C
        singular = ~(root.max() ** 2 < CONDITION * root.min() ** 2)
        deviation = state.sigma * jnp.sqrt(jnp.diag(state.covariance))
        nothing = (state.mean + 0.2 * deviation == state.mean).any() | (deviation.max() < SMALLEST)
        return singular | nothing | ~jnp.isfinite(state.sigma)

    def rates(self, parents: Int[Array, ""]) -> Rates:
        """Weights and learning rates for a number of parents: the tutorial's Table 1."""
        d, mu = self.dimensions, jnp.maximum(parents, 1)
        rank = jnp.arange(1, self.population + 1)
        weights = jnp.where(rank <= mu, jnp.log(mu + 0.5) - jnp.log(rank), 0)
        weights = weights / weights.sum()
        effective = 1 / (weights**2).sum()
        step = (effective + 2) / (d + effective + 5)
        rank_one = 2 / ((d + 1.3) ** 2 + effective)
        rank_many = 2 * (effective - 2 + 1 / effective) / ((d + 2) ** 2 + effective)
        return Rates(
            weights=weights,
            effective=effective,
            step=step,
            damping=1 + 2 * jnp.maximum(0, jnp.sqrt((effective - 1) / (d + 1)) - 1) + step,
            path=(4 + effective / d) / (d + 4 + 2 * effective / d),
            rank_one=rank_one,
            rank_many=jnp.minimum(1 - rank_one, rank_many),
        )


def _follow(
    path: Float[Array, " d"], step: Float[Array, " d"], rate: Float[Array, ""], effective: Float[Array, ""]
) -> Float[Array, " d"]:
    """The path, a step longer and the older steps fainter, of unchanged length if steps are random."""
    return (1 - rate) * path + jnp.sqrt(rate * (2 - rate) * effective) * step
