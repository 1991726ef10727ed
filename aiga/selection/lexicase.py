"""Lexicase selection: whoever is best on the cases that happen to be asked first.

Helmuth, Spector & Matheson (2015), "Solving uncompromising problems with lexicase selection",
https://doi.org/10.1109/TEVC.2014.2362729:

    for each selection:
        pool <- everyone
        for each case, in random order:
            pool <- those of the pool that are the best of it at this case
        choose one of the pool at random

Epsilon-lexicase (La Cava et al. 2019, https://doi.org/10.1162/evco_a_00224) keeps whoever is within epsilon of the
best, with epsilon the median absolute deviation of the case.  Ours is the semi-dynamic kind: the best is that of the
pool, epsilon that of everyone, hence computed once.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from aiga.core.errors import UsageError
from aiga.core.protocols import Key


@partial(jax.jit, static_argnames=("count", "epsilon", "replace"))
def lexicase(
    key: Key, scores: Float[Array, "n cases"], count: int, *, epsilon: bool = False, replace: bool = True
) -> Int[Array, " count"]:
    """The rows of `count` individuals, each selected with an order of the cases of its own.

    Args:
        key: Where the orders and the choices among equals come from.
        scores: Maximised.  Someone with a NaN has failed and is chosen only when nobody else is left.
        count: How many are selected.
        epsilon: Keep whoever is within the case's median absolute deviation of the best.
        replace: An individual may be selected more than once: for parents.  For survivors, it may not.
    """
    n = len(scores)
    if not scores.shape[1]:
        raise UsageError("individuals without cases cannot be compared: give one column per case.")
    if not n or count < 0 or (not replace and count > n):
        raise UsageError(
            f"{count} of {n} individuals cannot be selected: give `count` from 0 up to the number of individuals."
        )
    failed = jnp.isnan(scores).any(axis=1)
    tolerance = deviation(scores) if epsilon else jnp.zeros(scores.shape[1], scores.dtype)
    lowest = jnp.where(failed[:, None], -jnp.inf, scores)
    keys = jax.random.split(key, count)
    if replace:
        return jax.lax.map(lambda one: _select(one, lowest, tolerance, ~failed | failed.all()), keys, batch_size=64)

    def take(left: Bool[Array, " n"], one: Key) -> tuple[Bool[Array, " n"], Int[Array, ""]]:
        sound = left & ~failed
        row = _select(one, lowest, tolerance, jnp.where(sound.any(), sound, left))
        return left.at[row].set(False), row

    return jax.lax.scan(take, jnp.ones(n, bool), keys)[1]


def deviation(scores: Float[Array, "n cases"]) -> Float[Array, " cases"]:
    """Every case's median distance from its median, of those who did not fail; 0 if all did."""
    sound = jnp.where(jnp.isnan(scores).any(axis=1, keepdims=True), jnp.nan, scores)
    return jnp.nan_to_num(jnp.nanmedian(jnp.abs(sound - jnp.nanmedian(sound, axis=0)), axis=0), nan=0.0)


def _select(
    key: Key, scores: Float[Array, "n cases"], tolerance: Float[Array, " cases"], pool: Bool[Array, " n"]
) -> Int[Array, ""]:
    shuffle, choose = jax.random.split(key)

    def ask(pool: Bool[Array, " n"], case: Int[Array, ""]) -> tuple[Bool[Array, " n"], None]:
        score = scores[:, case]
        best = jnp.where(pool, score, -jnp.inf).max()
        return pool & (score >= best - tolerance[case]), None

    pool, _ = jax.lax.scan(ask, pool, jax.random.permutation(shuffle, scores.shape[1]))
    return jax.random.categorical(choose, jnp.where(pool, 0.0, -jnp.inf)).astype(jnp.int32)
