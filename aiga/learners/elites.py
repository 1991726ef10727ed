"""Which elite of a map to go on from: the choices of Colas et al. (2020), https://arxiv.org/abs/2003.01825."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from aiga.archives.grid import Grid
from aiga.archives.novelty import Novelty
from aiga.core.protocols import Evaluation, Key
from aiga.strategies.openai_es import centred_ranks

NOVEL, LATEST, PROMISING = 5, 5, 2
"""Cells that exploration chooses from; of the latest cells, those that exploitation chooses from."""


def best_or_any(key: Key, grid: Grid) -> Int[Array, ""]:
    """The cell for damage recovery: the best or any, by the toss of a coin."""
    coin, draw = jax.random.uniform(key, (2,))
    return jnp.where(coin < 0.5, grid.fitness.argmax(), uniform(draw, grid)).astype(jnp.int32)


def frontier(
    key: Key,
    grid: Grid,
    novelty: Float[Array, " cells"],
    credit: Float[Array, " cells"],
    explore: Bool[Array, ""] | bool,
) -> Int[Array, ""]:
    """The cell for deep exploration: a novel one to explore from, a promising new one to exploit.

    Args:
        key: For the choice.
        grid: The map.
        novelty: Of each elite.
        credit: The best return that was met from each cell; -inf: nobody has been there.
        explore: Or exploit.
    """
    coin, draw = jax.random.uniform(key, (2,))
    novelty = jnp.where(grid.occupied, novelty, -jnp.inf)
    novel = jnp.where(coin < 0.1, uniform(draw, grid), proportional(draw, *jax.lax.top_k(novelty, NOVEL)))
    last = grid.size - 1 - jnp.arange(LATEST)
    latest = grid.discovered[jnp.maximum(last, 0)]
    score = jnp.where(last >= 0, jnp.maximum(grid.fitness[latest], credit[latest]), -jnp.inf)
    low = jnp.where(last >= 0, score, jnp.inf).min()
    best, place = jax.lax.top_k(score - low, PROMISING)
    promising = jnp.where(coin < 0.5, grid.fitness.argmax(), proportional(draw, best, latest[place]))
    return jnp.where(explore, novel, promising).astype(jnp.int32)


def uniform(draw: Float[Array, ""], grid: Grid) -> Int[Array, ""]:
    """The elite at the share `draw`, from 0 to below 1, of all."""
    return grid.discovered[(draw * grid.size).astype(jnp.int32)]


def proportional(draw: Float[Array, ""], weights: Float[Array, " n"], rows: Int[Array, " n"]) -> Int[Array, ""]:
    """The row at the share `draw`, from 0 to below 1, of all weights; those of weight -inf never."""
    known = jnp.clip(jnp.nan_to_num(weights, nan=0.0), 1e-9, 1e30)
    through = jnp.cumsum(jnp.where(jnp.isneginf(weights), 0, known))
    return rows[(through <= draw * through[-1]).sum()]


def blended(seen: Novelty, weight: Float[Array, ""], evaluation: Evaluation) -> Float[Array, " n"]:
    """Utilities: the ranks of novelty, the ranks of the return, or a mixture of both."""
    both = jnp.stack([seen.novelty(evaluation.descriptor), evaluation.fitness])
    novelty, returned = jax.vmap(centred_ranks)(both)
    return weight * novelty + (1 - weight) * returned
