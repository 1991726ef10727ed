"""Evolvability as an objective: utilities that move a cloud of genomes to where its behaviour is diverse.

Gajewski et al. (2019), "Evolvability ES: scalable and direct optimization of evolvability",
https://arxiv.org/abs/1907.06077.  Of a cloud N(mean, sigma^2 I) with behaviours b_1 ... b_n, two statistics:

    variance  trace Var b                               (MaxVar)
    entropy   - mean_i log p_i,  p_i = mean_j k(b_i, b_j),  k(a, b) = exp(-|a - b|^2 / bandwidth^2)   (MaxEnt)

Their gradient by the mean is, as in any evolution strategy, mean_i u_i e_i / sigma with noise e_i and utilities u_i.
These are derived in two ways: by hand, from the score function (`variance_utilities`, `entropy_utilities`), or by
differentiating the statistic itself, in which every behaviour weighs as much as a likelihood ratio that is 1 and has a
gradient (`surrogate`): a stochastic computation graph.  As the gradient of the ratio is e_i / sigma, the derivatives of
the statistic by its weights are all that is needed (`graph_utilities`); no genome is.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from aiga.core.protocols import Evaluation
from aiga.strategies.openai_es import centred_ranks

Unit = Literal["ranks", "deviations", "none"]
Statistic = Callable[[Float[Array, "n d"], Float[Array, " n"]], Float[Array, ""]]
"""From behaviours and their weights, which sum to 1, to how diverse they are."""

SMALLEST = 1e-30
"""A density far below the 1 / n that every behaviour has of itself."""


class Diversity(eqx.Module):
    """What each candidate adds to the diversity of its generation: the `shape` of an `OpenAIES`.

    A candidate that failed (fitness NaN, or a behaviour that is not finite) has the utility NaN, and the diversity of
    the others is that without it.
    """

    statistic: Literal["variance", "entropy"] = eqx.field(static=True, default="variance")
    estimator: Literal["direct", "graph"] = eqx.field(static=True, default="direct")
    unit: Unit = eqx.field(static=True, default="ranks")
    bandwidth: float = eqx.field(static=True, default=1.0)
    """Of the kernel, in the unit of the behaviour; only for the entropy."""

    def __call__(self, evaluation: Evaluation) -> Float[Array, " n"]:
        alive = ~jnp.isnan(evaluation.fitness) & jnp.isfinite(evaluation.descriptor).all(1)
        behaviour = normalised(evaluation.descriptor, alive, self.unit)
        weight = alive / jnp.maximum(alive.sum(), 1)
        return jnp.where(alive, self.utilities(behaviour, weight), jnp.nan)

    def utilities(self, behaviour: Float[Array, "n d"], weight: Float[Array, " n"]) -> Float[Array, " n"]:
        if self.estimator == "graph":
            return graph_utilities(self.measure, behaviour, weight)
        if self.statistic == "variance":
            return variance_utilities(behaviour, weight)
        return entropy_utilities(behaviour, weight, self.bandwidth)

    @property
    def measure(self) -> Statistic:
        return variance if self.statistic == "variance" else partial(entropy, bandwidth=self.bandwidth)


def normalised(behaviour: Float[Array, "n d"], alive: Bool[Array, " n"], unit: Unit = "ranks") -> Float[Array, "n d"]:
    """Every number of the behaviour, less its mean over the living, in a unit; what failed is at the mean.

    `ranks` go from -0.5 to 0.5, and equals share theirs; `deviations` are standard deviations.
    """
    living = alive[:, None]
    if unit == "ranks":
        ranks = jax.vmap(centred_ranks, in_axes=1, out_axes=1)(jnp.where(living, behaviour, jnp.nan))
        return jnp.where(living, ranks, 0.0)
    share = living / jnp.maximum(alive.sum(), 1)
    known = jnp.where(living, behaviour, 0.0)
    centred = jnp.where(living, known - (share * known).sum(0), 0.0)
    if unit == "none":
        return centred
    deviation = jnp.sqrt((share * centred**2).sum(0))
    return centred / jnp.where(deviation > 0, deviation, 1.0)


def variance(behaviour: Float[Array, "n d"], weight: Float[Array, " n"]) -> Float[Array, ""]:
    """The sum of the variances of the numbers of the behaviour."""
    return weight @ (behaviour**2).sum(1) - ((weight @ behaviour) ** 2).sum()


def entropy(behaviour: Float[Array, "n d"], weight: Float[Array, " n"], bandwidth: float = 1.0) -> Float[Array, ""]:
    """The entropy of the behaviour, from a kernel estimate of its density; 0 if all is the same."""
    density = alikeness(behaviour, bandwidth) @ weight
    return -weight @ jnp.log(jnp.maximum(density, SMALLEST))


def alikeness(behaviour: Float[Array, "n d"], bandwidth: float) -> Float[Array, "n n"]:
    """The kernel between any two behaviours: 1 if they are the same."""
    apart = ((behaviour[:, None] - behaviour[None]) ** 2).sum(-1)
    return jnp.exp(-apart / bandwidth**2)


def variance_utilities(behaviour: Float[Array, "n d"], weight: Float[Array, " n"]) -> Float[Array, " n"]:
    """The direct estimator of MaxVar: the squared distance from the mean behaviour."""
    return ((behaviour - weight @ behaviour) ** 2).sum(1)


def entropy_utilities(
    behaviour: Float[Array, "n d"], weight: Float[Array, " n"], bandwidth: float = 1.0
) -> Float[Array, " n"]:
    """The direct estimator of MaxEnt: - log p_i - mean_j k_ij / p_j.

    The first part rewards a behaviour that is rare; the second punishes one that makes others less rare.
    """
    alike = alikeness(behaviour, bandwidth)
    density = jnp.maximum(alike @ weight, SMALLEST)
    return -jnp.log(density) - alike @ (weight / density)


def graph_utilities(
    statistic: Statistic, behaviour: Float[Array, "n d"], weight: Float[Array, " n"]
) -> Float[Array, " n"]:
    """What a little more weight on each candidate adds to any statistic, by automatic differentiation."""
    return jax.grad(statistic, argnums=1)(behaviour, weight)


def surrogate(
    mean: Float[Array, " g"],
    genomes: Float[Array, "n g"],
    sigma: float,
    behaviour: Float[Array, "n d"],
    statistic: Statistic,
) -> Float[Array, ""]:
    """The statistic of genomes drawn around `mean`, whose gradient by `mean` is the estimator.

    The ratio of likelihoods is that of the magic box of Foerster et al. (2018), https://arxiv.org/abs/1802.05098.
    """
    log = -((genomes - mean) ** 2).sum(1) / (2 * sigma**2)
    ratio = jnp.exp(log - jax.lax.stop_gradient(log))
    return statistic(behaviour, ratio / ratio.size)
