"""Which task to practise next: the one whose success changes.

Kanitscheider et al. (2021), https://arxiv.org/abs/2106.14876; the formulas as in the code of OMNI (Zhang et al. 2023,
https://arxiv.org/abs/2306.01711):

    p      <- max(successes / attempts - random, 0) / (1 - random)     # above what a random policy achieves
    fast   <- moving average of p;  slow <- moving average of fast
    f(p)   =  (1 - theta) p / (p + theta (1 - 2 p))                    # magnifies small p
    change <- |f(fast) - f(slow)|                                      # forgetting counts as well as learning
    weight <- sigmoid(z-score of change), over the tasks that ever succeeded
"""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from aiga.core.protocols import Info

QUANTILE = 1.2815515655446004
"""Below it lies 90 % of a standard normal variable."""
SLOPE = 3.0
"""Of the sigmoid that is centred there: at the 95 % quantile it reaches 0.75, at the 99 % quantile 0.96."""


class Progress(NamedTuple):
    """What is known of `n` tasks."""

    random: Float[Array, " n"]
    """Success probability of a random policy."""
    fast: Float[Array, " n"]
    """Recent success, 0: no better than random, 1: always."""
    slow: Float[Array, " n"]
    """What `fast` was some time ago."""

    def above_random(self, success: Float[Array, " n"]) -> Float[Array, " n"]:
        """Success probabilities on a scale on which a random policy has 0."""
        return jnp.maximum(success - self.random, 0) / jnp.maximum(1 - self.random, 1e-6)


class Curriculum(eqx.Module):
    """Task probabilities from task successes."""

    by: Literal["progress", "variance", "uniform"] = eqx.field(static=True, default="progress")
    """`progress`: learning progress; `variance`: fast (1 - fast), largest for tasks that succeed half the time."""
    sigmoid: Literal["plain", "quantile"] = eqx.field(static=True, default="plain")
    """Of the learning progress: centred at the mean, as in OMNI, or at the 90 % quantile, as in the first paper."""
    rate: float = 0.1
    """How far an evaluation of `tries` attempts moves the averages; other numbers of attempts move them accordingly."""
    tries: int = 20
    theta: float = 0.1
    """Between 0 and 0.5; smaller values magnify small success probabilities more."""
    share: float = 0.0
    """Share of the probability that is spread evenly over all tasks."""

    def start(self, successes: Int[Array, " n"], attempts: Int[Array, " n"]) -> Progress:
        """Before training, from attempts of a random policy."""
        random = successes / jnp.maximum(attempts, 1)
        return Progress(random, jnp.zeros_like(random), jnp.zeros_like(random))

    def update(self, state: Progress, successes: Int[Array, " n"], attempts: Int[Array, " n"]) -> Progress:
        """After some attempts; a task without any keeps its averages."""
        p = state.above_random(successes / jnp.maximum(attempts, 1))
        moved = 1 - (1 - self.rate) ** (attempts / self.tries)
        fast = state.fast + moved * (p - state.fast)
        return state._replace(fast=fast, slow=state.slow + moved * (fast - state.slow))

    def magnified(self, p: Float[Array, " n"]) -> Float[Array, " n"]:
        return (1 - self.theta) * p / (p + self.theta * (1 - 2 * p))

    def change(self, state: Progress) -> Float[Array, " n"]:
        """The learning progress of every task."""
        return jnp.abs(self.magnified(state.fast) - self.magnified(state.slow))

    def probabilities(self, state: Progress, interest: Float[Array, " n"] | None = None) -> Float[Array, " n"]:
        """How often each task should be practised; `interest` multiplies the weights of tasks.

        Where no task has weight, as before the first success, all are as probable.
        """
        weights = self._weights(state) if interest is None else self._weights(state) * interest
        even = jnp.full_like(weights, 1 / weights.size)
        total = weights.sum()
        chosen = jnp.where(total > 0, weights / jnp.where(total > 0, total, 1), even)
        return (1 - self.share) * chosen + self.share * even

    def _weights(self, state: Progress) -> Float[Array, " n"]:
        if self.by == "uniform":
            return jnp.ones_like(state.fast)
        if self.by == "variance":
            return state.fast * (1 - state.fast)
        change = self.change(state)
        eligible = (change > 0) | (state.fast > 0)
        z = standardised(change, eligible)
        weights = jax.nn.sigmoid(z if self.sigmoid == "plain" else SLOPE * (z - QUANTILE))
        return jnp.where(eligible, weights, 0)


def grouped(namespace: str, groups: tuple[str, ...], values: Float[Array, " n"], reduce: Any) -> Info:
    """A metric for each kind of task."""
    kinds = dict.fromkeys(groups)
    return {f"{namespace}/{kind}": reduce(values[np.array(groups) == kind]) for kind in kinds}


def standardised(values: Float[Array, " n"], of: Bool[Array, " n"]) -> Float[Array, " n"]:
    """Values less the mean of some of them, in units of the deviation of those; 0 where these are all alike."""
    count = jnp.maximum(of.sum(), 1)
    centred = values - jnp.where(of, values, 0).sum() / count
    deviation = jnp.sqrt(jnp.where(of, centred**2, 0).sum() / count)
    return jnp.where(deviation > 1e-9, centred / jnp.maximum(deviation, 1e-9), 0)
