"""Find, in a map of elites made beforehand, the one that works now: a few trials guided by a Gaussian process.

The map-based Bayesian optimisation of Cully et al. (2015), "Robots that can adapt like animals",
https://arxiv.org/abs/1407.3501, as Colas et al. (2020), https://arxiv.org/abs/2003.01825, use it:

    mean(x)  <- the fitness of elite x in the map                                     # before any trial
    repeat:
        try x = argmax mean(x) + kappa deviation(x)
        mean, deviation <- posterior given all trials, with a Matern 5/2 kernel over behaviours
    return argmax mean(x)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from aiga.core.protocols import Key


class Posterior(NamedTuple):
    """What is believed of `m` elites."""

    mean: Float[Array, " m"]
    variance: Float[Array, " m"]


class Searched(NamedTuple):
    """How a search went."""

    tried: Int[Array, " t"]
    """Rows of the map."""
    observed: Float[Array, " t"]
    """In the units of the prior."""
    chosen: Int[Array, ""]
    posterior: Posterior


def map_search(
    key: Key,
    descriptor: Float[Array, "m d"],
    prior: Float[Array, " m"],
    occupied: Bool[Array, " m"],
    trial: Callable[[Key, Int[Array, ""]], Float[Array, ""]],
    *,
    trials: int = 20,
    kappa: float = 0.05,
    length: float = 0.4,
    noise: float = 0.001,
) -> Searched:
    """Search a map in `trials` trials; runs in jit and under vmap.

    Args:
        key: For the trials.
        descriptor: Behaviours of the elites, scaled as the kernel should see them.
        prior: What to expect of each elite.
        occupied: Which rows have an elite; one has to.
        trial: What an elite achieves now, in the units of `prior`; NaN counts as the worst that the prior knows.
        trials: How many.
        kappa: Deviations added to the mean in the choice of the next.
        length: Of the kernel, in units of `descriptor`; 0.4 in Cully et al.
        noise: Variance of an observation; 0.001 in Cully et al.
    """
    worst = jnp.where(occupied, prior, jnp.inf).min()

    def turn(carry: tuple[Array, Array], now: tuple[Key, Array]) -> tuple[tuple[Array, Array], None]:
        (tried, observed), (key, t) = carry, now
        belief = posterior(descriptor, prior, tried, observed, jnp.arange(trials) < t, length=length, noise=noise)
        bound = belief.mean + kappa * jnp.sqrt(belief.variance)
        row = jnp.argmax(jnp.where(occupied, bound, -jnp.inf)).astype(jnp.int32)
        result = jnp.nan_to_num(trial(key, row), nan=worst)
        return (tried.at[t].set(row), observed.at[t].set(result)), None

    start = (jnp.zeros(trials, jnp.int32), jnp.zeros(trials))
    (tried, observed), _ = jax.lax.scan(turn, start, (jax.random.split(key, trials), jnp.arange(trials)))
    belief = posterior(descriptor, prior, tried, observed, jnp.ones(trials, bool), length=length, noise=noise)
    chosen = jnp.argmax(jnp.where(occupied, belief.mean, -jnp.inf)).astype(jnp.int32)
    return Searched(tried, observed, chosen, belief)


def posterior(
    descriptor: Float[Array, "m d"],
    prior: Float[Array, " m"],
    tried: Int[Array, " t"],
    observed: Float[Array, " t"],
    known: Bool[Array, " t"],
    *,
    length: float,
    noise: float,
) -> Posterior:
    """The Gaussian process of variance 1 around `prior`, given those of the trials that are `known`.

    Rasmussen & Williams (2006), http://gaussianprocess.org/gpml, equations 2.25 and 2.26.
    """
    where = descriptor[tried]
    both = known[:, None] & known
    # What is not known yet is a row and a column of the unit matrix: it changes nothing.
    covariance = jnp.where(both, matern(where, where, length), 0) + jnp.diag(jnp.where(known, noise, 1.0))
    cross = jnp.where(known[:, None], matern(where, descriptor, length), 0)
    factor = jax.scipy.linalg.cholesky(covariance, lower=True)
    solved = jax.scipy.linalg.solve_triangular(factor, cross, lower=True)
    surprise = jnp.where(known, observed - prior[tried], 0)
    weights = jax.scipy.linalg.solve_triangular(factor, surprise, lower=True)
    return Posterior(prior + weights @ solved, jnp.maximum(1 - (solved**2).sum(axis=0), 0))


def matern(a: Float[Array, "n d"], b: Float[Array, "m d"], length: float) -> Float[Array, "n m"]:
    """The Matern kernel of smoothness 5/2: (1 + s + s^2 / 3) exp(-s), s = sqrt(5) distance / length."""
    squared = jnp.square(a[:, None] - b).sum(axis=2)
    s = jnp.sqrt(5 * squared) / length
    return (1 + s + s**2 / 3) * jnp.exp(-s)
