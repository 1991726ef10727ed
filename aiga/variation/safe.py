"""Safe mutations: perturb a network by how much that changes what it does, not by how much it changes its weights.

Lehman, Chen, Clune & Stanley (2018), "Safe mutations for deep and recurrent neural networks through output
gradients", https://arxiv.org/abs/1712.06563, with the constants of https://github.com/uber-research/safemutations.
With a network y, its weights w, and experiences x of its own:

    d        <- magnitude * N(0, I)
    SM-R:       child = w + a d / |d|, with a such that the mean of (y(x; child) - y(x; w))^2 is the magnitude
    SM-G-...:   child = w + clip(d / s), s at least 0.01, and 1 where it is 0
        SUM:    s = sqrt(sum_k (sum_x dy_k(x)/dw)^2)
        ABS:    s = sqrt(sum_k (mean_x |dy_k(x)/dw|)^2)
        SO:     s = sqrt|H d / |d||, H the Hessian of mean_x sum_k (y_k(x; .) - y_k(x; w))^2 at w

SUM is one backward pass for each output; where gradients of different experiences have different signs it sees less
than there is ("washout"), or nothing at all.  ABS is a pass for each output and experience, SO two for all.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from aiga.core.protocols import Key
from aiga.core.trees import Layout

Operator = Literal["plain", "sm-r", "sm-g-sum", "sm-g-abs", "sm-g-so"]
Apply = Callable[[PyTree, PyTree], Float[Array, "x k"]]
"""From a genome and its experiences, whose leaves lead with the axis `x`, to the outputs."""
Outputs = Callable[[Float[Array, " d"]], Float[Array, "x k"]]
"""From all weights in one vector to the outputs for some experiences."""
FLOOR = 0.01
"""The least sensitivity that is believed."""
ROUNDS = 15
"""Of the line search."""


def mutate(
    key: Key,
    genome: PyTree,
    experiences: PyTree,
    apply: Apply,
    operator: Operator = "sm-g-abs",
    magnitude: float | Array = 0.01,
    clip: float = float("inf"),
) -> PyTree:
    """A child of one genome.

    Args:
        key: Where the noise comes from.
        genome: Of the parent.
        experiences: What the parent has observed.
        apply: The network.
        operator: How the noise is scaled; plain: not at all.
        magnitude: Standard deviation of the noise; for `sm-r`, the mean squared change of an output.
        clip: No weight changes by more; not for `plain`.
    """
    layout = Layout.of(genome)
    weights = layout.flat(genome)
    noise = jax.random.normal(key, weights.shape)

    def outputs(vector: Float[Array, " d"]) -> Float[Array, "x k"]:
        return apply(layout.tree(vector), experiences)

    if operator == "plain":
        return layout.tree(weights + magnitude * noise)
    if operator == "sm-r":
        direction = noise / jnp.linalg.norm(noise)
        change = rescaled(outputs, weights, direction, magnitude) * direction
        return layout.tree(weights + jnp.clip(change, -clip, clip))
    if operator == "sm-g-so":
        sensitivity = curved(outputs, weights, noise / jnp.linalg.norm(noise))
    elif operator == "sm-g-abs":
        sensitivity = absolute(apply, layout, weights, experiences)
    else:
        sensitivity = summed(outputs, weights)
    change = magnitude * noise / trusted(sensitivity)
    return layout.tree(weights + jnp.clip(change, -clip, clip))


def summed(outputs: Outputs, weights: Float[Array, " d"]) -> Float[Array, " d"]:
    """The sensitivity of SM-G-SUM: the gradients of all experiences, added up."""
    jacobian = jax.jacrev(lambda vector: outputs(vector).sum(axis=0))(weights)
    return jnp.sqrt((jacobian**2).sum(axis=0))


def absolute(apply: Apply, layout: Layout, weights: Float[Array, " d"], experiences: PyTree) -> Float[Array, " d"]:
    """The sensitivity of SM-G-ABS: the size of the gradient of each experience, averaged."""

    def one(vector: Float[Array, " d"], experience: PyTree) -> Float[Array, " k"]:
        return apply(layout.tree(vector), jax.tree.map(lambda leaf: leaf[None], experience))[0]

    jacobians = jax.vmap(jax.jacrev(one), (None, 0))(weights, experiences)
    return jnp.sqrt((jnp.abs(jacobians).mean(axis=0) ** 2).sum(axis=0))


def curved(outputs: Outputs, weights: Float[Array, " d"], direction: Float[Array, " d"]) -> Float[Array, " d"]:
    """The sensitivity of SM-G-SO along a direction: by the curvature of the squared change of the outputs.

    The change is zero at the weights, so that its Hessian is exactly twice the mean of J^T J, and no derivative of a
    derivative is needed.
    """
    before, tangent = jax.jvp(outputs, (weights,), (direction,))
    pull = jax.vjp(outputs, weights)[1]
    return jnp.sqrt(jnp.abs(pull(2 * tangent / len(before))[0]))


def trusted(sensitivity: Float[Array, " d"]) -> Float[Array, " d"]:
    """What noise is divided by: weights without any effect are left to plain noise, and no effect is below a floor."""
    return jnp.maximum(jnp.where(sensitivity == 0, 1, sensitivity), FLOOR)


def rescaled(
    outputs: Outputs, weights: Float[Array, " d"], direction: Float[Array, " d"], target: float | Array
) -> Float[Array, ""]:
    """How far to go for the mean squared change of an output to be `target`: the line search of SM-R.

    For small steps the change grows with their square, which proposes the next step; proposals outside what is known
    to be too short and too long are replaced by the (geometric) middle.  The best step that was tried is taken.
    """
    before = outputs(weights)

    def turn(_: Array, search: tuple[Array, ...]) -> tuple[Array, ...]:
        step, short, long, best, least = search
        change = ((outputs(weights + step * direction) - before) ** 2).mean()
        error = jnp.abs(change - target)
        best, least = jnp.where(error < least, step, best), jnp.minimum(error, least)
        short, long = jnp.where(change < target, step, short), jnp.where(change < target, long, step)
        proposed = step * jnp.clip(jnp.sqrt(target / jnp.maximum(change, 1e-30)), 0.1, 10)
        inside = (proposed > short) & (proposed < long)
        middle = jnp.where(short > 0, jnp.sqrt(short * long), long / 10)
        return jnp.where(inside | ~jnp.isfinite(long), proposed, middle), short, long, best, least

    first, zero, endless = (jnp.full((), value) for value in (target**0.5, 0.0, jnp.inf))
    return jax.lax.fori_loop(0, ROUNDS, turn, (first, zero, endless, zero, endless))[3]
